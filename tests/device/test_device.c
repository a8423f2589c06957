/* The device interface. Argument: `cpu` or `cuda` tests that back end (skipped where it has no device), `refusals` the
 * messages about devices that are not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "device/remedies.h"

static dt_device *open_device(dt_backend backend)
{
    dt_device *device = NULL;
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
    assert_null(strstr(dt_error_message(), "what helps: a")); /* nobody said what */
    dt_device_advise(device, DT_MEMORY_ARENA, "a smaller one");
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, (size_t)1 << 50, &wanted), DT_ERR_MEMORY);
    assert_non_null(strstr(dt_error_message(), "; what helps: a smaller one"));
    assert_int_equal(dt_device_alloc(device, DT_MEMORY_ARENA, SIZE_MAX, &wanted), DT_ERR_MEMORY);
    dt_memory_use use;
    dt_device_memory(device, &use);
    assert_int_equal(use.peak, 3 << 20);
    dt_device_free(device, DT_MEMORY_OPTIMIZER, held, 3 << 20);
    dt_device_close(device);
}

static void room_is_looked_for_before_it_is_taken(void **state)
{
    dt_device *device = open_device(backend_of(state));
    int64_t planned[DT_MEMORY_CATEGORIES] = {[DT_MEMORY_PARAMETERS] = 1 << 20, [DT_MEMORY_EMA] = 1 << 10};
    assert_int_equal(dt_device_check_room(device, planned), DT_OK);
    planned[DT_MEMORY_EMA] = (int64_t)1 << 50;
    dt_device_advise(device, DT_MEMORY_EMA, "train.ema=0");
    assert_int_equal(dt_device_check_room(device, planned), DT_ERR_MEMORY);
    assert_non_null(strstr(dt_error_message(), "are needed (ema 1"));
    assert_non_null(strstr(dt_error_message(), ", parameters 1.00 MiB); "));
    assert_non_null(strstr(dt_error_message(), "are free"));
    assert_non_null(strstr(dt_error_message(), "what helps: train.ema=0"));
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

int main(int count, char **args)
{
    dt_backend cpu = DT_CPU, cuda = DT_CUDA, backend = count > 1 && !strcmp(args[1], "cuda") ? cuda : cpu;
    const struct CMUnitTest refusals[] = {
        {"a cpu that is not there is named", absent_devices_are_named, NULL, NULL, &cpu},
        {"a GPU that is not there is named", absent_devices_are_named, NULL, NULL, &cuda},
    };
    const struct CMUnitTest tests[] = {
        {"memory is aligned, zeroed and counted", memory_is_aligned_zeroed_and_counted, NULL, NULL, &backend},
        {"running out names a remedy", running_out_names_the_holders_and_a_remedy, NULL, NULL, &backend},
        {"room is looked for before it is taken", room_is_looked_for_before_it_is_taken, NULL, NULL, &backend},
        {"copies follow their stream", copies_follow_their_stream, NULL, NULL, &backend},
        {"query tells name and memory", query_tells_name_and_memory, NULL, NULL, &backend},
    };
    if (count > 1 && !strcmp(args[1], "refusals")) return cmocka_run_group_tests(refusals, NULL, NULL);
    if (dt_backend_check(backend, 0)) return printf("1..0 # SKIP %s\n", dt_error_message()) < 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
