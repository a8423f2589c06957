/* LayerNorm (Ba et al., 2016) and RMSNorm (Zhang and Sennrich, 2019) over the last dimension, optionally of a sum.
 *   forward:  y = (x - mean) rstd gamma + beta, rstd = 1 / sqrt(mean((x - mean)²) + epsilon); RMSNorm has mean 0
 *   backward: h = (x - mean) rstd, g = dy gamma: dx = rstd (g - mean(g) - h mean(g h)); RMSNorm lacks mean(g);
 *             dgamma = sum over rows of dy h, dbeta = of dy
 * A row is read from memory once and from cache thereafter. The backward pass adds dgamma and dbeta of a piece of rows
 * into one partial row each. */
#ifndef DT_REAL

#define DT_TEMPLATE "kernels/cpu/row_norm.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(row_norm)(const dt_queue *q, dt_dtype t, const dt_row_norm_args *x)
{
    return DT_BY_TYPE(row_norm, q->pool, x);
}

dt_status DT_SET(row_norm_grad)(const dt_queue *q, dt_dtype t, const dt_row_norm_grad_args *x)
{
    return DT_BY_TYPE(row_norm_grad, q->pool, x);
}

#else

#include "kernels/cpu/column_sum.h"
#include "kernels/cpu/norm_operand.h"

typedef struct DT_FN(row_job) {
    const dt_row_norm_args *x;
    dt_split split;
} DT_FN(row_job);

/* Sum of (x - mean)² over the row. */
static inline DT_REAL DT_FN(spread)(int64_t n, const DT_REAL *x, DT_REAL mean)
{
    DT_VEC part[4] = {{0}};
    int64_t i = 0;
    for (; i + 4 * DT_LANES <= n; i += 4 * DT_LANES)
        for (int l = 0; l < 4; l++) {
            DT_VEC d = DT_FN(load)(x + i + l * DT_LANES) - mean;
            part[l] = DT_FN(fma_vec)(d, d, part[l]);
        }
    DT_REAL total = DT_FN(sum_lanes)((part[0] + part[1]) + (part[2] + part[3]));
    for (; i < n; i++) total = DT_FN(fma)(x[i] - mean, x[i] - mean, total);
    return total;
}

static void DT_FN(row_norm_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(row_job) *job = arg;
    const dt_row_norm_args *p = job->x;
    int64_t n = p->channels;
    for (int64_t row = dt_split_begin(job->split, task); row < dt_split_end(job->split, task); row++) {
        const DT_REAL *x = DT_FN(norm_operand)(row * n, n, p->x, p->residual, p->sum);
        DT_REAL *y = (DT_REAL *)p->y + row * n;
        DT_REAL mean = p->center ? DT_FN(sum)(n, x) / (DT_REAL)n : 0;
        DT_REAL rstd = 1 / DT_FN(sqrt)(DT_FN(spread)(n, x, mean) / (DT_REAL)n + (DT_REAL)p->epsilon);
        for (int64_t j = 0; j < n; j++) y[j] = (x[j] - mean) * rstd;
        DT_FN(affine)(n, p->gamma, p->beta, y);
        if (p->center) ((DT_REAL *)p->mean)[row] = mean;
        ((DT_REAL *)p->rstd)[row] = rstd;
    }
}

static void DT_FN(row_norm)(dt_pool *pool, const dt_row_norm_args *x)
{
    DT_FN(row_job) job = {x, dt_split_rows(x->rows, x->channels)};
    dt_pool_run(pool, job.split.count, DT_FN(row_norm_task), &job);
}

typedef struct DT_FN(row_grad_job) {
    const dt_row_norm_grad_args *x;
    dt_split split;
} DT_FN(row_grad_job);

/* The means of g = dy gamma and of g h over a row. */
static inline void DT_FN(row_means)(int64_t n, const DT_REAL *x, const DT_REAL *dy, const DT_REAL *gamma, DT_REAL mean,
                                    DT_REAL rstd, DT_REAL *mean_g, DT_REAL *mean_gh)
{
    DT_VEC g_part[2] = {{0}}, gd_part[2] = {{0}};
    int64_t i = 0;
    for (; i + 2 * DT_LANES <= n; i += 2 * DT_LANES)
        for (int l = 0; l < 2; l++) {
            int64_t at = i + l * DT_LANES;
            DT_VEC g = gamma ? DT_FN(load)(dy + at) * DT_FN(load)(gamma + at) : DT_FN(load)(dy + at);
            g_part[l] += g;
            gd_part[l] = DT_FN(fma_vec)(g, DT_FN(load)(x + at) - mean, gd_part[l]);
        }
    DT_REAL g_sum = DT_FN(sum_lanes)(g_part[0] + g_part[1]), gd_sum = DT_FN(sum_lanes)(gd_part[0] + gd_part[1]);
    for (; i < n; i++) {
        DT_REAL g = gamma ? dy[i] * gamma[i] : dy[i];
        g_sum += g;
        gd_sum = DT_FN(fma)(g, x[i] - mean, gd_sum);
    }
    *mean_g = g_sum / (DT_REAL)n;
    *mean_gh = gd_sum * rstd / (DT_REAL)n;
}

/* dx of one row, and its part of dgamma and dbeta. */
static void DT_FN(row_grad)(const dt_row_norm_grad_args *p, int64_t row, DT_REAL *dgamma, DT_REAL *dbeta)
{
    int64_t n = p->channels;
    const DT_REAL *x = (const DT_REAL *)p->x + row * n, *dy = (const DT_REAL *)p->dy + row * n, *gamma = p->gamma;
    DT_REAL mean = p->center ? ((const DT_REAL *)p->mean)[row] : 0, rstd = ((const DT_REAL *)p->rstd)[row];
    if (p->dgamma)
        for (int64_t j = 0; j < n; j++) dgamma[j] += dy[j] * ((x[j] - mean) * rstd);
    if (p->dbeta)
        for (int64_t j = 0; j < n; j++) dbeta[j] += dy[j];
    if (!p->dx) return;
    DT_REAL mean_g, mean_gh;
    DT_FN(row_means)(n, x, dy, gamma, mean, rstd, &mean_g, &mean_gh);
    if (!p->center) mean_g = 0;
    const DT_REAL *dsum = p->dsum ? (const DT_REAL *)p->dsum + row * n : NULL;
    DT_REAL *dx = (DT_REAL *)p->dx + row * n;
    for (int64_t j = 0; j < n; j++) {
        DT_REAL g = gamma ? dy[j] * gamma[j] : dy[j], h = (x[j] - mean) * rstd;
        DT_REAL d = rstd * (g - mean_g - h * mean_gh);
        dx[j] = dsum ? dsum[j] + d : d;
    }
}

static void DT_FN(row_grad_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(row_grad_job) *job = arg;
    int64_t n = job->x->channels;
    DT_REAL *partial = (DT_REAL *)job->x->scratch + task * 2 * n;
    memset(partial, 0, (size_t)(2 * n) * sizeof *partial);
    for (int64_t row = dt_split_begin(job->split, task); row < dt_split_end(job->split, task); row++)
        DT_FN(row_grad)(job->x, row, partial, partial + n);
}

static void DT_FN(row_norm_grad)(dt_pool *pool, const dt_row_norm_grad_args *x)
{
    DT_FN(row_grad_job) job = {x, dt_split_column_sum(x->rows)};
    dt_pool_run(pool, job.split.count, DT_FN(row_grad_task), &job);
    int64_t n = x->channels;
    const DT_REAL *partial = x->scratch;
    if (x->dgamma) DT_FN(finish_columns)(pool, job.split.count, n, 2 * n, partial, x->dgamma, x->accumulate_gamma);
    if (x->dbeta) DT_FN(finish_columns)(pool, job.split.count, n, 2 * n, partial + n, x->dbeta, x->accumulate_beta);
}

#endif
