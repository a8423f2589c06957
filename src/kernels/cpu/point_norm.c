/* The point-wise norms: u = alpha x + shift, y = gamma f(u) + beta, optionally of a sum (x + residual).
 *   with s = dy gamma f'(u): dx = alpha s, dalpha = sum of x s, dshift = sum of s,
 *   dgamma = sum over rows of dy f(u), dbeta = of dy
 * A kind's own code is two loops, f and (f, f') of a stretch of a row into memory that is in cache; the rest is shared.
 * All sums are kept per channel, in one partial row per piece of rows, so that the loops need no horizontal sums; those
 * of alpha and shift are added up at the end. x and dy are read from memory once. */
#ifndef DT_REAL

#define DT_TEMPLATE "kernels/cpu/point_norm.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(point_norm)(const dt_queue *q, dt_dtype t, const dt_point_norm_args *x)
{
    return DT_BY_TYPE(point_norm, q->pool, x);
}

dt_status DT_SET(point_norm_grad)(const dt_queue *q, dt_dtype t, const dt_point_norm_grad_args *x)
{
    return DT_BY_TYPE(point_norm_grad, q->pool, x);
}

#else

#define DT_POINT_FN static inline
#define DT_TANH DT_FN(tanh)
#define DT_EXP DT_FN(exp)
#define DT_ERF DT_FN(erf)
#define DT_SQRT DT_FN(sqrt)
#include "kernels/pointwise/pointwise.h"

#include "kernels/cpu/column_sum.h"
#include "kernels/cpu/norm_operand.h"

typedef struct DT_FN(point_job) {
    const dt_point_norm_args *p;
    dt_split split;
    DT_REAL alpha, shift;
} DT_FN(point_job);

/* f = f(u) and slope = f'(u) of a stretch of a row, per kind. */
#define X(kind, has_shift, flops)                                                                                     \
    static void DT_FN(kind##_values)(int64_t n, const DT_REAL *restrict x, DT_REAL alpha, DT_REAL shift,              \
                                     DT_REAL *restrict f)                                                             \
    {                                                                                                                 \
        for (int64_t j = 0; j < n; j++) f[j] = DT_FN(kind##_value)(DT_FN(fma)(alpha, x[j], shift));                   \
    }                                                                                                                 \
    static void DT_FN(kind##_slopes)(int64_t n, const DT_REAL *restrict x, DT_REAL alpha, DT_REAL shift,              \
                                     DT_REAL *restrict f, DT_REAL *restrict slope)                                    \
    {                                                                                                                 \
        for (int64_t j = 0; j < n; j++) {                                                                             \
            DT_REAL u = DT_FN(fma)(alpha, x[j], shift);                                                               \
            f[j] = DT_FN(kind##_value)(u);                                                                            \
            slope[j] = DT_FN(kind##_slope)(u, f[j]);                                                                  \
        }                                                                                                             \
    }
DT_POINTWISE_KINDS(X)
#undef X

static const struct {
    void (*values)(int64_t n, const DT_REAL *x, DT_REAL alpha, DT_REAL shift, DT_REAL *f);
    void (*slopes)(int64_t n, const DT_REAL *x, DT_REAL alpha, DT_REAL shift, DT_REAL *f, DT_REAL *slope);
} DT_FN(point_kinds)[DT_POINTWISE_COUNT] = {
#define X(kind, has_shift, flops) {DT_FN(kind##_values), DT_FN(kind##_slopes)},
    DT_POINTWISE_KINDS(X)
#undef X
};

static void DT_FN(point_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(point_job) *job = arg;
    const dt_point_norm_args *p = job->p;
    int64_t n = p->channels;
    for (int64_t row = dt_split_begin(job->split, task); row < dt_split_end(job->split, task); row++) {
        const DT_REAL *x = DT_FN(norm_operand)(row * n, n, p->x, p->residual, p->sum);
        DT_REAL *y = (DT_REAL *)p->y + row * n;
        DT_FN(point_kinds)[p->kind].values(n, x, job->alpha, job->shift, y);
        DT_FN(affine)(n, p->gamma, p->beta, y);
    }
}

static DT_REAL DT_FN(scalar_or)(const void *x, DT_REAL otherwise) { return x ? *(const DT_REAL *)x : otherwise; }

static void DT_FN(point_norm)(dt_pool *pool, const dt_point_norm_args *p)
{
    DT_FN(point_job) job = {p, dt_split_rows(p->rows, p->channels), DT_FN(scalar_or)(p->alpha, 1),
                            DT_FN(scalar_or)(p->shift, 0)};
    dt_pool_run(pool, job.split.count, DT_FN(point_task), &job);
}

typedef struct DT_FN(point_grad_job) {
    const dt_point_norm_grad_args *p;
    dt_split split;
    DT_REAL alpha, shift;
} DT_FN(point_grad_job);

#define STRETCH 256

/* `count` channels from `at` of the whole array on, which are the channels from `channel` on of a row; `sums` are the
 * four partial rows of alpha, shift, gamma, beta. dx may be dy, so it is written last. */
static void DT_FN(point_grad)(const DT_FN(point_grad_job) *job, int64_t at, int64_t channel, int64_t count,
                              DT_REAL *sums)
{
    const dt_point_norm_grad_args *p = job->p;
    const DT_REAL *x = (const DT_REAL *)p->x + at, *dy = (const DT_REAL *)p->dy + at;
    const DT_REAL *gamma = p->gamma ? (const DT_REAL *)p->gamma + channel : NULL;
    const DT_REAL *dsum = p->dsum ? (const DT_REAL *)p->dsum + at : NULL;
    DT_REAL *dx = (DT_REAL *)p->dx + at, *alpha = sums + channel, *shift = alpha + p->channels;
    DT_REAL *scale = shift + p->channels, *offset = scale + p->channels;
    DT_REAL f[STRETCH], s[STRETCH];
    DT_FN(point_kinds)[p->kind].slopes(count, x, job->alpha, job->shift, f, s);
    for (int64_t j = 0; j < count; j++) s[j] *= dy[j];
    if (gamma)
        for (int64_t j = 0; j < count; j++) s[j] *= gamma[j];
    for (int64_t j = 0; j < count; j++) scale[j] += dy[j] * f[j];
    for (int64_t j = 0; j < count; j++) offset[j] += dy[j];
    for (int64_t j = 0; j < count; j++) alpha[j] += s[j] * x[j];
    for (int64_t j = 0; j < count; j++) shift[j] += s[j];
    if (dsum)
        for (int64_t j = 0; j < count; j++) dx[j] = dsum[j] + job->alpha * s[j];
    else
        for (int64_t j = 0; j < count; j++) dx[j] = job->alpha * s[j];
}

static void DT_FN(point_grad_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(point_grad_job) *job = arg;
    int64_t n = job->p->channels;
    DT_REAL *sums = (DT_REAL *)job->p->scratch + task * 4 * n;
    memset(sums, 0, (size_t)(4 * n) * sizeof *sums);
    for (int64_t row = dt_split_begin(job->split, task); row < dt_split_end(job->split, task); row++)
        for (int64_t j = 0; j < n; j += STRETCH)
            DT_FN(point_grad)(job, row * n + j, j, dt_min(STRETCH, n - j), sums);
}

/* y (+)= the sum of all elements of partial rows that lie `stride` apart. */
static void DT_FN(finish_scalar)(int64_t pieces, int64_t n, int64_t stride, const DT_REAL *partial, DT_REAL *y,
                                 bool accumulate)
{
    double total = 0;
    for (int64_t i = 0; i < pieces; i++) total += DT_FN(sum)(n, partial + i * stride);
    *y = accumulate ? (DT_REAL)(*y + total) : (DT_REAL)total;
}

static void DT_FN(point_norm_grad)(dt_pool *pool, const dt_point_norm_grad_args *p)
{
    DT_FN(point_grad_job) job = {p, dt_split_column_sum(p->rows), DT_FN(scalar_or)(p->alpha, 1),
                                 DT_FN(scalar_or)(p->shift, 0)};
    dt_pool_run(pool, job.split.count, DT_FN(point_grad_task), &job);
    int64_t n = p->channels, pieces = job.split.count;
    const DT_REAL *sums = p->scratch;
    if (p->dalpha) DT_FN(finish_scalar)(pieces, n, 4 * n, sums, p->dalpha, p->accumulate_alpha);
    if (p->dshift) DT_FN(finish_scalar)(pieces, n, 4 * n, sums + n, p->dshift, p->accumulate_shift);
    if (p->dgamma) DT_FN(finish_columns)(pool, pieces, n, 4 * n, sums + 2 * n, p->dgamma, p->accumulate_gamma);
    if (p->dbeta) DT_FN(finish_columns)(pool, pieces, n, 4 * n, sums + 3 * n, p->dbeta, p->accumulate_beta);
}

#undef STRETCH
#undef DT_POINT_FN
#undef DT_TANH
#undef DT_EXP
#undef DT_ERF
#undef DT_SQRT

#endif
