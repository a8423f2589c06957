/* A tensor times one number that is learned: y = s x; dx = s dy, ds = sum(x dy). The sum is one partial result in
 * float64 per piece, and these in order. Each array is read or written once. */
#ifndef DT_REAL

#define DT_TEMPLATE "kernels/cpu/scale_by.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(scale_by)(const dt_queue *q, dt_dtype t, int64_t n, const void *x, const void *by, void *y)
{
    return DT_BY_TYPE(scale_by, q->pool, n, x, by, y);
}

dt_status DT_SET(scale_by_grad)(const dt_queue *q, dt_dtype t, int64_t n, const void *x, const void *by, const void *dy,
                                void *dx, void *dby, bool accumulate, void *scratch)
{
    return DT_BY_TYPE(scale_by_grad, q->pool, n, x, by, dy, dx, dby, accumulate, scratch);
}

#else

typedef struct DT_FN(scale_by_job) {
    dt_split split;
    DT_REAL by;
    const DT_REAL *x, *dy; /* forward: dy is x */
    DT_REAL *y;
    double *partial; /* NULL: no sum */
} DT_FN(scale_by_job);

static void DT_FN(scale_by_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(scale_by_job) *job = arg;
    int64_t begin = dt_split_begin(job->split, task), end = dt_split_end(job->split, task);
    double sum = 0;
    for (int64_t i = begin; job->partial && i < end; i += 1024) {
        int64_t count = dt_min(1024, end - i);
        sum += (double)DT_FN(dot)(count, job->x + i, job->dy + i);
    }
    if (job->partial) job->partial[task] = sum;
    for (int64_t i = begin; job->y && i < end; i++) job->y[i] = job->by * job->dy[i];
}

static void DT_FN(scale_by)(dt_pool *pool, int64_t n, const DT_REAL *x, const DT_REAL *by, DT_REAL *y)
{
    DT_FN(scale_by_job) job = {dt_split_elements(n), *by, NULL, x, y, NULL};
    dt_pool_run(pool, job.split.count, DT_FN(scale_by_task), &job);
}

static void DT_FN(scale_by_grad)(dt_pool *pool, int64_t n, const DT_REAL *x, const DT_REAL *by, const DT_REAL *dy,
                                 DT_REAL *dx, DT_REAL *dby, bool accumulate, double *scratch)
{
    DT_FN(scale_by_job) job = {dt_split_partials(n, DT_CHUNK), *by, x, dy, dx, dby ? scratch : NULL};
    dt_pool_run(pool, job.split.count, DT_FN(scale_by_task), &job);
    if (!dby) return;
    double sum = accumulate ? (double)*dby : 0;
    for (int64_t i = 0; i < job.split.count; i++) sum += scratch[i];
    *dby = (DT_REAL)sum;
}

#endif
