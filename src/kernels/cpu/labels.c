/* Kernels that take class labels: one-hot targets and top-k hits. */
#ifndef DT_REAL

#define DT_TEMPLATE "kernels/cpu/labels.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(one_hot)(const dt_queue *q, dt_dtype t, int64_t batch, int64_t classes, double on, double off,
                          const int32_t *labels, void *y)
{
    return DT_BY_TYPE(one_hot, q->pool, batch, classes, on, off, labels, y);
}

dt_status DT_SET(top_hits)(const dt_queue *q, dt_dtype t, int64_t rows, int64_t classes, const void *scores,
                           const int32_t *labels, const void *weight, void *hits)
{
    return DT_BY_TYPE(top_hits, rows, classes, scores, labels, weight, hits);
}

#else

typedef struct DT_FN(one_hot_job) {
    dt_split split;
    int64_t classes;
    DT_REAL on, off;
    const int32_t *labels;
    DT_REAL *y;
} DT_FN(one_hot_job);

static void DT_FN(one_hot_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(one_hot_job) *job = arg;
    for (int64_t row = dt_split_begin(job->split, task); row < dt_split_end(job->split, task); row++) {
        DT_REAL *y = job->y + row * job->classes;
        for (int64_t j = 0; j < job->classes; j++) y[j] = job->off;
        int32_t label = job->labels[row];
        if (label >= 0 && label < job->classes) y[label] = job->on;
    }
}

static void DT_FN(one_hot)(dt_pool *pool, int64_t batch, int64_t classes, double on, double off,
                           const int32_t *labels, DT_REAL *y)
{
    DT_FN(one_hot_job) job = {dt_split_rows(batch, classes), classes, (DT_REAL)on, (DT_REAL)off, labels, y};
    dt_pool_run(pool, job.split.count, DT_FN(one_hot_task), &job);
}

/* How many classes stand before `label`: those with a larger score or NaN, and those of a lower number with the same
 * score. Where the label's own score is NaN, more than there are. */
static int64_t DT_FN(rank)(int64_t classes, const DT_REAL *score, int64_t label)
{
    DT_REAL own = score[label];
    if (own != own) return INT64_MAX;
    int64_t before = 0;
    for (int64_t j = 0; j < classes; j++) before += !(score[j] <= own) || (score[j] == own && j < label);
    return before;
}

static void DT_FN(top_hits)(int64_t rows, int64_t classes, const DT_REAL *scores, const int32_t *labels,
                            const DT_REAL *weight, DT_REAL *hits)
{
    double first = 0, five = 0;
    for (int64_t row = 0; row < rows; row++) {
        if (labels[row] < 0 || labels[row] >= classes) continue;
        int64_t rank = DT_FN(rank)(classes, scores + row * classes, labels[row]);
        first += rank < 1 ? (double)weight[row] : 0;
        five += rank < 5 ? (double)weight[row] : 0;
    }
    hits[0] = (DT_REAL)first;
    hits[1] = (DT_REAL)five;
}

#endif
