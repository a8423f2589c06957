/* The cases: builders, one a family, and the table. */
#include "ops/cases.h"

/* --- tensors of a case --- */

static dt_tensor *param(dt_graph *g, const char *name, dt_shape shape)
{
    return dt_param_tensor(g, name, shape,
                           (dt_param_options){.role = DT_ROLE_GAIN, .init = {DT_INIT_UNIFORM, 1}});
}

static dt_tensor *frozen(dt_graph *g, const char *name, dt_shape shape)
{
    return dt_param_tensor(g, name, shape,
                           (dt_param_options){.role = DT_ROLE_GAIN, .init = {DT_INIT_UNIFORM, 1}, .frozen = true});
}

static dt_tensor *number(dt_graph *g, const char *name, double value)
{
    return dt_param_tensor(g, name, DT_SHAPE(1),
                           (dt_param_options){.role = DT_ROLE_ALPHA, .init = {DT_INIT_CONSTANT, value}});
}

/* Half a parameter: a computed tensor, whose memory an operator may take. */
static dt_tensor *value(dt_graph *g, const char *name, dt_shape shape)
{
    return dt_scale(g, param(g, name, shape), 0.5);
}

/* As models mark what they add branches to: float32 where the residual stream is. */
static dt_tensor *trunk(dt_tensor *x)
{
    if (x) x->trunk = true;
    return x;
}

static dt_tensor *optional(dt_graph *g, const op_case *c, unsigned with, const char *name, dt_shape shape)
{
    return c->with & with ? param(g, name, shape) : NULL;
}

static dt_shape shape_of(const op_case *c)
{
    dt_shape shape = {0};
    while (shape.rank < 4 && c->dim[shape.rank]) {
        shape.dim[shape.rank] = c->dim[shape.rank];
        shape.rank++;
    }
    return shape;
}

/* --- inputs, views, element by element --- */

static dt_tensor *build_input(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_input(g, "x", DT_I64, shape_of(c));
}

static dt_tensor *build_reshape(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_reshape(g, trunk(value(g, "x", shape_of(c))), DT_SHAPE(c->dim[0] * c->dim[1], c->dim[2]));
}

static dt_tensor *build_cast(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_cast(g, dt_input(g, "bytes", DT_U8, shape_of(c)), DT_F32);
}

static dt_tensor *build_cast_float(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_cast(g, dt_cast(g, value(g, "x", shape_of(c)), DT_F64), DT_F32);
}

static dt_tensor *build_fill(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_fill(g, DT_F32, &(dt_shape){2, {c->dim[0], c->dim[1]}}, 0.375);
}

static dt_tensor *build_add(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_add(g, trunk(value(g, "x", shape_of(c))), value(g, "residual", shape_of(c)));
}

static dt_tensor *build_add_twice(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *x = value(g, "x", shape_of(c));
    return dt_add(g, x, x);
}

static dt_tensor *build_scale(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_scale(g, trunk(value(g, "x", shape_of(c))), -1.75);
}

static dt_tensor *build_scale_by(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_scale_by(g, value(g, "x", shape_of(c)), number(g, "by", -1.75));
}

static dt_tensor *build_swiglu(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_swiglu(g, value(g, "x", DT_SHAPE(c->dim[0], c->dim[1], 2 * c->dim[2])));
}

static dt_tensor *build_gelu(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_gelu(g, value(g, "x", shape_of(c)), (dt_activation)c->kind);
}

static dt_tensor *build_assign(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *state = dt_state_tensor(g, "state", DT_F32, shape_of(c), true);
    dt_assign(g, state, dt_scale(g, frozen(g, "x", shape_of(c)), 0.5));
    return state;
}

static dt_tensor *build_accumulate(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *slot = dt_param_gradient(g, param(g, "slot", shape_of(c)));
    dt_accumulate(g, slot, dt_scale(g, frozen(g, "x", shape_of(c)), 0.5));
    return slot;
}

static dt_tensor *build_all_reduce(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *x = dt_scale(g, frozen(g, "x", shape_of(c)), 0.5);
    dt_all_reduce(g, x);
    return x;
}

/* --- matrix products: dim = rows 0, rows 1, n, k --- */

static dt_tensor *build_matmul(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    int64_t rows = c->dim[0] * c->dim[1], n = c->dim[2], k = c->dim[3];
    dt_matmul_attr attr = {c->with & WITH_TRANSPOSED_A, c->with & WITH_TRANSPOSED_B, (dt_activation)c->kind};
    dt_shape a = attr.transpose_a ? DT_SHAPE(k, rows) : DT_SHAPE(c->dim[0], c->dim[1], k);
    dt_shape b = attr.transpose_b ? DT_SHAPE(n, k) : DT_SHAPE(k, n);
    dt_shape out = attr.transpose_a ? DT_SHAPE(rows, n) : DT_SHAPE(c->dim[0], c->dim[1], n);
    dt_tensor *const in[DT_MATMUL_INPUTS] = {
        [DT_MATMUL_A] = value(g, "a", a),
        [DT_MATMUL_B] = param(g, "b", b),
        [DT_MATMUL_BIAS] = optional(g, c, WITH_BIAS, "bias", DT_SHAPE(n)),
        [DT_MATMUL_RESIDUAL] = c->with & WITH_RESIDUAL ? trunk(value(g, "residual", out)) : NULL,
    };
    unsigned wanted = 1u << DT_MATMUL_C | (unsigned)(attr.act != DT_ACT_NONE) << DT_MATMUL_PRE;
    dt_node *node = dt_node_add(g, &dt_op_matmul, &attr, in, DT_MATMUL_INPUTS, wanted);
    return node ? node->out[DT_MATMUL_C] : NULL;
}

static dt_tensor *build_linear(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    int64_t n = c->dim[2], k = c->dim[3];
    return trunk(dt_linear(g, value(g, "a", DT_SHAPE(c->dim[0], c->dim[1], k)), param(g, "b", DT_SHAPE(n, k)),
                           optional(g, c, WITH_BIAS, "bias", DT_SHAPE(n))));
}

/* Both operands of rank three: their rows are summed over, and their gradients take their shapes. */
static dt_tensor *build_matmul_rows(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_matmul(g, value(g, "a", DT_SHAPE(c->dim[0], c->dim[1], c->dim[3])),
                     value(g, "b", DT_SHAPE(c->dim[0], c->dim[1], c->dim[2])), (dt_matmul_attr){.transpose_a = true});
}

/* Two layers: behind the passes, the first one's gradient has GELU's derivative as its epilogue. */
static dt_tensor *build_mlp(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    int64_t n = c->dim[2], k = c->dim[3];
    dt_tensor *x = value(g, "a", DT_SHAPE(c->dim[0], c->dim[1], k));
    dt_tensor *hidden = dt_linear(g, x, param(g, "w1", DT_SHAPE(n, k)), param(g, "b1", DT_SHAPE(n)));
    hidden = dt_gelu(g, hidden, (dt_activation)c->kind);
    return dt_linear(g, hidden, param(g, "w2", DT_SHAPE(k, n)), param(g, "b2", DT_SHAPE(k)));
}

static dt_tensor *build_column_sum(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_column_sum(g, value(g, "x", shape_of(c)));
}

static dt_tensor *build_sum(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_sum(g, value(g, "x", shape_of(c)));
}

/* --- norms: dim = the shape of x --- */

static dt_tensor *use_norm(dt_graph *g, const op_case *c, const dt_node *node)
{
    if (!node || c->with & WITH_ONLY_SUM) return node ? node->out[DT_NORM_SUM] : NULL;
    if (!(c->with & WITH_SUM)) return node->out[DT_NORM_Y];
    return dt_add(g, node->out[DT_NORM_Y], dt_scale(g, node->out[DT_NORM_SUM], 0.25));
}

static dt_tensor *build_row_norm(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_shape shape = shape_of(c), channels = DT_SHAPE(dt_shape_last(&shape));
    dt_row_norm_attr attr = {.center = c->kind, .epsilon = 1e-5};
    dt_tensor *const in[] = {
        [DT_NORM_X] = trunk(value(g, "x", shape)),
        [DT_NORM_RESIDUAL] = c->with & WITH_RESIDUAL ? value(g, "residual", shape) : NULL,
        [DT_NORM_GAMMA] = optional(g, c, WITH_GAMMA, "gamma", channels),
        [DT_NORM_BETA] = optional(g, c, WITH_BETA, "beta", channels),
    };
    return use_norm(g, c, dt_node_add(g, &dt_op_row_norm, &attr, in, sizeof in / sizeof *in, 1));
}

static dt_tensor *build_point_norm(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_shape shape = shape_of(c), channels = DT_SHAPE(dt_shape_last(&shape));
    dt_point_norm_attr attr = {(dt_pointwise)c->kind};
    double alpha = c->kind == DT_POINTWISE_hardtanh ? 2 : 0.75; /* 2: half of the elements are clipped */
    dt_tensor *const in[] = {
        [DT_NORM_X] = trunk(value(g, "x", shape)),
        [DT_NORM_RESIDUAL] = c->with & WITH_RESIDUAL ? value(g, "residual", shape) : NULL,
        [DT_NORM_GAMMA] = optional(g, c, WITH_GAMMA, "gamma", channels),
        [DT_NORM_BETA] = optional(g, c, WITH_BETA, "beta", channels),
        [DT_NORM_ALPHA] = c->with & WITH_ALPHA ? number(g, "alpha", alpha) : NULL,
        [DT_NORM_SHIFT] = c->with & WITH_SHIFT ? number(g, "shift", 0.25) : NULL,
    };
    return use_norm(g, c, dt_node_add(g, &dt_op_point_norm, &attr, in, sizeof in / sizeof *in, 1));
}

/* --- attention: dim = batch, tokens, heads, size --- */

static dt_tensor *build_attention(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    int64_t heads = c->dim[2], kv_heads = c->with & WITH_SHARED_KEYS ? heads / 2 : heads;
    dt_attention_attr attr = {.heads = heads, .causal = c->with & WITH_CAUSAL, .scale = c->kind};
    if (c->with & WITH_SHARED_KEYS) attr.kv_heads = kv_heads;
    dt_shape packed = DT_SHAPE(c->dim[0], c->dim[1], (heads + 2 * kv_heads) * c->dim[3]);
    return dt_attention(g, value(g, "qkv", packed), attr);
}

static dt_tensor *position(dt_graph *g, const op_case *c)
{
    return dt_input(g, "position", DT_I32, DT_SHAPE(c->dim[0]));
}

/* kind: the capacity */
static dt_tensor *build_attention_cached(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    int64_t heads = c->dim[2], kv_heads = c->with & WITH_SHARED_KEYS ? heads / 2 : heads, size = c->dim[3];
    dt_attention_attr attr = {.heads = heads, .kv_heads = kv_heads};
    dt_tensor *qkv = value(g, "qkv", DT_SHAPE(c->dim[0], c->dim[1], (heads + 2 * kv_heads) * size));
    dt_tensor *cache = value(g, "cache", DT_SHAPE(c->dim[0], c->kind, 2 * kv_heads * size));
    return dt_attention_cached(g, qkv, cache, position(g, c), attr);
}

/* dim = batch, tokens, elements of a row of x, and of the cache; kind: the capacity */
static dt_tensor *build_cache_append(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *cache = dt_state_tensor(g, "cache", DT_F32, DT_SHAPE(c->dim[0], c->kind, c->dim[3]), false);
    dt_cache_append(g, cache, value(g, "x", DT_SHAPE(c->dim[0], c->dim[1], c->dim[2])), position(g, c));
    return cache;
}

/* --- text --- */

/* dim = batch, tokens, heads, size; all heads but the last are rotated. kind: the original context of Llama's scaling */
static dt_tensor *build_rope(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_rope_attr attr = {.heads = c->dim[2] - 1, .size = c->dim[3], .theta = 100};
    if (c->kind) attr.factor = 8, attr.low = 1, attr.high = 4, attr.original_context = c->kind;
    dt_tensor *x = value(g, "x", DT_SHAPE(c->dim[0], c->dim[1], c->dim[2] * c->dim[3]));
    return dt_rope(g, x, c->with & WITH_PLACES ? position(g, c) : NULL, attr);
}

/* dim = batch, tokens, channels, rows of the table, 7 at least */
static dt_tensor *build_embedding(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *tokens = dt_input(g, "tokens", DT_I32, DT_SHAPE(c->dim[0], c->dim[1]));
    dt_tensor *order = dt_input(g, "order", DT_I32, DT_SHAPE(c->dim[0] * c->dim[1]));
    return dt_embedding(g, param(g, "table", DT_SHAPE(c->dim[3], c->dim[2])), tokens, order);
}

/* dim = rows, width of a row, classes; kind 1: how many targets count */
static dt_tensor *build_token_loss(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *targets = dt_input(g, "targets", DT_I32, DT_SHAPE(c->dim[0]));
    dt_token_loss_out out = dt_token_loss(g, value(g, "x", DT_SHAPE(c->dim[0], c->dim[1])), targets, c->dim[2]);
    return c->kind ? dt_add(g, out.loss, out.count) : out.loss;
}

/* --- images and tokens --- */

static dt_tensor *build_normalize(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_normalize_attr attr = {{0.5, 0.25, 0.125}, {0.5, 0.25, 2}};
    return dt_normalize(g, dt_input(g, "bytes", DT_U8, shape_of(c)), attr);
}

static dt_tensor *build_patchify(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_patchify(g, value(g, "x", shape_of(c)), c->kind);
}

static dt_tensor *build_unpatchify(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    int64_t p = c->kind, patches = c->dim[2] / p * (c->dim[3] / p);
    dt_tensor *x = value(g, "x", DT_SHAPE(c->dim[0], patches, c->dim[1] * p * p));
    return dt_unpatchify(g, x, c->dim[1], c->dim[2], c->dim[3], p);
}

static dt_tensor *build_embed_tokens(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    int64_t tokens = c->dim[1] + (c->with & WITH_CLS ? 1 : 0);
    return trunk(dt_embed_tokens(g, value(g, "x", shape_of(c)), optional(g, c, WITH_CLS, "cls", DT_SHAPE(c->dim[2])),
                                 optional(g, c, WITH_POSITION, "position", DT_SHAPE(tokens, c->dim[2]))));
}

static dt_tensor *build_token_mean(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_token_mean(g, trunk(value(g, "x", DT_SHAPE(c->dim[0], c->dim[1], c->dim[2]))), c->kind, c->dim[3]);
}

/* --- random --- */

static dt_tensor *build_drop(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_drop_attr attr = {.rate = 0.4, .seed = 99, .site = 3};
    dt_tensor *x = trunk(value(g, "x", shape_of(c)));
    dt_tensor *sample = dt_input(g, "sample", DT_I64, DT_SHAPE(c->dim[0]));
    dt_tensor *step = dt_input(g, "step", DT_I64, DT_SHAPE(1));
    return c->op == &dt_op_dropout ? dt_dropout(g, x, sample, step, attr) : dt_drop_path(g, x, sample, step, attr);
}

/* --- losses and metrics: dim = rows, classes --- */

static dt_tensor *build_one_hot(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_one_hot(g, dt_input(g, "labels", DT_I32, DT_SHAPE(c->dim[0])), c->dim[1], 0.125);
}

static dt_tensor *build_log_softmax(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_log_softmax(g, value(g, "x", shape_of(c)));
}

static dt_tensor *build_cross_entropy(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_cross_entropy(g, value(g, "x", shape_of(c)), frozen(g, "target", shape_of(c)),
                            frozen(g, "weight", DT_SHAPE(c->dim[0])));
}

static dt_tensor *build_softmax_xent(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *const in[] = {value(g, "x", shape_of(c)), frozen(g, "target", shape_of(c)),
                             frozen(g, "weight", DT_SHAPE(c->dim[0]))};
    dt_node *node = dt_node_add(g, &dt_op_softmax_xent, NULL, in, 3, 1);
    return node ? node->out[DT_XENT_LOSS] : NULL;
}

static dt_tensor *build_top_hits(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_top_hits(g, frozen(g, "x", shape_of(c)), dt_input(g, "labels", DT_I32, DT_SHAPE(c->dim[0])),
                       frozen(g, "weight", DT_SHAPE(c->dim[0])));
}

/* --- the update: dim = elements; kind = which result --- */

static dt_grad_norm_out build_gradient(dt_graph *g, const op_case *c, dt_tensor **gradient)
{
    *gradient = frozen(g, "gradient", shape_of(c));
    dt_tensor *count = dt_fill(g, DT_F32, &DT_SCALAR, c->with & WITH_NOTHING_FINITE ? 0 : 4);
    return dt_grad_norm(g, (dt_tensor *[]){*gradient, frozen(g, "other", DT_SHAPE(7))}, count, (dt_grad_norm_attr){1});
}

static dt_tensor *build_grad_norm(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *gradient;
    dt_grad_norm_out out = build_gradient(g, c, &gradient);
    return c->kind == 0 ? out.norm : c->kind == 1 ? out.scale : out.finite;
}

static dt_tensor *build_update(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_update_inputs in = {0};
    dt_grad_norm_out norm = build_gradient(g, c, &in.gradient);
    in.value = frozen(g, "value", shape_of(c));
    in.moment1 = frozen(g, "moment1", shape_of(c));
    in.moment2 = dt_param_tensor(g, "moment2", shape_of(c),
                                 (dt_param_options){.role = DT_ROLE_GAIN, .init = {DT_INIT_CONSTANT, 0.5},
                                                  .frozen = true});
    in.scale = norm.scale;
    in.finite = norm.finite;
    in.lr = dt_fill(g, DT_F64, &DT_SCALAR, 0.125);
    in.correction1 = dt_fill(g, DT_F64, &DT_SCALAR, 0.75);
    in.correction2 = dt_fill(g, DT_F64, &DT_SCALAR, 0.25);
    dt_update_attr attr = {.beta1 = 0.75, .beta2 = 0.875, .epsilon = 1e-3, .weight_decay = 0.25,
                           .nesterov = c->kind == 3, .spans = spans, .span_count = CASE_SPANS};
    (c->op == &dt_op_adamw ? dt_adamw : dt_sgd)(g, &in, attr);
    return c->kind == 1 ? in.moment1 : c->kind == 2 ? in.moment2 : in.value;
}

static dt_tensor *build_ema(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *gradient, *average = frozen(g, "average", shape_of(c));
    dt_grad_norm_out norm = build_gradient(g, c, &gradient);
    dt_ema(g, frozen(g, "value", shape_of(c)), average, norm.finite, 0.875);
    return average;
}

/* --- the table --- */

enum { LN = 1, RMS = 0, AFFINE = WITH_GAMMA | WITH_BETA, POINT = AFFINE | WITH_ALPHA };

#define POINT_CASE(kind, name, with, ...) \
    {&dt_op_point_norm, name, build_point_norm, ref_point_norm, {__VA_ARGS__}, with, DT_POINTWISE_##kind}

const op_case op_cases[] = {
    {&dt_op_input, "of integers", build_input, ref_input, {3, 5}},
    {&dt_op_reshape, "3 dimensions to 2", build_reshape, ref_reshape, {2, 3, 5}},
    {&dt_op_cast, "bytes to floats", build_cast, ref_cast, {3, 7}},
    {&dt_op_cast, "floats to floats", build_cast_float, NULL, {3, 7}},
    {&dt_op_fill, "a matrix", build_fill, ref_fill, {3, 5}},
    {&dt_op_add, "two tensors", build_add, ref_add, {3, 7}},
    {&dt_op_add, "a tensor to itself", build_add_twice, NULL, {3, 7}},
    {&dt_op_scale, "by a negative number", build_scale, ref_scale, {3, 7}},
    {&dt_op_scale_by, "by a negative number", build_scale_by, ref_scale_by, {3, 7}},
    {&dt_op_scale_by, "many", build_scale_by, ref_scale_by, {130, 131}},
    {&dt_op_swiglu, "odd rows", build_swiglu, ref_swiglu, {2, 3, 7}},
    {&dt_op_swiglu, "long rows", build_swiglu, ref_swiglu, {2, 3, 72}},
    {&dt_op_gelu, "exact", build_gelu, ref_gelu, {5, 9}, 0, DT_ACT_GELU},
    {&dt_op_gelu, "tanh", build_gelu, ref_gelu, {5, 9}, 0, DT_ACT_GELU_TANH},
    {&dt_op_accumulate, "into a slot", build_accumulate, ref_assign, {3, 7}},
    {&dt_op_assign, "a state", build_assign, ref_assign, {3, 7}},
    {&dt_op_all_reduce, "one rank", build_all_reduce, ref_assign, {3, 7}},

    {&dt_op_matmul, "a b", build_matmul, ref_matmul, {2, 3, 5, 4}},
    {&dt_op_matmul, "a^T b", build_matmul, ref_matmul, {2, 3, 5, 4}, WITH_TRANSPOSED_A},
    {&dt_op_matmul, "a b^T", build_matmul, ref_matmul, {2, 3, 5, 4}, WITH_TRANSPOSED_B},
    {&dt_op_matmul, "a^T b^T", build_matmul, ref_matmul, {2, 3, 5, 4}, WITH_TRANSPOSED_A | WITH_TRANSPOSED_B},
    {&dt_op_matmul, "of rank three", build_matmul_rows, NULL, {2, 3, 5, 4}},
    {&dt_op_matmul, "one row, one column", build_matmul, ref_matmul, {1, 1, 1, 7}, WITH_BIAS | WITH_RESIDUAL},
    {&dt_op_matmul, "bias", build_matmul, ref_matmul, {1, 6, 5, 4}, WITH_BIAS | WITH_TRANSPOSED_B},
    {&dt_op_matmul, "residual", build_matmul, ref_matmul, {1, 6, 5, 4}, WITH_RESIDUAL},
    {&dt_op_matmul, "gelu", build_matmul, ref_matmul, {1, 6, 5, 4}, 0, DT_ACT_GELU},
    {&dt_op_matmul, "bias, gelu", build_matmul, ref_matmul, {1, 6, 5, 4}, WITH_BIAS, DT_ACT_GELU},
    {&dt_op_matmul, "bias, tanh gelu, residual", build_matmul, ref_matmul, {1, 6, 5, 4}, WITH_BIAS | WITH_RESIDUAL,
     DT_ACT_GELU_TANH},
    {&dt_op_matmul, "bias, tanh gelu, whole packs", build_matmul, ref_matmul, {1, 6, 8, 16}, WITH_BIAS, DT_ACT_GELU_TANH},
    {&dt_op_matmul, "many rows", build_matmul, ref_matmul, {5, 67, 19, 33}, WITH_BIAS | WITH_TRANSPOSED_B, DT_ACT_GELU},
    {&dt_op_matmul, "linear", build_linear, NULL, {2, 3, 5, 4}},
    {&dt_op_matmul, "linear, bias", build_linear, NULL, {2, 3, 5, 4}, WITH_BIAS},
    {&dt_op_matmul, "two layers", build_mlp, NULL, {2, 3, 6, 4}, 0, DT_ACT_GELU},
    {&dt_op_matmul, "two layers, tanh gelu", build_mlp, NULL, {2, 3, 6, 4}, 0, DT_ACT_GELU_TANH},
    {&dt_op_matmul, "two layers, tanh gelu, whole packs", build_mlp, NULL, {2, 3, 16, 8}, 0, DT_ACT_GELU_TANH},
    {&dt_op_column_sum, "few rows", build_column_sum, ref_column_sum, {2, 3, 5}},
    {&dt_op_column_sum, "many rows", build_column_sum, ref_column_sum, {7, 150, 3}},
    {&dt_op_sum, "of a matrix", build_sum, ref_sum, {5, 7}},
    {&dt_op_sum, "of many", build_sum, ref_sum, {70, 131}},

    {&dt_op_row_norm, "layernorm", build_row_norm, ref_row_norm, {2, 3, 7}, AFFINE, LN},
    {&dt_op_row_norm, "layernorm, plain", build_row_norm, ref_row_norm, {2, 3, 7}, 0, LN},
    {&dt_op_row_norm, "layernorm, gamma", build_row_norm, ref_row_norm, {2, 3, 7}, WITH_GAMMA, LN},
    {&dt_op_row_norm, "layernorm, beta", build_row_norm, ref_row_norm, {2, 3, 7}, WITH_BETA, LN},
    {&dt_op_row_norm, "layernorm, residual", build_row_norm, ref_row_norm, {2, 3, 7}, AFFINE | WITH_RESIDUAL, LN},
    {&dt_op_row_norm, "layernorm, residual and sum", build_row_norm, ref_row_norm, {2, 3, 7},
     AFFINE | WITH_RESIDUAL | WITH_SUM, LN},
    {&dt_op_row_norm, "layernorm, only the sum", build_row_norm, ref_row_norm, {2, 3, 7},
     WITH_RESIDUAL | WITH_ONLY_SUM, LN},
    {&dt_op_row_norm, "layernorm, many rows", build_row_norm, ref_row_norm, {3, 67, 33},
     AFFINE | WITH_RESIDUAL | WITH_SUM, LN},
    {&dt_op_row_norm, "layernorm, whole packs", build_row_norm, ref_row_norm, {3, 67, 32},
     AFFINE | WITH_RESIDUAL | WITH_SUM, LN},
    {&dt_op_row_norm, "layernorm, many channels", build_row_norm, ref_row_norm, {1, 5, 768},
     AFFINE | WITH_RESIDUAL, LN},
    {&dt_op_row_norm, "rmsnorm", build_row_norm, ref_row_norm, {2, 3, 7}, WITH_GAMMA, RMS},
    {&dt_op_row_norm, "rmsnorm, plain", build_row_norm, ref_row_norm, {2, 3, 7}, 0, RMS},
    {&dt_op_row_norm, "rmsnorm, beta, residual and sum", build_row_norm, ref_row_norm, {2, 3, 7},
     AFFINE | WITH_RESIDUAL | WITH_SUM, RMS},

    POINT_CASE(dyt, "dyt", POINT, 2, 3, 7),
    POINT_CASE(dyt, "dyt, plain", WITH_ALPHA, 2, 3, 7),
    POINT_CASE(dyt, "dyt, without alpha", AFFINE, 2, 3, 7),
    POINT_CASE(dyt, "dyt, gamma", WITH_GAMMA | WITH_ALPHA, 2, 3, 7),
    POINT_CASE(dyt, "dyt, residual", POINT | WITH_RESIDUAL, 2, 3, 7),
    POINT_CASE(dyt, "dyt, residual and sum", POINT | WITH_RESIDUAL | WITH_SUM, 2, 3, 7),
    POINT_CASE(dyt, "dyt, only the sum", WITH_RESIDUAL | WITH_ONLY_SUM, 2, 3, 7),
    POINT_CASE(dyt, "dyt, shift", POINT | WITH_SHIFT, 2, 3, 7),
    POINT_CASE(dyt, "dyt, many rows", POINT | WITH_RESIDUAL | WITH_SUM, 3, 67, 33),
    POINT_CASE(dyt, "dyt, whole packs", POINT | WITH_RESIDUAL | WITH_SUM, 3, 67, 32),
    POINT_CASE(dyt, "dyt, many channels", POINT | WITH_RESIDUAL, 1, 5, 768),
    POINT_CASE(hardtanh, "hardtanh", POINT, 2, 3, 7),
    POINT_CASE(hardtanh, "hardtanh, residual and sum", POINT | WITH_RESIDUAL | WITH_SUM, 2, 3, 7),
    POINT_CASE(sigmoid, "sigmoid", POINT, 2, 3, 7),
    POINT_CASE(sigmoid, "sigmoid, residual", POINT | WITH_RESIDUAL, 2, 3, 7),
    POINT_CASE(identity, "identity", POINT, 2, 3, 7),
    POINT_CASE(identity, "identity, plain", 0, 2, 3, 7),
    POINT_CASE(derf, "derf", POINT | WITH_SHIFT, 2, 3, 7),
    POINT_CASE(derf, "derf, residual and sum", POINT | WITH_SHIFT | WITH_RESIDUAL | WITH_SUM, 2, 3, 7),
    POINT_CASE(derf, "derf, many rows", POINT | WITH_SHIFT, 3, 67, 33),
    POINT_CASE(isru, "isru", POINT, 2, 3, 7),
    POINT_CASE(isru, "isru, shift", POINT | WITH_SHIFT, 2, 3, 7),

    {&dt_op_attention, "two heads", build_attention, ref_attention, {2, 5, 2, 3}},
    {&dt_op_attention, "causal", build_attention, ref_attention, {2, 5, 2, 3}, WITH_CAUSAL},
    {&dt_op_attention, "a scale of 2", build_attention, ref_attention, {1, 4, 1, 2}, 0, 2},
    {&dt_op_attention, "one token", build_attention, ref_attention, {2, 1, 1, 4}},
    {&dt_op_attention, "many tokens", build_attention, ref_attention, {1, 131, 1, 5}},
    {&dt_op_attention, "many tokens, causal", build_attention, ref_attention, {1, 131, 1, 5}, WITH_CAUSAL},
    {&dt_op_attention, "two tokens, heads of 8", build_attention, ref_attention, {3, 2, 2, 8}},
    {&dt_op_attention, "three heads of 40", build_attention, ref_attention, {2, 33, 3, 40}},
    {&dt_op_attention, "many tokens, causal, heads of 8", build_attention, ref_attention, {2, 131, 2, 8}, WITH_CAUSAL},
    {&dt_op_attention, "shared keys", build_attention, ref_attention, {2, 7, 4, 3}, WITH_SHARED_KEYS},
    {&dt_op_attention, "shared keys, causal, heads of 8", build_attention, ref_attention, {2, 19, 6, 8},
     WITH_SHARED_KEYS | WITH_CAUSAL},
    {&dt_op_attention, "shared keys, causal, heads of 96", build_attention, ref_attention, {1, 70, 2, 96},
     WITH_SHARED_KEYS | WITH_CAUSAL},
    {&dt_op_attention, "shared keys, many tokens, causal", build_attention, ref_attention, {1, 197, 4, 16},
     WITH_SHARED_KEYS | WITH_CAUSAL},
    {&dt_op_attention, "shared keys, heads of 64", build_attention, NULL, {1, 70, 2, 64}, WITH_SHARED_KEYS},
    {&dt_op_attention, "heads of 24", build_attention, ref_attention, {2, 19, 2, 24}},
    {&dt_op_attention, "heads of 40, causal", build_attention, NULL, {1, 45, 2, 40}, WITH_CAUSAL},
    {&dt_op_attention, "heads of 64", build_attention, NULL, {1, 50, 1, 64}},
    {&dt_op_attention, "heads of 72", build_attention, NULL, {1, 70, 1, 72}},
    {&dt_op_attention, "heads of 72, causal", build_attention, ref_attention, {2, 19, 1, 72}, WITH_CAUSAL},
    {&dt_op_attention, "heads of 104", build_attention, NULL, {1, 37, 1, 104}},
    {&dt_op_attention, "heads of 128, causal", build_attention, NULL, {1, 67, 1, 128}, WITH_CAUSAL},
    {&dt_op_attention, "heads of 136", build_attention, NULL, {1, 35, 1, 136}},
    {&dt_op_attention, "heads of 8, more tokens than fit a block", build_attention, NULL, {1, 211, 1, 8}},

    {&dt_op_attention_cached, "one token", build_attention_cached, ref_attention_cached, {3, 1, 2, 8}, 0, 700},
    {&dt_op_attention_cached, "shared keys", build_attention_cached, ref_attention_cached, {5, 4, 4, 3},
     WITH_SHARED_KEYS, 400},
    {&dt_op_attention_cached, "heads of 64, one piece", build_attention_cached, ref_attention_cached, {3, 2, 2, 64},
     WITH_SHARED_KEYS, 200},
    {&dt_op_attention_cached, "heads of 96", build_attention_cached, ref_attention_cached, {2, 3, 2, 96},
     WITH_SHARED_KEYS, 300},
    {&dt_op_attention_cached, "heads of 136", build_attention_cached, ref_attention_cached, {2, 1, 1, 136}, 0, 300},
    {&dt_op_attention_cached, "heads of 33", build_attention_cached, ref_attention_cached, {2, 1, 1, 33}, 0, 300},
    {&dt_op_attention_cached, "a full cache", build_attention_cached, ref_attention_cached, {4, 3, 2, 4}, 0, 2},
    {&dt_op_cache_append, "odd rows", build_cache_append, ref_cache_append, {5, 4, 7, 5}, 0, 300},
    {&dt_op_cache_append, "whole packs", build_cache_append, ref_cache_append, {5, 4, 24, 16}, 0, 300},
    {&dt_op_rope, "three of four heads, from places", build_rope, ref_rope, {4, 5, 4, 6}, WITH_PLACES},
    {&dt_op_rope, "three of four heads", build_rope, ref_rope, {2, 5, 4, 6}},
    {&dt_op_rope, "heads of 16", build_rope, ref_rope, {2, 300, 2, 16}},
    {&dt_op_rope, "scaled", build_rope, ref_rope, {1, 19, 3, 32}, 0, 100},
    {&dt_op_embedding, "few tokens", build_embedding, ref_embedding, {2, 5, 3, 7}},
    {&dt_op_embedding, "many tokens", build_embedding, ref_embedding, {3, 201, 40, 11}},
    {&dt_op_embedding, "more channels than a block takes", build_embedding, ref_embedding, {1, 70, 1048, 9}},
    {&dt_op_token_loss, "all classes", build_token_loss, ref_token_loss, {13, 9, 9}},
    {&dt_op_token_loss, "padded rows", build_token_loss, ref_token_loss, {13, 16, 11}},
    {&dt_op_token_loss, "long padded rows", build_token_loss, ref_token_loss, {5, 1024, 1001}},
    {&dt_op_token_loss, "long odd rows", build_token_loss, ref_token_loss, {5, 517, 517}},
    {&dt_op_token_loss, "loss and count", build_token_loss, ref_token_loss, {300, 11, 11}, 0, 1},

    {&dt_op_normalize, "3 channels", build_normalize, ref_normalize, {2, 3, 5, 7}},
    {&dt_op_patchify, "patches of 2", build_patchify, ref_patchify, {2, 3, 4, 6}, 0, 2},
    {&dt_op_patchify, "one patch", build_patchify, ref_patchify, {2, 1, 5, 5}, 0, 5},
    {&dt_op_unpatchify, "patches of 2", build_unpatchify, ref_unpatchify, {2, 3, 4, 6}, 0, 2},
    {&dt_op_embed_tokens, "class token and positions", build_embed_tokens, ref_embed_tokens, {2, 3, 5},
     WITH_CLS | WITH_POSITION},
    {&dt_op_embed_tokens, "whole packs", build_embed_tokens, ref_embed_tokens, {5, 3, 16}, WITH_CLS | WITH_POSITION},
    {&dt_op_embed_tokens, "class token", build_embed_tokens, ref_embed_tokens, {2, 3, 5}, WITH_CLS},
    {&dt_op_embed_tokens, "positions", build_embed_tokens, ref_embed_tokens, {2, 3, 5}, WITH_POSITION},
    {&dt_op_embed_tokens, "neither", build_embed_tokens, ref_embed_tokens, {2, 3, 5}},
    {&dt_op_token_mean, "all but the first", build_token_mean, ref_token_mean, {2, 5, 3, 4}, 0, 1},
    {&dt_op_token_mean, "one token", build_token_mean, ref_token_mean, {2, 5, 3, 1}},
    {&dt_op_dropout, "3 dimensions", build_drop, NULL, {3, 5, 7}},
    {&dt_op_drop_path, "3 dimensions", build_drop, NULL, {9, 2, 3}},

    {&dt_op_one_hot, "smoothed", build_one_hot, ref_one_hot, {5, 9}},
    {&dt_op_log_softmax, "9 classes", build_log_softmax, ref_log_softmax, {5, 9}},
    {&dt_op_log_softmax, "two classes", build_log_softmax, ref_log_softmax, {3, 2}},
    {&dt_op_cross_entropy, "soft targets", build_cross_entropy, ref_cross_entropy, {5, 9}},
    {&dt_op_softmax_xent, "soft targets", build_softmax_xent, ref_softmax_xent, {5, 9}},
    {&dt_op_softmax_xent, "many rows", build_softmax_xent, ref_softmax_xent, {300, 11}},
    {&dt_op_top_hits, "9 classes", build_top_hits, ref_top_hits, {40, 9}},

    {&dt_op_grad_norm, "norm", build_grad_norm, ref_grad_norm, {CASE_SPAN_ELEMENTS}, 0, 0},
    {&dt_op_grad_norm, "scale", build_grad_norm, ref_grad_norm, {CASE_SPAN_ELEMENTS}, 0, 1},
    {&dt_op_grad_norm, "finite", build_grad_norm, ref_grad_norm, {CASE_SPAN_ELEMENTS}, 0, 2},
    {&dt_op_grad_norm, "not finite", build_grad_norm, ref_grad_norm, {CASE_SPAN_ELEMENTS}, WITH_NOTHING_FINITE, 2},
    {&dt_op_adamw, "value", build_update, ref_adamw, {CASE_SPAN_ELEMENTS}, 0, 0},
    {&dt_op_adamw, "first moment", build_update, ref_adamw, {CASE_SPAN_ELEMENTS}, 0, 1},
    {&dt_op_adamw, "second moment", build_update, ref_adamw, {CASE_SPAN_ELEMENTS}, 0, 2},
    {&dt_op_adamw, "not finite", build_update, ref_adamw, {CASE_SPAN_ELEMENTS}, WITH_NOTHING_FINITE, 0},
    {&dt_op_sgd, "value", build_update, ref_sgd, {CASE_SPAN_ELEMENTS}, 0, 0},
    {&dt_op_sgd, "momentum", build_update, ref_sgd, {CASE_SPAN_ELEMENTS}, 0, 1},
    {&dt_op_sgd, "nesterov", build_update, ref_sgd, {CASE_SPAN_ELEMENTS}, 0, 3},
    {&dt_op_sgd, "not finite", build_update, ref_sgd, {CASE_SPAN_ELEMENTS}, WITH_NOTHING_FINITE, 0},
    {&dt_op_ema, "average", build_ema, ref_ema, {CASE_SPAN_ELEMENTS}},
    {&dt_op_ema, "not finite", build_ema, ref_ema, {CASE_SPAN_ELEMENTS}, WITH_NOTHING_FINITE},
};

const int op_case_count = (int)(sizeof op_cases / sizeof op_cases[0]);

const dt_segment_span case_spans[CASE_SPANS] = {
    {.offset = 0, .count = 40, .lr_scale = 1, .decay = 1},
    {.offset = 40, .count = 40, .lr_scale = 0.5f, .decay = 0},
    {.offset = 80, .count = CASE_SPAN_ELEMENTS - 80, .lr_scale = 1, .decay = 1, .frozen = 1},
};
