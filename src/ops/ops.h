/* The operators: builders (one per operator family; the comment gives mathematics and shapes) and the registry.
 * Builders append to the graph and return the output tensor; NULL in gives NULL out. */
#ifndef DT_OPS_OPS_H
#define DT_OPS_OPS_H

#include "graph/op.h"
#include "graph/store.h"
#include "kernels/kernels.h"
#include "ops/list.h"

/* All operators, for the tests that walk them and for `bench`. */
extern const dt_op *const dt_ops[];
extern const int dt_op_count;

/* What differentiation needs. */
extern const dt_grad_ops dt_ops_grad;

/* --- inputs, views, element-wise, writes (input.c, view.c, elementwise.c, gelu.c, swiglu.c, assign.c) --- */
dt_tensor *dt_input(dt_graph *, const char *name, dt_dtype, dt_shape); /* copies from the feed slot */
dt_tensor *dt_reshape(dt_graph *, dt_tensor *, dt_shape);
dt_tensor *dt_cast(dt_graph *, dt_tensor *, dt_dtype);
dt_tensor *dt_fill(dt_graph *, dt_dtype, const dt_shape *, double value);
dt_tensor *dt_add(dt_graph *, dt_tensor *, dt_tensor *); /* same shapes */
bool dt_is_filled(const dt_tensor *, double value); /* made by dt_fill of that value? */
dt_tensor *dt_scale(dt_graph *, dt_tensor *, double by);
/* x times `by`, one element of the wide type of x (scale_by.c) */
dt_tensor *dt_scale_by(dt_graph *, dt_tensor *x, dt_tensor *by);
/* The attribute of both GELU operators is the dt_activation. */
dt_tensor *dt_gelu(dt_graph *, dt_tensor *, dt_activation);
dt_tensor *dt_gelu_grad(dt_graph *, dt_tensor *x, dt_tensor *dy, dt_activation); /* dy gelu'(x) */
dt_tensor *dt_swiglu(dt_graph *, dt_tensor *x); /* [.., 2N] to [.., N]: silu of the first half times the second */
void dt_accumulate(dt_graph *, dt_tensor *slot, dt_tensor *gradient);
void dt_assign(dt_graph *, dt_tensor *state, dt_tensor *value); /* state := value, behind its last reader */

/* --- matrix products (matmul.c) --- */
typedef struct dt_matmul_attr {
    bool transpose_a, transpose_b;
    dt_activation act; /* forward: of the product; with input act_grad_of: whose derivative multiplies it */
    bool wide;         /* c has the wide type of a and b: gradients of parameters */
    bool tf32;         /* float32 inputs may be rounded to TF32 */
} dt_matmul_attr;
/* Inputs of the node, in this order: a, b, bias, residual, act_grad_of (NULL where absent); outputs: c, pre. c is made
 * from pre as it is stored, so that recomputation can make it again from there. */
enum { DT_MATMUL_A, DT_MATMUL_B, DT_MATMUL_BIAS, DT_MATMUL_RESIDUAL, DT_MATMUL_ACT_GRAD_OF, DT_MATMUL_INPUTS };
enum { DT_MATMUL_C, DT_MATMUL_PRE };
/* Leading dimensions of a [.., K] are rows. */
dt_tensor *dt_matmul(dt_graph *, dt_tensor *a, dt_tensor *b, dt_matmul_attr);
/* y[.., N] = x[.., K] w[N, K]^T + bias[N]; bias may be NULL */
dt_tensor *dt_linear(dt_graph *, dt_tensor *x, dt_tensor *w, dt_tensor *bias);
dt_tensor *dt_column_sum(dt_graph *, dt_tensor *x); /* [.., N] to [N] */

/* --- norms (row_norm.c, point_norm.c): over the last dimension --- */
typedef struct dt_row_norm_attr {
    bool center; /* LayerNorm; false: RMSNorm */
    double epsilon;
} dt_row_norm_attr;
typedef struct dt_point_norm_attr {
    dt_pointwise kind;
} dt_point_norm_attr;
/* Inputs: x, residual, gamma, beta (row) / x, residual, gamma, beta, alpha, shift (point). Outputs: y, sum, then for
 * row norms mean and rstd; sum is made where there is a residual, which the fuse pass fills. The others are made from
 * the sum as it is stored, so that recomputation can make them again from there. */
enum { DT_NORM_X, DT_NORM_RESIDUAL, DT_NORM_GAMMA, DT_NORM_BETA, DT_NORM_ALPHA, DT_NORM_SHIFT };
enum { DT_NORM_Y, DT_NORM_SUM, DT_NORM_MEAN, DT_NORM_RSTD };
dt_tensor *dt_row_norm(dt_graph *, dt_tensor *x, dt_tensor *gamma, dt_tensor *beta, dt_row_norm_attr);
dt_tensor *dt_point_norm(dt_graph *, dt_tensor *x, dt_tensor *gamma, dt_tensor *beta, dt_tensor *alpha,
                         dt_tensor *shift, dt_pointwise kind);

/* --- attention (attention.c): qkv[B, T, (H + 2 Hkv) D], queries, keys, values, to [B, T, H D] --- */
/* starts[B, T] (i32), for causal attention: token t sees keys from starts[b, t] on, where its document begins; they
 * are between 0 and t and never less than the one before. NULL: a sample is one document. */
typedef struct dt_attention_attr {
    int64_t heads, kv_heads; /* kv_heads: how many heads of keys and values the heads share; 0: each has its own */
    bool causal;
    double scale; /* 0: 1/sqrt(D) */
} dt_attention_attr;
dt_tensor *dt_attention(dt_graph *, dt_tensor *qkv, dt_tensor *starts, dt_attention_attr);

/* --- attention with caches (attention_cached.c): T new tokens behind position[B] (i32) of each sample --- */
/* qkv[B, T, (H + 2 Hkv) D] of the new tokens over themselves, causally, and over the position[b] tokens before them,
 * whose keys and values are in cache[B, capacity, 2 Hkv D]; to [B, T, H D]. Not differentiable. */
dt_tensor *dt_attention_cached(dt_graph *, dt_tensor *qkv, dt_tensor *cache, dt_tensor *position, dt_attention_attr);
/* Writes the last elements of the rows of x[B, T, ..], as many as a row of the cache has, to the rows of a state
 * cache[B, capacity, ..] from position[b] on, behind its last reader; those beyond it are left out. */
void dt_cache_append(dt_graph *, dt_tensor *cache, dt_tensor *x, dt_tensor *position);

/* The first `heads` heads of size `size` of x[B, T, ..], rotated by their token's place (rope.c), which begins in each
 * sample at position[B] (i32), or with NULL at 0. */
typedef struct dt_rope_attr {
    int64_t heads, size;
    double theta; /* the base: pair i of a head turns by theta^(-2i/D) from one token to the next */
    bool inverse;
    /* Llama 3.1's scaling for long contexts; factor 0: none */
    double factor, low, high;
    int64_t original_context;
} dt_rope_attr;
dt_tensor *dt_rope(dt_graph *, dt_tensor *x, dt_tensor *position, dt_rope_attr);

/* --- text (embedding.c, token_loss.c): tokens and targets are i32 --- */
/* table[V, C], tokens[B, T] to [B, T, C]. order[B*T]: the places of the tokens sorted by (token, place), for the
 * gradient; NULL where there is none. */
dt_tensor *dt_embedding(dt_graph *, dt_tensor *table, dt_tensor *tokens, dt_tensor *order);
/* The sum over the rows of logits[.., W] of log(sum(exp)) - the target's, and how many rows count: those whose target
 * is not -1. Of a row's W scores the first `classes` count. */
typedef struct dt_token_loss_out {
    dt_tensor *loss, *count; /* scalars */
} dt_token_loss_out;
dt_token_loss_out dt_token_loss(dt_graph *, dt_tensor *logits, dt_tensor *targets, int64_t classes);

/* --- images and tokens (image.c, tokens.c) --- */
typedef struct dt_normalize_attr {
    double mean[4], std[4];
} dt_normalize_attr;
dt_tensor *dt_normalize(dt_graph *, dt_tensor *u8_images, dt_normalize_attr); /* [B,C,H,W] bytes to floats */
dt_tensor *dt_patchify(dt_graph *, dt_tensor *images, int64_t patch);         /* [B,c,H,W] to [B,N,c*p*p] */
dt_tensor *dt_unpatchify(dt_graph *, dt_tensor *patches, int64_t channels, int64_t height, int64_t width,
                         int64_t patch); /* and back */
/* [B,N,C] to [B,N+1,C] with cls[C] in front (NULL: none, [B,N,C]), plus position[N(+1),C] (NULL: none) */
dt_tensor *dt_embed_tokens(dt_graph *, dt_tensor *x, dt_tensor *cls, dt_tensor *position);
dt_tensor *dt_token_mean(dt_graph *, dt_tensor *x, int64_t first, int64_t count); /* [B,T,C] to [B,C] */

/* --- random (drop.c). `sample` i64[B], `step` i64[1]; x[B, ..]; rate 0 returns x. site: unique in the model --- */
typedef struct dt_drop_attr {
    double rate;
    uint64_t seed;
    uint32_t site;
} dt_drop_attr;
dt_tensor *dt_dropout(dt_graph *, dt_tensor *x, dt_tensor *sample, dt_tensor *step, dt_drop_attr);
dt_tensor *dt_drop_path(dt_graph *, dt_tensor *x, dt_tensor *sample, dt_tensor *step, dt_drop_attr);

/* --- losses and metrics (loss.c, softmax.c, metrics.c) --- */
dt_tensor *dt_one_hot(dt_graph *, dt_tensor *labels, int64_t classes, double smoothing); /* i32[B] to [B,V] */
dt_tensor *dt_log_softmax(dt_graph *, dt_tensor *);
/* The sum over samples of weight times -sum target logp: a scalar. The count is dt_sum(weight). */
dt_tensor *dt_cross_entropy(dt_graph *, dt_tensor *logp, dt_tensor *target, dt_tensor *weight);
/* dt_op_softmax_xent is the fused form that the fuse pass makes. Inputs: logits, target, weight. Output 0 is the
 * softmax, which may take the memory of the logits and which the gradient reads; output 1 is the loss. Both are always
 * made. */
enum { DT_XENT_PROB, DT_XENT_LOSS };
dt_tensor *dt_top_hits(dt_graph *, dt_tensor *scores, dt_tensor *labels, dt_tensor *weight); /* [2] */
dt_tensor *dt_sum(dt_graph *, dt_tensor *);                                                  /* scalar */

/* --- the update (update.c): on flat buffers --- */
/* The sum of squares of ranges of the gradient buffers (one per group), one range after the other: a float64 scalar.
 * The ranges live as long as the graph, and begin at multiples of 16 elements. */
typedef struct dt_gradient_range {
    dt_group group;
    int64_t offset, count; /* elements of the buffer as it is kept */
} dt_gradient_range;
typedef struct dt_grad_squares_attr {
    const dt_gradient_range *ranges;
    int count;
} dt_grad_squares_attr;
dt_tensor *dt_grad_squares(dt_graph *, dt_tensor *const gradients[DT_GROUPS], const dt_gradient_range *, int count);
/* Inputs: the sum of squares over all gradients, and count (scalar, float type of the store): the number of samples.
 * Outputs, float64: norm = sqrt(squares) / count, scale = min(1, clip / norm) / count (clip 0: no clipping); finite
 * (i32). A count of zero is not finite. */
typedef struct dt_grad_norm_attr {
    double clip;
} dt_grad_norm_attr;
typedef struct dt_grad_norm_out {
    dt_tensor *norm, *scale, *finite;
} dt_grad_norm_out;
dt_grad_norm_out dt_grad_norm(dt_graph *, dt_tensor *squares, dt_tensor *count, dt_grad_norm_attr);

typedef struct dt_update_attr {
    double beta1, beta2, epsilon, weight_decay;
    bool nesterov;
    const dt_segment_span *spans; /* device memory, filled before the first run; owned by the caller */
    int64_t span_count;
} dt_update_attr;
typedef struct dt_update_inputs { /* all of one group; step values are float64 scalars */
    dt_tensor *value, *gradient, *moment1, *moment2, *scale, *finite, *lr, *correction1, *correction2;
    dt_tensor *working; /* bfloat16 copy of the value; NULL: none */
} dt_update_inputs;
void dt_adamw(dt_graph *, const dt_update_inputs *, dt_update_attr);
void dt_sgd(dt_graph *, const dt_update_inputs *, dt_update_attr); /* moment1 only */
/* average += (1 - decay)(value - average) where finite */
void dt_ema(dt_graph *, dt_tensor *value, dt_tensor *average, dt_tensor *finite, double decay);

/* --- collectives (collective.c), on the stream for communication --- */
/* The sum over all ranks, or over those that share the store, in place. */
void dt_all_reduce(dt_graph *, dt_tensor *);
void dt_reduce_pieces(dt_graph *, dt_tensor *);
/* This rank's piece of the sum over all ranks of `data`: into `piece`, which may be its place in `data`. The sums
 * travel as `wire`. `each`: it is done behind every micro-batch, and added to the piece but behind the first; otherwise
 * once, behind the last. */
typedef struct dt_reduce_attr {
    dt_dtype wire;
    bool each;
} dt_reduce_attr;
void dt_reduce_scatter(dt_graph *, dt_tensor *data, dt_tensor *piece, dt_reduce_attr);
/* All ranks' pieces behind one another: into `whole`, once a step; or as a new tensor. */
void dt_all_gather(dt_graph *, dt_tensor *piece, dt_tensor *whole);
dt_tensor *dt_gather(dt_graph *, dt_tensor *piece, int64_t count);
/* Room for a bucket's gradients of one micro-batch, whose gaps are zero. */
typedef struct dt_gap {
    int64_t offset, count; /* elements */
} dt_gap;
dt_tensor *dt_gradient_room(dt_graph *, dt_dtype, int64_t count, const dt_gap *, int gaps);

/* --- streams (join.c); for the streams pass --- */
void dt_join(dt_graph *, dt_stream waiting, dt_stream awaited);

#endif
