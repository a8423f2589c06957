/* Scaled dot-product attention, backward (FlashAttention-2, Dao, 2023). With P = exp(scale q k' - lse) made again from
 * the kept log-sum-exp, and delta = rowsum(dout out):
 *   dv = P' dout, dS = scale P (dout v' - delta), dq = dS k, dk = dS' q
 * A task takes a head of keys and values with all heads of queries that share it, tile of keys by tile of queries.
 * Where heads are few and tokens many, the tiles of keys (dk, dv) and of queries (dq) are tasks of their own, which
 * makes P twice; both ways add in the same order.
 * 10 tokens² size FLOPs per head, 14 in the second way. */
#ifndef DT_REAL

#include "kernels/cpu/attention_mask.h"

#define DT_TEMPLATE "kernels/cpu/attention_grad.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(attention_grad)(const dt_queue *q, dt_dtype t, const dt_attention_args *x)
{
    return DT_BY_TYPE(attention_grad, q->pool, x);
}

#else

#include "kernels/cpu/tile.h"

typedef struct DT_FN(attention_grad_job) {
    const dt_attention_args *p;
    dt_attention_layout layout;
    dt_split tiles;   /* of queries, and of keys */
    int64_t group;    /* heads of queries to one of keys and values */
    int64_t per_head; /* tasks for these: 1, or the tiles of keys and then those of queries */
} DT_FN(attention_grad_job);

/* One head of keys and values, the head of queries that is at it, and what of them is wanted. */
typedef struct DT_FN(attention_head) {
    const DT_FN(attention_grad_job) *job;
    const DT_REAL *q, *k, *v, *out, *dout, *lse; /* row 0 of the head */
    const int32_t *starts;                       /* of the sample, or NULL */
    DT_REAL *dq, *dk, *dv;                       /* dq, or dk and dv, is NULL where another task makes it */
    bool first;                                  /* the first head of queries */
    int64_t qkv_stride, out_stride;
    DT_REAL *p, *ds;                                              /* a tile of probabilities, of score gradients */
    DT_REAL *k_columns, *v_columns, *k_rows, *q_rows, *dout_rows; /* packed */
} DT_FN(attention_head);

/* p and ds of one query over `width` keys, whole vectors; those outside `seen` are masked. */
static void DT_FN(score_grad_row)(const DT_FN(attention_head) *h, int64_t query, int64_t i, dt_row_span seen,
                                  int64_t width)
{
    int64_t row = i * h->job->layout.tile_width;
    DT_REAL *restrict p = h->p + row, *restrict ds = h->ds + row;
    DT_REAL scale = (DT_REAL)h->job->p->scale, lse = h->lse[query];
    DT_REAL delta = DT_FN(dot)(h->job->p->size, h->dout + query * h->out_stride, h->out + query * h->out_stride);
    int whole = (int)(width & -DT_LANES), keys = (int)seen.end; /* it is: said for loops without a remainder */
    for (int j = 0; j < whole; j++) p[j] = j < keys ? p[j] * scale - lse : -INFINITY;
    for (int j = 0; j < (int)seen.begin; j++) p[j] = -INFINITY;
    for (int j = 0; j < whole; j++) p[j] = DT_FN(exp)(p[j]);
    for (int j = 0; j < whole; j++) ds[j] = scale * p[j] * (ds[j] - delta);
}

/* A product of the whole of a, or of what `span` leaves of it. */
static void DT_FN(add_product)(const dt_row_span *span, int64_t m, int64_t n, int64_t k, DT_FN(strided) a,
                               const DT_REAL *packed, DT_REAL *c, int64_t stride, bool add)
{
    if (span) DT_FN(product_spans)(span, m, n, k, a, packed, c, stride, add);
    else DT_FN(product)(m, n, k, a, packed, c, stride, add);
}

/* The first tile of keys that a query of tile `i` sees. */
static int64_t DT_FN(first_tile)(const DT_FN(attention_head) *h, int64_t i)
{
    return dt_first_key(h->starts, dt_split_begin(h->job->tiles, i)) / h->job->tiles.size;
}

/* The tile of queries `i` and keys `j`, whose keys and values are packed. */
static void DT_FN(score_grad)(const DT_FN(attention_head) *h, int64_t i, int64_t j)
{
    const dt_attention_args *p = h->job->p;
    dt_split tiles = h->job->tiles;
    int64_t first = dt_split_begin(tiles, i), queries = dt_split_end(tiles, i) - first;
    int64_t begin = dt_split_begin(tiles, j), keys = dt_split_end(tiles, j) - begin;
    int64_t size = p->size, stride = h->job->layout.tile_width, width = DT_FN(packed_width)(keys);
    const DT_REAL *q = h->q + first * h->qkv_stride, *dout = h->dout + first * h->out_stride;
    DT_FN(product)(queries, width, size, (DT_FN(strided)){q, h->qkv_stride, 1}, h->k_columns, h->p, stride, false);
    DT_FN(product)(queries, width, size, (DT_FN(strided)){dout, h->out_stride, 1}, h->v_columns, h->ds, stride, false);
    dt_row_span seen[DT_ATTENTION_TILE], seen_by[DT_ATTENTION_TILE];
    bool masked = dt_find_seen(p, h->starts, first, queries, begin, keys, seen);
    for (int64_t l = 0; l < queries; l++) DT_FN(score_grad_row)(h, first + l, l, seen[l], width);
    if (h->dq)
        DT_FN(add_product)(masked ? seen : NULL, queries, size, keys, (DT_FN(strided)){h->ds, stride, 1}, h->k_rows,
                           h->dq + first * h->qkv_stride, h->qkv_stride, j > DT_FN(first_tile)(h, i));
    if (!h->dk) return;
    bool add = !h->first || i > (p->causal ? j : 0);
    if (masked) dt_turn_seen(seen, queries, keys, seen_by);
    DT_FN(pack_rows)(queries, size, q, h->qkv_stride, h->q_rows);
    DT_FN(pack_rows)(queries, size, dout, h->out_stride, h->dout_rows);
    DT_FN(add_product)(masked ? seen_by : NULL, keys, size, queries, (DT_FN(strided)){h->p, 1, stride}, h->dout_rows,
                       h->dv + begin * h->qkv_stride, h->qkv_stride, add);
    DT_FN(add_product)(masked ? seen_by : NULL, keys, size, queries, (DT_FN(strided)){h->ds, 1, stride}, h->q_rows,
                       h->dk + begin * h->qkv_stride, h->qkv_stride, add);
}

static void DT_FN(pack_keys)(const DT_FN(attention_head) *h, int64_t j)
{
    int64_t begin = dt_split_begin(h->job->tiles, j), keys = dt_split_end(h->job->tiles, j) - begin;
    const DT_REAL *k = h->k + begin * h->qkv_stride, *v = h->v + begin * h->qkv_stride;
    DT_FN(pack_columns)(h->job->p->size, keys, k, h->qkv_stride, h->k_columns);
    DT_FN(pack_columns)(h->job->p->size, keys, v, h->qkv_stride, h->v_columns);
    DT_FN(pack_rows)(keys, h->job->p->size, k, h->qkv_stride, h->k_rows);
}

/* Number `number` of the heads of keys and values of all samples, with the first head of queries that shares it. */
static DT_FN(attention_head) DT_FN(find_head)(const DT_FN(attention_grad_job) *job, int64_t number, int worker)
{
    const dt_attention_args *p = job->p;
    int64_t sample = number / p->kv_heads, kv_head = number % p->kv_heads, head = kv_head * job->group;
    int64_t wide = (p->heads + 2 * p->kv_heads) * p->size, narrow = p->heads * p->size;
    int64_t q = sample * p->tokens * wide + head * p->size, out = sample * p->tokens * narrow + head * p->size;
    int64_t k = sample * p->tokens * wide + (p->heads + kv_head) * p->size, v = k + p->kv_heads * p->size;
    const DT_REAL *qkv = p->qkv;
    DT_REAL *dqkv = p->dqkv, *scratch = p->scratch;
    DT_FN(attention_head) h = {
        .job = job, .q = qkv + q, .k = qkv + k, .v = qkv + v, .out = (const DT_REAL *)p->out + out,
        .dout = (const DT_REAL *)p->dout + out, .lse = (const DT_REAL *)p->lse + number * job->group * p->tokens,
        .starts = dt_attention_starts(p, sample),
        .dq = dqkv + q, .dk = dqkv + k, .dv = dqkv + v, .first = true, .qkv_stride = wide, .out_stride = narrow};
    h.p = scratch + worker * dt_attention_grad_scratch(job->layout);
    h.ds = h.p + job->layout.scores;
    h.k_columns = h.ds + job->layout.scores;
    h.v_columns = h.k_columns + job->layout.columns;
    h.k_rows = h.v_columns + job->layout.columns;
    h.q_rows = h.k_rows + job->layout.rows;
    h.dout_rows = h.q_rows + job->layout.rows;
    return h;
}

/* The same keys and values with number `member` of the heads of queries that share them. */
static DT_FN(attention_head) DT_FN(member_of)(const DT_FN(attention_head) *h, int64_t member)
{
    int64_t step = member * h->job->p->size;
    DT_FN(attention_head) other = *h;
    other.first = member == 0;
    other.q += step;
    other.out += step;
    other.dout += step;
    other.lse += member * h->job->p->tokens;
    if (other.dq) other.dq += step;
    return other;
}

static void DT_FN(attention_grad_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(attention_grad_job) *job = arg;
    DT_FN(attention_head) h = DT_FN(find_head)(job, task / job->per_head, worker);
    int64_t count = job->tiles.count, part = task % job->per_head;
    int64_t first_key = 0, last_key = count - 1, first_query = 0, last_query = count - 1;
    if (job->per_head > 1 && part < count) {
        first_key = last_key = part;
        h.dq = NULL;
    } else if (job->per_head > 1) {
        first_query = last_query = part - count;
        h.dk = h.dv = NULL;
    }
    for (int64_t j = first_key; j <= last_key; j++) {
        DT_FN(pack_keys)(&h, j);
        int64_t from = job->p->causal ? dt_max(first_query, j) : first_query;
        for (int64_t member = 0; member < job->group; member++) {
            DT_FN(attention_head) at = DT_FN(member_of)(&h, member);
            for (int64_t i = from; i <= last_query && DT_FN(first_tile)(&at, i) <= j; i++)
                DT_FN(score_grad)(&at, i, j);
        }
    }
}

static void DT_FN(attention_grad)(dt_pool *pool, const dt_attention_args *p)
{
    DT_FN(attention_grad_job) job = {p, dt_attention_layout_of(p->tokens, p->size),
                                     dt_split_by(p->tokens, DT_ATTENTION_TILE), p->heads / p->kv_heads, 1};
    if (job.tiles.count > 1 && p->batch * p->kv_heads < 16) job.per_head = 2 * job.tiles.count;
    dt_pool_run(pool, p->batch * p->kv_heads * job.per_head, DT_FN(attention_grad_task), &job);
}

#endif
