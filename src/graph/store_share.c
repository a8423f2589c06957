/* How ranks share the store: buckets of units, and which buffers are kept whole. */
#include <stdlib.h>

#include "graph/store_internal.h"

enum {
    PIECE_ALIGN = 16,             /* elements: where a piece begins, kernels load whole words */
    LEAST_BUCKET_BYTES = 1 << 20, /* less takes a link no less time */
};

void dt_store_share(dt_store *store, dt_share share)
{
    store->share = share;
    store->ranks = dt_comm_size(share.comm);
    store->rank = dt_comm_rank(share.comm);
}

int dt_store_ranks(const dt_store *store) { return store->ranks; }

/* --- which are whole --- */

bool dt_store_keeps_whole(const dt_store *store, dt_group group, dt_buffer buffer)
{
    int level = store->ranks > 1 ? store->share.level : 0;
    bool read = buffer == DT_BUFFER_WORKING ||
                (buffer == DT_BUFFER_VALUE && (group != DT_GROUP_MATRIX || !store->share.working));
    if (read) return level < 3;
    return buffer == DT_BUFFER_GRADIENT ? level < 2 : level < 1;
}

int64_t dt_store_kept_count(const dt_store *store, int group, dt_buffer buffer)
{
    bool whole = dt_store_keeps_whole(store, (dt_group)group, buffer);
    return whole ? store->count[group] : store->count[group] / store->ranks;
}

/* --- buckets --- */

/* Elements after which the bucket at `offset` of the whole ends. The gradients of the first units come last, when no
 * work is left behind which to send them: so a bucket is about as large as what is in front of it, up to the limit. */
static int64_t bucket_room(const dt_store *store, dt_group group, int64_t offset)
{
    int64_t size = (int64_t)dt_dtype_size(dt_store_buffer_type(store, (int)group, DT_BUFFER_GRADIENT));
    int64_t least = LEAST_BUCKET_BYTES / size, most = store->share.bucket_bytes / size;
    if (store->ranks == 1) return INT64_MAX;
    int64_t room = offset > least ? offset : least;
    return room < most ? room : most;
}

/* From `first` on, at `offset` of the whole; the last bucket of a group ends with the last unit. */
static dt_bucket collect(const dt_store *store, dt_group group, int first, int64_t offset)
{
    int64_t room = bucket_room(store, group, offset);
    int64_t align = store->ranks > 1 ? (int64_t)PIECE_ALIGN * store->ranks : 1;
    dt_bucket out = {.group = group, .first_unit = first, .end_unit = first, .offset = offset};
    while (out.end_unit < store->units.count && (out.end_unit == first || out.count < room))
        out.count += dt_store_unit_at(store, out.end_unit++)->count[group];
    out.count = (out.count + align - 1) / align * align;
    out.piece = out.count / store->ranks;
    out.shard_offset = offset / store->ranks;
    return out;
}

static dt_status add_bucket(dt_store *store, const dt_bucket *bucket)
{
    if (!bucket->count) return DT_OK;
    dt_bucket *kept = dt_arena_alloc(store->arena, sizeof *kept);
    if (!kept) return DT_ERR_MEMORY;
    *kept = *bucket;
    return dt_list_add(&store->buckets, kept);
}

dt_status dt_store_make_buckets(dt_store *store)
{
    for (int group = 0; group < DT_GROUPS; group++) {
        dt_bucket bucket = {0};
        for (int unit = 0; unit < store->units.count; unit = bucket.end_unit) {
            bucket = collect(store, (dt_group)group, unit, bucket.offset + bucket.count);
            DT_TRY(add_bucket(store, &bucket));
        }
    }
    return DT_OK;
}

int dt_store_buckets(const dt_store *store) { return store->buckets.count; }
const dt_bucket *dt_store_bucket(const dt_store *store, int index) { return store->buckets.at[index]; }

const dt_bucket *dt_store_bucket_of(const dt_store *store, const dt_param *param)
{
    for (int i = 0; i < store->buckets.count; i++) {
        const dt_bucket *bucket = store->buckets.at[i];
        if (bucket->group == param->group && param->offset < bucket->offset + bucket->count) return bucket;
    }
    return NULL;
}

int64_t dt_store_piece_first(const dt_store *store, const dt_bucket *bucket)
{
    return bucket->offset + store->rank * bucket->piece;
}

int64_t dt_store_piece_at(const dt_store *store, const dt_bucket *bucket, dt_buffer buffer)
{
    bool whole = dt_store_keeps_whole(store, bucket->group, buffer);
    return whole ? dt_store_piece_first(store, bucket) : bucket->shard_offset;
}
