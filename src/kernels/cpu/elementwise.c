/* Element-wise kernels: add, scale, fill, copy, cast, activations. Each reads its inputs once and writes its output
 * once; the roof is memory bandwidth, but for the activations of arrays that are in cache. */
#ifndef DT_REAL

#include <assert.h>

#define DT_TEMPLATE "kernels/cpu/elementwise.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(add)(const dt_queue *q, dt_dtype t, bool wide_trunk, int64_t n, const void *a, const void *b,
                      void *y)
{
    return DT_BY_TYPE(add, q->pool, n, a, b, y);
}

dt_status DT_SET(scale)(const dt_queue *q, dt_dtype t, int64_t n, double by, const void *x, void *y)
{
    return DT_BY_TYPE(scale, q->pool, n, by, x, y);
}

dt_status DT_SET(fill)(const dt_queue *q, dt_dtype t, int64_t n, double value, void *y)
{
    return DT_BY_TYPE(fill, n, value, y);
}

dt_status DT_SET(gelu)(const dt_queue *q, dt_dtype t, dt_activation act, int64_t n, const void *x, void *y)
{
    return DT_BY_TYPE(run_activation, q->pool, act, n, x, NULL, y);
}

dt_status DT_SET(gelu_grad)(const dt_queue *q, dt_dtype t, dt_activation act, int64_t n, const void *x, const void *dy,
                            void *dx)
{
    return DT_BY_TYPE(run_activation, q->pool, act, n, x, dy, dx);
}

typedef struct move_job {
    dt_split split;
    dt_dtype from, to;
    const void *x;
    void *y;
} move_job;

static void copy_task(void *arg, int64_t task, int worker)
{
    const move_job *job = arg;
    int64_t begin = dt_split_begin(job->split, task);
    memcpy((char *)job->y + begin, (const char *)job->x + begin, (size_t)(dt_split_end(job->split, task) - begin));
}

dt_status DT_SET(copy)(const dt_queue *q, int64_t bytes, const void *x, void *y)
{
    move_job job = {dt_split_by(bytes, 4 * DT_CHUNK), DT_U8, DT_U8, x, y};
    dt_pool_run(q->pool, job.split.count, copy_task, &job);
    return DT_OK;
}

#define CAST_LOOP(to_type, from_type) \
    for (int64_t i = begin; i < end; i++) ((to_type *)job->y)[i] = (to_type)((const from_type *)job->x)[i]

#define CAST_FROM(from_type)                                \
    switch (job->to) {                                      \
    case DT_F32: CAST_LOOP(float, from_type); break;        \
    case DT_F64: CAST_LOOP(double, from_type); break;       \
    case DT_I32: CAST_LOOP(int32_t, from_type); break;      \
    case DT_U8: CAST_LOOP(uint8_t, from_type); break;       \
    default: assert(!"no kernel casts to this type");       \
    }

static void cast_task(void *arg, int64_t task, int worker)
{
    const move_job *job = arg;
    int64_t begin = dt_split_begin(job->split, task), end = dt_split_end(job->split, task);
    switch (job->from) {
    case DT_F32: CAST_FROM(float); break;
    case DT_F64: CAST_FROM(double); break;
    case DT_I32: CAST_FROM(int32_t); break;
    case DT_U8: CAST_FROM(uint8_t); break;
    default: assert(!"no kernel casts from this type");
    }
}

dt_status DT_SET(cast)(const dt_queue *q, dt_dtype from, dt_dtype to, int64_t n, const void *x, void *y)
{
    move_job job = {dt_split_elements(n), from, to, x, y};
    dt_pool_run(q->pool, job.split.count, cast_task, &job);
    return DT_OK;
}

#else

#include "kernels/cpu/gelu.h"

typedef struct DT_FN(element_job) {
    dt_split split;
    dt_activation act;
    DT_REAL by;
    const DT_REAL *a, *b;
    DT_REAL *y;
} DT_FN(element_job);

static void DT_FN(add_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(element_job) *job = arg;
    int64_t end = dt_split_end(job->split, task);
    for (int64_t i = dt_split_begin(job->split, task); i < end; i++) job->y[i] = job->a[i] + job->b[i];
}

static void DT_FN(add)(dt_pool *pool, int64_t n, const DT_REAL *a, const DT_REAL *b, DT_REAL *y)
{
    DT_FN(element_job) job = {dt_split_elements(n), DT_ACT_NONE, 0, a, b, y};
    dt_pool_run(pool, job.split.count, DT_FN(add_task), &job);
}

static void DT_FN(scale_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(element_job) *job = arg;
    int64_t end = dt_split_end(job->split, task);
    for (int64_t i = dt_split_begin(job->split, task); i < end; i++) job->y[i] = job->by * job->a[i];
}

static void DT_FN(scale)(dt_pool *pool, int64_t n, double by, const DT_REAL *x, DT_REAL *y)
{
    DT_FN(element_job) job = {dt_split_elements(n), DT_ACT_NONE, (DT_REAL)by, x, NULL, y};
    dt_pool_run(pool, job.split.count, DT_FN(scale_task), &job);
}

/* One thread: what is filled is a loss's gradient or a vector of ones. */
static void DT_FN(fill)(int64_t n, double value, DT_REAL *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = (DT_REAL)value;
}

static void DT_FN(activation_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(element_job) *job = arg;
    int64_t begin = dt_split_begin(job->split, task), count = dt_split_end(job->split, task) - begin;
    if (job->b)
        DT_FN(activate_grad)(job->act, count, job->a + begin, job->b + begin, job->y + begin);
    else
        DT_FN(activate)(job->act, count, job->a + begin, job->y + begin);
}

/* y = act(x), or with dy: y = dy act'(x) */
static void DT_FN(run_activation)(dt_pool *pool, dt_activation act, int64_t n, const DT_REAL *x, const DT_REAL *dy,
                                  DT_REAL *y)
{
    DT_FN(element_job) job = {dt_split_elements(n), act, 0, x, dy, y};
    dt_pool_run(pool, job.split.count, DT_FN(activation_task), &job);
}

#endif
