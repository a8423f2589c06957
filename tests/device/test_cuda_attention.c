/* Attention by cuDNN beside our own, whole and cut into slices: results that agree, bits that repeat, recorded too, and
 * choices between the two that are kept. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "device/device.h"
#include "kernels/cuda/attention_cudnn.h"
#include "train/tiny.h"

#define OK(call)                                      \
    do {                                              \
        if (call) fail_msg("%s", dt_error_message()); \
    } while (0)

enum { QKV, OUT, LSE, DOUT, DQKV, SCRATCH, ARRAYS };
static const double bound = 2e-2; /* of the largest value: both round to bfloat16 at several places */

typedef struct bench {
    dt_device *device;
    dt_attention_args a;
    void *array[ARRAYS];
    size_t bytes[ARRAYS];
} bench;

static char folder[64];

static int enter(void **state)
{
    strcpy(folder, "/tmp/dyttrain-attention-XXXXXX");
    return mkdtemp(folder) && !setenv("XDG_CACHE_HOME", folder, 1) ? 0 : -1;
}

static int leave(void **state) { return dt_folder_remove(folder) == DT_OK && !unsetenv("XDG_CACHE_HOME") ? 0 : -1; }

/* Made-up numbers in [-2, 2), each with its own sign and size. */
static void fill(bench *t, int which)
{
    size_t count = t->bytes[which] / 2;
    uint16_t *host = malloc(t->bytes[which]);
    uint64_t x = 88172645463325252u + (uint64_t)which;
    assert_non_null(host);
    for (size_t i = 0; i < count; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        float value = (float)(x >> 40) / (1 << 22) - 2;
        memcpy(&host[i], (char *)&value + 2, 2);
    }
    OK(dt_device_upload(t->device, DT_STREAM_COMPUTE, t->array[which], host, t->bytes[which]));
    OK(dt_device_sync(t->device, DT_STREAM_COMPUTE));
    free(host);
}

static void measure(bench *t)
{
    dt_device_info info;
    const dt_attention_args *a = &t->a;
    size_t rows = (size_t)(a->batch * a->tokens), row = (size_t)(a->heads * a->size) * 2;
    size_t packed = (size_t)((a->heads + 2 * a->kv_heads) * a->size) * 2;
    OK(dt_device_query(t->device, &info));
    int64_t forward = dt_cuda_attention_scratch(&info, DT_BF16, a);
    int64_t backward = dt_cuda_attention_grad_scratch(&info, DT_BF16, a);
    const size_t bytes[ARRAYS] = {rows * packed, rows * row, rows * (size_t)a->heads * 4, rows * row, rows * packed,
                                  (size_t)(forward > backward ? forward : backward)};
    memcpy(t->bytes, bytes, sizeof bytes);
}

static void open_bench(bench *t, const dt_attention_args *a, bool always)
{
    *t = (bench){.a = *a};
    t->a.scale = 1 / sqrt((double)a->size);
    OK(dt_device_open(DT_CUDA, 0, 1, &t->device));
    OK(dt_device_use_cudnn(t->device, always));
    measure(t);
    for (int i = 0; i < ARRAYS; i++) OK(dt_device_alloc(t->device, DT_MEMORY_ARENA, t->bytes[i], &t->array[i]));
    t->a.qkv = t->array[QKV], t->a.out = t->array[OUT], t->a.lse = t->array[LSE];
    t->a.dout = t->array[DOUT], t->a.dqkv = t->array[DQKV], t->a.scratch = t->array[SCRATCH];
    fill(t, QKV);
    fill(t, DOUT);
}

static void close_bench(bench *t)
{
    for (int i = 0; i < ARRAYS; i++) dt_device_free(t->device, DT_MEMORY_ARENA, t->array[i], t->bytes[i]);
    dt_device_close(t->device);
}

static dt_status attend(const bench *t, const dt_queue *q)
{
    DT_TRY(dt_cuda_attention(q, DT_BF16, &t->a));
    return dt_cuda_attention_grad(q, DT_BF16, &t->a);
}

/* Nothing that is read later is left from before. */
static void poison(bench *t)
{
    static const int written[] = {OUT, LSE, DQKV, SCRATCH};
    for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
        void *nan = malloc(t->bytes[written[i]]);
        assert_non_null(nan);
        memset(nan, 0xff, t->bytes[written[i]]);
        OK(dt_device_upload(t->device, DT_STREAM_COMPUTE, t->array[written[i]], nan, t->bytes[written[i]]));
        OK(dt_device_sync(t->device, DT_STREAM_COMPUTE));
        free(nan);
    }
}

static void *read_array(bench *t, int which)
{
    void *host = malloc(t->bytes[which]);
    assert_non_null(host);
    OK(dt_device_download(t->device, DT_STREAM_COMPUTE, host, t->array[which], t->bytes[which]));
    OK(dt_device_sync(t->device, DT_STREAM_COMPUTE));
    return host;
}

typedef struct results {
    uint16_t *out, *dqkv;
    float *lse;
} results;

static results read_results(bench *t)
{
    return (results){read_array(t, OUT), read_array(t, DQKV), read_array(t, LSE)};
}

static void free_results(results r)
{
    free(r.out);
    free(r.dqkv);
    free(r.lse);
}

static double widen(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void compare(const char *what, const uint16_t *want, const uint16_t *have, size_t bytes,
                    const dt_attention_args *a)
{
    double most = 0, size = 0;
    for (size_t i = 0; i < bytes / 2; i++) {
        double difference = fabs(widen(want[i]) - widen(have[i]));
        if (!(difference <= most)) most = difference; /* a NaN stays */
        size = fmax(size, fabs(widen(want[i])));
    }
    if (!(most <= bound * size))
        fail_msg("%d x %d x %d:%d x %d: %s differ by %g of the largest", (int)a->batch, (int)a->tokens, (int)a->heads,
                 (int)a->kv_heads, (int)a->size, what, most / size);
}

static void compare_sums(const float *want, const float *have, size_t bytes)
{
    for (size_t i = 0; i < bytes / 4; i++)
        if (!(fabsf(want[i] - have[i]) <= 1e-4f * fmaxf(1, fabsf(want[i]))))
            fail_msg("lse[%zu] is %g and not %g", i, have[i], want[i]);
}

static void assert_same(bench *t, const results *want)
{
    results r = read_results(t);
    assert_memory_equal(want->out, r.out, t->bytes[OUT]);
    assert_memory_equal(want->lse, r.lse, t->bytes[LSE]);
    assert_memory_equal(want->dqkv, r.dqkv, t->bytes[DQKV]);
    free_results(r);
}

static void replay(bench *t, const dt_queue *q)
{
    dt_recording *recording;
    OK(dt_recording_begin(t->device));
    OK(attend(t, q));
    OK(dt_recording_end(t->device, &recording));
    OK(dt_recording_run(t->device, recording));
    OK(dt_device_sync(t->device, DT_STREAM_COMPUTE));
    dt_recording_free(t->device, recording);
}

static void check_shape(const dt_attention_args *a)
{
    bench t;
    open_bench(&t, a, true);
    const dt_queue *library = dt_device_queue(t.device, DT_STREAM_COMPUTE);
    dt_queue own = *library;
    own.cudnn = NULL;
    poison(&t);
    OK(attend(&t, &own));
    results want = read_results(&t);
    poison(&t);
    OK(attend(&t, library));
    results have = read_results(&t);
    compare("results", want.out, have.out, t.bytes[OUT], a);
    compare("gradients", want.dqkv, have.dqkv, t.bytes[DQKV], a);
    compare_sums(want.lse, have.lse, t.bytes[LSE]);
    poison(&t);
    OK(attend(&t, library));
    assert_same(&t, &have);
    poison(&t);
    replay(&t, library);
    assert_same(&t, &have);
    free_results(want);
    free_results(have);
    close_bench(&t);
}

static void cudnn_agrees_and_repeats(void **state)
{
    static const dt_attention_args shapes[] = {
        {.batch = 5, .tokens = 197, .heads = 3, .kv_heads = 3, .size = 64},
        {.batch = 2, .tokens = 331, .heads = 2, .kv_heads = 2, .size = 72, .causal = true},
        {.batch = 3, .tokens = 130, .heads = 6, .kv_heads = 2, .size = 40, .causal = true},
        {.batch = 2, .tokens = 257, .heads = 8, .kv_heads = 1, .size = 128},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check_shape(&shapes[i]);
}

/* Three samples by two and one; two samples by 32 heads and 8; heads that share keys. */
static void slices_are_put_together(void **state)
{
    static const dt_attention_args shapes[] = {
        {.batch = 3, .tokens = 4096, .heads = 16, .kv_heads = 16, .size = 16, .causal = true},
        {.batch = 2, .tokens = 4096, .heads = 40, .kv_heads = 40, .size = 8, .causal = true},
        {.batch = 2, .tokens = 4096, .heads = 48, .kv_heads = 6, .size = 8},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        dt_attention_slice s = dt_cudnn_slice(DT_BF16, &shapes[i], true);
        assert_true(s.samples && (s.samples < shapes[i].batch || s.heads < shapes[i].heads));
        check_shape(&shapes[i]);
    }
}

/* Every work of a record names the library, so that another version of it decides again. */
static void assert_names_library(const dt_device *device, const json_t *record)
{
    char library[DT_CUDNN_TEXT];
    const char *work;
    json_t *member;
    dt_cudnn_text(dt_device_queue(device, DT_STREAM_COMPUTE)->cudnn, library);
    json_object_foreach((json_t *)record, work, member) assert_non_null(strstr(work, library));
}

/* Where choices are kept, both are timed once; later runs and resumed ones take what was chosen. */
static results chosen(json_t **record, bool timing)
{
    static const dt_attention_args a = {.batch = 4, .tokens = 512, .heads = 4, .kv_heads = 4, .size = 64,
                                        .causal = true};
    bench t;
    open_bench(&t, &a, false);
    dt_choices *choices = dt_device_choices(t.device);
    if (timing) OK(dt_choices_open(choices, "one GPU", NULL));
    OK(dt_choices_recall(choices, *record));
    poison(&t);
    OK(attend(&t, dt_device_queue(t.device, DT_STREAM_COMPUTE)));
    results r = read_results(&t);
    OK(attend(&t, dt_device_queue(t.device, DT_STREAM_COMPUTE)));
    assert_same(&t, &r);
    json_decref(*record);
    *record = dt_choices_record(choices);
    assert_int_equal(json_object_size(*record), 2);
    assert_names_library(t.device, *record);
    close_bench(&t);
    return r;
}

static void choices_are_kept(void **state)
{
    json_t *record = NULL, *filed = NULL, *noted;
    results first = chosen(&record, true);
    noted = json_incref(record);
    results second = chosen(&noted, false), third = chosen(&filed, true);
    assert_true(json_equal(record, noted) && json_equal(record, filed));
    assert_memory_equal(first.dqkv, second.dqkv, 4 * 512 * 3 * 4 * 64 * 2);
    assert_memory_equal(first.dqkv, third.dqkv, 4 * 512 * 3 * 4 * 64 * 2);
    json_decref(record);
    json_decref(noted);
    json_decref(filed);
    free_results(first);
    free_results(second);
    free_results(third);
}

/* Without a file for choices nothing is timed, and attention is our own. */
static void nothing_is_timed_unasked(void **state)
{
    json_t *record = NULL, *member;
    const char *work;
    free_results(chosen(&record, false));
    json_object_foreach(record, work, member) assert_memory_equal(json_string_value(member), "6f776e00", 8); /* "own" */
    json_decref(record);
}

static void running_out_names_what_does_without_the_library(void **state)
{
    static const char *const words[] = {"device=cuda", "precision.mode=bf16", "cuda.attention=cudnn",
                                        "model.width=1024", "model.heads=16", "data.batch=1048576", NULL};
    dt_settings *settings = tiny_settings(words);
    dt_session *session = NULL;
    assert_int_equal(dt_session_create(settings, &(dt_session_options){0}, NULL, &session), DT_ERR_MEMORY);
    assert_non_null(strstr(dt_error_message(), "cuda.attention=own, which does without cuDNN's workspace"));
    dt_settings_free(settings);
}

static bool has_cudnn(void)
{
    dt_device *device;
    if (dt_device_open(DT_CUDA, 0, 1, &device)) return false;
    bool found = !dt_device_use_cudnn(device, true);
    dt_device_close(device);
    return found;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(cudnn_agrees_and_repeats), TEST(slices_are_put_together),
                                       TEST(choices_are_kept), TEST(nothing_is_timed_unasked),
                                       TEST(running_out_names_what_does_without_the_library)};
    if (!has_cudnn()) return printf("1..0 # SKIP %s\n", dt_error_message()) < 0;
    return cmocka_run_group_tests_name("device/attention", tests, NULL, NULL);
}
