/* One parameter of one buffer in and out of host memory, whatever of it this rank keeps. */
#include <stdlib.h>
#include <string.h>

#include "graph/store_internal.h"

enum { STAGING = 1 << 22 }; /* elements that are sent from rank to rank at once */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

static size_t size_of(const dt_store *store, const dt_param *param, dt_buffer buffer)
{
    return dt_dtype_size(dt_store_buffer_type(store, (int)param->group, buffer));
}

/* --- where it lies --- */

/* What of the elements lies in piece `rank`, as elements of the parameter; `data` is not set. */
static dt_kept in_piece(const dt_bucket *bucket, const dt_param *param, int64_t rank, int64_t first, int64_t count)
{
    int64_t begin = bucket->offset + rank * bucket->piece - param->offset, end = begin + bucket->piece;
    int64_t from = most(first, begin), to = least(first + count, end);
    return (dt_kept){.first = from, .count = to > from ? to - from : 0};
}

dt_kept dt_store_kept_stretch(const dt_store *store, const dt_param *param, dt_buffer buffer, int64_t first,
                                 int64_t count)
{
    char *base = store->data[param->group][buffer];
    int64_t size = (int64_t)size_of(store, param, buffer);
    if (!base) return (dt_kept){0};
    if (dt_store_keeps_whole(store, param->group, buffer))
        return (dt_kept){first, count, base + (param->offset + first) * size};
    const dt_bucket *bucket = dt_store_bucket_of(store, param);
    dt_kept out = in_piece(bucket, param, store->rank, first, count);
    int64_t at = param->offset + out.first - bucket->offset - store->rank * bucket->piece;
    out.data = base + (bucket->shard_offset + at) * size;
    return out;
}

int64_t dt_store_staging_bytes(const dt_store *store)
{
    bool shares = store->ranks > 1 && store->share.level > 0;
    return shares ? (int64_t)STAGING * (int64_t)dt_dtype_size(store->type) : 0;
}

/* --- reading --- */

static dt_status download(const dt_store *store, void *host, const void *from, size_t bytes)
{
    DT_TRY(dt_device_download(store->device, DT_STREAM_COMPUTE, host, from, bytes));
    return dt_device_sync(store->device, DT_STREAM_COMPUTE);
}

/* Elements that lie in one piece, from the rank that has them to all. The stream keeps what comes next from the staging
 * memory until this is copied from there. */
static dt_status read_stretch(const dt_store *store, const dt_param *param, dt_buffer buffer, int owner,
                              dt_kept some, char *host)
{
    size_t size = size_of(store, param, buffer);
    char *memory = store->staging;
    if (owner == store->rank) memory = dt_store_kept_stretch(store, param, buffer, some.first, some.count).data;
    DT_TRY(dt_comm_broadcast(store->share.comm, DT_STREAM_COMPUTE, store->type, some.count, memory, owner));
    if (!host) return DT_OK;
    return dt_device_download(store->device, DT_STREAM_COMPUTE, host + (size_t)some.first * size, memory,
                              (size_t)some.count * size);
}

static dt_status read_pieces(const dt_store *store, const dt_param *param, dt_buffer buffer, char *host)
{
    const dt_bucket *bucket = dt_store_bucket_of(store, param);
    for (int owner = 0; owner < store->ranks; owner++) {
        dt_kept left = in_piece(bucket, param, owner, 0, param->count);
        while (left.count > 0) {
            dt_kept some = {.first = left.first, .count = least(left.count, STAGING)};
            DT_TRY(read_stretch(store, param, buffer, owner, some, host));
            left.first += some.count;
            left.count -= some.count;
        }
    }
    return dt_device_sync(store->device, DT_STREAM_COMPUTE);
}

static dt_status read_native(const dt_store *store, const dt_param *param, dt_buffer buffer, void *host)
{
    if (!dt_store_keeps_whole(store, param->group, buffer)) return read_pieces(store, param, buffer, host);
    if (!host) return DT_OK;
    dt_kept all = dt_store_kept_stretch(store, param, buffer, 0, param->count);
    return download(store, host, all.data, (size_t)all.count * size_of(store, param, buffer));
}

static void convert(dt_dtype from, const void *x, dt_dtype to, void *y, int64_t count)
{
    if (from == DT_F32 && to == DT_F64)
        for (int64_t i = 0; i < count; i++) ((double *)y)[i] = ((const float *)x)[i];
    else
        for (int64_t i = 0; i < count; i++) ((float *)y)[i] = (float)((const double *)x)[i];
}

dt_status dt_store_read(const dt_store *store, const dt_param *param, dt_buffer buffer, dt_dtype dtype, void *host)
{
    if (!host || dtype == store->type) return read_native(store, param, buffer, host);
    size_t bytes = (size_t)param->count * dt_dtype_size(store->type);
    void *staging = malloc(bytes);
    if (!staging) return dt_fail_memory(bytes, param->name);
    dt_status status = read_native(store, param, buffer, staging);
    if (!status) convert(store->type, staging, dtype, host, param->count);
    free(staging);
    return status;
}

/* --- writing --- */

static dt_status upload_kept(dt_store *store, const dt_param *param, dt_buffer buffer, const char *from)
{
    size_t size = size_of(store, param, buffer);
    dt_kept kept = dt_store_kept_stretch(store, param, buffer, 0, param->count);
    if (!kept.count) return DT_OK;
    DT_TRY(dt_device_upload(store->device, DT_STREAM_COMPUTE, kept.data, from + (size_t)kept.first * size,
                            (size_t)kept.count * size));
    return dt_device_sync(store->device, DT_STREAM_COMPUTE);
}

/* `value` is what was written, of the store's type, which is float32 where there are working copies. */
static dt_status write_working(dt_store *store, const dt_param *param, const float *value)
{
    dt_kept kept = dt_store_kept_stretch(store, param, DT_BUFFER_WORKING, 0, param->count);
    size_t bytes = (size_t)kept.count * sizeof(uint16_t);
    if (!kept.count) return DT_OK;
    uint16_t *rounded = malloc(bytes);
    if (!rounded) return dt_fail_memory(bytes, param->name);
    for (int64_t i = 0; i < kept.count; i++) rounded[i] = dt_store_round_bf16(value[kept.first + i]);
    dt_status status = dt_device_upload(store->device, DT_STREAM_COMPUTE, kept.data, rounded, bytes);
    if (!status) status = dt_device_sync(store->device, DT_STREAM_COMPUTE);
    free(rounded);
    return status;
}

/* Shards of a master and of its working copy are cut at the same places. */
void dt_store_writes(const dt_store *store, const dt_param *param, dt_buffer buffer, int64_t *first, int64_t *count)
{
    dt_kept kept = dt_store_kept_stretch(store, param, buffer, 0, param->count);
    dt_kept working = {0};
    if (buffer == DT_BUFFER_VALUE)
        working = dt_store_kept_stretch(store, param, DT_BUFFER_WORKING, 0, param->count);
    *first = kept.count >= working.count ? kept.first : working.first;
    *count = most(kept.count, working.count);
}

dt_status dt_store_write(dt_store *store, const dt_param *param, dt_buffer buffer, dt_dtype dtype, const void *host)
{
    size_t bytes = (size_t)param->count * dt_dtype_size(store->type);
    void *staging = NULL;
    if (dtype != store->type) {
        staging = malloc(bytes);
        if (!staging) return dt_fail_memory(bytes, param->name);
        convert(dtype, host, store->type, staging, param->count);
    }
    const void *from = staging ? staging : host;
    dt_status status = upload_kept(store, param, buffer, from);
    if (!status && buffer == DT_BUFFER_VALUE && store->data[param->group][DT_BUFFER_WORKING])
        status = write_working(store, param, from);
    free(staging);
    return status;
}
