/* Opening, telling and closing. */
#include "ranks.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void ranks_must(const ranks *r, dt_status status)
{
    if (!status) return;
    fprintf(stderr, "rank %d: %s\n", r->rank, dt_error_message());
    if (r->world) dt_world_abort(r->world, dt_error_message());
    _exit(1);
}

static void end(void *context, const dt_verdict *verdict)
{
    fprintf(stderr, "%s\n", verdict->text);
    _exit(1);
}

ranks ranks_open(const char *device)
{
    ranks r = {.any_order = strcmp(device, "cuda") == 0};
    dt_backend backend = r.any_order ? DT_CUDA : DT_CPU;
    int index;
    ranks_must(&r, dt_world_open(&(dt_world_options){.on_verdict = end}, NULL, &r.world));
    r.rank = dt_world_rank(r.world);
    r.size = dt_world_size(r.world);
    ranks_must(&r, dt_comm_place(r.world, backend, &index));
    ranks_must(&r, dt_device_open(backend, index, 1, &r.device));
    ranks_must(&r, dt_comm_open(r.world, r.device, &r.comm));
    return r;
}

void ranks_case(ranks *r, bool good, const char *format, ...)
{
    int64_t bad = !good;
    void *sum;
    ranks_must(r, dt_device_alloc(r->device, DT_MEMORY_FEED, sizeof bad, &sum));
    ranks_must(r, dt_device_upload(r->device, DT_STREAM_COMM, sum, &bad, sizeof bad));
    ranks_must(r, dt_comm_all_reduce(r->comm, DT_STREAM_COMM, DT_I64, 1, sum));
    ranks_must(r, dt_device_download(r->device, DT_STREAM_COMM, &bad, sum, sizeof bad));
    ranks_must(r, dt_device_sync(r->device, DT_STREAM_COMM));
    dt_device_free(r->device, DT_MEMORY_FEED, sum, sizeof bad);
    r->cases++;
    r->failed += bad != 0;
    if (r->rank) return;
    va_list args;
    va_start(args, format);
    printf("%sok %d - ", bad ? "not " : "", r->cases);
    vprintf(format, args);
    printf(" on %d ranks\n", r->size);
    va_end(args);
}

int ranks_close(ranks *r)
{
    if (r->rank == 0) printf("1..%d\n", r->cases);
    fflush(stdout);
    dt_comm_free(r->comm);
    dt_device_close(r->device);
    dt_world_close(r->world);
    return r->failed ? 1 : 0;
}
