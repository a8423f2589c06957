/* Scaled dot-product attention, forward, after FlashAttention (Dao et al., 2022): a task takes a tile of queries of one
 * head over all tiles of keys, keeps each row's running maximum and sum, and rescales its output when the maximum
 * grows. No tokens x tokens array; scores stay in the second-level cache. 4 tokens² size FLOPs per head. */
#ifndef DT_REAL

#include "kernels/cpu/attention_mask.h"

#define DT_TEMPLATE "kernels/cpu/attention.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(attention)(const dt_queue *q, dt_dtype t, const dt_attention_args *x)
{
    return DT_BY_TYPE(attention, q->pool, x);
}

#else

#include "kernels/cpu/tile.h"

typedef struct DT_FN(attention_job) {
    const dt_attention_args *p;
    dt_attention_layout layout;
    dt_split tiles; /* of queries, and of keys */
} DT_FN(attention_job);

/* The queries of one task and where their head lies. */
typedef struct DT_FN(attention_tile) {
    const DT_FN(attention_job) *job;
    const DT_REAL *q, *k, *v; /* row 0 of the head in qkv */
    const int32_t *starts;    /* of the sample, or NULL */
    int64_t stride;           /* of rows of qkv */
    int64_t first, count;     /* queries */
    int64_t from;             /* the first key of the first tile of keys */
    DT_REAL *scores, *keys, *values, *sums;
    DT_REAL top[DT_ATTENTION_TILE], total[DT_ATTENTION_TILE];
} DT_FN(attention_tile);

/* The scores of one query become probabilities relative to the row's maximum so far, and what came before is brought
 * to it. `width` keys are whole vectors; those outside `seen` are masked. */
static void DT_FN(softmax_row)(DT_FN(attention_tile) *tile, int64_t i, dt_row_span seen, int64_t width, bool first)
{
    if (seen.begin == seen.end) { /* its document begins in a later tile */
        if (first) tile->top[i] = -INFINITY, tile->total[i] = 0;
        return;
    }

    int64_t size_width = tile->job->layout.size_width;
    DT_REAL *score = tile->scores + i * tile->job->layout.tile_width;
    DT_REAL scale = (DT_REAL)tile->job->p->scale;
    int whole = (int)(width & -DT_LANES), keys = (int)seen.end; /* it is: said for loops without a remainder */
    for (int j = 0; j < whole; j++) score[j] = j < keys ? score[j] * scale : -INFINITY;
    for (int j = 0; j < (int)seen.begin; j++) score[j] = -INFINITY;
    DT_REAL top = DT_FN(largest)(whole, score);
    if (!first && top < tile->top[i]) top = tile->top[i];
    for (int j = 0; j < whole; j++) score[j] = DT_FN(exp)(score[j] - top);
    DT_REAL total = DT_FN(sum)(whole, score);
    if (!first) {
        DT_REAL shrink = DT_FN(exp)(tile->top[i] - top), *sum = tile->sums + i * size_width;
        for (int64_t j = 0; j < size_width; j++) sum[j] *= shrink;
        total = DT_FN(fma)(tile->total[i], shrink, total);
    }
    tile->top[i] = top;
    tile->total[i] = total;
}

/* Adds the keys from `begin` to `end` to all queries of the tile. */
static void DT_FN(attend)(DT_FN(attention_tile) *tile, int64_t begin, int64_t end)
{
    const dt_attention_args *p = tile->job->p;
    dt_attention_layout layout = tile->job->layout;
    int64_t keys = end - begin, width = DT_FN(packed_width)(keys), size = p->size;
    DT_FN(pack_columns)(size, keys, tile->k + begin * tile->stride, tile->stride, tile->keys);
    DT_FN(pack_rows)(keys, size, tile->v + begin * tile->stride, tile->stride, tile->values);
    DT_FN(strided) queries = {tile->q + tile->first * tile->stride, tile->stride, 1};
    DT_FN(product)(tile->count, width, size, queries, tile->keys, tile->scores, layout.tile_width, false);
    dt_row_span seen[DT_ATTENTION_TILE];
    bool first = begin == tile->from;
    bool masked = dt_find_seen(p, tile->starts, tile->first, tile->count, begin, keys, seen);
    for (int64_t i = 0; i < tile->count; i++) DT_FN(softmax_row)(tile, i, seen[i], width, first);
    DT_FN(strided) weights = {tile->scores, layout.tile_width, 1};
    if (masked)
        DT_FN(product_spans)(seen, tile->count, DT_FN(packed_width)(size), keys, weights, tile->values, tile->sums,
                             layout.size_width, !first);
    else
        DT_FN(product)(tile->count, DT_FN(packed_width)(size), keys, weights, tile->values, tile->sums,
                       layout.size_width, !first);
}

static void DT_FN(attention_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(attention_job) *job = arg;
    const dt_attention_args *p = job->p;
    int64_t piece = task % job->tiles.count, head = task / job->tiles.count % p->heads;
    int64_t sample = task / job->tiles.count / p->heads, kv_head = head / (p->heads / p->kv_heads);
    int64_t stride = (p->heads + 2 * p->kv_heads) * p->size;
    const DT_REAL *q = (const DT_REAL *)p->qkv + sample * p->tokens * stride;
    const DT_REAL *k = q + (p->heads + kv_head) * p->size, *v = k + p->kv_heads * p->size;
    int64_t first = dt_split_begin(job->tiles, piece), last = dt_split_end(job->tiles, piece);
    const int32_t *starts = dt_attention_starts(p, sample);
    int64_t from = dt_first_key(starts, first) / job->tiles.size;
    DT_FN(attention_tile) tile = {job, q + head * p->size, k, v, starts, stride, first, last - first,
                                  dt_split_begin(job->tiles, from)};
    tile.scores = (DT_REAL *)p->scratch + worker * dt_attention_scratch(job->layout);
    tile.keys = tile.scores + job->layout.scores;
    tile.values = tile.keys + job->layout.columns;
    tile.sums = tile.values + job->layout.rows;
    for (int64_t j = from; j < job->tiles.count && (!p->causal || dt_split_begin(job->tiles, j) < last); j++)
        DT_FN(attend)(&tile, dt_split_begin(job->tiles, j), dt_split_end(job->tiles, j));
    for (int64_t i = 0; i < tile.count; i++) {
        DT_REAL *out = (DT_REAL *)p->out + ((sample * p->tokens + first + i) * p->heads + head) * p->size;
        DT_REAL *sum = tile.sums + i * job->layout.size_width, inverse = 1 / tile.total[i];
        for (int64_t j = 0; j < p->size; j++) out[j] = sum[j] * inverse;
        ((DT_REAL *)p->lse)[(sample * p->heads + head) * p->tokens + first + i] =
            tile.top[i] + DT_FN(log)(tile.total[i]);
    }
}

static void DT_FN(attention)(dt_pool *pool, const dt_attention_args *p)
{
    dt_attention_layout layout = dt_attention_layout_of(p->tokens, p->size);
    DT_FN(attention_job) job = {p, layout, dt_split_by(p->tokens, DT_ATTENTION_TILE)};
    dt_pool_run(pool, p->batch * p->heads * job.tiles.count, DT_FN(attention_task), &job);
}

#endif
