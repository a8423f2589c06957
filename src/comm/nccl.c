/* Finds and loads NCCL, and makes of it a way of communicating: each collective is one call of the library on the
 * stream, also while the stream is recorded. The library picks its algorithm by sizes and topology alone, so that the
 * same call on the same machines adds in the same order. */
#include "comm/nccl.h"

/* Written for C++ too: where it is no system header, its empty parentheses are warned of. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wstrict-prototypes"
#include <nccl.h>
#pragma GCC diagnostic pop

#include <assert.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "comm/backend.h"

#define NCCL_CALLS(X)                                                                                                 \
    X(GetVersion) X(GetUniqueId) X(CommInitRankConfig) X(CommSplit) X(CommUserRank) X(CommCount) X(CommDestroy)       \
    X(CommAbort) X(CommGetAsyncError) X(GetErrorString) X(GetLastError) X(AllReduce) X(ReduceScatter) X(AllGather)    \
    X(Broadcast) X(Send) X(Recv) X(GroupStart) X(GroupEnd)

/* The first release that splits communicators. */
enum { LOWEST_VERSION = NCCL_VERSION(2, 18, 1) };
static const char library_name[] = "libnccl.so.2";

struct dt_nccl {
    void *library;
    int version; /* as NCCL counts: 22809 is 2.28.9 */
#define X(name) __typeof__(nccl##name) *name;
    NCCL_CALLS(X)
#undef X
};

typedef struct nccl_comm {
    dt_nccl *nccl;
    bool owner; /* of the library: what was split off borrows it */
    bool failed;
    int rank;
    dt_device *device;
    ncclComm_t comm; /* NULL: not made */
} nccl_comm;

_Static_assert(DT_NCCL_ID_BYTES == NCCL_UNIQUE_ID_BYTES, "the size of NCCL's id");

/* --- the library --- */

bool dt_nccl_built(void) { return true; }

static dt_status load(dt_nccl *n)
{
    n->library = dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
    if (!n->library)
        return dt_fail(DT_ERR_DEVICE, "cannot load %s, which ranks on GPUs need: %s; install NCCL (NVIDIA's package "
                       "libnccl2), or put the folder where it lies into LD_LIBRARY_PATH (of pip's nvidia-nccl wheel: "
                       "site-packages/nvidia/nccl/lib)", library_name, dlerror());
#define X(name)                                                                             \
    if (!(n->name = (__typeof__(n->name))dlsym(n->library, "nccl" #name)))              \
        return dt_fail(DT_ERR_DEVICE, "%s has no nccl" #name ": install NCCL 2.18 or newer", library_name);
    NCCL_CALLS(X)
#undef X
    return DT_OK;
}

static dt_status check_version(dt_nccl *n)
{
    char text[DT_NCCL_TEXT];
    if (n->GetVersion(&n->version) != ncclSuccess)
        return dt_fail(DT_ERR_DEVICE, "%s does not say its version", library_name);
    if (n->version >= LOWEST_VERSION) return DT_OK;
    return dt_fail(DT_ERR_DEVICE, "%s is %s: install NCCL 2.18 or newer", library_name, dt_nccl_text(n, text));
}

dt_status dt_nccl_open(dt_nccl **out)
{
    dt_nccl *n = calloc(1, sizeof *n);
    if (!n) return dt_fail_memory(sizeof *n, "NCCL");
    dt_status status = load(n);
    if (!status) status = check_version(n);
    if (status) dt_nccl_close(n);
    else *out = n;
    return status;
}

/* The library stays loaded: its threads may still be leaving it. */
void dt_nccl_close(dt_nccl *n) { free(n); }

const char *dt_nccl_text(const dt_nccl *n, char out[DT_NCCL_TEXT])
{
    snprintf(out, DT_NCCL_TEXT, "NCCL %d.%d.%d", n->version / 10000, n->version / 100 % 100, n->version % 100);
    return out;
}

/* "NCCL cannot WHAT: what the code means: what NCCL said last". */
static dt_status check(dt_nccl *n, ncclResult_t result, ncclComm_t comm, const char *what)
{
    if (result == ncclSuccess) return DT_OK;
    const char *last = n->GetLastError(comm);
    bool told = last && *last;
    int length = told ? (int)strcspn(last, "\n") : 0;
    return dt_fail(DT_ERR_DEVICE, "NCCL cannot %s: %s%s%.*s (NCCL_DEBUG=WARN has it say more)", what,
                   n->GetErrorString(result), told ? ": " : "", length, told ? last : "");
}

dt_status dt_nccl_make_id(dt_nccl *n, char id[DT_NCCL_ID_BYTES])
{
    ncclUniqueId made;
    DT_TRY(check(n, n->GetUniqueId(&made), NULL, "listen for other ranks (NCCL_SOCKET_IFNAME names the network "
                 "interface)"));
    memcpy(id, made.internal, DT_NCCL_ID_BYTES);
    return DT_OK;
}

/* --- collectives --- */

static void *stream_of(const nccl_comm *c, dt_stream stream) { return dt_device_queue(c->device, stream)->stream; }

static ncclDataType_t type_of(dt_dtype type)
{
    switch (type) {
    case DT_F32: return ncclFloat32;
    case DT_F64: return ncclFloat64;
    case DT_BF16: return ncclBfloat16;
    case DT_I32: return ncclInt32;
    case DT_I64: return ncclInt64;
    default: assert(dt_dtype_size(type) == 1); return ncclUint8; /* travels as it is */
    }
}

static ncclDataType_t sum_type_of(dt_dtype type)
{
    assert(dt_dtype_size(type) > 1); /* bytes are not added up */
    return type_of(type);
}

static dt_status done(nccl_comm *c, ncclResult_t result, const char *what)
{
    if (result != ncclSuccess) c->failed = true;
    return check(c->nccl, result, c->comm, what);
}

static dt_status nccl_all_reduce(void *context, dt_stream stream, dt_dtype type, int64_t count, void *data)
{
    nccl_comm *c = context;
    return done(c, c->nccl->AllReduce(data, data, (size_t)count, sum_type_of(type), ncclSum, c->comm,
                                      stream_of(c, stream)), "add up over ranks");
}

static dt_status nccl_reduce_scatter(void *context, dt_stream stream, dt_dtype type, int64_t count, const void *data,
                                     void *out)
{
    nccl_comm *c = context;
    return done(c, c->nccl->ReduceScatter(data, out, (size_t)count, sum_type_of(type), ncclSum, c->comm,
                                          stream_of(c, stream)), "add up over ranks in pieces");
}

static dt_status nccl_all_gather(void *context, dt_stream stream, dt_dtype type, int64_t count, const void *data,
                                 void *out)
{
    nccl_comm *c = context;
    return done(c, c->nccl->AllGather(data, out, (size_t)count, type_of(type), c->comm, stream_of(c, stream)),
                "gather from ranks");
}

static dt_status nccl_broadcast(void *context, dt_stream stream, dt_dtype type, int64_t count, void *data, int root)
{
    nccl_comm *c = context;
    return done(c, c->nccl->Broadcast(data, data, (size_t)count, type_of(type), root, c->comm, stream_of(c, stream)),
                "broadcast to ranks");
}

/* The group lets both directions run at once; it is ended whatever its calls said. */
static dt_status nccl_swap(void *context, dt_stream stream, dt_dtype type, int64_t count, const void *data, void *out,
                           int peer)
{
    nccl_comm *c = context;
    const dt_nccl *n = c->nccl;
    ncclResult_t result = n->GroupStart(), ended;
    if (result != ncclSuccess) return done(c, result, "swap with a rank");
    result = n->Send(data, (size_t)count, type_of(type), peer, c->comm, stream_of(c, stream));
    if (result == ncclSuccess)
        result = n->Recv(out, (size_t)count, type_of(type), peer, c->comm, stream_of(c, stream));
    ended = n->GroupEnd();
    return done(c, result == ncclSuccess ? ended : result, "swap with a rank");
}

static dt_status nccl_check(void *context)
{
    nccl_comm *c = context;
    ncclResult_t state = ncclSuccess;
    ncclResult_t result = c->nccl->CommGetAsyncError(c->comm, &state);
    if (result == ncclSuccess && state != ncclInProgress) result = state;
    return done(c, result, "go on");
}

/* --- making and freeing --- */

/* Work that still waits for other ranks would be waited for. */
static bool is_busy(const nccl_comm *c)
{
    for (int s = 0; s < DT_STREAMS; s++)
        if (cudaStreamQuery(stream_of(c, (dt_stream)s)) != cudaSuccess) return true;
    return false;
}

static void nccl_close(void *context)
{
    nccl_comm *c = context;
    if (c->comm && (c->failed || is_busy(c))) c->nccl->CommAbort(c->comm);
    else if (c->comm) c->nccl->CommDestroy(c->comm);
    if (c->owner) dt_nccl_close(c->nccl);
    free(c);
}

static dt_status nccl_split(void *context, int colour, void **out, int *rank, int *size)
{
    nccl_comm *from = context, *c = calloc(1, sizeof *c);
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    if (!c) return dt_fail_memory(sizeof *c, "a communicator");
    c->nccl = from->nccl;
    c->device = from->device;
    dt_status status = done(from, c->nccl->CommSplit(from->comm, colour, from->rank, &c->comm, &config),
                            "make a group of ranks");
    if (!status) status = done(c, c->nccl->CommUserRank(c->comm, &c->rank), "number a group of ranks");
    if (!status) status = done(c, c->nccl->CommCount(c->comm, size), "count a group of ranks");
    if (status) {
        nccl_close(c);
        return status;
    }
    *rank = c->rank;
    *out = c;
    return DT_OK;
}

static const dt_comm_backend backend = {.all_reduce = nccl_all_reduce,
                                        .reduce_scatter = nccl_reduce_scatter,
                                        .all_gather = nccl_all_gather,
                                        .broadcast = nccl_broadcast,
                                        .swap = nccl_swap,
                                        .split = nccl_split,
                                        .check = nccl_check,
                                        .close = nccl_close};

dt_status dt_comm_create_nccl(dt_nccl *n, dt_device *device, const char id[DT_NCCL_ID_BYTES], int rank, int size,
                              dt_comm **out)
{
    nccl_comm *c = calloc(1, sizeof *c);
    ncclUniqueId made;
    ncclConfig_t config = NCCL_CONFIG_INITIALIZER;
    if (!c) return dt_fail_memory(sizeof *c, "a communicator");
    memcpy(made.internal, id, DT_NCCL_ID_BYTES);
    *c = (nccl_comm){.nccl = n, .device = device, .rank = rank};
    dt_status status = done(c, n->CommInitRankConfig(&c->comm, size, made, rank, &config), "join the ranks");
    if (!status) status = dt_comm_create(&backend, c, rank, size, out);
    if (status) nccl_close(c);
    else c->owner = true;
    return status;
}
