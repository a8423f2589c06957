/* Dropout (Srivastava et al., 2014) and drop path (Huang et al., 2016): random masks that scale what they keep. What is
 * dropped is 0 whatever it was. The masks are Philox draws of (seed, purpose, step and site, sample), so that the
 * backward pass draws them again instead of storing them. */
#ifndef DT_REAL

#include "base/random.h"

#define DT_TEMPLATE "kernels/cpu/drop.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(dropout)(const dt_queue *q, dt_dtype t, const dt_drop_args *x)
{
    return DT_BY_TYPE(dropout, q->pool, x);
}
dt_status DT_SET(drop_path)(const dt_queue *q, dt_dtype t, const dt_drop_args *x)
{
    return DT_BY_TYPE(drop_path, q->pool, x);
}

#else

typedef struct DT_FN(drop_job) {
    const dt_drop_args *x;
    int64_t pieces; /* of one sample */
} DT_FN(drop_job);

static inline uint64_t DT_FN(stream)(const dt_drop_args *p) { return (uint64_t)*p->step + ((uint64_t)p->site << 32); }

/* The four draws of each of BLOCKS blocks from `first` on, element by element. */
#define BLOCKS 16
static inline void DT_FN(draw)(const dt_drop_args *p, int64_t sample, int64_t first, float draws[4 * BLOCKS])
{
    uint64_t stream = DT_FN(stream)(p);
    for (int64_t b = 0; b < BLOCKS; b++) {
        dt_random4 r = dt_philox(p->seed, DT_PURPOSE_DROPOUT, stream, (uint64_t)sample, (uint32_t)(first + b));
        for (int i = 0; i < 4; i++) draws[4 * b + i] = dt_uniform(r.word[i]);
    }
}

static void DT_FN(dropout_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(drop_job) *job = arg;
    const dt_drop_args *p = job->x;
    int64_t sample = task / job->pieces, begin = task % job->pieces * DT_CHUNK;
    int64_t end = dt_min(begin + DT_CHUNK, p->per_sample);
    const DT_REAL *x = (const DT_REAL *)p->x + sample * p->per_sample;
    DT_REAL *y = (DT_REAL *)p->y + sample * p->per_sample;
    DT_REAL keep = (DT_REAL)(1 / (1 - p->rate));
    float rate = (float)p->rate, draws[4 * BLOCKS];
    for (int64_t i = begin; i < end; i += 4 * BLOCKS) {
        DT_FN(draw)(p, p->sample[sample], i / 4, draws);
        for (int64_t j = 0; j < dt_min(4 * BLOCKS, end - i); j++) y[i + j] = draws[j] < rate ? 0 : x[i + j] * keep;
    }
}

static void DT_FN(dropout)(dt_pool *pool, const dt_drop_args *x)
{
    DT_FN(drop_job) job = {x, dt_ceil_div(x->per_sample, DT_CHUNK)};
    dt_pool_run(pool, x->samples * job.pieces, DT_FN(dropout_task), &job);
}

static void DT_FN(drop_path_task)(void *arg, int64_t sample, int worker)
{
    const DT_FN(drop_job) *job = arg;
    const dt_drop_args *p = job->x;
    dt_random4 r = dt_philox(p->seed, DT_PURPOSE_DROP_PATH, DT_FN(stream)(p), (uint64_t)p->sample[sample], 0);
    bool dropped = dt_uniform(r.word[0]) < (float)p->rate;
    const DT_REAL *x = (const DT_REAL *)p->x + sample * p->per_sample;
    DT_REAL *y = (DT_REAL *)p->y + sample * p->per_sample;
    DT_REAL keep = (DT_REAL)(1 / (1 - p->rate));
    if (dropped)
        memset(y, 0, (size_t)p->per_sample * sizeof *y);
    else
        for (int64_t i = 0; i < p->per_sample; i++) y[i] = x[i] * keep;
}

static void DT_FN(drop_path)(dt_pool *pool, const dt_drop_args *x)
{
    DT_FN(drop_job) job = {x, 1};
    dt_pool_run(pool, x->samples, DT_FN(drop_path_task), &job);
}

#undef BLOCKS

#endif
