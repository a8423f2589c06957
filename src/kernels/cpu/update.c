/* Parameter updates over the spans of a flat buffer: AdamW (Loshchilov and Hutter, 2019), SGD with momentum, and the
 * exponential moving average. One pass over all arrays; nothing is written where *finite is 0. The arithmetic and its
 * order are those of PyTorch's optimizers. */
#ifndef DT_REAL

#define DT_TEMPLATE "kernels/cpu/update.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(adamw)(const dt_queue *q, dt_dtype t, const dt_update_args *x)
{
    return DT_BY_TYPE(adamw, q->pool, x);
}

dt_status DT_SET(sgd)(const dt_queue *q, dt_dtype t, const dt_update_args *x) { return DT_BY_TYPE(sgd, q->pool, x); }

dt_status DT_SET(ema)(const dt_queue *q, dt_dtype t, int64_t n, double decay, const int32_t *finite, const void *value,
                      void *average)
{
    return *finite ? DT_BY_TYPE(ema, q->pool, n, decay, value, average) : DT_OK;
}

#else

typedef struct DT_FN(update_job) {
    dt_split split;
    const dt_update_args *u;
    void (*update)(const dt_update_args *, const dt_segment_span *, int64_t begin, int64_t end);
} DT_FN(update_job);

/* The first span that ends after `begin`: spans are in ascending order. */
static int64_t DT_FN(first_span)(const dt_update_args *u, int64_t begin)
{
    int64_t low = 0, high = u->span_count;
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if (u->spans[middle].offset + u->spans[middle].count <= begin)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void DT_FN(update_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(update_job) *job = arg;
    int64_t begin = dt_split_begin(job->split, task), end = dt_split_end(job->split, task);
    for (int64_t i = DT_FN(first_span)(job->u, begin); i < job->u->span_count; i++) {
        const dt_segment_span *span = &job->u->spans[i];
        if (span->offset >= end) break;
        if (span->frozen) continue;
        job->update(job->u, span, dt_max(begin, span->offset), dt_min(end, span->offset + span->count));
    }
}

static void DT_FN(run_update)(dt_pool *pool, const dt_update_args *u,
                              void (*update)(const dt_update_args *, const dt_segment_span *, int64_t, int64_t))
{
    if (!*u->finite) return;
    DT_FN(update_job) job = {dt_split_elements(u->count), u, update};
    dt_pool_run(pool, job.split.count, DT_FN(update_task), &job);
}

/* m = beta1 m + (1 - beta1) g, v = beta2 v + (1 - beta2) g²,
 * value = (1 - lr decay) value - lr m / correction1 / (sqrt(v / correction2) + epsilon) */
static void DT_FN(adamw_span)(const dt_update_args *u, const dt_segment_span *span, int64_t begin, int64_t end)
{
    double lr = *u->lr * (double)span->lr_scale;
    DT_REAL keep = (DT_REAL)(1 - lr * u->weight_decay * (double)span->decay), scale = (DT_REAL)*u->scale;
    DT_REAL step = (DT_REAL)(lr / *u->correction1), root = (DT_REAL)sqrt(*u->correction2);
    DT_REAL beta1 = (DT_REAL)u->beta1, rest1 = (DT_REAL)(1 - u->beta1);
    DT_REAL beta2 = (DT_REAL)u->beta2, rest2 = (DT_REAL)(1 - u->beta2), epsilon = (DT_REAL)u->epsilon;
    const DT_REAL *restrict grad = u->grad;
    DT_REAL *restrict value = u->value, *restrict moment1 = u->moment1, *restrict moment2 = u->moment2;
    for (int64_t i = begin; i < end; i++) {
        DT_REAL g = grad[i] * scale;
        DT_REAL m = beta1 * moment1[i] + rest1 * g, v = beta2 * moment2[i] + rest2 * g * g;
        moment1[i] = m;
        moment2[i] = v;
        value[i] = value[i] * keep - step * m / (DT_FN(sqrt)(v) / root + epsilon);
    }
}

static void DT_FN(adamw)(dt_pool *pool, const dt_update_args *u) { DT_FN(run_update)(pool, u, DT_FN(adamw_span)); }

/* g += decay value; m = momentum m + g; value -= lr (nesterov ? g + momentum m : m) */
static void DT_FN(sgd_span)(const dt_update_args *u, const dt_segment_span *span, int64_t begin, int64_t end)
{
    DT_REAL lr = (DT_REAL)(*u->lr * (double)span->lr_scale), scale = (DT_REAL)*u->scale;
    DT_REAL decay = (DT_REAL)(u->weight_decay * (double)span->decay), momentum = (DT_REAL)u->beta1;
    const DT_REAL *restrict grad = u->grad;
    DT_REAL *restrict value = u->value, *restrict moment = u->moment1;
    for (int64_t i = begin; i < end; i++) {
        DT_REAL g = grad[i] * scale + decay * value[i];
        DT_REAL m = momentum * moment[i] + g;
        moment[i] = m;
        value[i] -= lr * (u->nesterov ? g + momentum * m : m);
    }
}

static void DT_FN(sgd)(dt_pool *pool, const dt_update_args *u) { DT_FN(run_update)(pool, u, DT_FN(sgd_span)); }

typedef struct DT_FN(ema_job) {
    dt_split split;
    DT_REAL rest;
    const DT_REAL *value;
    DT_REAL *average;
} DT_FN(ema_job);

static void DT_FN(ema_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(ema_job) *job = arg;
    const DT_REAL *restrict value = job->value;
    DT_REAL *restrict average = job->average, rest = job->rest;
    for (int64_t i = dt_split_begin(job->split, task); i < dt_split_end(job->split, task); i++)
        average[i] += rest * (value[i] - average[i]);
}

static void DT_FN(ema)(dt_pool *pool, int64_t n, double decay, const DT_REAL *value, DT_REAL *average)
{
    DT_FN(ema_job) job = {dt_split_elements(n), (DT_REAL)(1 - decay), value, average};
    dt_pool_run(pool, job.split.count, DT_FN(ema_task), &job);
}

#endif
