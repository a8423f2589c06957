/* Attention of new tokens over a cache of keys and values and over themselves, and adding to the cache. A task takes
 * one query of one head: all its scores, their softmax, the weighted sum of the values. 4 size FLOPs for each key that
 * a query sees; keys and values are read once for each head, of which those that share them run behind one another. */
#ifndef DT_REAL

#define DT_TEMPLATE "kernels/cpu/attention_cached.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(attention_cached)(const dt_queue *q, dt_dtype t, const dt_attention_cached_args *x)
{
    return DT_BY_TYPE(attention_cached, q->pool, x);
}

dt_status DT_SET(cache_append)(const dt_queue *q, dt_dtype t, const dt_cache_append_args *x)
{
    size_t element = dt_dtype_size(t), bytes = (size_t)x->width * element;
    for (int64_t row = 0; row < x->batch * x->tokens; row++) {
        int64_t sample = row / x->tokens, place = x->position[sample] + row % x->tokens;
        if (place < 0 || place >= x->capacity) continue;
        const char *from = (const char *)x->x + (size_t)((row + 1) * x->packed - x->width) * element;
        memcpy((char *)x->cache + (size_t)(sample * x->capacity + place) * bytes, from, bytes);
    }
    return DT_OK;
}

#else

/* Rows of keys, or of values, `stride` apart. */
typedef struct DT_FN(kept_rows) {
    const DT_REAL *keys, *values;
    int64_t stride, count;
} DT_FN(kept_rows);

static void DT_FN(score)(const dt_attention_cached_args *p, DT_FN(kept_rows) rows, const DT_REAL *query,
                         DT_REAL *scores)
{
    for (int64_t j = 0; j < rows.count; j++)
        scores[j] = (DT_REAL)p->scale * DT_FN(dot)(p->size, query, rows.keys + j * rows.stride);
}

static void DT_FN(weigh)(const dt_attention_cached_args *p, DT_FN(kept_rows) rows, const DT_REAL *weights,
                         DT_REAL *restrict out)
{
    for (int64_t j = 0; j < rows.count; j++) {
        const DT_REAL *value = rows.values + j * rows.stride;
        for (int64_t d = 0; d < p->size; d++) out[d] = DT_FN(fma)(weights[j], value[d], out[d]);
    }
}

static void DT_FN(attention_cached_task)(void *arg, int64_t task, int worker)
{
    const dt_attention_cached_args *p = arg;
    int64_t head = task % p->heads, token = task / p->heads % p->tokens, sample = task / p->heads / p->tokens;
    int64_t kv_head = head / (p->heads / p->kv_heads), values = p->kv_heads * p->size, width = 2 * values;
    int64_t packed = p->heads * p->size + width, past = dt_max(0, dt_min(p->position[sample], p->capacity));
    const DT_REAL *qkv = (const DT_REAL *)p->qkv + sample * p->tokens * packed;
    const DT_REAL *query = qkv + token * packed + head * p->size;
    const DT_REAL *kept = (const DT_REAL *)p->cache + sample * p->capacity * width + kv_head * p->size;
    const DT_REAL *fresh = qkv + (p->heads + kv_head) * p->size;
    const DT_FN(kept_rows) old = {kept, kept + values, width, past}, new = {fresh, fresh + values, packed, token + 1};
    int64_t keys = old.count + new.count;
    DT_REAL *scores = (DT_REAL *)p->scratch + worker * (p->capacity + p->tokens);
    DT_REAL *out = (DT_REAL *)p->out + task * p->size;
    DT_FN(score)(p, old, query, scores);
    DT_FN(score)(p, new, query, scores + past);
    DT_REAL top = DT_FN(largest)(keys, scores);
    for (int64_t j = 0; j < keys; j++) scores[j] = DT_FN(exp)(scores[j] - top);
    DT_REAL inverse = 1 / DT_FN(sum)(keys, scores);
    for (int64_t d = 0; d < p->size; d++) out[d] = 0;
    DT_FN(weigh)(p, old, scores, out);
    DT_FN(weigh)(p, new, scores + past, out);
    for (int64_t d = 0; d < p->size; d++) out[d] *= inverse;
}

static void DT_FN(attention_cached)(dt_pool *pool, const dt_attention_cached_args *p)
{
    dt_pool_run(pool, p->batch * p->tokens * p->heads, DT_FN(attention_cached_task), (void *)p);
}

#endif
