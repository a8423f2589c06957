/* The cases of `bench kernels` that language models alone have. */
#include <math.h>
#include <stdlib.h>

#include "cmd/bench_trial.h"

static int64_t elements(const dt_bench_trial *t) { return dt_bench_rows(t) * t->shape.channels; }
static int64_t head_size(const dt_bench_trial *t) { return t->shape.channels / t->shape.heads; }

/* --- the embedding --- */

/* The same everywhere; a linear congruential generator is good enough here. */
static dt_status write_tokens(const dt_bench_trial *t, int32_t *out, int64_t count)
{
    uint64_t seed = 1;
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        out[i] = (int32_t)((seed >> 33) % (uint64_t)t->shape.classes);
    }
    return DT_OK;
}

/* Places sorted by (token, place): of each token the places in turn. */
static dt_status write_order(const dt_bench_trial *t, int32_t *out, int64_t count)
{
    int64_t classes = t->shape.classes, at = 0;
    size_t bytes = (size_t)(2 * count + classes) * sizeof(int32_t);
    int32_t *token = malloc(bytes), *next = token + count, *first = next + count;
    if (!token) return dt_fail_memory(bytes, "the order of tokens");
    dt_status status = write_tokens(t, token, count);
    for (int64_t c = 0; c < classes; c++) first[c] = -1;
    for (int64_t i = count - 1; i >= 0; i--) next[i] = first[token[i]], first[token[i]] = (int32_t)i;
    for (int64_t c = 0; c < classes; c++)
        for (int32_t i = first[c]; i >= 0; i = next[i]) out[at++] = i;
    free(token);
    return status;
}

static void embedding(dt_bench_trial *t)
{
    int64_t count = dt_bench_rows(t), c = t->shape.channels;
    const void *table = dt_bench_in(t, t->shape.classes * c);
    const int32_t *tokens = dt_bench_numbers(t, count, write_tokens);
    void *y = dt_bench_out(t, count * c);
    if (dt_bench_work(t, 0, 2 * dt_bench_size(t) * (double)(count * c)))
        t->status = t->kernels->embedding(dt_bench_queue(t), t->type, count, c, table, tokens, y);
}

static void embedding_grad(dt_bench_trial *t)
{
    dt_embedding_grad_args p = {.count = dt_bench_rows(t), .rows = t->shape.classes, .channels = t->shape.channels};
    p.tokens = dt_bench_numbers(t, p.count, write_tokens), p.order = dt_bench_numbers(t, p.count, write_order);
    p.dy = dt_bench_in(t, p.count * p.channels), p.dtable = dt_bench_wide_out(t, p.rows * p.channels);
    p.scratch = dt_bench_scratch(t, t->kernels->embedding_grad_scratch(&t->info, t->type, p.count, p.channels));
    double read = (double)(p.count * p.channels), written = (double)(p.rows * p.channels);
    if (dt_bench_work(t, read, dt_bench_size(t) * read + dt_bench_wide_size(t) * written))
        t->status = t->kernels->embedding_grad(dt_bench_queue(t), t->type, &p);
}

/* Its learned factor. */
static void scale_by(dt_bench_trial *t)
{
    int64_t n = elements(t);
    const void *x = dt_bench_in(t, n), *by = dt_bench_wide_positive(t, 1);
    void *y = dt_bench_out(t, n);
    if (dt_bench_work(t, (double)n, 2 * dt_bench_size(t) * (double)n))
        t->status = t->kernels->scale_by(dt_bench_queue(t), t->type, n, x, by, y);
}

/* Of positive numbers: a sum that nearly cancels says nothing about its terms. */
static void scale_by_grad(dt_bench_trial *t)
{
    int64_t n = elements(t);
    const void *x = dt_bench_positive(t, n), *by = dt_bench_wide_positive(t, 1), *dy = dt_bench_positive(t, n);
    void *dx = dt_bench_out(t, n), *dby = dt_bench_wide_out(t, 1);
    void *room = dt_bench_scratch(t, t->kernels->reduce_scratch(&t->info, n));
    if (dt_bench_work(t, 3.0 * (double)n, 3 * dt_bench_size(t) * (double)n))
        t->status = t->kernels->scale_by_grad(dt_bench_queue(t), t->type, n, x, by, dy, dx, dby, false, room);
}

/* --- attention's --- */

static void rope(dt_bench_trial *t)
{
    const dt_bench_shapes *s = &t->shape;
    dt_rope_args p = {.batch = s->batch, .tokens = s->tokens, .heads = s->heads + 2 * s->kv_heads,
                      .rotated = s->heads + s->kv_heads, .size = head_size(t)};
    int64_t n = dt_bench_rows(t) * p.heads * p.size;
    for (int64_t i = 0; i < p.size / 2; i++) p.frequency[i] = pow(10000, -2.0 * (double)i / (double)p.size);
    p.x = dt_bench_in(t, n), p.y = dt_bench_out(t, n);
    if (dt_bench_work(t, 3.0 * (double)n, 2 * dt_bench_size(t) * (double)n))
        t->status = t->kernels->rope(dt_bench_queue(t), t->type, &p);
}

static dt_status write_places(const dt_bench_trial *t, int32_t *out, int64_t count)
{
    for (int64_t i = 0; i < count; i++) out[i] = (int32_t)t->shape.tokens - 1;
    return DT_OK;
}

/* One token of each text behind as many as the context has. */
static void attention_cached(dt_bench_trial *t)
{
    const dt_bench_shapes *s = &t->shape;
    int64_t size = head_size(t), kept = s->batch * s->tokens * 2 * s->kv_heads * size;
    dt_attention_cached_args p = {.batch = s->batch, .tokens = 1, .heads = s->heads, .kv_heads = s->kv_heads,
                                  .size = size, .capacity = s->tokens, .scale = 1 / sqrt((double)size)};
    p.qkv = dt_bench_in(t, s->batch * (s->heads + 2 * s->kv_heads) * size), p.cache = dt_bench_in(t, kept);
    p.position = dt_bench_numbers(t, s->batch, write_places), p.out = dt_bench_out(t, s->batch * s->channels);
    p.scratch = dt_bench_scratch(t, t->kernels->attention_cached_scratch(&t->info, t->type, &p));
    if (dt_bench_work(t, 4.0 * (double)elements(t), dt_bench_size(t) * (double)kept))
        t->status = t->kernels->attention_cached(dt_bench_queue(t), t->type, &p);
}

/* --- the feed-forward network's, and the loss --- */

static void swiglu(dt_bench_trial *t)
{
    int64_t n = dt_bench_rows(t) * t->shape.hidden;
    const void *x = dt_bench_in(t, 2 * n);
    void *y = dt_bench_out(t, n);
    if (dt_bench_work(t, 6.0 * (double)n, 3 * dt_bench_size(t) * (double)n))
        t->status = t->kernels->swiglu(dt_bench_queue(t), t->type, dt_bench_rows(t), t->shape.hidden, x, y);
}

static void swiglu_grad(dt_bench_trial *t)
{
    int64_t n = dt_bench_rows(t) * t->shape.hidden;
    const void *x = dt_bench_in(t, 2 * n), *dy = dt_bench_in(t, n);
    void *dx = dt_bench_out(t, 2 * n);
    if (dt_bench_work(t, 12.0 * (double)n, 5 * dt_bench_size(t) * (double)n))
        t->status = t->kernels->swiglu_grad(dt_bench_queue(t), t->type, dt_bench_rows(t), t->shape.hidden, x, dy, dx);
}

static void token_loss(dt_bench_trial *t)
{
    int64_t classes = t->shape.classes, width = (classes + 63) / 64 * 64;
    dt_token_loss_args p = {.rows = dt_bench_rows(t), .width = width, .classes = classes};
    int64_t n = p.rows * p.width;
    p.logits = dt_bench_in(t, n), p.targets = dt_bench_numbers(t, p.rows, write_tokens);
    p.dlogits = dt_bench_out(t, n), p.loss = dt_bench_wide_out(t, 1), p.count = dt_bench_wide_out(t, 1);
    p.scratch = dt_bench_scratch(t, 2 * t->kernels->reduce_scratch(&t->info, p.rows));
    if (dt_bench_work(t, 8.0 * (double)n, 2 * dt_bench_size(t) * (double)n))
        t->status = t->kernels->token_loss(dt_bench_queue(t), t->type, &p);
}

const dt_bench_case dt_bench_text_cases[] = {
    {"embedding", embedding, DT_BENCH_TEXT},
    {"embedding, gradient", embedding_grad, DT_BENCH_TEXT},
    {"learned factor", scale_by, DT_BENCH_TEXT},
    {"learned factor, gradient", scale_by_grad, DT_BENCH_TEXT},
    {"rotary embedding", rope, DT_BENCH_TEXT},
    {"attention to a cache", attention_cached, DT_BENCH_TEXT | DT_BENCH_HEADS},
    {"SwiGLU", swiglu, DT_BENCH_TEXT},
    {"SwiGLU, gradient", swiglu_grad, DT_BENCH_TEXT},
    {"loss of tokens, gradient", token_loss, DT_BENCH_TEXT},
    {0},
};
