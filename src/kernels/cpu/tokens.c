/* Token sequences: class token and position embedding, and the mean over tokens, with their gradients. All are copies
 * with an addition: bound by memory, one pass each. */
#ifndef DT_REAL

#define DT_TEMPLATE "kernels/cpu/tokens.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(embed_tokens)(const dt_queue *q, dt_dtype t, bool wide_trunk, int64_t batch, int64_t tokens,
                               int64_t channels, const void *x, const void *cls, const void *position, void *y)
{
    return DT_BY_TYPE(embed, q->pool, batch, tokens, channels, x, cls, position, y);
}

dt_status DT_SET(embed_tokens_grad)(const dt_queue *q, dt_dtype t, bool wide_trunk, int64_t batch, int64_t tokens,
                                    int64_t channels, bool has_cls, const void *dy, void *dx, void *dcls,
                                    void *dposition, bool accumulate_cls, bool accumulate_position, void *scratch)
{
    return DT_BY_TYPE(embed_grad, q->pool, batch, tokens, channels, has_cls, dy, dx, dcls, dposition, accumulate_cls,
                      accumulate_position);
}

dt_status DT_SET(token_mean)(const dt_queue *q, dt_dtype t, int64_t batch, int64_t tokens, int64_t channels,
                             int64_t first, int64_t count, const void *x, void *y)
{
    return DT_BY_TYPE(mean, q->pool, batch, tokens, channels, first, count, x, y);
}

dt_status DT_SET(token_mean_grad)(const dt_queue *q, dt_dtype t, int64_t batch, int64_t tokens, int64_t channels,
                                  int64_t first, int64_t count, const void *dy, void *dx)
{
    return DT_BY_TYPE(mean_grad, q->pool, batch, tokens, channels, first, count, dy, dx);
}

#else

typedef struct DT_FN(embed_job) {
    int64_t batch, tokens, channels, extra; /* extra: 1 with a class token */
    const DT_REAL *x, *cls, *position;
    DT_REAL *y;
} DT_FN(embed_job);

static void DT_FN(embed_task)(void *arg, int64_t sample, int worker)
{
    const DT_FN(embed_job) *job = arg;
    int64_t n = job->tokens * job->channels, head = job->extra * job->channels;
    DT_REAL *y = job->y + sample * (head + n);
    if (head) memcpy(y, job->cls, (size_t)head * sizeof *y);
    memcpy(y + head, job->x + sample * n, (size_t)n * sizeof *y);
    if (job->position)
        for (int64_t i = 0; i < head + n; i++) y[i] += job->position[i];
}

static void DT_FN(embed)(dt_pool *pool, int64_t batch, int64_t tokens, int64_t channels, const DT_REAL *x,
                         const DT_REAL *cls, const DT_REAL *position, DT_REAL *y)
{
    DT_FN(embed_job) job = {batch, tokens, channels, cls ? 1 : 0, x, cls, position, y};
    dt_pool_run(pool, batch, DT_FN(embed_task), &job);
}

typedef struct DT_FN(embed_grad_job) {
    int64_t batch, tokens, channels, extra;
    const DT_REAL *dy;
    DT_REAL *dx, *dcls, *dposition;
    bool accumulate_cls, accumulate_position;
} DT_FN(embed_grad_job);

/* One token of all samples: its row of dposition (for the class token also dcls) and its rows of dx. */
static void DT_FN(embed_grad_task)(void *arg, int64_t token, int worker)
{
    const DT_FN(embed_grad_job) *job = arg;
    int64_t n = job->channels, row = (job->tokens + job->extra) * n;
    const DT_REAL *dy = job->dy + token * n;
    DT_REAL *dposition = job->dposition ? job->dposition + token * n : NULL;
    DT_REAL *dcls = token < job->extra ? job->dcls : NULL;
    if (dposition && !job->accumulate_position) memset(dposition, 0, (size_t)n * sizeof *dposition);
    if (dcls && !job->accumulate_cls) memset(dcls, 0, (size_t)n * sizeof *dcls);
    for (int64_t b = 0; b < job->batch; b++) {
        const DT_REAL *from = dy + b * row;
        if (dposition)
            for (int64_t j = 0; j < n; j++) dposition[j] += from[j];
        if (dcls)
            for (int64_t j = 0; j < n; j++) dcls[j] += from[j];
        if (job->dx && token >= job->extra)
            memcpy(job->dx + (b * job->tokens + token - job->extra) * n, from, (size_t)n * sizeof *from);
    }
}

static void DT_FN(embed_grad)(dt_pool *pool, int64_t batch, int64_t tokens, int64_t channels, bool has_cls,
                              const DT_REAL *dy, DT_REAL *dx, DT_REAL *dcls, DT_REAL *dposition, bool accumulate_cls,
                              bool accumulate_position)
{
    DT_FN(embed_grad_job) job = {batch, tokens, channels, has_cls ? 1 : 0, dy, dx, dcls, dposition, accumulate_cls,
                                 accumulate_position};
    dt_pool_run(pool, tokens + job.extra, DT_FN(embed_grad_task), &job);
}

typedef struct DT_FN(mean_job) {
    int64_t tokens, channels, first, count;
    const DT_REAL *from;
    DT_REAL *to;
} DT_FN(mean_job);

static void DT_FN(mean_task)(void *arg, int64_t sample, int worker)
{
    const DT_FN(mean_job) *job = arg;
    int64_t n = job->channels;
    const DT_REAL *x = job->from + (sample * job->tokens + job->first) * n;
    DT_REAL *y = job->to + sample * n, share = 1 / (DT_REAL)job->count;
    memset(y, 0, (size_t)n * sizeof *y);
    for (int64_t i = 0; i < job->count; i++)
        for (int64_t j = 0; j < n; j++) y[j] += x[i * n + j];
    for (int64_t j = 0; j < n; j++) y[j] *= share;
}

static void DT_FN(mean)(dt_pool *pool, int64_t batch, int64_t tokens, int64_t channels, int64_t first, int64_t count,
                        const DT_REAL *x, DT_REAL *y)
{
    DT_FN(mean_job) job = {tokens, channels, first, count, x, y};
    dt_pool_run(pool, batch, DT_FN(mean_task), &job);
}

static void DT_FN(mean_grad_task)(void *arg, int64_t sample, int worker)
{
    const DT_FN(mean_job) *job = arg;
    int64_t n = job->channels;
    const DT_REAL *dy = job->from + sample * n;
    DT_REAL *dx = job->to + sample * job->tokens * n, share = 1 / (DT_REAL)job->count;
    memset(dx, 0, (size_t)(job->tokens * n) * sizeof *dx);
    for (int64_t i = job->first; i < job->first + job->count; i++)
        for (int64_t j = 0; j < n; j++) dx[i * n + j] = share * dy[j];
}

static void DT_FN(mean_grad)(dt_pool *pool, int64_t batch, int64_t tokens, int64_t channels, int64_t first,
                             int64_t count, const DT_REAL *dy, DT_REAL *dx)
{
    DT_FN(mean_job) job = {tokens, channels, first, count, dy, dx};
    dt_pool_run(pool, batch, DT_FN(mean_grad_task), &job);
}

#endif
