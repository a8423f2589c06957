/* The CPU kernels: arithmetic on raw pointers, one table of functions per instruction set.
 *
 * The sources of this folder are compiled once per instruction set (baseline, x86-64-v3, x86-64-v4); each build exports
 * one constant table and dt_cpu_kernels_best() returns the best one that this processor runs. All are plain C; sets may
 * differ in the last bits, so the name of the set stands in the numerics record.
 *
 * Conventions. `t` is DT_F32 or DT_F64 and is the type of every `void` array unless said otherwise; scalar parameters
 * (alpha, shift, gamma, beta, mean, ...) have type t too. Arrays are row-major and contiguous. Optional arrays may be
 * NULL. `accumulate` says that the outputs so marked are added to instead of overwritten. Work is cut into tasks of a
 * size that depends on the shapes alone, and every reduction adds in a fixed order, so results do not depend on the
 * number of threads. Nothing allocates: `scratch` has the size that the ..._scratch function beside it tells.
 * Outputs may alias an input only where said. */
#ifndef DT_KERNELS_CPU_KERNELS_H
#define DT_KERNELS_CPU_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/dtype.h"
#include "base/threads.h"
#include "kernels/pointwise/kinds.h"

typedef enum dt_activation { DT_ACT_NONE, DT_ACT_GELU, DT_ACT_GELU_TANH } dt_activation;

/* c[m,n] = epilogue(op(a) op(b)), op(x) = x or its transpose: a is [m,k] or (transpose_a) [k,m]; b is [k,n] or
 * (transpose_b) [n,k]. Epilogue in this order:
 *   v = a b (+ bias[n]); if pre: pre = v; v = act(v); if act_grad_of: v = v * act'(act_grad_of); (+ residual);
 *   c = v, or c += v with accumulate (then no other epilogue). residual may be c itself. */
typedef struct dt_cpu_matmul {
    int64_t m, n, k;
    bool transpose_a, transpose_b;
    const void *a, *b;
    const void *bias;        /* [n] */
    void *pre;               /* [m,n]: the value before the activation, kept for the backward pass */
    dt_activation act;       /* applied to the product, or, when act_grad_of is given, whose derivative multiplies it */
    const void *act_grad_of; /* [m,n]: the kept `pre` of the forward product */
    const void *residual;    /* [m,n] */
    void *c;
    bool accumulate;
} dt_cpu_matmul;

/* Norms over the last dimension of x[rows, channels]. */
typedef struct dt_cpu_row_norm { /* LayerNorm; RMSNorm when `center` is false */
    int64_t rows, channels;
    bool center;
    double epsilon;
    const void *x;
    const void *residual;     /* forward: x + residual is normalised and stored in sum */
    void *sum;
    const void *gamma, *beta; /* [channels] */
    void *y;
    void *mean, *rstd;        /* [rows]; mean only with center */
} dt_cpu_row_norm;

typedef struct dt_cpu_row_norm_grad {
    int64_t rows, channels;
    bool center;
    const void *x, *gamma, *mean, *rstd; /* x: what was normalised */
    const void *dy;
    const void *dsum;      /* added to dx: gradient that reaches the sum by another way */
    void *dx;              /* may be dy or dsum; NULL: not wanted */
    void *dgamma, *dbeta;  /* [channels]; NULL: not wanted */
    bool accumulate_gamma, accumulate_beta;
    void *scratch;
} dt_cpu_row_norm_grad;

/* y = gamma * f(alpha x + shift) + beta, f from the table of kernels/pointwise. */
typedef struct dt_cpu_point_norm {
    int64_t rows, channels;
    dt_pointwise kind;
    const void *x;
    const void *residual; /* as above */
    void *sum;
    const void *alpha, *shift; /* one element each; NULL: 1 and 0 */
    const void *gamma, *beta;
    void *y;
} dt_cpu_point_norm;

typedef struct dt_cpu_point_norm_grad {
    int64_t rows, channels;
    dt_pointwise kind;
    const void *x, *alpha, *shift, *gamma;
    const void *dy, *dsum;
    void *dx; /* may be dy or dsum */
    void *dalpha, *dshift, *dgamma, *dbeta; /* NULL: not wanted */
    bool accumulate_alpha, accumulate_shift, accumulate_gamma, accumulate_beta;
    void *scratch;
} dt_cpu_point_norm_grad;

/* Scaled dot-product attention over packed qkv[batch, tokens, 3, heads, size]; out is [batch, tokens, heads, size];
 * lse[batch, heads, tokens] is the log of each row's sum of exponentials. Tiled: no tokens x tokens array. */
typedef struct dt_cpu_attention {
    int64_t batch, tokens, heads, size;
    bool causal; /* row i sees keys 0 .. i; later ones are left out, so that a NaN there stays there */
    double scale;
    const void *qkv;
    void *out, *lse;
    /* backward */
    const void *dout;
    void *dqkv;
    void *scratch;
} dt_cpu_attention;

/* Random masks: element or sample kept with probability 1 - rate and scaled by its inverse; drawn from Philox with
 * (seed, purpose, a = *step, b = sample[i]), the site in the high 32 bits of a, so that a backward pass repeats the
 * same draw. What is dropped is 0 whatever it was. */
typedef struct dt_cpu_drop {
    int64_t samples, per_sample;
    double rate;
    uint64_t seed;
    uint32_t site; /* which dropout of the model: no two share numbers */
    const int64_t *step, *sample; /* one element; [samples] global sample indices */
    const void *x;
    void *y; /* may be x */
} dt_cpu_drop;

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
typedef struct dt_cpu_update {
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
} dt_cpu_update;

typedef struct dt_cpu_kernels {
    const char *name; /* "baseline", "x86-64-v3", "x86-64-v4" */

    void (*matmul)(dt_pool *, dt_dtype t, const dt_cpu_matmul *);
    /* y[n] (+)= sum over rows of x[rows, n] */
    void (*column_sum)(dt_pool *, dt_dtype t, int64_t rows, int64_t n, const void *x, void *y, bool accumulate,
                       void *scratch);
    void (*add)(dt_pool *, dt_dtype t, int64_t n, const void *a, const void *b, void *y); /* y may be a or b */
    void (*scale)(dt_pool *, dt_dtype t, int64_t n, double by, const void *x, void *y);   /* y may be x */
    void (*copy)(dt_pool *, int64_t bytes, const void *x, void *y);
    void (*cast)(dt_pool *, dt_dtype from, dt_dtype to, int64_t n, const void *x, void *y); /* f32, f64, i32, u8 */
    void (*gelu)(dt_pool *, dt_dtype t, dt_activation, int64_t n, const void *x, void *y);
    void (*gelu_grad)(dt_pool *, dt_dtype t, dt_activation, int64_t n, const void *x, const void *dy, void *dx);

    void (*row_norm)(dt_pool *, dt_dtype t, const dt_cpu_row_norm *);
    void (*row_norm_grad)(dt_pool *, dt_dtype t, const dt_cpu_row_norm_grad *);
    void (*point_norm)(dt_pool *, dt_dtype t, const dt_cpu_point_norm *);
    void (*point_norm_grad)(dt_pool *, dt_dtype t, const dt_cpu_point_norm_grad *);

    void (*attention)(dt_pool *, dt_dtype t, const dt_cpu_attention *);
    void (*attention_grad)(dt_pool *, dt_dtype t, const dt_cpu_attention *);

    /* y[b,c,h,w] = (x/255 - mean[c]) / std[c], x of type u8 */
    void (*normalize)(dt_pool *, dt_dtype t, int64_t batch, int64_t channels, int64_t pixels, const double *mean,
                      const double *std, const uint8_t *x, void *y);
    /* images [b, c, rows*p, cols*p] to patches [b, rows*cols, c*p*p], and back */
    void (*patchify)(dt_pool *, dt_dtype t, int64_t batch, int64_t channels, int64_t rows, int64_t cols, int64_t p,
                     const void *images, void *patches);
    void (*unpatchify)(dt_pool *, dt_dtype t, int64_t batch, int64_t channels, int64_t rows, int64_t cols, int64_t p,
                       const void *patches, void *images);
    /* y[b, tokens + (cls?1:0), c] = (cls, x) + position, position[tokens + (cls?1:0), c] or NULL */
    void (*embed_tokens)(dt_pool *, dt_dtype t, int64_t batch, int64_t tokens, int64_t channels, const void *x,
                         const void *cls, const void *position, void *y);
    /* dx = dy without the class row; dposition (+)= sum over the batch; dcls (+)= its row 0. NULL: not wanted */
    void (*embed_tokens_grad)(dt_pool *, dt_dtype t, int64_t batch, int64_t tokens, int64_t channels, bool has_cls,
                              const void *dy, void *dx, void *dcls, void *dposition, bool accumulate_cls,
                              bool accumulate_position);
    /* y[b,c] = mean over tokens first .. first+count-1 of x[b,tokens,c]; the gradient is zero outside */
    void (*token_mean)(dt_pool *, dt_dtype t, int64_t batch, int64_t tokens, int64_t channels, int64_t first,
                       int64_t count, const void *x, void *y);
    void (*token_mean_grad)(dt_pool *, dt_dtype t, int64_t batch, int64_t tokens, int64_t channels, int64_t first,
                            int64_t count, const void *dy, void *dx);

    void (*dropout)(dt_pool *, dt_dtype t, const dt_cpu_drop *);
    void (*drop_path)(dt_pool *, dt_dtype t, const dt_cpu_drop *);

    /* y[b, classes] = off, and on at labels[b] */
    void (*one_hot)(dt_pool *, dt_dtype t, int64_t batch, int64_t classes, double on, double off,
                    const int32_t *labels, void *y);
    void (*log_softmax)(dt_pool *, dt_dtype t, int64_t rows, int64_t classes, const void *x, void *y); /* y may be x */
    /* dx = dy - exp(y) sum(dy); dx may be dy */
    void (*log_softmax_grad)(dt_pool *, dt_dtype t, int64_t rows, int64_t classes, const void *y, const void *dy,
                             void *dx);
    /* loss[1] = - sum_b weight[b] sum_c target[b,c] logp[b,c] */
    void (*cross_entropy)(dt_pool *, dt_dtype t, int64_t rows, int64_t classes, const void *logp, const void *target,
                          const void *weight, void *loss, void *scratch);
    /* dlogp = - dloss[0] weight[b] target[b,c] */
    void (*cross_entropy_grad)(dt_pool *, dt_dtype t, int64_t rows, int64_t classes, const void *target,
                               const void *weight, const void *dloss, void *dlogp);
    /* Both at once: prob = softmax(x) (may be x), loss as above; then dx = dloss weight (prob sum(target) - target),
     * dx may be prob. */
    void (*softmax_xent)(dt_pool *, dt_dtype t, int64_t rows, int64_t classes, const void *x, const void *target,
                         const void *weight, void *prob, void *loss, void *scratch);
    void (*softmax_xent_grad)(dt_pool *, dt_dtype t, int64_t rows, int64_t classes, const void *prob,
                              const void *target, const void *weight, const void *dloss, void *dx);
    /* hits[0] = sum of weights of rows whose label is the largest, hits[1] = among the five largest; a score equal to
     * the label's counts as larger when its class is lower, a NaN always; a label whose score is NaN is never a hit */
    void (*top_hits)(dt_pool *, dt_dtype t, int64_t rows, int64_t classes, const void *scores, const int32_t *labels,
                     const void *weight, void *hits);
    void (*sum)(dt_pool *, dt_dtype t, int64_t n, const void *x, void *y, void *scratch); /* y[1] */

    /* out[0] (+)= sum of squares of x[n], in float64 over fixed chunks; a NaN or infinity makes it not finite */
    void (*square_sum)(dt_pool *, dt_dtype t, int64_t n, const void *x, double *out, bool accumulate, void *scratch);
    void (*adamw)(dt_pool *, dt_dtype t, const dt_cpu_update *);
    void (*sgd)(dt_pool *, dt_dtype t, const dt_cpu_update *);
    /* average += (1 - decay) (value - average), where *finite */
    void (*ema)(dt_pool *, dt_dtype t, int64_t n, double decay, const int32_t *finite, const void *value,
                void *average);
} dt_cpu_kernels;

const dt_cpu_kernels *dt_cpu_kernels_best(void);
/* By name, for the tests, which try every set; NULL when unknown or not runnable here. */
const dt_cpu_kernels *dt_cpu_kernels_named(const char *name);

/* Bytes of scratch. */
int64_t dt_cpu_column_sum_scratch(dt_dtype t, int64_t rows, int64_t n);
int64_t dt_cpu_row_norm_grad_scratch(dt_dtype t, int64_t rows, int64_t channels);
int64_t dt_cpu_point_norm_grad_scratch(dt_dtype t, int64_t rows, int64_t channels);
int64_t dt_cpu_attention_scratch(dt_dtype t, int64_t tokens, int64_t size, int threads);
int64_t dt_cpu_attention_grad_scratch(dt_dtype t, const dt_cpu_attention *, int threads);
int64_t dt_cpu_reduce_scratch(dt_dtype t, int64_t n); /* cross_entropy, softmax_xent (n = rows), sum, square_sum */

#endif
