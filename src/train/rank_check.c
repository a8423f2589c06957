/* Hashes every parameter on every rank, and looks for the rank that is alone with its hashes. */
#include "train/rank_check.h"

#include <stdlib.h>

#include "base/hash.h"
#include "train/ranks.h"

enum { CHUNK_BYTES = 4 << 20 };

/* Continues `hash` with bytes of the device. */
static dt_status hash_bytes(const dt_session *s, const char *data, size_t bytes, void *chunk, uint64_t *hash)
{
    for (size_t at = 0; at < bytes; at += CHUNK_BYTES) {
        size_t count = bytes - at < CHUNK_BYTES ? bytes - at : CHUNK_BYTES;
        DT_TRY(dt_device_download(s->device, DT_STREAM_COMPUTE, chunk, data + at, count));
        DT_TRY(dt_device_sync(s->device, DT_STREAM_COMPUTE));
        *hash = dt_hash_bytes(chunk, count, *hash);
    }
    return DT_OK;
}

/* What this rank keeps whole, or the pieces that it keeps of the rest. */
static dt_status hash_param(const dt_session *s, const dt_param *param, bool pieces, void *chunk, uint64_t *hash)
{
    static const dt_buffer buffers[] = {DT_BUFFER_VALUE, DT_BUFFER_WORKING, DT_BUFFER_EMA};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) {
        size_t size = buffers[i] == DT_BUFFER_WORKING ? dt_dtype_size(DT_BF16) : dt_dtype_size(dt_store_type(s->store));
        dt_kept kept = dt_store_kept_stretch(s->store, param, buffers[i], 0, param->count);
        if (!kept.count || dt_store_keeps_whole(s->store, param->group, buffers[i]) == pieces) continue;
        DT_TRY(hash_bytes(s, kept.data, (size_t)kept.count * size, chunk, hash));
    }
    return DT_OK;
}

static dt_status hash_all(const dt_session *s, bool pieces, uint64_t *hashes)
{
    void *chunk = NULL;
    DT_TRY(dt_device_alloc_host(s->device, CHUNK_BYTES, &chunk));
    dt_status status = DT_OK;
    for (int i = 0; i < dt_store_params(s->store) && !status; i++)
        status = hash_param(s, dt_store_param(s->store, i), pieces, chunk, &hashes[i]);
    dt_device_free_host(s->device, chunk);
    return status;
}

/* Ranks `first`, first + stride, ... are to have the same: the first of them that has what most have. */
static int find_usual(const uint64_t *totals, int first, int ranks, int stride)
{
    int best = first, best_count = 0;
    for (int r = first; r < ranks; r += stride) {
        int count = 0;
        for (int other = first; other < ranks; other += stride) count += totals[other] == totals[r];
        if (count > best_count) best = r, best_count = count;
    }
    return best;
}

/* False: all have the same. */
static bool find_odd(const uint64_t *totals, int ranks, int stride, int *usual, int *odd)
{
    for (int first = 0; first < stride; first++) {
        *usual = find_usual(totals, first, ranks, stride);
        for (*odd = first; *odd < ranks; *odd += stride)
            if (totals[*odd] != totals[*usual]) return true;
    }
    return false;
}

static dt_status name_difference(const dt_session *s, int64_t step, const uint64_t *hashes, int usual, int odd)
{
    void *all;
    int params = dt_store_params(s->store), first = 0;
    DT_TRY(dt_ranks_gather(s->options.world, "hashes of weights", hashes, (size_t)params * sizeof *hashes, &all));
    const uint64_t *a = (const uint64_t *)all + (size_t)usual * params;
    const uint64_t *b = (const uint64_t *)all + (size_t)odd * params;
    while (first < params - 1 && a[first] == b[first]) first++;
    free(all);
    return dt_fail(DT_ERR_DEVICE, "after step %lld the weights of rank %d on %s are not those of rank %d; the first "
                   "that differ are '%s'", (long long)step, odd, dt_world_peer_of(s->options.world, odd)->host, usual,
                   dt_store_param(s->store, first)->name);
}

/* Ranks that are `stride` apart are to have the same. */
static dt_status compare(const dt_session *s, int64_t step, const uint64_t *hashes, int stride)
{
    void *all;
    int usual, odd;
    uint64_t total = dt_hash_bytes(hashes, (size_t)dt_store_params(s->store) * sizeof *hashes, 0);
    DT_TRY(dt_ranks_gather(s->options.world, "the hash of the weights", &total, sizeof total, &all));
    bool differ = find_odd(all, dt_world_size(s->options.world), stride, &usual, &odd);
    free(all);
    return differ ? name_difference(s, step, hashes, usual, odd) : DT_OK;
}

static dt_status check(const dt_session *s, int64_t step, bool pieces, int stride)
{
    int params = dt_store_params(s->store);
    uint64_t *hashes = calloc((size_t)params, sizeof *hashes);
    dt_status status = hashes ? DT_OK : dt_fail_memory((size_t)params * sizeof *hashes, "hashes of weights");
    if (!status) status = hash_all(s, pieces, hashes);
    status = dt_ranks_join(s->options.world, "hashing weights", status);
    if (!status) status = compare(s, step, hashes, stride);
    free(hashes);
    return status;
}

/* What is kept whole is the same on all ranks, and pieces are in groups that share: on the n-th of each. */
dt_status dt_session_check_ranks(const dt_session *s, int64_t step)
{
    DT_TRY(check(s, step, false, 1));
    return s->replicas ? check(s, step, true, s->recipe.sharers) : DT_OK;
}
