/* What the program says to CUDA that fails, by a fake runtime. The kernels are those of the CPU: the fake's memory is
 * the host's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "device/cuda_error.h"
#include "device/remedies.h"
#include "fake_cuda.h"
#include "kernels/cpu/kernels.h"
#include "train/device_choice.h"
#include "train/tiny.h"

static dt_kernels kernels;

const dt_kernels *dt_kernels_of(dt_backend backend) { return &kernels; }

/* As a kernel of ours, it asks for the last error behind its launch. */
static dt_status counted_point_norm(const dt_queue *queue, dt_dtype t, const dt_point_norm_args *x)
{
    fake_launch();
    DT_TRY(dt_cuda_check(cudaGetLastError(), "launch a kernel"));
    return dt_cpu_kernels_best()->point_norm(queue, t, x);
}

static int setup(void **state)
{
    fake_reset();
    kernels = *dt_cpu_kernels_best();
    kernels.point_norm = counted_point_norm;
    return tiny_make_folder(state);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void expect_words(const char *text, const char *words)
{
    if (!strstr(text, words)) fail_msg("'%s' does not say '%s'", text, words);
}

static void expect_refused(const char *words)
{
    dt_device *device = NULL;
    assert_int_equal(dt_backend_check(DT_CUDA, 0), DT_ERR_DEVICE);
    expect_words(dt_error_message(), words);
    assert_int_equal(dt_device_open(DT_CUDA, 0, 1, &device), DT_ERR_DEVICE);
    expect_words(dt_error_message(), words);
    assert_null(device);
}

/* --- no GPU for this program --- */

static void no_gpu_and_no_driver_are_told_apart(void **state)
{
    fake.count_error = cudaErrorNoDevice;
    expect_refused("the driver sees no GPU, or CUDA_VISIBLE_DEVICES hides it");
    fake.count_error = cudaErrorInsufficientDriver;
    expect_refused("the NVIDIA driver is older than CUDA " DT_CUDA_VERSION);
    fake.driver = 0;
    expect_refused("there is no NVIDIA driver");
    fake.count_error = cudaErrorSystemNotReady;
    expect_refused("the fabric manager must run");
    fake.count_error = cudaErrorUnknown;
    expect_refused("another error");
}

static void versions_are_told(void **state)
{
    char versions[DT_VERSIONS_ROOM];
    fake.driver = 13020;
    expect_words(dt_backend_versions(DT_CUDA, versions), "driver for CUDA 13.2, runtime " DT_CUDA_VERSION);
    fake.driver = 0;
    expect_words(dt_backend_versions(DT_CUDA, versions), "no driver, runtime ");
    assert_string_equal(dt_backend_versions(DT_CPU, versions), "");
}

static void an_old_gpu_is_named(void **state)
{
    fake.name = "Tesla V100-SXM2-16GB";
    fake.major = 7;
    expect_refused("GPU 0 (Tesla V100-SXM2-16GB) is of compute capability 7.0, and the kernels need 8.0 or higher");
}

/* What is chosen by device=WISH, and what the log or the error says. */
static dt_status choose(const char *wish, dt_backend *chosen, char said[1024])
{
    dt_log *log = NULL;
    FILE *file = tmpfile();
    dt_settings *settings = tiny_settings(WORDS(wish));
    assert_int_equal(dt_log_create(file, DT_LOG_INFO, &log), DT_OK);
    dt_status status = dt_device_choose(settings, true, log, chosen);
    dt_log_free(log);
    rewind(file);
    size_t length = fread(said, 1, 1023, file);
    said[length] = '\0';
    if (status) snprintf(said, 1024, "%s", dt_error_message());
    fclose(file);
    dt_settings_free(settings);
    return status;
}

static void an_old_gpu_leaves_the_cpu(void **state)
{
    char said[1024];
    dt_backend chosen;
    fake.major = 7;
    assert_int_equal(choose("device=auto", &chosen, said), DT_OK);
    assert_int_equal(chosen, DT_CPU);
    expect_words(said, "computing on the CPU: GPU 0 (NVIDIA H100 80GB HBM3) is of compute capability 7.0");
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1); /* one line */
    assert_int_equal(choose("device=cuda", &chosen, said), DT_ERR_USAGE);
    expect_words(said, "cuda cannot be used: GPU 0");
}

static void the_first_of_several_gpus_is_taken(void **state)
{
    char said[1024];
    dt_backend chosen;
    assert_int_equal(choose("device=auto", &chosen, said), DT_OK);
    assert_int_equal(chosen, DT_CUDA);
    assert_string_equal(said, "");
    fake.count = 4;
    assert_int_equal(choose("device=cuda", &chosen, said), DT_OK);
    expect_words(said, "the first of 4 GPUs; CUDA_VISIBLE_DEVICES chooses another");
    assert_int_equal(dt_backend_check(DT_CUDA, 3), DT_OK);
    assert_int_equal(dt_backend_check(DT_CUDA, 4), DT_ERR_DEVICE);
}

static void a_gpu_that_does_not_start_is_named(void **state)
{
    dt_device *device = NULL;
    fake.open_error = cudaErrorMemoryAllocation;
    assert_int_equal(dt_device_open(DT_CUDA, 0, 1, &device), DT_ERR_DEVICE);
    expect_words(dt_error_message(), "cannot start on GPU 0: out of memory: other processes hold it");
    assert_int_equal(cudaGetLastError(), cudaSuccess); /* which a launch of a kernel would take for its own */
    fake.open_error = cudaErrorInvalidDevice;
    assert_int_equal(dt_device_open(DT_CUDA, 0, 1, &device), DT_ERR_DEVICE);
    expect_words(dt_error_message(), "CUDA cannot select the device: another error");
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    fake.open_error = cudaSuccess;
    fake.blas_status = CUBLAS_STATUS_NOT_INITIALIZED;
    assert_int_equal(dt_device_open(DT_CUDA, 0, 1, &device), DT_ERR_DEVICE);
    expect_words(dt_error_message(), "cannot start cuBLASLt");
    fake.blas_status = CUBLAS_STATUS_ALLOC_FAILED;
    assert_int_equal(dt_device_open(DT_CUDA, 0, 1, &device), DT_ERR_MEMORY);
    expect_words(dt_error_message(), "CUDA cannot start cuBLASLt: it needs some memory of its own; what helps: ");
    assert_null(device);
}

static int64_t planned_arena(dt_backend device)
{
    dt_settings *settings = tiny_settings(WORDS("device=cuda"));
    dt_session *session = NULL;
    assert_int_equal(dt_session_create(settings, &(dt_session_options){.plan_only = true}, NULL, &session), DT_OK);
    assert_int_equal(dt_session_backend(session), DT_CUDA);
    assert_int_equal(dt_device_backend(dt_session_device(session)), device);
    int64_t bytes = dt_session_memory(session, DT_MEMORY_ARENA);
    dt_session_free(session);
    dt_settings_free(settings);
    return bytes;
}

static void a_gpu_that_others_hold_is_planned_for(void **state)
{
    int64_t bytes = planned_arena(DT_CUDA);
    fake.open_error = cudaErrorMemoryAllocation;
    assert_int_equal(planned_arena(DT_CPU), bytes);
    fake.open_error = cudaSuccess;
    fake.blas_status = CUBLAS_STATUS_ALLOC_FAILED;
    assert_int_equal(planned_arena(DT_CPU), bytes);
    assert_int_equal(cudaGetLastError(), cudaSuccess);
}

/* As export does: the GPU is not even asked. */
static void weights_need_no_gpu(void **state)
{
    dt_session *session = NULL;
    dt_settings *settings = tiny_settings(WORDS("device=cuda"));
    dt_session_options options = {.eval_only = true, .weights_only = true};
    fake.open_error = cudaErrorMemoryAllocation;
    assert_int_equal(dt_session_create(settings, &options, NULL, &session), DT_OK);
    assert_int_equal(fake.calls, 0);
    dt_session_free(session);
    dt_settings_free(settings);
}

/* --- no cuDNN for this program --- */

static void expect_attention_refused(const char *words)
{
    assert_int_equal(tiny_train("refused", WORDS("device=cuda", "cuda.attention=cudnn"), false, NULL), DT_ERR_USAGE);
    expect_words(dt_error_message(), "cuda.attention");
    expect_words(dt_error_message(), "cudnn cannot be used: ");
    expect_words(dt_error_message(), dt_cudnn_built() ? words : "built without cuDNN: install its headers");
}

static void cudnn_that_is_asked_for_must_be_there(void **state)
{
    expect_attention_refused("cannot load libcudnn.so.9: cannot open shared object file; install cuDNN 9, or put its "
                             "folder into LD_LIBRARY_PATH");
    fake.has_cudnn = true;
    expect_attention_refused("libcudnn.so.9 has no cudnnGetVersion");
}

static void cudnn_is_not_taken_for_other_gpus(void **state)
{
    dt_cudnn *cudnn;
    assert_int_equal(dt_cudnn_open(80, true, &cudnn), DT_ERR_DEVICE);
    expect_words(dt_error_message(), dt_cudnn_built() ? "tried on GPUs of compute capability 9.0 only, and this one is "
                                                        "of 8.0" : "built without cuDNN");
}

static void attention_is_our_own_where_there_is_no_cudnn(void **state)
{
    dt_device *device;
    dt_device_info info;
    assert_int_equal(dt_device_open(DT_CUDA, 0, 1, &device), DT_OK);
    assert_int_equal(dt_device_use_cudnn(device, false), DT_ERR_DEVICE);
    assert_null(dt_device_queue(device, DT_STREAM_COMPUTE)->cudnn);
    assert_int_equal(dt_device_query(device, &info), DT_OK);
    assert_false(info.cudnn);
    dt_device_close(device);
    assert_int_equal(tiny_train("auto", WORDS("device=cuda", "cuda.attention=auto"), false, NULL), DT_OK);
    assert_int_equal(tiny_train("own", WORDS("device=cuda", "cuda.attention=own"), false, NULL), DT_OK);
    tiny_assert_same(tiny_checkpoint("auto", 12), tiny_checkpoint("own", 12));
}

/* --- memory --- */

static void too_little_is_said_before_memory_is_taken(void **state)
{
    fake.memory = (size_t)24 << 30;
    fake.others = fake.memory - 4096;
    assert_int_equal(tiny_train("full", WORDS("device=cuda"), false, NULL), DT_ERR_MEMORY);
    expect_words(dt_error_message(), "out of memory on cuda: ");
    expect_words(dt_error_message(), "are needed (");
    expect_words(dt_error_message(), "of 24.0 GiB are free, and other processes hold some 24.0 GiB (nvidia-smi");
    expect_words(dt_error_message(), "; what helps: fewer other processes, or another GPU (CUDA_VISIBLE_DEVICES)");
    assert_null(strstr(dt_error_message(), "train."));
    assert_int_equal(fake.held, 0);
}

/* A GPU too small for what `words` ask must be told so, with what helps. */
static void expect_remedy(const char *const *words, const char *largest, const char *remedy)
{
    assert_int_equal(tiny_train("small", words, false, NULL), DT_ERR_MEMORY);
    expect_words(dt_error_message(), largest);
    const char *end = strstr(dt_error_message(), "; what helps: ");
    if (!end || strcmp(end + strlen("; what helps: "), remedy)) fail_msg("%s", dt_error_message());
}

static void what_helps_is_a_setting_that_does_something(void **state)
{
    fake.memory = 1 << 16;
    expect_remedy(WORDS("device=cuda", "data.batch=40"), "are needed (arena",
                  "a smaller train.micro_batch or a larger train.accumulate, train.recompute=block");
    expect_remedy(WORDS("device=cuda", "data.batch=40", "train.recompute=block"), "are needed (arena",
                  "a smaller train.micro_batch or a larger train.accumulate");
    expect_remedy(WORDS("device=cuda", "eval.batch=4096"), "are needed (arena", "a smaller eval.batch");
    expect_remedy(WORDS("device=cuda", "data.batch=1", "model.width=512"), "are needed (optimizer",
                  "optim.kind=sgd, a smaller model.width or model.depth");
    expect_remedy(WORDS("device=cuda", "data.batch=1", "model.width=512", "optim.kind=sgd", "train.ema=0.9"),
                  "are needed (optimizer", "a smaller model.width or model.depth");
}

static void too_large_heads_are_refused_before_there_is_a_folder(void **state)
{
    char folder[128];
    assert_int_equal(tiny_train("heads", WORDS("device=cuda", "model.width=257", "model.heads=1"), false, NULL),
                     DT_ERR_USAGE);
    expect_words(dt_error_message(), "model.heads=1: 1 head of a model.width of 257 is of size 257");
    snprintf(folder, sizeof folder, "%s/heads", tiny_folder);
    assert_false(dt_file_exists(folder));
}

static void running_out_names_all_holders(void **state)
{
    dt_device *device;
    void *held, *wanted;
    assert_int_equal(dt_device_open(DT_CUDA, 0, 1, &device), DT_OK);
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_OPTIMIZER, 3 << 20, &held), DT_OK);
    dt_device_advise(device, DT_MEMORY_ARENA, "a smaller one");
    fake.others = fake.memory - (5 << 20);
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, 8 << 20, &wanted), DT_ERR_MEMORY);
    expect_words(dt_error_message(), "cannot get 8.00 MiB for arena beside 3.00 MiB in use (optimizer 3.00 MiB)");
    expect_words(dt_error_message(), "2.00 MiB of 80.0 GiB are free, and other processes hold some 80.0 GiB");
    expect_words(dt_error_message(), "; what helps: fewer other processes, or another GPU (CUDA_VISIBLE_DEVICES)");
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, (size_t)79 << 30, &wanted), DT_ERR_MEMORY);
    expect_words(dt_error_message(), "; what helps: a smaller one, and fewer other processes");
    assert_int_equal(cudaGetLastError(), cudaSuccess);
    dt_device_free(device, DT_MEMORY_OPTIMIZER, held, 3 << 20);
    dt_device_close(device);
    assert_int_equal(fake.held, 0);
}

static void memory_that_no_plan_knows_is_named(void **state)
{
    fake.graph_error = cudaErrorMemoryAllocation;
    assert_int_equal(tiny_train("graph", WORDS("device=cuda"), false, NULL), DT_ERR_MEMORY);
    expect_words(dt_error_message(), "out of memory on cuda: CUDA cannot make a graph of recorded work");
    expect_words(dt_error_message(), "train.micro_batch");
    assert_int_equal(fake.held, 0);
}

/* Kernels are loaded when they first run. */
static void a_kernel_that_cannot_be_loaded_says_what_helps(void **state)
{
    fake.launch_error = cudaErrorMemoryAllocation;
    assert_int_equal(tiny_train("loading", WORDS("device=cuda"), false, NULL), DT_ERR_MEMORY);
    expect_words(dt_error_message(), "operator point_norm (blocks.0");
    expect_words(dt_error_message(), "CUDA cannot launch a kernel: it needs some memory of its own; what helps: ");
    assert_int_equal(fake.held, 0);
}

/* --- faults of kernels, which CUDA reports late --- */

enum { NORMS = 5 }; /* point norms of a forward pass: two in each of two blocks, and the last */

static void a_fault_of_a_replayed_run_says_how_to_find_it(void **state)
{
    fake.fault_at = 2;
    assert_int_equal(tiny_train("replayed", WORDS("device=cuda"), false, NULL), DT_ERR_DEVICE);
    expect_words(dt_error_message(), "an illegal memory access was encountered");
    expect_words(dt_error_message(), "; debug.direct=true names the operator that fails");
}

/* In the second step, so that everything before it went well. */
static void a_fault_of_a_direct_run_names_its_operator(void **state)
{
    fake.fault_at = NORMS + 4;
    assert_int_equal(tiny_train("direct", WORDS("device=cuda", "debug.direct=true"), false, NULL), DT_ERR_DEVICE);
    expect_words(dt_error_message(), "operator point_norm (blocks.1");
    expect_words(dt_error_message(), "an illegal memory access was encountered");
    assert_null(strstr(dt_error_message(), "debug.direct"));
    assert_int_equal(fake.captures, 0);
}

static void a_direct_run_trains(void **state)
{
    assert_int_equal(tiny_train("cpu", NULL, false, NULL), DT_OK);
    assert_int_equal(tiny_train("cuda", WORDS("device=cuda", "debug.direct=true"), false, NULL), DT_OK);
    tiny_assert_same(tiny_checkpoint("cpu", 12), tiny_checkpoint("cuda", 12));
    assert_int_equal(fake.held, 0);
}

static void looking_for_what_is_not_finite_records_nothing(void **state)
{
    assert_int_equal(tiny_train("finite", WORDS("device=cuda", "debug.nonfinite=true"), false, NULL), DT_OK);
    assert_int_equal(fake.captures, 0);
    assert_int_equal(tiny_train("bad", WORDS("device=cuda", "debug.nonfinite=true", "optim.lr=1e30",
                                             "schedule.warmup_steps=0"), false, NULL), DT_ERR_NUMERIC);
    expect_words(dt_error_message(), "operator ");
    expect_words(dt_error_message(), "made a value that is not finite");
    assert_int_equal(fake.captures, 0);
}

/* --- any call --- */

static void assert_all_given_back(void)
{
    assert_int_equal(fake.held, 0);
    assert_int_equal(fake.handles, 0);
    assert_int_equal(fake.freed_early, 0);
}

/* Which count the GPUs, for a line of the log and to share them among ranks. */
enum { FREE_TO_FAIL = 4, LAST_FREE_TO_FAIL = 5 };

/* Records, replays, evaluates and saves. */
static dt_status train_with_refusal(int call)
{
    char name[32];
    fake_reset();
    fake.refused_call = call;
    snprintf(name, sizeof name, "refused-%d", call);
    return tiny_train(name, WORDS("device=cuda", "train.steps=4", "schedule.warmup_steps=0", "eval.at_end=true"),
                      false, NULL);
}

static void a_refused_call_ends_the_run_and_leaves_nothing(void **state)
{
    assert_int_equal(train_with_refusal(0), DT_OK);
    assert_all_given_back();
    for (int call = 1, calls = fake.calls; call <= calls; call++) {
        dt_status status = train_with_refusal(call);
        if (status) expect_words(dt_error_message(), "another error");
        bool may_fail = call >= FREE_TO_FAIL && call <= LAST_FREE_TO_FAIL;
        if (!status != may_fail) fail_msg("call %d of %d failed: status %d", call, calls, status);
        assert_int_equal(fake.last, cudaSuccess); /* or the next launch of a kernel would tell it */
        assert_all_given_back();
    }
}

int main(void)
{
#define CASE(test) cmocka_unit_test_setup_teardown(test, setup, tiny_remove_folder)
    const struct CMUnitTest tests[] = {
        CASE(no_gpu_and_no_driver_are_told_apart),
        CASE(versions_are_told),
        CASE(an_old_gpu_is_named),
        CASE(an_old_gpu_leaves_the_cpu),
        CASE(the_first_of_several_gpus_is_taken),
        CASE(a_gpu_that_does_not_start_is_named),
        CASE(a_gpu_that_others_hold_is_planned_for),
        CASE(weights_need_no_gpu),
        CASE(cudnn_that_is_asked_for_must_be_there),
        CASE(cudnn_is_not_taken_for_other_gpus),
        CASE(attention_is_our_own_where_there_is_no_cudnn),
        CASE(too_little_is_said_before_memory_is_taken),
        CASE(what_helps_is_a_setting_that_does_something),
        CASE(too_large_heads_are_refused_before_there_is_a_folder),
        CASE(running_out_names_all_holders),
        CASE(memory_that_no_plan_knows_is_named),
        CASE(a_kernel_that_cannot_be_loaded_says_what_helps),
        CASE(a_fault_of_a_replayed_run_says_how_to_find_it),
        CASE(a_fault_of_a_direct_run_names_its_operator),
        CASE(a_direct_run_trains),
        CASE(looking_for_what_is_not_finite_records_nothing),
        CASE(a_refused_call_ends_the_run_and_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
