/* The device interface on every back end that this machine has: memory, accounting, copies, streams and events. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "device/device.h"
#ifdef DT_HAVE_CUDA
#include "kernels/cuda/kernels.h"
#endif

static dt_device *open_device(dt_backend backend)
{
    dt_device *device = NULL;
    if (!dt_backend_count(backend, NULL)) skip();
    assert_int_equal(dt_device_open(backend, 0, 2, &device), DT_OK);
    return device;
}

static dt_backend backend_of(void **state) { return *(const dt_backend *)*state; }

static void memory_is_aligned_zeroed_and_counted(void **state)
{
    dt_device *device = open_device(backend_of(state));
    const size_t sizes[] = {1, 256, 1000003, 5 << 20};
    void *ptr[4];
    int64_t sum = 0;
    dt_memory_use use;
    for (int i = 0; i < 4; i++) {
        assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, sizes[i], &ptr[i]), DT_OK);
        assert_int_equal((uintptr_t)ptr[i] % 256, 0);
        unsigned char *host = malloc(sizes[i]);
        assert_int_equal(dt_device_download(device, DT_STREAM_COMPUTE, host, ptr[i], sizes[i]), DT_OK);
        assert_int_equal(dt_device_sync(device, DT_STREAM_COMPUTE), DT_OK);
        for (size_t b = 0; b < sizes[i]; b++) assert_int_equal(host[b], 0);
        free(host);
        sum += (int64_t)sizes[i];
    }
    dt_device_memory(device, &use);
    assert_int_equal(use.now[DT_MEMORY_ARENA], sum);
    assert_int_equal(use.peak, sum);
    for (int i = 0; i < 4; i++) dt_device_free(device, DT_MEMORY_ARENA, ptr[i], sizes[i]);
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_FEED, 10, &ptr[0]), DT_OK);
    dt_device_free(device, DT_MEMORY_FEED, ptr[0], 10);
    dt_device_memory(device, &use);
    for (int c = 0; c < DT_MEMORY_CATEGORIES; c++) assert_int_equal(use.now[c], 0);
    assert_int_equal(use.peak, sum);
    dt_device_close(device);
}

static void running_out_names_the_holders_and_a_remedy(void **state)
{
    dt_device *device = open_device(backend_of(state));
    void *held, *wanted;
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_OPTIMIZER, 3 << 20, &held), DT_OK);
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, (size_t)1 << 50, &wanted), DT_ERR_MEMORY);
    assert_non_null(strstr(dt_error_message(), "for arena"));
    assert_non_null(strstr(dt_error_message(), "optimizer 3.00 MiB"));
    assert_non_null(strstr(dt_error_message(), "train.accumulate"));
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, SIZE_MAX, &wanted), DT_ERR_MEMORY);
    dt_memory_use use;
    dt_device_memory(device, &use);
    assert_int_equal(use.peak, 3 << 20);
    dt_device_free(device, DT_MEMORY_OPTIMIZER, held, 3 << 20);
    dt_device_close(device);
}

static void copies_follow_their_stream(void **state)
{
    dt_device *device = open_device(backend_of(state));
    enum { BYTES = 70001 };
    unsigned char *from, *to;
    void *a, *b;
    dt_event *event;
    assert_int_equal(dt_device_alloc_host(device, BYTES, (void **)&from), DT_OK);
    assert_int_equal(dt_device_alloc_host(device, BYTES, (void **)&to), DT_OK);
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_FEED, BYTES, &a), DT_OK);
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_FEED, BYTES, &b), DT_OK);
    assert_int_equal(dt_event_create(device, &event), DT_OK);
    for (int i = 0; i < BYTES; i++) from[i] = (unsigned char)(i * 7 + i / 256);

    assert_int_equal(dt_device_upload(device, DT_STREAM_COPY, a, from, BYTES), DT_OK);
    assert_int_equal(dt_event_record(device, event, DT_STREAM_COPY), DT_OK);
    assert_int_equal(dt_event_wait(device, event, DT_STREAM_COMPUTE), DT_OK);
    assert_int_equal(dt_device_copy(device, DT_STREAM_COMPUTE, b, a, BYTES), DT_OK);
    assert_int_equal(dt_device_clear(device, DT_STREAM_COMPUTE, b, 1), DT_OK);
    assert_int_equal(dt_device_download(device, DT_STREAM_COMPUTE, to, b, BYTES), DT_OK);
    assert_int_equal(dt_event_record(device, event, DT_STREAM_COMPUTE), DT_OK);
    assert_int_equal(dt_event_sync(device, event), DT_OK);
    assert_int_equal(to[0], 0);
    assert_memory_equal(to + 1, from + 1, BYTES - 1);

    dt_event_free(device, event);
    dt_device_free(device, DT_MEMORY_FEED, a, BYTES);
    dt_device_free(device, DT_MEMORY_FEED, b, BYTES);
    dt_device_free_host(device, from);
    dt_device_free_host(device, to);
    dt_device_close(device);
}

static void query_tells_name_and_memory(void **state)
{
    dt_device *device = open_device(backend_of(state));
    dt_device_info info;
    assert_int_equal(dt_device_query(device, &info), DT_OK);
    assert_true(strlen(info.name) > 0);
    assert_true(info.memory_total > 0 && info.memory_free > 0 && info.memory_free <= info.memory_total);
    assert_int_equal(info.threads, 2);
    assert_int_equal(info.capability > 0, backend_of(state) == DT_CUDA);
    dt_device_close(device);
}

static void absent_devices_are_named(void **state)
{
    dt_backend backend = backend_of(state);
    dt_device *device = NULL;
    const char *why = NULL;
    int count = dt_backend_count(backend, &why);
    assert_int_equal(dt_device_open(backend, count, 1, &device), DT_ERR_DEVICE);
    assert_null(device);
    if (count)
        assert_non_null(strstr(dt_error_message(), dt_backend_name(backend)));
    else
        assert_string_equal(dt_error_message(), why);
}

#ifdef DT_HAVE_CUDA
static void copy_kernel_copies_any_length(void **state)
{
    enum { ROOM = 100000 };
    const int64_t lengths[] = {0, 1, 15, 16, 17, 4096, 16384, 16385, 65551, ROOM - 1};
    dt_device *device = open_device(DT_CUDA);
    void *stream = dt_device_stream(device, DT_STREAM_COMPUTE), *a, *b;
    unsigned char from[ROOM], to[ROOM];
    for (int i = 0; i < ROOM; i++) from[i] = (unsigned char)(i * 31 + i / 256 + 1);
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, ROOM, &a), DT_OK);
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, ROOM, &b), DT_OK);
    assert_int_equal(dt_device_upload(device, DT_STREAM_COMPUTE, a, from, ROOM), DT_OK);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        assert_int_equal(dt_device_clear(device, DT_STREAM_COMPUTE, b, ROOM), DT_OK);
        assert_int_equal(dt_cuda_copy(stream, b, a, lengths[i]), DT_OK);
        assert_int_equal(dt_device_download(device, DT_STREAM_COMPUTE, to, b, ROOM), DT_OK);
        assert_int_equal(dt_device_sync(device, DT_STREAM_COMPUTE), DT_OK);
        assert_memory_equal(to, from, lengths[i]);
        for (int64_t k = lengths[i]; k < ROOM; k++) assert_int_equal(to[k], 0);
    }
    double seconds = 0;
    assert_int_equal(dt_cuda_time_copy(stream, b, a, ROOM, 5, &seconds), DT_OK);
    assert_true(seconds > 0);
    dt_device_free(device, DT_MEMORY_ARENA, a, ROOM);
    dt_device_free(device, DT_MEMORY_ARENA, b, ROOM);
    dt_device_close(device);
}
#endif

static dt_backend cpu = DT_CPU, cuda = DT_CUDA;

#define ON(backend, test) {#test " on " #backend, test, NULL, NULL, &backend}
#define ON_BOTH(test) ON(cpu, test), ON(cuda, test)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_BOTH(memory_is_aligned_zeroed_and_counted),
        ON_BOTH(running_out_names_the_holders_and_a_remedy),
        ON_BOTH(copies_follow_their_stream),
        ON_BOTH(query_tells_name_and_memory),
        ON_BOTH(absent_devices_are_named),
#ifdef DT_HAVE_CUDA
        ON(cuda, copy_kernel_copies_any_length),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
