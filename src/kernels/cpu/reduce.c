/* Reductions: column sums, the sum and the sum of squares of an array. Two stages: one partial result per piece of a
 * split that depends on the shape alone, then the partial results in order. Each input is read once. */
#ifndef DT_REAL

#define DT_TEMPLATE "kernels/cpu/reduce.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(column_sum)(const dt_queue *q, dt_dtype t, int64_t rows, int64_t n, const void *x, void *y,
                             bool accumulate, void *scratch)
{
    return DT_BY_TYPE(column_sum, q->pool, rows, n, x, y, accumulate, scratch);
}

dt_status DT_SET(sum)(const dt_queue *q, dt_dtype t, int64_t n, const void *x, void *y, void *scratch)
{
    double total = DT_PICK(reduce, q->pool, n, x, false, scratch);
    if (t == DT_F64)
        *(double *)y = total;
    else
        *(float *)y = (float)total;
    return DT_OK;
}

dt_status DT_SET(square_sum)(const dt_queue *q, dt_dtype t, int64_t n, const void *x, double *out, bool accumulate,
                             void *scratch)
{
    double total = DT_PICK(reduce, q->pool, n, x, true, scratch);
    *out = accumulate ? *out + total : total;
    return DT_OK;
}

dt_status DT_SET(norm_scale)(const dt_queue *q, dt_dtype t, double clip, const double *squares, const void *count,
                             double *norm, double *scale, int32_t *finite)
{
    double samples = t == DT_F64 ? *(const double *)count : *(const float *)count;
    *norm = sqrt(*squares) / samples;
    *scale = (clip > 0 && *norm > clip ? clip / *norm : 1) / samples;
    *finite = samples > 0 && isfinite(*norm);
    return DT_OK;
}

#else

#include "kernels/cpu/column_sum.h"

typedef struct DT_FN(column_job) {
    dt_split split;
    int64_t n;
    const DT_REAL *x;
    DT_REAL *partial;
} DT_FN(column_job);

static void DT_FN(column_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(column_job) *job = arg;
    DT_REAL *partial = job->partial + task * job->n;
    memset(partial, 0, (size_t)job->n * sizeof *partial);
    for (int64_t i = dt_split_begin(job->split, task); i < dt_split_end(job->split, task); i++)
        for (int64_t j = 0; j < job->n; j++) partial[j] += job->x[i * job->n + j];
}

static void DT_FN(column_sum)(dt_pool *pool, int64_t rows, int64_t n, const DT_REAL *x, DT_REAL *y, bool accumulate,
                              DT_REAL *scratch)
{
    DT_FN(column_job) job = {dt_split_column_sum(rows), n, x, scratch};
    dt_pool_run(pool, job.split.count, DT_FN(column_task), &job);
    DT_FN(finish_columns)(pool, job.split.count, n, n, scratch, y, accumulate);
}

typedef struct DT_FN(reduce_job) {
    dt_split split;
    const DT_REAL *x;
    bool squares;
    double *partial;
} DT_FN(reduce_job);

/* A vector's lanes as doubles: the sums are in float64 for both types. */
typedef double DT_FN(wide) __attribute__((vector_size(DT_VECTOR_BYTES / sizeof(DT_REAL) * sizeof(double))));

static void DT_FN(reduce_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(reduce_job) *job = arg;
    int64_t i = dt_split_begin(job->split, task), end = dt_split_end(job->split, task);
    DT_FN(wide) lanes = {0};
    for (; i + DT_LANES <= end; i += DT_LANES) {
        DT_FN(wide) v = __builtin_convertvector(DT_FN(load)(job->x + i), DT_FN(wide));
        lanes += job->squares ? v * v : v;
    }
    double total = 0;
    for (; i < end; i++) total += job->squares ? (double)job->x[i] * job->x[i] : job->x[i];
    for (int64_t l = 0; l < DT_LANES; l++) total += lanes[l];
    job->partial[task] = total;
}

static double DT_FN(reduce)(dt_pool *pool, int64_t n, const DT_REAL *x, bool squares, double *scratch)
{
    DT_FN(reduce_job) job = {dt_split_partials(n, 4096), x, squares, scratch};
    dt_pool_run(pool, job.split.count, DT_FN(reduce_task), &job);
    double total = 0;
    for (int64_t i = 0; i < job.split.count; i++) total += scratch[i];
    return total;
}

#endif
