/* The CPU back end: host memory, and streams that have always finished. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "device/backend.h"

enum { SMALL_ALIGNMENT = 256, HUGE_PAGE = 2 << 20 };
#define CHECKED_BYTES ((size_t)64 << 20) /* from here on, ask the system before taking memory */

static int cpu_count(const char **why)
{
    *why = NULL;
    return 1;
}

static dt_status cpu_check(int index) { return DT_OK; }

static dt_status cpu_open(int index, void **context)
{
    *context = NULL;
    return DT_OK;
}

static void cpu_close(void *context) {}

/* The text after "key   : " of the first such line of /proc/cpuinfo. */
static void read_processor_name(char *out, size_t room)
{
    snprintf(out, room, "unknown processor");
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (!file) return;
    char line[512];
    while (fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (!colon || strncmp(line, "model name", 10)) continue;
        snprintf(out, room, "%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
        break;
    }
    fclose(file);
}

/* Bytes in all and still to be had without swapping; both 0 where the system does not say. */
static void read_memory(int64_t *total, int64_t *available)
{
    *total = *available = 0;
    FILE *file = fopen("/proc/meminfo", "r");
    if (!file) return;
    char line[256];
    int64_t kib;
    while (fgets(line, sizeof line, file)) {
        if (sscanf(line, "MemTotal: %" SCNd64, &kib) == 1) *total = kib * 1024;
        if (sscanf(line, "MemAvailable: %" SCNd64, &kib) == 1) *available = kib * 1024;
    }
    fclose(file);
}

static dt_status cpu_query(void *context, dt_device_info *out)
{
    read_processor_name(out->name, sizeof out->name);
    read_memory(&out->memory_total, &out->memory_free);
    return DT_OK;
}

/* Linux gives out addresses freely and kills the process that touches too many of them: look before. */
static bool memory_is_there(size_t bytes)
{
    if (bytes < CHECKED_BYTES) return true;
    int64_t total, available;
    read_memory(&total, &available);
    return !available || (int64_t)bytes <= available;
}

/* Large blocks lie on whole huge pages, which saves most of the misses of the address cache in long passes over
 * weights and activations. Writing the zeros also places the pages. */
static dt_status cpu_alloc(void *context, size_t bytes, void **out)
{
    size_t alignment = bytes >= HUGE_PAGE ? HUGE_PAGE : SMALL_ALIGNMENT;
    size_t rounded = ((bytes ? bytes : 1) + SMALL_ALIGNMENT - 1) / SMALL_ALIGNMENT * SMALL_ALIGNMENT;
    void *ptr;
    if (!memory_is_there(rounded) || posix_memalign(&ptr, alignment, rounded)) return DT_ERR_MEMORY;
    if (alignment == HUGE_PAGE) madvise(ptr, rounded / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    memset(ptr, 0, rounded);
    *out = ptr;
    return DT_OK;
}

static void cpu_free(void *context, void *ptr) { free(ptr); }

static dt_status cpu_copy(void *context, dt_stream stream, void *to, const void *from, size_t bytes)
{
    if (bytes) memcpy(to, from, bytes);
    return DT_OK;
}

static dt_status cpu_clear(void *context, dt_stream stream, void *ptr, size_t bytes)
{
    if (bytes) memset(ptr, 0, bytes);
    return DT_OK;
}

static dt_status cpu_sync(void *context, dt_stream stream) { return DT_OK; }

static void cpu_queue(void *context, dt_stream stream, dt_queue *out) { *out = (dt_queue){0}; }

static dt_status cpu_event_create(void *context, void **event)
{
    *event = NULL;
    return DT_OK;
}

static void cpu_event_free(void *event) {}

static dt_status cpu_event_on_stream(void *context, void *event, dt_stream stream) { return DT_OK; }

static dt_status cpu_event_sync(void *event) { return DT_OK; }

const dt_backend_table dt_backend_cpu = {
    .name = "cpu",
    .built = true,
    .count = cpu_count,
    .check = cpu_check,
    .open = cpu_open,
    .close = cpu_close,
    .query = cpu_query,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .alloc_host = cpu_alloc,
    .free_host = cpu_free,
    .copy = cpu_copy,
    .clear = cpu_clear,
    .sync = cpu_sync,
    .queue = cpu_queue,
    .event_create = cpu_event_create,
    .event_free = cpu_event_free,
    .event_record = cpu_event_on_stream,
    .event_wait = cpu_event_on_stream,
    .event_sync = cpu_event_sync,
};
