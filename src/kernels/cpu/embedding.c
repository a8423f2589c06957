/* Rows of a table by number, and the gradient of the table: copies and additions of whole rows, bound by memory.
 *
 * The gradient walks the tokens in sorted order, where the places of one token stand together as a run. A task takes
 * the runs that begin in its piece of the order, whole, and some channels; so each row of the table has one writer and
 * one order of addition. */
#ifndef DT_REAL

#define DT_TEMPLATE "kernels/cpu/embedding.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(embedding)(const dt_queue *q, dt_dtype t, int64_t count, int64_t channels, const void *table,
                            const int32_t *tokens, void *y)
{
    return DT_BY_TYPE(embedding, q->pool, count, channels, table, tokens, y);
}

dt_status DT_SET(embedding_grad)(const dt_queue *q, dt_dtype t, const dt_embedding_grad_args *x)
{
    return DT_BY_TYPE(embedding_grad, q->pool, x);
}

#else

typedef struct DT_FN(embedding_job) {
    dt_split split; /* tokens */
    int64_t channels;
    const DT_REAL *table;
    const int32_t *tokens;
    DT_REAL *y;
} DT_FN(embedding_job);

static void DT_FN(embedding_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(embedding_job) *job = arg;
    int64_t n = job->channels;
    for (int64_t i = dt_split_begin(job->split, task); i < dt_split_end(job->split, task); i++)
        memcpy(job->y + i * n, job->table + job->tokens[i] * n, (size_t)n * sizeof *job->y);
}

static void DT_FN(embedding)(dt_pool *pool, int64_t count, int64_t channels, const DT_REAL *table,
                             const int32_t *tokens, DT_REAL *y)
{
    DT_FN(embedding_job) job = {dt_split_rows(count, channels), channels, table, tokens, y};
    dt_pool_run(pool, job.split.count, DT_FN(embedding_task), &job);
}

enum { DT_FN(EMBEDDING_PLACES) = 512, DT_FN(EMBEDDING_CHANNELS) = 128 }; /* of a task */

typedef struct DT_FN(embedding_grad_job) {
    const dt_embedding_grad_args *p;
    dt_split rows; /* of the table, to clear */
    dt_split places, channels;
} DT_FN(embedding_grad_job);

static void DT_FN(embedding_clear_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(embedding_grad_job) *job = arg;
    int64_t n = job->p->channels, first = dt_split_begin(job->rows, task), end = dt_split_end(job->rows, task);
    memset((DT_REAL *)job->p->dtable + first * n, 0, (size_t)((end - first) * n) * sizeof(DT_REAL));
}

/* Adds the run that begins at place `i` of the order; returns where the next one begins. */
static int64_t DT_FN(add_run)(const dt_embedding_grad_args *p, int64_t i, int64_t first, int64_t count)
{
    int32_t token = p->tokens[p->order[i]];
    DT_REAL *restrict to = (DT_REAL *)p->dtable + token * p->channels + first;
    for (; i < p->count && p->tokens[p->order[i]] == token; i++) {
        const DT_REAL *from = (const DT_REAL *)p->dy + p->order[i] * p->channels + first;
        for (int64_t j = 0; j < count; j++) to[j] += from[j];
    }
    return i;
}

static void DT_FN(embedding_grad_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(embedding_grad_job) *job = arg;
    const dt_embedding_grad_args *p = job->p;
    int64_t piece = task / job->channels.count, block = task % job->channels.count;
    int64_t i = dt_split_begin(job->places, piece), end = dt_split_end(job->places, piece);
    int64_t first = dt_split_begin(job->channels, block), count = dt_split_end(job->channels, block) - first;
    while (i > 0 && i < end && p->tokens[p->order[i]] == p->tokens[p->order[i - 1]]) i++; /* begun in another piece */
    while (i < end) i = DT_FN(add_run)(p, i, first, count);
}

static void DT_FN(embedding_grad)(dt_pool *pool, const dt_embedding_grad_args *p)
{
    DT_FN(embedding_grad_job) job = {p, dt_split_rows(p->rows, p->channels),
                                     dt_split_by(p->count, DT_FN(EMBEDDING_PLACES)),
                                     dt_split_by(p->channels, DT_FN(EMBEDDING_CHANNELS))};
    if (!p->accumulate) dt_pool_run(pool, job.rows.count, DT_FN(embedding_clear_task), &job);
    dt_pool_run(pool, job.places.count * job.channels.count, DT_FN(embedding_grad_task), &job);
}

#endif
