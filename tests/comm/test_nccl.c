/* What the program asks of NCCL and says of its failures, by a fake library: dlopen, one queue and one call of the CUDA
 * runtime are defined here and stand before the real ones. What real GPUs compute is for dist-collectives-cuda. */
#include <nccl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "comm/nccl.h"

static struct {
    bool absent;         /* no such library */
    const char *lacking; /* a function it does not have */
    int version;
    ncclResult_t result, state; /* of collectives; of what is under way */
    const char *last;           /* NCCL's own words */
    cudaError_t stream;
    /* What happened. */
    char call[64];
    size_t count;
    ncclDataType_t type;
    const void *data;
    int groups, made, destroyed, aborted;
} fake;

static int setup(void **state)
{
    memset(&fake, 0, sizeof fake);
    fake.version = NCCL_VERSION_CODE;
    fake.last = "";
    return 0;
}

/* --- the fake --- */

static ncclResult_t note(const char *call, const void *data, size_t count, ncclDataType_t type)
{
    snprintf(fake.call, sizeof fake.call, "%s", call);
    fake.data = data;
    fake.count = count;
    fake.type = type;
    return fake.result;
}

static ncclResult_t make(ncclComm_t *comm)
{
    if (fake.result) return fake.result;
    fake.made++;
    *comm = (ncclComm_t)&fake;
    return ncclSuccess;
}

static ncclResult_t fake_GetVersion(int *version) { return *version = fake.version, ncclSuccess; }
static ncclResult_t fake_GetUniqueId(ncclUniqueId *id) { return memset(id, 7, sizeof *id), fake.result; }
static ncclResult_t fake_CommInitRankConfig(ncclComm_t *comm, int size, ncclUniqueId id, int rank, ncclConfig_t *config)
{
    return make(comm);
}
static ncclResult_t fake_CommSplit(ncclComm_t comm, int colour, int key, ncclComm_t *out, ncclConfig_t *config)
{
    return make(out);
}
static ncclResult_t fake_CommUserRank(ncclComm_t comm, int *rank) { return *rank = 0, ncclSuccess; }
static ncclResult_t fake_CommCount(ncclComm_t comm, int *size) { return *size = 1, ncclSuccess; }
static ncclResult_t fake_CommDestroy(ncclComm_t comm) { return fake.destroyed++, ncclSuccess; }
static ncclResult_t fake_CommAbort(ncclComm_t comm) { return fake.aborted++, ncclSuccess; }
static ncclResult_t fake_CommGetAsyncError(ncclComm_t comm, ncclResult_t *state)
{
    return *state = fake.state, ncclSuccess;
}
static const char *fake_GetErrorString(ncclResult_t result)
{
    return result == ncclRemoteError ? "remote process exited" : "no";
}
static const char *fake_GetLastError(ncclComm_t comm) { return fake.last; }
static ncclResult_t fake_AllReduce(const void *data, void *out, size_t count, ncclDataType_t type, ncclRedOp_t op,
                                   ncclComm_t comm, cudaStream_t stream)
{
    assert_true(data == out && op == ncclSum);
    return note("AllReduce", data, count, type);
}
static ncclResult_t fake_ReduceScatter(const void *data, void *out, size_t count, ncclDataType_t type, ncclRedOp_t op,
                                       ncclComm_t comm, cudaStream_t stream)
{
    return note("ReduceScatter", data, count, type);
}
static ncclResult_t fake_AllGather(const void *data, void *out, size_t count, ncclDataType_t type, ncclComm_t comm,
                                   cudaStream_t stream)
{
    return note("AllGather", data, count, type);
}
static ncclResult_t fake_Broadcast(const void *data, void *out, size_t count, ncclDataType_t type, int root,
                                   ncclComm_t comm, cudaStream_t stream)
{
    return note("Broadcast", data, count, type);
}
static ncclResult_t fake_Send(const void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                              cudaStream_t stream)
{
    return note("Send", data, count, type);
}
static ncclResult_t fake_Recv(void *data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                              cudaStream_t stream)
{
    return note("Recv", data, count, type);
}
static ncclResult_t fake_GroupStart(void) { return fake.groups++, ncclSuccess; }
static ncclResult_t fake_GroupEnd(void) { return fake.groups--, ncclSuccess; }

#define F(name) {"nccl" #name, (void *)fake_##name}
static const struct {
    const char *name;
    void *function;
} functions[] = {F(GetVersion), F(GetUniqueId), F(CommInitRankConfig), F(CommSplit), F(CommUserRank), F(CommCount),
                 F(CommDestroy), F(CommAbort), F(CommGetAsyncError), F(GetErrorString), F(GetLastError), F(AllReduce),
                 F(ReduceScatter), F(AllGather), F(Broadcast), F(Send), F(Recv), F(GroupStart), F(GroupEnd)};

void *dlopen(const char *name, int flags);
void *dlsym(void *library, const char *name);
char *dlerror(void);

void *dlopen(const char *name, int flags) { return fake.absent || strcmp(name, "libnccl.so.2") ? NULL : &fake; }

void *dlsym(void *library, const char *name)
{
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (!strcmp(functions[i].name, name))
            return fake.lacking && !strcmp(fake.lacking, name) ? NULL : functions[i].function;
    return NULL;
}

char *dlerror(void)
{
    static char reason[] = "libnccl.so.2: cannot open shared object file";
    return reason;
}

const dt_queue *dt_device_queue(const dt_device *device, dt_stream stream)
{
    static const dt_queue queue;
    return &queue;
}

cudaError_t cudaStreamQuery(cudaStream_t stream) { return fake.stream; }

/* --- tests --- */

static void expect_words(const char *words)
{
    if (!strstr(dt_error_message(), words)) fail_msg("'%s' does not say '%s'", dt_error_message(), words);
}

static void expect_unusable(const char *words)
{
    dt_nccl *nccl = NULL;
    assert_int_equal(dt_nccl_open(&nccl), DT_ERR_DEVICE);
    assert_null(nccl);
    expect_words(words);
}

static void a_library_that_cannot_be_used_is_named(void **state)
{
    fake.absent = true;
    expect_unusable("cannot load libnccl.so.2");
    expect_words("LD_LIBRARY_PATH");
    fake.absent = false;
    fake.lacking = "ncclCommSplit";
    expect_unusable("libnccl.so.2 has no ncclCommSplit: install NCCL 2.18 or newer");
    fake.lacking = NULL;
    fake.version = NCCL_VERSION(2, 17, 1);
    expect_unusable("libnccl.so.2 is NCCL 2.17.1: install NCCL 2.18 or newer");
}

static dt_comm *open_comm(void)
{
    static const char id[DT_NCCL_ID_BYTES];
    dt_nccl *nccl;
    dt_comm *comm;
    assert_int_equal(dt_nccl_open(&nccl), DT_OK);
    assert_int_equal(dt_comm_create_nccl(nccl, NULL, id, 1, 2, &comm), DT_OK);
    return comm;
}

static void ids_are_nccls(void **state)
{
    char id[DT_NCCL_ID_BYTES] = {0}, text[DT_NCCL_TEXT];
    dt_nccl *nccl;
    fake.version = NCCL_VERSION(2, 27, 5);
    assert_int_equal(dt_nccl_open(&nccl), DT_OK);
    assert_string_equal(dt_nccl_text(nccl, text), "NCCL 2.27.5");
    assert_int_equal(dt_nccl_make_id(nccl, id), DT_OK);
    assert_int_equal(id[DT_NCCL_ID_BYTES - 1], 7);
    fake.result = ncclSystemError;
    assert_int_equal(dt_nccl_make_id(nccl, id), DT_ERR_DEVICE);
    expect_words("NCCL_SOCKET_IFNAME");
    dt_nccl_close(nccl);
}

static void expect_call(const char *call, size_t count, ncclDataType_t type)
{
    assert_string_equal(fake.call, call);
    assert_int_equal(fake.count, count);
    assert_int_equal(fake.type, type);
    assert_int_equal(fake.groups, 0);
}

static void collectives_are_calls(void **state)
{
    static float data[8], out[8];
    dt_comm *comm = open_comm();
    assert_int_equal(dt_comm_all_reduce(comm, DT_STREAM_COMM, DT_F64, 3, data), DT_OK);
    expect_call("AllReduce", 3, ncclFloat64);
    assert_int_equal(dt_comm_reduce_scatter(comm, DT_STREAM_COMM, DT_BF16, 4, data, out), DT_OK);
    expect_call("ReduceScatter", 4, ncclBfloat16);
    assert_int_equal(dt_comm_all_gather(comm, DT_STREAM_COMM, DT_F8E4M3, 5, data, out), DT_OK);
    expect_call("AllGather", 5, ncclUint8);
    assert_int_equal(dt_comm_broadcast(comm, DT_STREAM_COMM, DT_I32, 6, data, 1), DT_OK);
    expect_call("Broadcast", 6, ncclInt32);
    assert_int_equal(dt_comm_swap(comm, DT_STREAM_COMM, DT_I64, 7, data, out, 0), DT_OK);
    expect_call("Recv", 7, ncclInt64);
    dt_comm_free(comm);
    assert_int_equal(fake.destroyed, 1);
    assert_int_equal(fake.aborted, 0);
}

/* Of a failure the message holds NCCL's last words, their first line; what is under way is given up, not waited for. */
static void failures_are_told_in_nccls_words(void **state)
{
    static float data[8];
    dt_comm *comm = open_comm();
    fake.result = ncclRemoteError;
    fake.last = "socket closed by peer host-b<4711>\nmore";
    assert_int_equal(dt_comm_all_reduce(comm, DT_STREAM_COMM, DT_F32, 8, data), DT_ERR_DEVICE);
    assert_string_equal(dt_error_message(), "NCCL cannot add up over ranks: remote process exited: "
                        "socket closed by peer host-b<4711> (NCCL_DEBUG=WARN has it say more)");
    assert_int_equal(dt_comm_swap(comm, DT_STREAM_COMM, DT_F32, 8, data, data, 0), DT_ERR_DEVICE);
    assert_int_equal(fake.groups, 0); /* the group is ended all the same */
    dt_comm_free(comm);
    assert_int_equal(fake.aborted, 1);
    assert_int_equal(fake.destroyed, 0);
}

static void what_fails_later_is_found_by_asking(void **state)
{
    dt_comm *comm = open_comm();
    assert_int_equal(dt_comm_check(comm), DT_OK);
    fake.state = ncclInProgress;
    assert_int_equal(dt_comm_check(comm), DT_OK);
    fake.state = ncclRemoteError;
    assert_int_equal(dt_comm_check(comm), DT_ERR_DEVICE);
    expect_words("NCCL cannot go on: remote process exited");
    dt_comm_free(comm);
    assert_int_equal(fake.aborted, 1);
}

static void what_waits_for_others_is_given_up(void **state)
{
    dt_comm *comm = open_comm();
    fake.stream = cudaErrorNotReady;
    dt_comm_free(comm);
    assert_int_equal(fake.aborted, 1);
    assert_int_equal(fake.destroyed, 0);
}

static void groups_borrow_the_library(void **state)
{
    dt_comm *comm = open_comm(), *part;
    assert_int_equal(dt_comm_split(comm, 3, &part), DT_OK);
    assert_int_equal(dt_comm_size(part), 1);
    dt_comm_free(part);
    fake.result = ncclInvalidUsage;
    assert_int_equal(dt_comm_split(comm, 3, &part), DT_ERR_DEVICE);
    dt_comm_free(comm);
    assert_int_equal(fake.made, fake.destroyed + fake.aborted);
}

static void a_failed_start_leaves_the_library_to_the_caller(void **state)
{
    static const char id[DT_NCCL_ID_BYTES];
    dt_nccl *nccl;
    dt_comm *comm = NULL;
    assert_int_equal(dt_nccl_open(&nccl), DT_OK);
    fake.result = ncclSystemError;
    assert_int_equal(dt_comm_create_nccl(nccl, NULL, id, 0, 2, &comm), DT_ERR_DEVICE);
    expect_words("NCCL cannot join the ranks");
    assert_null(comm);
    dt_nccl_close(nccl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_library_that_cannot_be_used_is_named, setup),
        cmocka_unit_test_setup(ids_are_nccls, setup),
        cmocka_unit_test_setup(collectives_are_calls, setup),
        cmocka_unit_test_setup(failures_are_told_in_nccls_words, setup),
        cmocka_unit_test_setup(what_fails_later_is_found_by_asking, setup),
        cmocka_unit_test_setup(what_waits_for_others_is_given_up, setup),
        cmocka_unit_test_setup(groups_borrow_the_library, setup),
        cmocka_unit_test_setup(a_failed_start_leaves_the_library_to_the_caller, setup),
    };
    return cmocka_run_group_tests_name("nccl", tests, NULL, NULL);
}
