/* The kernels: arithmetic on raw pointers, one table of functions per back end, so that an operator is written once for
 * both. kernels/cpu has a table per instruction set, kernels/cuda has one.
 *
 * Conventions. `t` is the type of every `void` array unless said otherwise: DT_F32 everywhere, DT_F64 on the CPU,
 * DT_BF16 on CUDA. Vectors and scalars (alpha, shift, gamma, beta, bias, mean, rstd, lse, cls, position), class
 * targets, sample weights, losses, sums and every gradient of a parameter have the wide type dt_dtype_wide(t), float32
 * for bfloat16 and else t itself, which is also the type of the arithmetic in between. The trunk, which is the residual
 * stream that branches are added to, and its gradient are of the wide type where a flag says so. Arrays are row-major
 * and contiguous and start at multiples of 16 bytes.
 * Optional arrays may be NULL. `accumulate` says that the outputs so marked are added to instead of overwritten. Every
 * reduction adds in a fixed order that depends on the shapes alone. Nothing allocates: `scratch` has the size that the
 * ..._scratch function of the same name tells. Outputs may alias an input only where said. On CUDA a function returns
 * when its work is queued. */
#ifndef DT_KERNELS_KERNELS_H
#define DT_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "base/dtype.h"
#include "base/status.h"
#include "device/device.h"
#include "kernels/pointwise/kinds.h"

typedef enum dt_activation { DT_ACT_NONE, DT_ACT_GELU, DT_ACT_GELU_TANH } dt_activation;

/* c[m,n] = epilogue(op(a) op(b)), op(x) = x or its transpose: a is [m,k] or (transpose_a) [k,m]; b is [k,n] or
 * (transpose_b) [n,k]. Epilogue in this order:
 *   v = a b (+ bias[n]); if pre: pre = v; v = act(v); if act_grad_of: v = v * act'(act_grad_of); (+ residual);
 *   c = v, or c += v with accumulate (then there is no residual). When act is applied and pre is kept, c is made from
 *   pre as it is stored, or on CUDA from pre before it is rounded. */
typedef struct dt_matmul_args {
    int64_t m, n, k;
    bool transpose_a, transpose_b;
    const void *a, *b;
    const void *bias;        /* [n] */
    void *pre;               /* [m,n]: the value before the activation, kept for the backward pass */
    dt_activation act;       /* applied to the product, or, when act_grad_of is given, whose derivative multiplies it */
    const void *act_grad_of; /* [m,n]: the kept `pre` of the forward product */
    const void *residual;    /* [m,n] */
    dt_dtype c_type;         /* of c and residual: t, or the wide type of t */
    void *c;
    bool accumulate;
    bool tf32;               /* float32 a and b may be rounded to TF32 */
    void *scratch;
} dt_matmul_args;

/* Norms over the last dimension of x[rows, channels]. */
typedef struct dt_row_norm_args { /* LayerNorm; RMSNorm when `center` is false */
    int64_t rows, channels;
    bool center;
    bool wide_trunk;          /* x and sum are wide */
    double epsilon;
    const void *x;
    const void *residual;     /* forward: x + residual is normalised and stored in sum */
    void *sum;
    const void *gamma, *beta; /* [channels] */
    void *y;
    void *mean, *rstd;        /* [rows]; mean only with center */
} dt_row_norm_args;

typedef struct dt_row_norm_grad_args {
    int64_t rows, channels;
    bool center;
    bool wide_trunk;       /* x, dsum and dx are wide */
    const void *x, *gamma, *mean, *rstd; /* x: what was normalised */
    const void *dy;
    const void *dsum;      /* added to dx: gradient that reaches the sum by another way */
    void *dx;              /* may be dy, if of its type, or dsum; NULL: not wanted */
    void *dresidual;       /* with a wide trunk: dx rounded to t, for the branch; NULL: not wanted */
    void *dgamma, *dbeta;  /* [channels]; NULL: not wanted */
    bool accumulate_gamma, accumulate_beta;
    void *scratch;
} dt_row_norm_grad_args;

/* y = gamma * f(alpha x + shift) + beta, f from the table of kernels/pointwise. */
typedef struct dt_point_norm_args {
    int64_t rows, channels;
    dt_pointwise kind;
    bool wide_trunk;
    const void *x;
    const void *residual; /* as above */
    void *sum;
    const void *alpha, *shift; /* one element each; NULL: 1 and 0 */
    const void *gamma, *beta;
    void *y;
} dt_point_norm_args;

typedef struct dt_point_norm_grad_args {
    int64_t rows, channels;
    dt_pointwise kind;
    bool wide_trunk;
    const void *x, *alpha, *shift, *gamma;
    const void *dy, *dsum;
    void *dx; /* may be dy, if of its type, or dsum */
    void *dresidual;
    void *dalpha, *dshift, *dgamma, *dbeta; /* NULL: not wanted */
    bool accumulate_alpha, accumulate_shift, accumulate_gamma, accumulate_beta;
    void *scratch;
} dt_point_norm_grad_args;

/* Scaled dot-product attention over packed qkv[batch, tokens, heads + 2 kv_heads, size]: queries, then keys, then
 * values. heads / kv_heads successive heads share one head of keys and values, whose gradients add theirs in order. out
 * is [batch, tokens, heads, size]; lse[batch, heads, tokens] is the log of each row's sum of exponentials. Tiled: no
 * tokens x tokens array. */
typedef struct dt_attention_args {
    int64_t batch, tokens, heads, kv_heads, size;
    bool causal; /* row i sees keys 0 .. i; later ones are left out, so that a NaN there stays there, but for cuDNN */
    bool documents; /* and causal: keys before starts[row] are left out too */
    double scale;
    const void *qkv;
    const int32_t *starts; /* [batch, tokens]: where each row's document begins, at least 0 and at most the row; never
                              less than for the row before */
    void *out, *lse;
    /* backward */
    const void *dout;
    void *dqkv;
    void *scratch;
} dt_attention_args;

/* Attention of new tokens over those in front of them, whose keys and values a cache keeps, and over themselves up to
 * each one. cache[batch, capacity, 2 kv_heads, size] holds a token's keys, then its values; of sample b the first
 * position[b] tokens are there, or all where that is more. qkv and out are as above, of the new ones. */
typedef struct dt_attention_cached_args {
    int64_t batch, tokens, heads, kv_heads, size, capacity;
    double scale;
    const void *qkv, *cache;
    const int32_t *position; /* [batch] */
    void *out;
    void *scratch;
} dt_attention_cached_args;

/* cache[b, position[b] + i, ..] = the last `width` elements of x[b, i, ..]; what would lie beyond the cache is left
 * out. */
typedef struct dt_cache_append_args {
    int64_t batch, tokens, capacity;
    int64_t packed, width;   /* elements of a row of x, and of the cache */
    const void *x;           /* [batch, tokens, packed] */
    const int32_t *position; /* [batch] */
    void *cache;             /* [batch, capacity, width] */
} dt_cache_append_args;

/* Rows of a table by number. */
typedef struct dt_embedding_grad_args {
    int64_t count, rows, channels; /* tokens; rows of the table; elements of a row */
    const int32_t *tokens, *order; /* [count]; order: the places sorted by (token, place) */
    const void *dy;                /* [count, channels] */
    void *dtable;                  /* [rows, channels] (+)= the sum over each token's places, in order; wide */
    bool accumulate;
    void *scratch;
} dt_embedding_grad_args;

/* Rotary position embedding (Su et al., "RoFormer", 2021) of the first `rotated` heads of x[batch, tokens, heads,
 * size]; the others are copied. Element i of a head's first half and element i of its second half turn by the token's
 * place times frequency[i]; y may be x. */
enum { DT_ROPE_MOST = 256 }; /* the largest head */
typedef struct dt_rope_args {
    int64_t batch, tokens, heads, rotated, size;
    double frequency[DT_ROPE_MOST / 2]; /* radians from one token to the next; negative: the inverse */
    const void *x;
    void *y;
    const int32_t *position; /* [batch]: the place of each sample's first token; NULL: 0 */
} dt_rope_args;

/* Cross-entropy of logits[rows, width], of which the first `classes` of a row count, with one target each. A target of
 * -1 is not counted. */
typedef struct dt_token_loss_args {
    int64_t rows, width, classes;
    const void *logits;
    const int32_t *targets;
    void *dlogits;      /* softmax - target, 0 where nothing counts; may be logits; NULL: not wanted */
    void *loss, *count; /* one element each, wide: sums over the counted targets */
    void *scratch;      /* twice reduce_scratch(rows) */
} dt_token_loss_args;

/* Random masks: element or sample kept with probability 1 - rate and scaled by its inverse; drawn from Philox with
 * (seed, purpose, a = *step, b = sample[i]), the site in the high 32 bits of a, so that a backward pass repeats the
 * same draw. What is dropped is 0 whatever it was. */
typedef struct dt_drop_args {
    int64_t samples, per_sample;
    double rate;
    uint64_t seed;
    uint32_t site; /* which dropout of the model: no two share numbers */
    const int64_t *step, *sample; /* one element; [samples] global sample indices */
    const void *x;
    void *y; /* may be x */
} dt_drop_args;

/* One stretch of a flat parameter buffer that the optimizer treats alike. */
typedef struct dt_segment_span {
    int64_t offset, count; /* in elements */
    float lr_scale;        /* layer-wise learning-rate decay */
    float decay;           /* 1 or 0 times optim.weight_decay */
    int32_t frozen;        /* not updated at all */
    int32_t reserved;
} dt_segment_span;

/* Device scalars of the update. All step values are float64. `finite` is 1 when the step may commit: otherwise every
 * update kernel leaves its arrays untouched. */
typedef struct dt_update_args {
    int64_t count; /* elements of the flat buffers */
    const dt_segment_span *spans; /* ascending and disjoint; elements between them are left alone */
    int64_t span_count;
    const void *grad;      /* sums over samples */
    const double *scale;   /* what multiplies the gradients: clipping over sample count */
    const int32_t *finite;
    const double *lr;      /* this step's learning rate */
    double beta1, beta2, epsilon, weight_decay; /* AdamW; momentum = beta1 for SGD */
    bool nesterov;
    const double *correction1, *correction2; /* AdamW: 1 - beta^t */
    void *value, *moment1, *moment2;
    void *working;         /* bfloat16 copy of value, written where value is; NULL: none */
} dt_update_args;

typedef struct dt_kernels {
    const char *name; /* "baseline", "x86-64-v3", "x86-64-v4", "cuda" */

    dt_status (*matmul)(const dt_queue *, dt_dtype t, const dt_matmul_args *);
    /* y[n] (+)= sum over rows of x[rows, n]; y is wide */
    dt_status (*column_sum)(const dt_queue *, dt_dtype t, int64_t rows, int64_t n, const void *x, void *y,
                            bool accumulate, void *scratch);
    /* y may be a, or b if of its type; wide_trunk: a and y are wide */
    dt_status (*add)(const dt_queue *, dt_dtype t, bool wide_trunk, int64_t n, const void *a, const void *b, void *y);
    dt_status (*scale)(const dt_queue *, dt_dtype t, int64_t n, double by, const void *x, void *y); /* y may be x */
    /* y = by[0] x, by of the wide type; y may be x. Its gradient: dx = by dy, which may be dy; dby (+)= sum(x dy).
     * Either may be NULL: not wanted. */
    dt_status (*scale_by)(const dt_queue *, dt_dtype t, int64_t n, const void *x, const void *by, void *y);
    dt_status (*scale_by_grad)(const dt_queue *, dt_dtype t, int64_t n, const void *x, const void *by, const void *dy,
                               void *dx, void *dby, bool accumulate, void *scratch); /* reduce_scratch(n) */
    dt_status (*fill)(const dt_queue *, dt_dtype t, int64_t n, double value, void *y);
    dt_status (*copy)(const dt_queue *, int64_t bytes, const void *x, void *y);
    /* f32, f64, i32, u8, on CUDA also bf16 */
    dt_status (*cast)(const dt_queue *, dt_dtype from, dt_dtype to, int64_t n, const void *x, void *y);
    dt_status (*gelu)(const dt_queue *, dt_dtype t, dt_activation, int64_t n, const void *x, void *y);
    dt_status (*gelu_grad)(const dt_queue *, dt_dtype t, dt_activation, int64_t n, const void *x, const void *dy,
                           void *dx);

    /* y[rows, n] = silu(gate) up of x[rows, 2 n], the gate in the first half of a row; silu(x) = x / (1 + exp(-x)). dx
     * may be x. */
    dt_status (*swiglu)(const dt_queue *, dt_dtype t, int64_t rows, int64_t n, const void *x, void *y);
    dt_status (*swiglu_grad)(const dt_queue *, dt_dtype t, int64_t rows, int64_t n, const void *x, const void *dy,
                             void *dx);

    dt_status (*row_norm)(const dt_queue *, dt_dtype t, const dt_row_norm_args *);
    dt_status (*row_norm_grad)(const dt_queue *, dt_dtype t, const dt_row_norm_grad_args *);
    dt_status (*point_norm)(const dt_queue *, dt_dtype t, const dt_point_norm_args *);
    dt_status (*point_norm_grad)(const dt_queue *, dt_dtype t, const dt_point_norm_grad_args *);

    dt_status (*attention)(const dt_queue *, dt_dtype t, const dt_attention_args *);
    dt_status (*attention_grad)(const dt_queue *, dt_dtype t, const dt_attention_args *);
    dt_status (*attention_cached)(const dt_queue *, dt_dtype t, const dt_attention_cached_args *);
    dt_status (*cache_append)(const dt_queue *, dt_dtype t, const dt_cache_append_args *);
    dt_status (*rope)(const dt_queue *, dt_dtype t, const dt_rope_args *);
    /* y[i] = table[tokens[i]], rows of `channels` elements */
    dt_status (*embedding)(const dt_queue *, dt_dtype t, int64_t count, int64_t channels, const void *table,
                           const int32_t *tokens, void *y);
    dt_status (*embedding_grad)(const dt_queue *, dt_dtype t, const dt_embedding_grad_args *);

    /* y[b,c,h,w] = (x/255 - mean[c]) / std[c], x of type u8 */
    dt_status (*normalize)(const dt_queue *, dt_dtype t, int64_t batch, int64_t channels, int64_t pixels,
                           const double *mean, const double *std, const uint8_t *x, void *y);
    /* images [b, c, rows*p, cols*p] to patches [b, rows*cols, c*p*p], and back */
    dt_status (*patchify)(const dt_queue *, dt_dtype t, int64_t batch, int64_t channels, int64_t rows, int64_t cols,
                          int64_t p, const void *images, void *patches);
    dt_status (*unpatchify)(const dt_queue *, dt_dtype t, int64_t batch, int64_t channels, int64_t rows, int64_t cols,
                            int64_t p, const void *patches, void *images);
    /* y[b, tokens + (cls?1:0), c] = (cls, x) + position, position[tokens + (cls?1:0), c] or NULL; wide_trunk: y is
     * wide */
    dt_status (*embed_tokens)(const dt_queue *, dt_dtype t, bool wide_trunk, int64_t batch, int64_t tokens,
                              int64_t channels, const void *x, const void *cls, const void *position, void *y);
    /* dx = dy without the class row; dposition (+)= sum over the batch; dcls (+)= its row 0. NULL: not wanted.
     * wide_trunk: dy is wide */
    dt_status (*embed_tokens_grad)(const dt_queue *, dt_dtype t, bool wide_trunk, int64_t batch, int64_t tokens,
                                   int64_t channels, bool has_cls, const void *dy, void *dx, void *dcls,
                                   void *dposition, bool accumulate_cls, bool accumulate_position, void *scratch);
    /* y[b,c] = mean over tokens first .. first+count-1 of x[b,tokens,c]; the gradient is zero outside */
    dt_status (*token_mean)(const dt_queue *, dt_dtype t, int64_t batch, int64_t tokens, int64_t channels,
                            int64_t first, int64_t count, const void *x, void *y);
    dt_status (*token_mean_grad)(const dt_queue *, dt_dtype t, int64_t batch, int64_t tokens, int64_t channels,
                                 int64_t first, int64_t count, const void *dy, void *dx);

    dt_status (*dropout)(const dt_queue *, dt_dtype t, const dt_drop_args *);
    dt_status (*drop_path)(const dt_queue *, dt_dtype t, const dt_drop_args *);

    /* y[b, classes] = off, and on at labels[b] */
    dt_status (*one_hot)(const dt_queue *, dt_dtype t, int64_t batch, int64_t classes, double on, double off,
                         const int32_t *labels, void *y);
    /* y may be x */
    dt_status (*log_softmax)(const dt_queue *, dt_dtype t, int64_t rows, int64_t classes, const void *x, void *y);
    /* dx = dy - exp(y) sum(dy); dx may be dy */
    dt_status (*log_softmax_grad)(const dt_queue *, dt_dtype t, int64_t rows, int64_t classes, const void *y,
                                  const void *dy, void *dx);
    /* loss[1] = - sum_b weight[b] sum_c target[b,c] logp[b,c] */
    dt_status (*cross_entropy)(const dt_queue *, dt_dtype t, int64_t rows, int64_t classes, const void *logp,
                               const void *target, const void *weight, void *loss, void *scratch);
    /* dlogp = - dloss[0] weight[b] target[b,c] */
    dt_status (*cross_entropy_grad)(const dt_queue *, dt_dtype t, int64_t rows, int64_t classes, const void *target,
                                    const void *weight, const void *dloss, void *dlogp);
    /* Both at once: prob = softmax(x) (may be x), loss as above; then dx = dloss weight (prob sum(target) - target),
     * dx may be prob. */
    dt_status (*softmax_xent)(const dt_queue *, dt_dtype t, int64_t rows, int64_t classes, const void *x,
                              const void *target, const void *weight, void *prob, void *loss, void *scratch);
    dt_status (*softmax_xent_grad)(const dt_queue *, dt_dtype t, int64_t rows, int64_t classes, const void *prob,
                                   const void *target, const void *weight, const void *dloss, void *dx);
    dt_status (*token_loss)(const dt_queue *, dt_dtype t, const dt_token_loss_args *);
    /* hits[0] = sum of weights of rows whose label is the largest, hits[1] = among the five largest; a score equal to
     * the label's counts as larger when its class is lower, a NaN always; a label whose score is NaN is never a hit */
    dt_status (*top_hits)(const dt_queue *, dt_dtype t, int64_t rows, int64_t classes, const void *scores,
                          const int32_t *labels, const void *weight, void *hits);
    dt_status (*sum)(const dt_queue *, dt_dtype t, int64_t n, const void *x, void *y, void *scratch); /* y[1] */

    /* out[0] (+)= sum of squares of x[n], in float64 over fixed chunks; a NaN or infinity makes it not finite */
    dt_status (*square_sum)(const dt_queue *, dt_dtype t, int64_t n, const void *x, double *out, bool accumulate,
                            void *scratch);
    /* norm = sqrt(*squares) / *count; scale = min(1, clip / norm) / *count (clip 0: no clipping); finite: norm is, and
     * *count is above 0. `count` has type t. */
    dt_status (*norm_scale)(const dt_queue *, dt_dtype t, double clip, const double *squares, const void *count,
                            double *norm, double *scale, int32_t *finite);
    dt_status (*adamw)(const dt_queue *, dt_dtype t, const dt_update_args *);
    dt_status (*sgd)(const dt_queue *, dt_dtype t, const dt_update_args *);
    /* average += (1 - decay) (value - average), where *finite */
    dt_status (*ema)(const dt_queue *, dt_dtype t, int64_t n, double decay, const int32_t *finite, const void *value,
                     void *average);

    /* Bytes of scratch, a function of the shapes and of the kind of device. For the gradients of norms and of
     * embed_tokens t is the trunk's type. */
    int64_t (*matmul_scratch)(const dt_device_info *, dt_dtype t, const dt_matmul_args *);
    int64_t (*column_sum_scratch)(const dt_device_info *, dt_dtype t, int64_t rows, int64_t n);
    int64_t (*row_norm_grad_scratch)(const dt_device_info *, dt_dtype t, int64_t rows, int64_t channels);
    int64_t (*point_norm_grad_scratch)(const dt_device_info *, dt_dtype t, int64_t rows, int64_t channels);
    int64_t (*attention_scratch)(const dt_device_info *, dt_dtype t, const dt_attention_args *);
    int64_t (*attention_grad_scratch)(const dt_device_info *, dt_dtype t, const dt_attention_args *);
    int64_t (*attention_cached_scratch)(const dt_device_info *, dt_dtype t, const dt_attention_cached_args *);
    int64_t (*embedding_grad_scratch)(const dt_device_info *, dt_dtype t, int64_t count, int64_t channels);
    int64_t (*embed_tokens_grad_scratch)(const dt_device_info *, dt_dtype t, int64_t batch, int64_t tokens,
                                         int64_t channels);
    int64_t (*reduce_scratch)(const dt_device_info *, int64_t n); /* cross_entropy, softmax_xent, token_loss (n = rows),
                                                                     sum, square_sum, scale_by_grad */
} dt_kernels;

/* Every function of the table, for those who declare and fill one. */
#define DT_KERNEL_LIST(X)                                                                                    \
    X(matmul) X(column_sum) X(add) X(scale) X(scale_by) X(scale_by_grad) X(fill) X(copy) X(cast) X(gelu)     \
    X(gelu_grad) X(swiglu) X(swiglu_grad) X(row_norm) X(row_norm_grad) X(point_norm) X(point_norm_grad)      \
    X(attention) X(attention_grad) X(attention_cached) X(cache_append) X(rope) X(embedding)                  \
    X(embedding_grad) X(token_loss)                                                                          \
    X(normalize) X(patchify) X(unpatchify) X(embed_tokens) X(embed_tokens_grad) X(token_mean)                \
    X(token_mean_grad) X(dropout) X(drop_path) X(one_hot) X(log_softmax) X(log_softmax_grad)                 \
    X(cross_entropy) X(cross_entropy_grad) X(softmax_xent) X(softmax_xent_grad) X(top_hits) X(sum)           \
    X(square_sum) X(norm_scale) X(adamw) X(sgd) X(ema)
#define DT_KERNEL_SCRATCH_LIST(X)                                                                            \
    X(matmul_scratch) X(column_sum_scratch) X(row_norm_grad_scratch) X(point_norm_grad_scratch)              \
    X(attention_scratch) X(attention_grad_scratch) X(attention_cached_scratch) X(embedding_grad_scratch)     \
    X(embed_tokens_grad_scratch) X(reduce_scratch)

/* The table of a back end; NULL: not built. */
const dt_kernels *dt_kernels_of(dt_backend);

#ifdef __cplusplus
}
#endif

#endif
