/* SwiGLU (Shazeer, "GLU variants improve transformer", 2020): y = g s u with s = 1 / (1 + exp(-g)), g the first half of
 * a row and u the second. Backward: dg = dy u s (1 + g (1 - s)), du = dy g s. One exponential an element; the roof is
 * memory: 3 elements forward, 5 backward for each of y. */
#ifndef DT_REAL

#define DT_TEMPLATE "kernels/cpu/swiglu.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(swiglu)(const dt_queue *q, dt_dtype t, int64_t rows, int64_t n, const void *x, void *y)
{
    return DT_BY_TYPE(swiglu, q->pool, rows, n, x, NULL, y);
}

dt_status DT_SET(swiglu_grad)(const dt_queue *q, dt_dtype t, int64_t rows, int64_t n, const void *x, const void *dy,
                              void *dx)
{
    return DT_BY_TYPE(swiglu, q->pool, rows, n, x, dy, dx);
}

#else

typedef struct DT_FN(swiglu_job) {
    dt_split split; /* rows */
    int64_t n;
    const DT_REAL *x, *dy;
    DT_REAL *y; /* with dy: the gradient of x */
} DT_FN(swiglu_job);

static void DT_FN(swiglu_row)(int64_t n, const DT_REAL *restrict gate, const DT_REAL *restrict up, DT_REAL *restrict y)
{
    for (int64_t i = 0; i < n; i++) y[i] = gate[i] / (1 + DT_FN(exp)(-gate[i])) * up[i];
}

/* dgate and dup may be gate and up. */
static void DT_FN(swiglu_grad_row)(int64_t n, const DT_REAL *gate, const DT_REAL *up, const DT_REAL *dy, DT_REAL *dgate,
                                   DT_REAL *dup)
{
#pragma GCC ivdep
    for (int64_t i = 0; i < n; i++) {
        DT_REAL s = 1 / (1 + DT_FN(exp)(-gate[i]));
        DT_REAL slope = up[i] * s * (1 + gate[i] * (1 - s)), value = gate[i] * s;
        dgate[i] = dy[i] * slope;
        dup[i] = dy[i] * value;
    }
}

static void DT_FN(swiglu_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(swiglu_job) *job = arg;
    int64_t n = job->n;
    for (int64_t row = dt_split_begin(job->split, task); row < dt_split_end(job->split, task); row++) {
        const DT_REAL *gate = job->x + 2 * row * n;
        DT_REAL *dx = job->y + 2 * row * n;
        if (job->dy) DT_FN(swiglu_grad_row)(n, gate, gate + n, job->dy + row * n, dx, dx + n);
        else DT_FN(swiglu_row)(n, gate, gate + n, job->y + row * n);
    }
}

static void DT_FN(swiglu)(dt_pool *pool, int64_t rows, int64_t n, const DT_REAL *x, const DT_REAL *dy, DT_REAL *y)
{
    DT_FN(swiglu_job) job = {dt_split_rows(rows, n), n, x, dy, y};
    dt_pool_run(pool, job.split.count, DT_FN(swiglu_task), &job);
}

#endif
