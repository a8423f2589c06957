/* Blocks that models share. A model never names a norm function: it asks for the norm of a site. */
#ifndef DT_NN_NN_H
#define DT_NN_NN_H

#include "config/settings.h"
#include "graph/store.h"
#include "ops/ops.h"

/* What stands at a site, from norm.*. The kinds are the two row norms and the table of kernels/pointwise. */
typedef enum dt_norm_family { DT_NORM_ROW, DT_NORM_POINT } dt_norm_family;
typedef struct dt_norm_site {
    const char *name; /* "attention", "ffn", "final" */
    dt_norm_family family;
    dt_row_norm_attr row;
    dt_pointwise point;
    double alpha0;
    bool learn_alpha;       /* false: alpha is a parameter that stays at alpha0 */
    bool shift, gain, bias; /* which further parameters there are: f(alpha x + shift) gain + bias */
} dt_norm_site;

const char *dt_norm_kind_name(const dt_norm_site *); /* as norm.kind has it */

enum { DT_MAX_SITES = 8 };

/* What a model needs while it builds; made from the settings once per model. */
typedef struct dt_nn {
    dt_norm_site site[DT_MAX_SITES];
    int sites;
    bool paper_init;      /* model.init: paper; otherwise fan_in, variance 2 / (in + out) */
    double dropout;
    uint64_t seed;        /* of dropout and drop path */
} dt_nn;

/* `sites` are the model's names; every name given under norm.kind or norm.alpha0 must be one of them. */
DT_MUST_USE dt_status dt_nn_create(const dt_settings *, const char *const *sites, int count, dt_nn *out);

/* Per graph: what random layers read. sample and step may be NULL where the graph is not training. */
typedef struct dt_nn_graph {
    const dt_nn *nn;
    dt_graph *graph;
    dt_tensor *sample, *step;
    dt_tensor *starts;   /* i32 [B, T]: where each token's document begins, which attention does not go beyond; NULL: a
                            sample is one document */
    dt_tensor *position; /* i32 [B]: how many tokens the caches hold; NULL: there are no caches */
    int64_t capacity;    /* how many they can hold */
    uint32_t drops; /* random layers built so far: each gets its own site number */
} dt_nn_graph;

/* The norm of `site` over the last dimension; parameters `<name>.weight`, `.bias` [C] and `.alpha`, `.shift` [1], those
 * that the site's kind has. */
dt_tensor *dt_norm(dt_nn_graph *, dt_tensor *x, const char *site, const char *name);
/* y = x w^T + b with parameters `<name>.weight` [out, in] and `<name>.bias` [out] */
dt_tensor *dt_nn_linear(dt_nn_graph *, dt_tensor *x, const char *name, int64_t out, bool bias);
/* Several such layers as one product, without biases: y = [x w1^T, x w2^T, ..], parameters `<name>.weight` [out, in]
 * of each part. */
typedef struct dt_nn_part {
    const char *name;
    int64_t out;
} dt_nn_part;
dt_tensor *dt_nn_linears(dt_nn_graph *, dt_tensor *x, const dt_nn_part *parts, int count);
/* Attention of packed queries, keys and values, over and into the open scope's cache where there are caches. */
dt_tensor *dt_nn_attend(dt_nn_graph *, dt_tensor *qkv, dt_attention_attr);
/* qkv product, attention, output product, dropout: `<name>.qkv`, `<name>.proj` */
typedef struct dt_nn_attention_options {
    int64_t heads;
    bool qkv_bias, causal;
} dt_nn_attention_options;
dt_tensor *dt_nn_attention(dt_nn_graph *, dt_tensor *x, const char *name, dt_nn_attention_options);
/* `<name>.fc1`, activation, dropout, `<name>.fc2`, dropout */
dt_tensor *dt_nn_mlp(dt_nn_graph *, dt_tensor *x, const char *name, int64_t hidden, dt_activation);
/* images [B, c, H, W] to [B, N, out]: a convolution with stride = kernel = patch, as a product. `<name>.weight` is
 * published as [out, c, p, p] */
dt_tensor *dt_nn_patch_embed(dt_nn_graph *, dt_tensor *images, const char *name, int64_t patch, int64_t out);
/* x + drop_path(branch): in training a sample's branch is left out with probability `rate`. x and the sum are the
 * residual stream: what of the model lies on it follows from these calls. */
dt_tensor *dt_nn_residual(dt_nn_graph *, dt_tensor *x, dt_tensor *branch, double rate);
dt_tensor *dt_nn_dropout(dt_nn_graph *, dt_tensor *x); /* with model.dropout, in training */

extern const dt_setting_table dt_nn_settings; /* norm.*, model.init, model.dropout, model.drop_path */

#endif
