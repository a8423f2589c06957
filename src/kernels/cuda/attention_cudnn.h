/* Attention by cuDNN: which shapes, in which pieces, with how much scratch; and running it.
 *
 * Backward, cuDNN adds the gradient of the queries in float32 in any order, or keeps the gradients of all scores in
 * bfloat16 and multiplies them as a whole. Only the second repeats its bits. Its workspace, tokens^2 for each head, is
 * bounded by cutting the batch, and where one sample is too much its heads, into slices. */
#ifndef DT_KERNELS_CUDA_ATTENTION_CUDNN_H
#define DT_KERNELS_CUDA_ATTENTION_CUDNN_H

#include "kernels/cuda/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { DT_CUDNN_WORKSPACE = 1 << 30 }; /* bytes, for the gradients of scores of a slice */

/* Samples and heads that one call takes; no samples: cuDNN does not take the shape. The last slice may be smaller. */
typedef struct dt_attention_slice {
    int64_t samples, heads, kv_heads;
} dt_attention_slice;
dt_attention_slice dt_cudnn_slice(dt_dtype t, const dt_attention_args *, bool backward);

/* Scratch for a slice: the library's workspace first, then offsets. */
typedef struct dt_cudnn_layout {
    int64_t workspace;  /* bytes */
    int64_t delta;      /* a float for each row of scores */
    int64_t dk, dv;     /* where heads share keys and values: gradients of each head's own */
    int64_t bytes;
} dt_cudnn_layout;
void dt_cudnn_lay_out(const dt_attention_args *, const dt_attention_slice *, bool backward, dt_cudnn_layout *out);

/* Makes the plans, which takes half a second for each, unless they are there. *ready is false where the library has
 * none or does not start. Not while recording. */
DT_MUST_USE dt_status dt_cudnn_prepare(const dt_queue *, dt_dtype t, const dt_attention_args *, bool backward,
                                       bool *ready);
/* With plans that are ready. */
DT_MUST_USE dt_status dt_cudnn_attend(const dt_queue *, dt_dtype t, const dt_attention_args *, bool backward);

/* In attention_engine.cu: to[row, g] = sum over the heads h of group g of from[row, h], h ascending; heads of `size`
 * elements of bfloat16, a multiple of 8. Rows of `from` follow one another, those of `to` are `stride` elements
 * apart. */
DT_MUST_USE dt_status dt_cuda_add_heads(const dt_queue *, int64_t rows, int64_t heads, int64_t groups, int64_t size,
                                        const void *from, void *to, int64_t stride);

#ifdef __cplusplus
}
#endif

#endif
