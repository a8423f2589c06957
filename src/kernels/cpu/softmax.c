/* Log-softmax, cross-entropy with soft targets and sample weights, and the two in one.
 * A row is read from memory once and from cache thereafter; a loss is one partial sum in float64 per piece of rows,
 * and these are added in order. */
#ifndef DT_REAL

#define DT_TEMPLATE "kernels/cpu/softmax.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(log_softmax)(const dt_queue *q, dt_dtype t, int64_t rows, int64_t classes, const void *x, void *y)
{
    return DT_BY_TYPE(log_softmax, q->pool, rows, classes, x, y);
}

dt_status DT_SET(log_softmax_grad)(const dt_queue *q, dt_dtype t, int64_t rows, int64_t classes, const void *y,
                                   const void *dy, void *dx)
{
    return DT_BY_TYPE(log_softmax_grad, q->pool, rows, classes, y, dy, dx);
}

dt_status DT_SET(cross_entropy)(const dt_queue *q, dt_dtype t, int64_t rows, int64_t classes, const void *logp,
                                const void *target, const void *weight, void *loss, void *scratch)
{
    return DT_BY_TYPE(cross_entropy, q->pool, rows, classes, logp, target, weight, loss, scratch);
}

dt_status DT_SET(cross_entropy_grad)(const dt_queue *q, dt_dtype t, int64_t rows, int64_t classes, const void *target,
                                     const void *weight, const void *dloss, void *dlogp)
{
    return DT_BY_TYPE(cross_entropy_grad, q->pool, rows, classes, target, weight, dloss, dlogp);
}

dt_status DT_SET(softmax_xent)(const dt_queue *q, dt_dtype t, int64_t rows, int64_t classes, const void *x,
                               const void *target, const void *weight, void *prob, void *loss, void *scratch)
{
    return DT_BY_TYPE(softmax_xent, q->pool, rows, classes, x, target, weight, prob, loss, scratch);
}

dt_status DT_SET(softmax_xent_grad)(const dt_queue *q, dt_dtype t, int64_t rows, int64_t classes, const void *prob,
                                    const void *target, const void *weight, const void *dloss, void *dx)
{
    return DT_BY_TYPE(softmax_xent_grad, q->pool, rows, classes, prob, target, weight, dloss, dx);
}

#else

/* The arrays of one kernel; those that it does not have are NULL. */
typedef struct DT_FN(class_job) {
    dt_split split; /* rows */
    int64_t classes;
    const DT_REAL *x, *target, *weight; /* x: scores, log-probabilities or probabilities */
    const DT_REAL *dy, *dloss;
    DT_REAL *y;
    double *partial; /* of the loss, one per piece of rows */
} DT_FN(class_job);

/* Sum of exp(x - top), in stretches whose exponentials vectorize. */
static DT_REAL DT_FN(sum_exp)(int64_t n, const DT_REAL *x, DT_REAL top)
{
    DT_REAL total = 0, part[256];
    for (int64_t i = 0; i < n; i += 256) {
        int64_t count = dt_min(256, n - i);
        for (int64_t j = 0; j < count; j++) part[j] = DT_FN(exp)(x[i + j] - top);
        total += DT_FN(sum)(count, part);
    }
    return total;
}

/* y = x - log(sum(exp(x))); y may be x. */
static void DT_FN(log_softmax_row)(int64_t n, const DT_REAL *x, DT_REAL *y)
{
    DT_REAL top = DT_FN(largest)(n, x), total = DT_FN(sum_exp)(n, x, top);
    DT_REAL log_total = DT_FN(log)(total);
    for (int64_t j = 0; j < n; j++) y[j] = (x[j] - top) - log_total;
}

static void DT_FN(log_softmax_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(class_job) *job = arg;
    int64_t n = job->classes;
    for (int64_t row = dt_split_begin(job->split, task); row < dt_split_end(job->split, task); row++)
        DT_FN(log_softmax_row)(n, job->x + row * n, job->y + row * n);
}

static void DT_FN(log_softmax)(dt_pool *pool, int64_t rows, int64_t classes, const DT_REAL *x, DT_REAL *y)
{
    DT_FN(class_job) job = {.split = dt_split_rows(rows, classes), .classes = classes, .x = x, .y = y};
    dt_pool_run(pool, job.split.count, DT_FN(log_softmax_task), &job);
}

static void DT_FN(log_softmax_grad_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(class_job) *job = arg;
    int64_t n = job->classes;
    for (int64_t row = dt_split_begin(job->split, task); row < dt_split_end(job->split, task); row++) {
        const DT_REAL *logp = job->x + row * n, *dy = job->dy + row * n;
        DT_REAL *dx = job->y + row * n, total = DT_FN(sum)(n, dy);
        for (int64_t j = 0; j < n; j++) dx[j] = dy[j] - DT_FN(exp)(logp[j]) * total;
    }
}

static void DT_FN(log_softmax_grad)(dt_pool *pool, int64_t rows, int64_t classes, const DT_REAL *y, const DT_REAL *dy,
                                    DT_REAL *dx)
{
    DT_FN(class_job) job = {.split = dt_split_rows(rows, classes), .classes = classes, .x = y, .dy = dy, .y = dx};
    dt_pool_run(pool, job.split.count, DT_FN(log_softmax_grad_task), &job);
}

static void DT_FN(cross_entropy_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(class_job) *job = arg;
    int64_t n = job->classes;
    double total = 0;
    for (int64_t row = dt_split_begin(job->split, task); row < dt_split_end(job->split, task); row++)
        total -= (double)job->weight[row] * DT_FN(dot)(n, job->target + row * n, job->x + row * n);
    job->partial[task] = total;
}

static DT_REAL DT_FN(add_partials)(const DT_FN(class_job) *job)
{
    double total = 0;
    for (int64_t i = 0; i < job->split.count; i++) total += job->partial[i];
    return (DT_REAL)total;
}

static void DT_FN(cross_entropy)(dt_pool *pool, int64_t rows, int64_t classes, const DT_REAL *logp,
                                 const DT_REAL *target, const DT_REAL *weight, DT_REAL *loss, double *scratch)
{
    DT_FN(class_job) job = {.split = dt_split_partials(rows, 1), .classes = classes, .x = logp, .target = target,
                            .weight = weight, .partial = scratch};
    dt_pool_run(pool, job.split.count, DT_FN(cross_entropy_task), &job);
    *loss = DT_FN(add_partials)(&job);
}

static void DT_FN(cross_entropy_grad_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(class_job) *job = arg;
    int64_t n = job->classes;
    for (int64_t row = dt_split_begin(job->split, task); row < dt_split_end(job->split, task); row++) {
        const DT_REAL *target = job->target + row * n;
        DT_REAL *dlogp = job->y + row * n, scale = -*job->dloss * job->weight[row];
        for (int64_t j = 0; j < n; j++) dlogp[j] = scale * target[j];
    }
}

static void DT_FN(cross_entropy_grad)(dt_pool *pool, int64_t rows, int64_t classes, const DT_REAL *target,
                                      const DT_REAL *weight, const DT_REAL *dloss, DT_REAL *dlogp)
{
    DT_FN(class_job) job = {.split = dt_split_rows(rows, classes), .classes = classes, .target = target,
                            .weight = weight, .dloss = dloss, .y = dlogp};
    dt_pool_run(pool, job.split.count, DT_FN(cross_entropy_grad_task), &job);
}

/* prob = softmax(x); returns -sum(target log(prob)) = sum(target) log(sum(exp(x - top))) - sum(target (x - top)). */
static double DT_FN(softmax_xent_row)(int64_t n, const DT_REAL *x, const DT_REAL *target, DT_REAL *prob)
{
    DT_REAL top = DT_FN(largest)(n, x);
    for (int64_t j = 0; j < n; j++) prob[j] = x[j] - top;
    DT_REAL hit = DT_FN(dot)(n, target, prob);
    for (int64_t j = 0; j < n; j++) prob[j] = DT_FN(exp)(prob[j]);
    DT_REAL total = DT_FN(sum)(n, prob), inverse = 1 / total;
    for (int64_t j = 0; j < n; j++) prob[j] *= inverse;
    return (double)DT_FN(sum)(n, target) * DT_FN(log)(total) - hit;
}

static void DT_FN(softmax_xent_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(class_job) *job = arg;
    int64_t n = job->classes;
    double total = 0;
    for (int64_t row = dt_split_begin(job->split, task); row < dt_split_end(job->split, task); row++)
        total += (double)job->weight[row] *
                 DT_FN(softmax_xent_row)(n, job->x + row * n, job->target + row * n, job->y + row * n);
    job->partial[task] = total;
}

static void DT_FN(softmax_xent)(dt_pool *pool, int64_t rows, int64_t classes, const DT_REAL *x, const DT_REAL *target,
                                const DT_REAL *weight, DT_REAL *prob, DT_REAL *loss, double *scratch)
{
    DT_FN(class_job) job = {.split = dt_split_partials(rows, 1), .classes = classes, .x = x, .target = target,
                            .weight = weight, .y = prob, .partial = scratch};
    dt_pool_run(pool, job.split.count, DT_FN(softmax_xent_task), &job);
    *loss = DT_FN(add_partials)(&job);
}

static void DT_FN(softmax_xent_grad_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(class_job) *job = arg;
    int64_t n = job->classes;
    for (int64_t row = dt_split_begin(job->split, task); row < dt_split_end(job->split, task); row++) {
        const DT_REAL *prob = job->x + row * n, *target = job->target + row * n;
        DT_REAL *dx = job->y + row * n, scale = *job->dloss * job->weight[row], total = DT_FN(sum)(n, target);
        for (int64_t j = 0; j < n; j++) dx[j] = scale * (prob[j] * total - target[j]);
    }
}

static void DT_FN(softmax_xent_grad)(dt_pool *pool, int64_t rows, int64_t classes, const DT_REAL *prob,
                                     const DT_REAL *target, const DT_REAL *weight, const DT_REAL *dloss, DT_REAL *dx)
{
    DT_FN(class_job) job = {.split = dt_split_rows(rows, classes), .classes = classes, .x = prob, .target = target,
                            .weight = weight, .dloss = dloss, .y = dx};
    dt_pool_run(pool, job.split.count, DT_FN(softmax_xent_grad_task), &job);
}

#endif
