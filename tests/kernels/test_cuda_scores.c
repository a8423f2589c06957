/* The loss of scores at the limits on CUDA: far apart, minus infinity, which has probability 0, and several rows to a
 * block. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "device/device.h"
#include "kernels/kernels.h"

enum { CLASSES = 3, ROOM = 4096 };

/* What the kernels read and write, as it lies on the device. */
typedef struct arrays {
    _Alignas(16) float x[CLASSES];
    _Alignas(16) float target[CLASSES];
    _Alignas(16) float prob[CLASSES];
    _Alignas(16) int32_t hit;
    _Alignas(16) float weight;
    _Alignas(16) float loss;
    _Alignas(16) float count;
} arrays;

typedef dt_status (*launcher)(const dt_queue *queue, arrays *on_gpu, void *scratch);

static dt_status softmax_xent(const dt_queue *queue, arrays *a, void *scratch)
{
    return dt_kernels_of(DT_CUDA)->softmax_xent(queue, DT_F32, 1, CLASSES, a->x, a->target, &a->weight, a->prob,
                                                &a->loss, scratch);
}

static dt_status token_loss(const dt_queue *queue, arrays *a, void *scratch)
{
    dt_token_loss_args args = {.rows = 1, .width = CLASSES, .classes = CLASSES, .logits = a->x, .targets = &a->hit,
                               .dlogits = a->prob, .loss = &a->loss, .count = &a->count, .scratch = scratch};
    return dt_kernels_of(DT_CUDA)->token_loss(queue, DT_F32, &args);
}

static void run(launcher launch, arrays *a)
{
    dt_device *device;
    void *memory, *scratch;
    assert_int_equal(dt_device_open(DT_CUDA, 0, 1, &device), DT_OK);
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, sizeof *a, &memory), DT_OK);
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, ROOM, &scratch), DT_OK);
    assert_int_equal(dt_device_upload(device, DT_STREAM_COMPUTE, memory, a, sizeof *a), DT_OK);
    assert_int_equal(launch(dt_device_queue(device, DT_STREAM_COMPUTE), memory, scratch), DT_OK);
    assert_int_equal(dt_device_download(device, DT_STREAM_COMPUTE, a, memory, sizeof *a), DT_OK);
    assert_int_equal(dt_device_sync(device, DT_STREAM_COMPUTE), DT_OK);
    dt_device_free(device, DT_MEMORY_ARENA, memory, sizeof *a);
    dt_device_free(device, DT_MEMORY_ARENA, scratch, ROOM);
    dt_device_close(device);
}

/* Most threads of the row's warp see none of its scores. */
static void scores_far_apart_have_a_loss(void **state)
{
    arrays a = {.x = {1e32f, 0, -1e32f}, .target = {0, 1, 0}, .prob = {NAN, NAN, NAN}, .weight = 1, .loss = NAN};
    run(softmax_xent, &a);
    assert_true(a.prob[0] == 1 && a.prob[1] == 0 && a.prob[2] == 0);
    assert_true(a.loss == 1e32f);
}

static void a_masked_score_has_no_probability(void **state)
{
    arrays a = {.x = {0, -INFINITY, 0}, .target = {0.5f, 0, 0.5f}, .prob = {NAN, NAN, NAN}, .weight = 1};
    run(softmax_xent, &a);
    assert_true(a.prob[0] == 0.5f && a.prob[1] == 0 && a.prob[2] == 0.5f);
}

/* Multiplied before they are subtracted, such scores would lose what tells them apart. */
static void large_scores_keep_their_differences(void **state)
{
    arrays a = {.x = {8192, 8193, 8191.5f}, .hit = 0, .prob = {NAN, NAN, NAN}, .loss = NAN, .count = NAN};
    const double sum = 1 + exp(1) + exp(-0.5);
    run(token_loss, &a);
    assert_true(fabs(a.loss - log(sum)) < 1e-6 && a.count == 1);
    assert_true(fabs(a.prob[0] - (1 / sum - 1)) < 1e-6 && fabs(a.prob[1] - exp(1) / sum) < 1e-6);
}

static void token_scores_far_apart_have_a_loss(void **state)
{
    arrays a = {.x = {1e32f, 0, -1e32f}, .hit = 1, .prob = {NAN, NAN, NAN}, .loss = NAN, .count = NAN};
    run(token_loss, &a);
    assert_true(a.loss == 1e32f && a.prob[0] == 1 && a.prob[1] == -1 && a.prob[2] == 0);
}

/* --- a block that takes several rows --- */

enum { ROWS = 8200, WIDTH = 264, COUNTING = 257 }; /* three rows to a block of 512 threads, the last one has one */

typedef struct table {
    float *x; /* [ROWS, WIDTH], where the gradient comes to stand */
    int32_t *target;
    float loss, count;
} table;

/* A row differs from the one before: what a block kept of that would show. */
static table make_table(void)
{
    table t = {malloc(sizeof(float) * ROWS * WIDTH), malloc(sizeof(int32_t) * ROWS), NAN, NAN};
    assert_true(t.x && t.target);
    for (int row = 0; row < ROWS; row++) {
        t.target[row] = row % 5 ? row * 7 % COUNTING : -1;
        for (int j = 0; j < WIDTH; j++) t.x[row * WIDTH + j] = 4 * sinf((float)(row % 997 * 1.3 + j * (1 + row % 7)));
    }
    return t;
}

static void *upload(dt_device *device, const void *from, size_t bytes)
{
    void *to;
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, bytes, &to), DT_OK);
    if (from) assert_int_equal(dt_device_upload(device, DT_STREAM_COMPUTE, to, from, bytes), DT_OK);
    return to;
}

static void download(dt_device *device, void *to, void *from, size_t bytes)
{
    assert_int_equal(dt_device_download(device, DT_STREAM_COMPUTE, to, from, bytes), DT_OK);
    assert_int_equal(dt_device_sync(device, DT_STREAM_COMPUTE), DT_OK);
    dt_device_free(device, DT_MEMORY_ARENA, from, bytes);
}

static void lose(dt_backend backend, table *t)
{
    const dt_kernels *kernels = dt_kernels_of(backend);
    dt_device *device;
    dt_device_info info;
    assert_int_equal(dt_device_open(backend, 0, 1, &device), DT_OK);
    assert_int_equal(dt_device_query(device, &info), DT_OK);
    const size_t scores = sizeof(float) * ROWS * WIDTH, room = 2 * (size_t)kernels->reduce_scratch(&info, ROWS);
    void *x = upload(device, t->x, scores), *target = upload(device, t->target, sizeof(int32_t) * ROWS);
    void *loss = upload(device, NULL, sizeof(float)), *count = upload(device, NULL, sizeof(float));
    void *scratch = upload(device, NULL, room);
    dt_token_loss_args args = {.rows = ROWS, .width = WIDTH, .classes = COUNTING, .logits = x, .targets = target,
                               .dlogits = x, .loss = loss, .count = count, .scratch = scratch};
    assert_int_equal(kernels->token_loss(dt_device_queue(device, DT_STREAM_COMPUTE), DT_F32, &args), DT_OK);
    download(device, t->x, x, scores);
    download(device, &t->loss, loss, sizeof(float));
    download(device, &t->count, count, sizeof(float));
    dt_device_free(device, DT_MEMORY_ARENA, target, sizeof(int32_t) * ROWS);
    dt_device_free(device, DT_MEMORY_ARENA, scratch, room);
    dt_device_close(device);
}

static void rows_of_one_block_are_apart(void **state)
{
    table cpu = make_table(), cuda = make_table();
    int wrong = 0;
    lose(DT_CPU, &cpu);
    lose(DT_CUDA, &cuda);
    for (int i = 0; i < ROWS * WIDTH; i++) wrong += !(fabsf(cuda.x[i] - cpu.x[i]) < 1e-5f);
    assert_int_equal(wrong, 0);
    assert_true(fabsf(cuda.loss - cpu.loss) < 1e-5f * cpu.loss && cuda.count == ROWS - ROWS / 5);
    free(cpu.x), free(cpu.target);
    free(cuda.x), free(cuda.target);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(scores_far_apart_have_a_loss),
                                       cmocka_unit_test(a_masked_score_has_no_probability),
                                       cmocka_unit_test(large_scores_keep_their_differences),
                                       cmocka_unit_test(token_scores_far_apart_have_a_loss),
                                       cmocka_unit_test(rows_of_one_block_are_apart)};
    if (dt_backend_check(DT_CUDA, 0)) return printf("1..0 # SKIP %s\n", dt_error_message()) < 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
