/* The CUDA copy kernel, on lengths around its word, block and turn sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

#include "device/device.h"
#include "kernels/cuda/kernels.h"

static void copy_kernel_copies_any_length(void **state)
{
    enum { ROOM = 100000 };
    const int64_t lengths[] = {0, 1, 15, 16, 17, 4096, 16384, 16385, 65551, ROOM - 1};
    dt_device *device;
    assert_int_equal(dt_device_open(DT_CUDA, 0, 1, &device), DT_OK);
    unsigned char from[ROOM], to[ROOM];
    const dt_queue *queue = dt_device_queue(device, DT_STREAM_COMPUTE);
    void *a, *b;
    for (int i = 0; i < ROOM; i++) from[i] = (unsigned char)(i * 31 + i / 256 + 1);
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, ROOM, &a), DT_OK);
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, ROOM, &b), DT_OK);
    assert_int_equal(dt_device_upload(device, DT_STREAM_COMPUTE, a, from, ROOM), DT_OK);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_int_equal(dt_device_clear(device, DT_STREAM_COMPUTE, b, ROOM), DT_OK);
        assert_int_equal(dt_cuda_copy(queue, lengths[i], a, b), DT_OK);
        assert_int_equal(dt_device_download(device, DT_STREAM_COMPUTE, to, b, ROOM), DT_OK);
        assert_int_equal(dt_device_sync(device, DT_STREAM_COMPUTE), DT_OK);
        assert_memory_equal(to, from, lengths[i]);
        for (int64_t k = lengths[i]; k < ROOM; k++) assert_int_equal(to[k], 0);
    }
    dt_device_free(device, DT_MEMORY_ARENA, a, ROOM);
    dt_device_free(device, DT_MEMORY_ARENA, b, ROOM);
    dt_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(copy_kernel_copies_any_length)};
    if (dt_backend_check(DT_CUDA, 0)) return printf("1..0 # SKIP %s\n", dt_error_message()) < 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
