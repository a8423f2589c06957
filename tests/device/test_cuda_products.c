/* Matrix products on CUDA with the table of choices: timing leaves what is added alone, and what was chosen is
 * repeated, bit for bit, from a record. Factors are small integers where results are compared with sums on the host:
 * those are exact in any order. */
#include <dlfcn.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <cublasLt.h>

#include "base/file.h"
#include "base/json.h"
#include "device/device.h"
#include "kernels/cuda/kernels.h"

#define OK(call)                                            \
    do {                                                    \
        if (call) fail_msg("%s", dt_error_message());       \
    } while (0)

enum { M = 96, N = 160, K = 224, MATRICES = 4 };
static const size_t room = sizeof(float) * N * K; /* the largest of all */

typedef struct bench {
    dt_device *device;
    void *a, *b, *c, *d, *scratch;
    size_t scratch_bytes;
    float host[N * K];
} bench;

static char folder[64];

static int enter(void **state)
{
    strcpy(folder, "/tmp/dyttrain-products-XXXXXX");
    return mkdtemp(folder) && !setenv("XDG_CACHE_HOME", folder, 1) ? 0 : -1;
}

static int leave(void **state) { return dt_folder_remove(folder) == DT_OK && !unsetenv("XDG_CACHE_HOME") ? 0 : -1; }

static float whole_number(int64_t i, int seed) { return (float)((i * 7 + i / 13 + seed) % 7 - 3); }
static float real_number(int64_t i, int seed) { return sinf((float)(i % 10007) * 0.37f + (float)seed); }

static void fill(bench *t, void *to, int64_t count, float (*value)(int64_t, int), int seed)
{
    for (int64_t i = 0; i < count; i++) t->host[i] = value(i, seed);
    OK(dt_device_upload(t->device, DT_STREAM_COMPUTE, to, t->host, (size_t)count * sizeof(float)));
    OK(dt_device_sync(t->device, DT_STREAM_COMPUTE));
}

static dt_matmul_args args_of(const bench *t)
{
    return (dt_matmul_args){.m = M, .n = N, .k = K, .a = t->a, .b = t->b, .c_type = DT_F32, .c = t->c,
                            .scratch = t->scratch};
}

static void open_bench(bench *t, float (*value)(int64_t, int))
{
    dt_device_info info;
    OK(dt_device_open(DT_CUDA, 0, 1, &t->device));
    OK(dt_device_query(t->device, &info));
    dt_matmul_args args = args_of(t);
    t->scratch_bytes = (size_t)dt_cuda_matmul_scratch(&info, DT_F32, &args);
    void **const all[MATRICES] = {&t->a, &t->b, &t->c, &t->d};
    for (int i = 0; i < MATRICES; i++) OK(dt_device_alloc(t->device, DT_MEMORY_ARENA, room, all[i]));
    OK(dt_device_alloc(t->device, DT_MEMORY_ARENA, t->scratch_bytes, &t->scratch));
    fill(t, t->a, M * K, value, 1);
    fill(t, t->b, K * N, value, 2);
}

static void close_bench(bench *t)
{
    void *const all[MATRICES] = {t->a, t->b, t->c, t->d};
    for (int i = 0; i < MATRICES; i++) dt_device_free(t->device, DT_MEMORY_ARENA, all[i], room);
    dt_device_free(t->device, DT_MEMORY_ARENA, t->scratch, t->scratch_bytes);
    dt_device_close(t->device);
}

static void multiply(bench *t, const dt_matmul_args *args)
{
    OK(dt_cuda_matmul(dt_device_queue(t->device, DT_STREAM_COMPUTE), DT_F32, args));
}

static void read_result(bench *t)
{
    OK(dt_device_download(t->device, DT_STREAM_COMPUTE, t->host, t->c, sizeof(float) * M * N));
    OK(dt_device_sync(t->device, DT_STREAM_COMPUTE));
}

/* c = a b + `times` times whole_number(i, 3) */
static void assert_exact(bench *t, int times)
{
    read_result(t);
    for (int64_t i = 0; i < M; i++)
        for (int64_t j = 0; j < N; j++) {
            float sum = (float)times * whole_number(i * N + j, 3);
            for (int64_t p = 0; p < K; p++) sum += whole_number(i * K + p, 1) * whole_number(p * N + j, 2);
            if (t->host[i * N + j] != sum)
                fail_msg("c[%d, %d] is %g, not %g", (int)i, (int)j, t->host[i * N + j], sum);
        }
}

static size_t products(const bench *t)
{
    json_t *record = dt_choices_record(dt_device_choices(t->device));
    size_t count = json_object_size(record);
    json_decref(record);
    return count;
}

/* Each on a table of its own, so that the product is a new one. */
static void check_added(const char *machine, bool accumulate)
{
    bench t;
    open_bench(&t, whole_number);
    if (machine) OK(dt_choices_open(dt_device_choices(t.device), machine, NULL));
    dt_matmul_args args = args_of(&t);
    args.accumulate = accumulate;
    if (!accumulate) args.residual = t.d;
    fill(&t, accumulate ? t.c : t.d, M * N, whole_number, 3);
    multiply(&t, &args);
    assert_exact(&t, 1);
    assert_int_equal(products(&t), 1);
    close_bench(&t);
}

static void timing_leaves_what_is_added_alone(void **state)
{
    for (int timing = 0; timing < 2; timing++) {
        check_added(timing ? "GPU 1" : NULL, false);
        check_added(timing ? "GPU 2" : NULL, true);
    }
}

/* The kernel is loaded by the same product elsewhere: that cannot be done while recording. */
static void what_is_recorded_is_not_timed(void **state)
{
    bench first, t;
    dt_recording *recording;
    open_bench(&first, whole_number);
    dt_matmul_args args = args_of(&first);
    multiply(&first, &args);
    assert_exact(&first, 0);
    open_bench(&t, whole_number);
    OK(dt_choices_open(dt_device_choices(t.device), "another GPU", NULL));
    args = args_of(&t);
    OK(dt_recording_begin(t.device));
    multiply(&t, &args);
    OK(dt_recording_end(t.device, &recording));
    OK(dt_recording_run(t.device, recording));
    assert_exact(&t, 0);
    assert_int_equal(products(&t), 1);
    dt_recording_free(t.device, recording);
    close_bench(&t);
    close_bench(&first);
}

/* Stands before the library's search, which is counted, and while it has nothing finds nothing. */
static int searches;
static bool nothing_is_offered;

cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t handle, cublasLtMatmulDesc_t product,
                                              cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
                                              cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
                                              cublasLtMatmulPreference_t preference, int most,
                                              cublasLtMatmulHeuristicResult_t results[], int *count)
{
    __typeof__(&cublasLtMatmulAlgoGetHeuristic) search;
    searches++;
    if (nothing_is_offered) return CUBLAS_STATUS_NOT_SUPPORTED;
    *(void **)&search = dlsym(RTLD_NEXT, "cublasLtMatmulAlgoGetHeuristic");
    return search(handle, product, a, b, c, d, preference, most, results, count);
}

/* Twice the same product, by our own kernel; returns the record. */
static json_t *multiply_without_library(bool timing, json_t *record, int most_searches)
{
    bench t;
    open_bench(&t, whole_number);
    dt_choices *choices = dt_device_choices(t.device);
    if (timing) OK(dt_choices_open(choices, "a GPU without algorithms", NULL));
    OK(dt_choices_recall(choices, record));
    dt_matmul_args args = args_of(&t);
    searches = 0;
    for (int i = 0; i < 2; i++) {
        multiply(&t, &args);
        assert_exact(&t, 0);
    }
    assert_int_equal(searches, most_searches);
    assert_int_equal(products(&t), 1);
    json_decref(record);
    record = dt_choices_record(choices);
    close_bench(&t);
    return record;
}

static void that_there_is_no_algorithm_is_remembered(void **state)
{
    nothing_is_offered = true;
    json_decref(multiply_without_library(false, NULL, 1));
    json_t *record = multiply_without_library(true, NULL, 1);
    nothing_is_offered = false;
    json_decref(multiply_without_library(true, NULL, 0)); /* from the file */
    json_decref(multiply_without_library(false, record, 0));
}

/* Products of several forms, one behind the other in `out`. */
static void run_forms(bench *t, float *out)
{
    dt_matmul_args forms[3] = {args_of(t), args_of(t), args_of(t)};
    fill(t, t->d, M * N, real_number, 3);
    forms[1].residual = t->d;
    forms[2].transpose_a = true; /* the same memory, read as [K, M] */
    forms[2].tf32 = true;
    for (int i = 0; i < 3; i++) {
        multiply(t, &forms[i]);
        read_result(t);
        memcpy(out + i * M * N, t->host, sizeof(float) * M * N);
    }
}

static float *forms_of(bool timing, json_t **record)
{
    bench t;
    float *out = malloc(sizeof(float) * 6 * M * N);
    assert_non_null(out);
    open_bench(&t, real_number);
    dt_choices *choices = dt_device_choices(t.device);
    if (timing) OK(dt_choices_open(choices, "one GPU", NULL));
    OK(dt_choices_recall(choices, *record));
    run_forms(&t, out);
    run_forms(&t, out + 3 * M * N);
    assert_memory_equal(out, out + 3 * M * N, sizeof(float) * 3 * M * N);
    json_decref(*record);
    *record = dt_choices_record(choices);
    assert_int_equal(json_object_size(*record), 2); /* the second form is the first one's product */
    close_bench(&t);
    return out;
}

static void choices_are_repeated(void **state)
{
    json_t *record = NULL, *noted, *filed = NULL;
    float *first = forms_of(true, &record);
    noted = json_incref(record);
    float *second = forms_of(false, &noted); /* from the record */
    float *third = forms_of(true, &filed);   /* from the file */
    assert_memory_equal(first, second, sizeof(float) * 6 * M * N);
    assert_memory_equal(first, third, sizeof(float) * 6 * M * N);
    assert_true(json_equal(record, noted) && json_equal(record, filed));
    json_decref(record);
    json_decref(noted);
    json_decref(filed);
    free(first);
    free(second);
    free(third);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(timing_leaves_what_is_added_alone), TEST(what_is_recorded_is_not_timed),
                                       TEST(choices_are_repeated),
                                       TEST(that_there_is_no_algorithm_is_remembered)};
    const char *why;
    if (!dt_backend_count(DT_CUDA, &why)) return printf("1..0 # SKIP %s\n", why) < 0;
    return cmocka_run_group_tests_name("device/products", tests, NULL, NULL);
}
