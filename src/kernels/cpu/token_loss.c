/* Cross-entropy with one target a row: loss = sum over rows of log(sum(exp(x))) - x[target], and at once its gradient
 * softmax(x) - target, which may overwrite the scores. One exponential a score; a row is read from memory once and from
 * cache thereafter. The loss and the number of targets are partial sums per piece of rows, added in order. */
#ifndef DT_REAL

#define DT_TEMPLATE "kernels/cpu/token_loss.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(token_loss)(const dt_queue *q, dt_dtype t, const dt_token_loss_args *x)
{
    return DT_BY_TYPE(token_loss, q->pool, x);
}

#else

typedef struct DT_FN(token_loss_job) {
    const dt_token_loss_args *p;
    dt_split split; /* rows */
    double *loss, *count;
} DT_FN(token_loss_job);

/* to = exp(x - top), where wanted; returns the sum. `to` may be x. */
static DT_REAL DT_FN(exponentials)(int64_t n, const DT_REAL *x, DT_REAL top, DT_REAL *to)
{
    DT_REAL total = 0, part[256];
    for (int64_t i = 0; i < n; i += 256) {
        int64_t count = dt_min(256, n - i);
        for (int64_t j = 0; j < count; j++) part[j] = DT_FN(exp)(x[i + j] - top);
        total += DT_FN(sum)(count, part);
        if (to) memcpy(to + i, part, (size_t)count * sizeof *to);
    }
    return total;
}

/* The loss of one row. */
static double DT_FN(token_loss_row)(const dt_token_loss_args *p, const DT_REAL *x, int32_t target, DT_REAL *dx)
{
    DT_REAL hit = x[target], top = DT_FN(largest)(p->classes, x);
    DT_REAL total = DT_FN(exponentials)(p->classes, x, top, dx), share = 1 / total;
    if (dx) {
        for (int64_t j = 0; j < p->classes; j++) dx[j] *= share;
        memset(dx + p->classes, 0, (size_t)(p->width - p->classes) * sizeof *dx);
        dx[target] -= 1;
    }
    return (double)DT_FN(log)(total) + ((double)top - (double)hit);
}

static void DT_FN(token_loss_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(token_loss_job) *job = arg;
    const dt_token_loss_args *p = job->p;
    double loss = 0, count = 0;
    for (int64_t row = dt_split_begin(job->split, task); row < dt_split_end(job->split, task); row++) {
        DT_REAL *dx = p->dlogits ? (DT_REAL *)p->dlogits + row * p->width : NULL;
        if (p->targets[row] >= 0) {
            loss += DT_FN(token_loss_row)(p, (const DT_REAL *)p->logits + row * p->width, p->targets[row], dx);
            count++;
        } else if (dx) {
            memset(dx, 0, (size_t)p->width * sizeof *dx);
        }
    }
    job->loss[task] = loss;
    job->count[task] = count;
}

static void DT_FN(token_loss)(dt_pool *pool, const dt_token_loss_args *p)
{
    DT_FN(token_loss_job) job = {p, dt_split_partials(p->rows, 1), p->scratch};
    job.count = job.loss + job.split.count;
    dt_pool_run(pool, job.split.count, DT_FN(token_loss_task), &job);
    double loss = 0, count = 0;
    for (int64_t i = 0; i < job.split.count; i++) loss += job.loss[i], count += job.count[i];
    *(DT_REAL *)p->loss = (DT_REAL)loss;
    *(DT_REAL *)p->count = (DT_REAL)count;
}

#endif
