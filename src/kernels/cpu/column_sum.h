/* The second stage of a reduction over rows, for one element type; follows real.h in a template. */

typedef struct DT_FN(finish_job) {
    dt_split split;
    int64_t pieces, stride;
    const DT_REAL *partial;
    DT_REAL *y;
    bool accumulate;
} DT_FN(finish_job);

static void DT_FN(finish_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(finish_job) *job = arg;
    int64_t begin = dt_split_begin(job->split, task), count = dt_split_end(job->split, task) - begin;
    DT_REAL total[256] = {0};
    for (int64_t i = 0; i < job->pieces; i++)
        for (int64_t j = 0; j < count; j++) total[j] += job->partial[i * job->stride + begin + j];
    for (int64_t j = 0; j < count; j++) job->y[begin + j] = job->accumulate ? job->y[begin + j] + total[j] : total[j];
}

/* y[n] (+)= the sum of `pieces` partial rows that lie `stride` apart, in order. */
static void DT_FN(finish_columns)(dt_pool *pool, int64_t pieces, int64_t n, int64_t stride, const DT_REAL *partial,
                                  DT_REAL *y, bool accumulate)
{
    DT_FN(finish_job) job = {dt_split_by(n, 256), pieces, stride, partial, y, accumulate};
    dt_pool_run(pool, job.split.count, DT_FN(finish_task), &job);
}
