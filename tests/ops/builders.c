/* The graphs of the cases: one builder for each operator, or way of using it. */
#include "ops/builders.h"

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

dt_tensor *build_input(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_input(g, "x", DT_I64, shape_of(c));
}

dt_tensor *build_reshape(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_reshape(g, trunk(value(g, "x", shape_of(c))), DT_SHAPE(c->dim[0] * c->dim[1], c->dim[2]));
}

dt_tensor *build_cast(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_cast(g, dt_input(g, "bytes", DT_U8, shape_of(c)), DT_F32);
}

dt_tensor *build_cast_float(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_cast(g, dt_cast(g, value(g, "x", shape_of(c)), DT_F64), DT_F32);
}

dt_tensor *build_fill(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_fill(g, DT_F32, &(dt_shape){2, {c->dim[0], c->dim[1]}}, 0.375);
}

dt_tensor *build_add(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_add(g, trunk(value(g, "x", shape_of(c))), value(g, "residual", shape_of(c)));
}

dt_tensor *build_add_twice(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *x = value(g, "x", shape_of(c));
    return dt_add(g, x, x);
}

dt_tensor *build_scale(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_scale(g, trunk(value(g, "x", shape_of(c))), -1.75);
}

dt_tensor *build_scale_by(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_scale_by(g, value(g, "x", shape_of(c)), number(g, "by", -1.75));
}

dt_tensor *build_swiglu(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_swiglu(g, value(g, "x", DT_SHAPE(c->dim[0], c->dim[1], 2 * c->dim[2])));
}

dt_tensor *build_gelu(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_gelu(g, value(g, "x", shape_of(c)), (dt_activation)c->kind);
}

dt_tensor *build_assign(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *state = dt_state_tensor(g, "state", DT_F32, shape_of(c), true);
    dt_assign(g, state, dt_scale(g, frozen(g, "x", shape_of(c)), 0.5));
    return state;
}

dt_tensor *build_accumulate(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *slot = dt_param_gradient(g, param(g, "slot", shape_of(c)));
    dt_accumulate(g, slot, dt_scale(g, frozen(g, "x", shape_of(c)), 0.5));
    return slot;
}

dt_tensor *build_all_reduce(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *x = dt_scale(g, frozen(g, "x", shape_of(c)), 0.5);
    dt_all_reduce(g, x);
    return x;
}

/* Of one rank: the sum is what is there, and its piece the whole. */
dt_tensor *build_reduce_scatter(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *state = dt_state_tensor(g, "state", DT_F32, shape_of(c), true);
    dt_reduce_scatter(g, dt_scale(g, frozen(g, "x", shape_of(c)), 0.5), state,
                      (dt_reduce_attr){.wire = DT_F32, .each = c->kind});
    return state;
}

dt_tensor *build_all_gather(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *state = dt_state_tensor(g, "state", DT_F32, shape_of(c), true);
    dt_all_gather(g, dt_scale(g, frozen(g, "x", shape_of(c)), 0.5), state);
    return state;
}

dt_tensor *build_gather(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_gather(g, dt_scale(g, frozen(g, "x", shape_of(c)), 0.5), c->dim[0] * c->dim[1]);
}

/* Two gaps that cover all. */
dt_tensor *build_gradient_room(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_gap gaps[] = {{0, c->dim[0] / 2}, {c->dim[0] / 2, c->dim[0] - c->dim[0] / 2}};
    return dt_gradient_room(g, DT_F32, c->dim[0], gaps, 2);
}

/* The product waits for the stream that the sum over the ranks is made on. */
dt_tensor *build_join(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_scale(g, build_all_reduce(g, c, spans), -1.75);
}

/* --- matrix products: dim = rows 0, rows 1, n, k --- */

dt_tensor *build_matmul(dt_graph *g, const op_case *c, const dt_segment_span *spans)
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

dt_tensor *build_linear(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    int64_t n = c->dim[2], k = c->dim[3];
    return trunk(dt_linear(g, value(g, "a", DT_SHAPE(c->dim[0], c->dim[1], k)), param(g, "b", DT_SHAPE(n, k)),
                           optional(g, c, WITH_BIAS, "bias", DT_SHAPE(n))));
}

/* Both operands of rank three: their rows are summed over, and their gradients take their shapes. */
dt_tensor *build_matmul_rows(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_matmul(g, value(g, "a", DT_SHAPE(c->dim[0], c->dim[1], c->dim[3])),
                     value(g, "b", DT_SHAPE(c->dim[0], c->dim[1], c->dim[2])), (dt_matmul_attr){.transpose_a = true});
}

/* Two layers: behind the passes, the first one's gradient has GELU's derivative as its epilogue. */
dt_tensor *build_mlp(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    int64_t n = c->dim[2], k = c->dim[3];
    dt_tensor *x = value(g, "a", DT_SHAPE(c->dim[0], c->dim[1], k));
    dt_tensor *hidden = dt_linear(g, x, param(g, "w1", DT_SHAPE(n, k)), param(g, "b1", DT_SHAPE(n)));
    hidden = dt_gelu(g, hidden, (dt_activation)c->kind);
    return dt_linear(g, hidden, param(g, "w2", DT_SHAPE(k, n)), param(g, "b2", DT_SHAPE(k)));
}

dt_tensor *build_column_sum(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_column_sum(g, value(g, "x", shape_of(c)));
}

dt_tensor *build_sum(dt_graph *g, const op_case *c, const dt_segment_span *spans)
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

dt_tensor *build_row_norm(dt_graph *g, const op_case *c, const dt_segment_span *spans)
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

dt_tensor *build_point_norm(dt_graph *g, const op_case *c, const dt_segment_span *spans)
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

dt_tensor *build_attention(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    int64_t heads = c->dim[2], kv_heads = c->with & WITH_SHARED_KEYS ? heads / 2 : heads;
    dt_attention_attr attr = {.heads = heads, .causal = c->with & WITH_CAUSAL, .scale = c->kind};
    if (c->with & WITH_SHARED_KEYS) attr.kv_heads = kv_heads;
    dt_shape packed = DT_SHAPE(c->dim[0], c->dim[1], (heads + 2 * kv_heads) * c->dim[3]);
    dt_tensor *starts = NULL;
    if (c->with & WITH_DOCUMENTS) starts = dt_input(g, "starts", DT_I32, DT_SHAPE(c->dim[0], c->dim[1]));
    return dt_attention(g, value(g, "qkv", packed), starts, attr);
}

static dt_tensor *position(dt_graph *g, const op_case *c)
{
    return dt_input(g, "position", DT_I32, DT_SHAPE(c->dim[0]));
}

/* kind: the capacity */
dt_tensor *build_attention_cached(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    int64_t heads = c->dim[2], kv_heads = c->with & WITH_SHARED_KEYS ? heads / 2 : heads, size = c->dim[3];
    dt_attention_attr attr = {.heads = heads, .kv_heads = kv_heads};
    dt_tensor *qkv = value(g, "qkv", DT_SHAPE(c->dim[0], c->dim[1], (heads + 2 * kv_heads) * size));
    dt_tensor *cache = value(g, "cache", DT_SHAPE(c->dim[0], c->kind, 2 * kv_heads * size));
    return dt_attention_cached(g, qkv, cache, position(g, c), attr);
}

/* dim = batch, tokens, elements of a row of x, and of the cache; kind: the capacity */
dt_tensor *build_cache_append(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *cache = dt_state_tensor(g, "cache", DT_F32, DT_SHAPE(c->dim[0], c->kind, c->dim[3]), false);
    dt_cache_append(g, cache, value(g, "x", DT_SHAPE(c->dim[0], c->dim[1], c->dim[2])), position(g, c));
    return cache;
}

/* --- text --- */

/* dim = batch, tokens, heads, size; all heads but the last turn. kind: the original context of Llama's scaling */
dt_tensor *build_rope(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_rope_attr attr = {.heads = c->dim[2] - 1, .size = c->dim[3], .theta = 100};
    if (c->kind) attr.factor = 8, attr.low = 1, attr.high = 4, attr.original_context = c->kind;
    dt_tensor *x = value(g, "x", DT_SHAPE(c->dim[0], c->dim[1], c->dim[2] * c->dim[3]));
    return dt_rope(g, x, c->with & WITH_PLACES ? position(g, c) : NULL, attr);
}

/* dim = batch, tokens, channels, rows of the table, 7 at least */
dt_tensor *build_embedding(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *tokens = dt_input(g, "tokens", DT_I32, DT_SHAPE(c->dim[0], c->dim[1]));
    dt_tensor *order = dt_input(g, "order", DT_I32, DT_SHAPE(c->dim[0] * c->dim[1]));
    return dt_embedding(g, param(g, "table", DT_SHAPE(c->dim[3], c->dim[2])), tokens, order);
}

/* dim = rows, width of a row, classes; kind 1: how many targets count */
dt_tensor *build_token_loss(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *targets = dt_input(g, "targets", DT_I32, DT_SHAPE(c->dim[0]));
    dt_token_loss_out out = dt_token_loss(g, value(g, "x", DT_SHAPE(c->dim[0], c->dim[1])), targets, c->dim[2]);
    return c->kind ? dt_add(g, out.loss, out.count) : out.loss;
}

/* --- images and tokens --- */

dt_tensor *build_normalize(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_normalize_attr attr = {{0.5, 0.25, 0.125}, {0.5, 0.25, 2}};
    return dt_normalize(g, dt_input(g, "bytes", DT_U8, shape_of(c)), attr);
}

dt_tensor *build_patchify(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_patchify(g, value(g, "x", shape_of(c)), c->kind);
}

dt_tensor *build_unpatchify(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    int64_t p = c->kind, patches = c->dim[2] / p * (c->dim[3] / p);
    dt_tensor *x = value(g, "x", DT_SHAPE(c->dim[0], patches, c->dim[1] * p * p));
    return dt_unpatchify(g, x, c->dim[1], c->dim[2], c->dim[3], p);
}

dt_tensor *build_embed_tokens(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    int64_t tokens = c->dim[1] + (c->with & WITH_CLS ? 1 : 0);
    return trunk(dt_embed_tokens(g, value(g, "x", shape_of(c)), optional(g, c, WITH_CLS, "cls", DT_SHAPE(c->dim[2])),
                                 optional(g, c, WITH_POSITION, "position", DT_SHAPE(tokens, c->dim[2]))));
}

dt_tensor *build_token_mean(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_token_mean(g, trunk(value(g, "x", DT_SHAPE(c->dim[0], c->dim[1], c->dim[2]))), c->kind, c->dim[3]);
}

/* --- random --- */

dt_tensor *build_drop(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_drop_attr attr = {.rate = 0.4, .seed = 99, .site = 3};
    dt_tensor *x = trunk(value(g, "x", shape_of(c)));
    dt_tensor *sample = dt_input(g, "sample", DT_I64, DT_SHAPE(c->dim[0]));
    dt_tensor *step = dt_input(g, "step", DT_I64, DT_SHAPE(1));
    return c->op == &dt_op_dropout ? dt_dropout(g, x, sample, step, attr) : dt_drop_path(g, x, sample, step, attr);
}

/* --- losses and metrics: dim = rows, classes --- */

dt_tensor *build_one_hot(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_one_hot(g, dt_input(g, "labels", DT_I32, DT_SHAPE(c->dim[0])), c->dim[1], 0.125);
}

dt_tensor *build_log_softmax(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_log_softmax(g, value(g, "x", shape_of(c)));
}

dt_tensor *build_cross_entropy(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_cross_entropy(g, value(g, "x", shape_of(c)), frozen(g, "target", shape_of(c)),
                            frozen(g, "weight", DT_SHAPE(c->dim[0])));
}

dt_tensor *build_softmax_xent(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *const in[] = {value(g, "x", shape_of(c)), frozen(g, "target", shape_of(c)),
                             frozen(g, "weight", DT_SHAPE(c->dim[0]))};
    dt_node *node = dt_node_add(g, &dt_op_softmax_xent, NULL, in, 3, 1);
    return node ? node->out[DT_XENT_LOSS] : NULL;
}

dt_tensor *build_top_hits(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return dt_top_hits(g, frozen(g, "x", shape_of(c)), dt_input(g, "labels", DT_I32, DT_SHAPE(c->dim[0])),
                       frozen(g, "weight", DT_SHAPE(c->dim[0])));
}

/* --- the update: dim = elements; kind = which result --- */

/* Of two ranges of the one and of all of the other. */
static dt_tensor *squares(dt_graph *g, const op_case *c, dt_tensor *gradient)
{
    int64_t cut = c->dim[0] / 3 / 16 * 16;
    dt_gradient_range *ranges = dt_arena_alloc(dt_graph_arena(g), 3 * sizeof *ranges);
    ranges[0] = (dt_gradient_range){DT_GROUP_MATRIX, 0, cut};
    ranges[1] = (dt_gradient_range){DT_GROUP_VECTOR, 0, 7};
    ranges[2] = (dt_gradient_range){DT_GROUP_MATRIX, cut, c->dim[0] - cut};
    return dt_grad_squares(g, (dt_tensor *[]){gradient, frozen(g, "other", DT_SHAPE(7))}, ranges, 3);
}

static dt_grad_norm_out build_gradient(dt_graph *g, const op_case *c, dt_tensor **gradient)
{
    *gradient = frozen(g, "gradient", shape_of(c));
    dt_tensor *count = dt_fill(g, DT_F32, &DT_SCALAR, c->with & WITH_NOTHING_FINITE ? 0 : 4);
    return dt_grad_norm(g, squares(g, c, *gradient), count, (dt_grad_norm_attr){1});
}

dt_tensor *build_grad_squares(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    return squares(g, c, frozen(g, "gradient", shape_of(c)));
}

dt_tensor *build_grad_norm(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *gradient;
    dt_grad_norm_out out = build_gradient(g, c, &gradient);
    return c->kind == 0 ? out.norm : c->kind == 1 ? out.scale : out.finite;
}

dt_tensor *build_update(dt_graph *g, const op_case *c, const dt_segment_span *spans)
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

dt_tensor *build_ema(dt_graph *g, const op_case *c, const dt_segment_span *spans)
{
    dt_tensor *gradient, *average = frozen(g, "average", shape_of(c));
    dt_grad_norm_out norm = build_gradient(g, c, &gradient);
    dt_ema(g, frozen(g, "value", shape_of(c)), average, norm.finite, 0.875);
    return average;
}
