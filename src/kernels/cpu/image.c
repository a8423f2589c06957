/* Images: bytes to normalised numbers, and images to patches and back. One pass over memory each. */
#ifndef DT_REAL

#define DT_TEMPLATE "kernels/cpu/image.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(normalize)(const dt_queue *q, dt_dtype t, int64_t batch, int64_t channels, int64_t pixels,
                            const double *mean, const double *std, const uint8_t *x, void *y)
{
    return DT_BY_TYPE(normalize, q->pool, batch, channels, pixels, mean, std, x, y);
}

dt_status DT_SET(patchify)(const dt_queue *q, dt_dtype t, int64_t batch, int64_t channels, int64_t rows, int64_t cols,
                           int64_t p, const void *images, void *patches)
{
    return DT_BY_TYPE(patchify, q->pool, batch, channels, rows, cols, p, images, patches);
}

dt_status DT_SET(unpatchify)(const dt_queue *q, dt_dtype t, int64_t batch, int64_t channels, int64_t rows, int64_t cols,
                             int64_t p, const void *patches, void *images)
{
    return DT_BY_TYPE(unpatchify, q->pool, batch, channels, rows, cols, p, patches, images);
}

#else

typedef struct DT_FN(normalize_job) {
    int64_t channels, pixels;
    const double *mean, *std;
    const uint8_t *x;
    DT_REAL *y;
} DT_FN(normalize_job);

/* One plane; a byte has 256 values, but the multiplication is cheaper than a look-up. */
static void DT_FN(normalize_task)(void *arg, int64_t plane, int worker)
{
    const DT_FN(normalize_job) *job = arg;
    int64_t channel = plane % job->channels;
    DT_REAL scale = (DT_REAL)(1 / (255 * job->std[channel]));
    DT_REAL offset = (DT_REAL)(-job->mean[channel] / job->std[channel]);
    const uint8_t *x = job->x + plane * job->pixels;
    DT_REAL *y = job->y + plane * job->pixels;
    for (int64_t i = 0; i < job->pixels; i++) y[i] = DT_FN(fma)((DT_REAL)x[i], scale, offset);
}

static void DT_FN(normalize)(dt_pool *pool, int64_t batch, int64_t channels, int64_t pixels, const double *mean,
                             const double *std, const uint8_t *x, DT_REAL *y)
{
    DT_FN(normalize_job) job = {channels, pixels, mean, std, x, y};
    dt_pool_run(pool, batch * channels, DT_FN(normalize_task), &job);
}

typedef struct DT_FN(patch_job) {
    int64_t channels, rows, cols, p;
    const DT_REAL *from;
    DT_REAL *to;
} DT_FN(patch_job);

/* Where line y of channel c of patch (row, col) of a sample lies: in the image and in the patches. */
static inline int64_t DT_FN(image_at)(const DT_FN(patch_job) *job, int64_t row, int64_t col, int64_t c, int64_t y)
{
    return ((c * job->rows + row) * job->p + y) * job->cols * job->p + col * job->p;
}

static inline int64_t DT_FN(patch_at)(const DT_FN(patch_job) *job, int64_t row, int64_t col, int64_t c, int64_t y)
{
    return (((row * job->cols + col) * job->channels + c) * job->p + y) * job->p;
}

/* One row of patches of one sample. */
static void DT_FN(patch_row)(const DT_FN(patch_job) *job, int64_t task, bool back)
{
    int64_t per_sample = job->channels * job->rows * job->cols * job->p * job->p, row = task % job->rows;
    const DT_REAL *from = job->from + task / job->rows * per_sample;
    DT_REAL *to = job->to + task / job->rows * per_sample;
    for (int64_t col = 0; col < job->cols; col++)
        for (int64_t c = 0; c < job->channels; c++)
            for (int64_t y = 0; y < job->p; y++) {
                int64_t image = DT_FN(image_at)(job, row, col, c, y), patch = DT_FN(patch_at)(job, row, col, c, y);
                memcpy(to + (back ? image : patch), from + (back ? patch : image), (size_t)job->p * sizeof *to);
            }
}

static void DT_FN(patchify_task)(void *arg, int64_t task, int worker) { DT_FN(patch_row)(arg, task, false); }
static void DT_FN(unpatchify_task)(void *arg, int64_t task, int worker) { DT_FN(patch_row)(arg, task, true); }

static void DT_FN(patchify)(dt_pool *pool, int64_t batch, int64_t channels, int64_t rows, int64_t cols, int64_t p,
                            const DT_REAL *images, DT_REAL *patches)
{
    DT_FN(patch_job) job = {channels, rows, cols, p, images, patches};
    dt_pool_run(pool, batch * rows, DT_FN(patchify_task), &job);
}

static void DT_FN(unpatchify)(dt_pool *pool, int64_t batch, int64_t channels, int64_t rows, int64_t cols, int64_t p,
                              const DT_REAL *patches, DT_REAL *images)
{
    DT_FN(patch_job) job = {channels, rows, cols, p, patches, images};
    dt_pool_run(pool, batch * rows, DT_FN(unpatchify_task), &job);
}

#endif
