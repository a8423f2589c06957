/* Rotary position embedding: (a, b) becomes (a cos - b sin, b cos + a sin), a in the first half of a head and b in the
 * second. Reads and writes each element once. A task takes one place of all samples, or where these begin at places of
 * their own one token, and computes its angles once, in float64: place times frequency, in float32, is off by up to
 * 1e-4 at place 4096. */
#ifndef DT_REAL

#define DT_TEMPLATE "kernels/cpu/rope.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(rope)(const dt_queue *q, dt_dtype t, const dt_rope_args *x)
{
    return DT_BY_TYPE(rope, q->pool, x);
}

#else

/* The rotated heads of one token; x and y may be the same. */
static void DT_FN(rotate)(const dt_rope_args *p, const DT_REAL *cosine, const DT_REAL *sine, const DT_REAL *x,
                          DT_REAL *y)
{
    int64_t half = p->size / 2;
    for (int64_t head = 0; head < p->rotated; head++, x += p->size, y += p->size)
        for (int64_t i = 0; i < half; i++) {
            DT_REAL a = x[i], b = x[i + half];
            y[i] = a * cosine[i] - b * sine[i];
            y[i + half] = b * cosine[i] + a * sine[i];
        }
}

/* Token `token` of the samples from `first` to before `last`, which stands at `place` in each. */
static void DT_FN(rotate_samples)(const dt_rope_args *p, int64_t first, int64_t last, int64_t token, int64_t place)
{
    int64_t width = p->heads * p->size, turned = p->rotated * p->size;
    DT_REAL cosine[DT_ROPE_MOST / 2], sine[DT_ROPE_MOST / 2];
    for (int64_t i = 0; i < p->size / 2; i++) {
        cosine[i] = (DT_REAL)cos((double)place * p->frequency[i]);
        sine[i] = (DT_REAL)sin((double)place * p->frequency[i]);
    }
    for (int64_t sample = first; sample < last; sample++) {
        int64_t at = (sample * p->tokens + token) * width;
        const DT_REAL *x = (const DT_REAL *)p->x + at;
        DT_REAL *y = (DT_REAL *)p->y + at;
        DT_FN(rotate)(p, cosine, sine, x, y);
        if (x != y) memcpy(y + turned, x + turned, (size_t)(width - turned) * sizeof *y);
    }
}

static void DT_FN(rope_task)(void *arg, int64_t token, int worker)
{
    const dt_rope_args *p = arg;
    DT_FN(rotate_samples)(p, 0, p->batch, token, token);
}

static void DT_FN(rope_from_task)(void *arg, int64_t task, int worker)
{
    const dt_rope_args *p = arg;
    int64_t sample = task / p->tokens, token = task % p->tokens;
    DT_FN(rotate_samples)(p, sample, sample + 1, token, p->position[sample] + token);
}

static void DT_FN(rope)(dt_pool *pool, const dt_rope_args *p)
{
    if (p->position) dt_pool_run(pool, p->batch * p->tokens, DT_FN(rope_from_task), (void *)p);
    else dt_pool_run(pool, p->tokens, DT_FN(rope_task), (void *)p);
}

#endif
