/* The loss of scores at the limits on CUDA: far apart, and minus infinity, which has probability 0. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "device/device.h"
#include "kernels/kernels.h"

enum { CLASSES = 3, ROOM = 4096 };

/* What the kernels read and write, as it lies on the device. */
typedef struct arrays {
    _Alignas(16) float x[CLASSES];
    _Alignas(16) float target[CLASSES];
    _Alignas(16) float prob[CLASSES];
    _Alignas(16) float weight;
    _Alignas(16) float loss;
} arrays;

static void softmax_xent(arrays *a)
{
    dt_device *device;
    arrays *on_gpu;
    void *memory, *scratch;
    assert_int_equal(dt_device_open(DT_CUDA, 0, 1, &device), DT_OK);
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, sizeof *a, &memory), DT_OK);
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, ROOM, &scratch), DT_OK);
    on_gpu = memory;
    assert_int_equal(dt_device_upload(device, DT_STREAM_COMPUTE, memory, a, sizeof *a), DT_OK);
    assert_int_equal(dt_kernels_of(DT_CUDA)->softmax_xent(dt_device_queue(device, DT_STREAM_COMPUTE), DT_F32, 1,
                                                          CLASSES, on_gpu->x, on_gpu->target, &on_gpu->weight,
                                                          on_gpu->prob, &on_gpu->loss, scratch),
                     DT_OK);
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
    softmax_xent(&a);
    assert_true(a.prob[0] == 1 && a.prob[1] == 0 && a.prob[2] == 0);
    assert_true(a.loss == 1e32f);
}

static void a_masked_score_has_no_probability(void **state)
{
    arrays a = {.x = {0, -INFINITY, 0}, .target = {0.5f, 0, 0.5f}, .prob = {NAN, NAN, NAN}, .weight = 1};
    softmax_xent(&a);
    assert_true(a.prob[0] == 0.5f && a.prob[1] == 0 && a.prob[2] == 0.5f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(scores_far_apart_have_a_loss),
                                       cmocka_unit_test(a_masked_score_has_no_probability)};
    if (dt_backend_check(DT_CUDA, 0)) return printf("1..0 # SKIP %s\n", dt_error_message()) < 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
