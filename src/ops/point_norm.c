/* Point-wise norms, y = gamma f(alpha x + shift) + beta over the last dimension: DyT (Zhu et al., "Transformers without
 * Normalization", 2025) and its relatives in kernels/pointwise, all optionally of x + residual. */
#include "ops/norm.h"

enum { POINT_NORM_INPUTS = DT_NORM_SHIFT + 1 };
enum { AFFINE_FLOPS = 4, AFFINE_GRAD_FLOPS = 10 }; /* per element, besides f and f' */

static double function_flops(dt_pointwise kind)
{
    static const double flops[DT_POINTWISE_COUNT] = {
#define X(name, shift, count) [DT_POINTWISE_##name] = count,
        DT_POINTWISE_KINDS(X)
#undef X
    };
    return flops[kind];
}

static bool point_norm_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_count(graph, node, DT_NORM_ALPHA, "alpha", 1) &&
           dt_rule_count(graph, node, DT_NORM_SHIFT, "shift", 1) && dt_norm_shape(graph, node);
}

static dt_cost point_norm_cost(const dt_node *node)
{
    const dt_point_norm_attr *attr = node->attr;
    double elements = (double)dt_rule_elements(node->in[DT_NORM_X]);
    return dt_rule_cost(node, (function_flops(attr->kind) + AFFINE_FLOPS) * elements);
}

static dt_status point_norm_run(const dt_node *node, const dt_exec *exec)
{
    const dt_point_norm_attr *attr = node->attr;
    const dt_point_norm_args args = {
        DT_NORM_ARGS(node),
        .kind = attr->kind,
        .alpha = dt_rule_data(node->in[DT_NORM_ALPHA]),
        .shift = dt_rule_data(node->in[DT_NORM_SHIFT]),
    };
    return exec->kernels->point_norm(exec->queue, node->out[DT_NORM_Y]->dtype, &args);
}

/* --- the gradient --- */

enum { ALPHA = DT_NORM_GRAD_MORE, SHIFT, GRAD_INPUTS };
enum { DALPHA = DT_NORM_DMORE, DSHIFT };

/* Without dy, only dsum reaches x and residual. */
static void point_norm_backward(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    dt_tensor *dx = dout[DT_NORM_SUM], *dresidual = NULL;
    if (dout[DT_NORM_Y]) {
        dt_tensor *const in[GRAD_INPUTS] = {
            [DT_NORM_DY] = dout[DT_NORM_Y],
            [DT_NORM_DSUM] = dout[DT_NORM_SUM],
            [DT_NORM_GRAD_X] = dt_norm_operand(node),
            [DT_NORM_GRAD_GAMMA] = node->in[DT_NORM_GAMMA],
            [ALPHA] = node->in[DT_NORM_ALPHA],
            [SHIFT] = node->in[DT_NORM_SHIFT],
        };
        unsigned wanted = 1u << DT_NORM_DX | dt_norm_wants_dresidual(node); /* dx is always written */
        for (int i = DT_NORM_GAMMA; i <= DT_NORM_SHIFT; i++)
            wanted |= (unsigned)dt_rule_wants(node, i) << (i - DT_NORM_GAMMA + DT_NORM_DGAMMA);
        dt_node *grad = dt_node_add(graph, &dt_op_point_norm_grad, node->attr, in, GRAD_INPUTS, wanted);
        if (!grad) return;
        dx = grad->out[DT_NORM_DX];
        dresidual = grad->out[DT_NORM_DRESIDUAL];
        for (int i = DT_NORM_GAMMA; i <= DT_NORM_SHIFT; i++) din[i] = grad->out[i - DT_NORM_GAMMA + DT_NORM_DGAMMA];
    }
    dt_norm_share_dx(graph, node, dx, dresidual, din);
}

static bool point_norm_grad_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_tensor *dy = node->in[DT_NORM_DY], *alpha = node->in[ALPHA], *shift = node->in[SHIFT];
    return dt_norm_grad_shape(graph, node, wanted) &&
           (!dt_rule_wanted(wanted, DALPHA) || dt_node_output(graph, node, DALPHA, dy->dtype, &alpha->shape)) &&
           (!dt_rule_wanted(wanted, DSHIFT) || dt_node_output(graph, node, DSHIFT, dy->dtype, &shift->shape));
}

static dt_cost point_norm_grad_cost(const dt_node *node)
{
    const dt_point_norm_attr *attr = node->attr;
    double elements = (double)dt_rule_elements(node->in[DT_NORM_DY]);
    return dt_rule_cost(node, (function_flops(attr->kind) + AFFINE_GRAD_FLOPS) * elements);
}

static int64_t point_norm_grad_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    const dt_tensor *x = node->in[DT_NORM_GRAD_X];
    return kernels->point_norm_grad_scratch(info, x->dtype, dt_shape_rows(&x->shape), dt_shape_last(&x->shape));
}

static dt_status point_norm_grad_run(const dt_node *node, const dt_exec *exec)
{
    const dt_point_norm_attr *attr = node->attr;
    const dt_point_norm_grad_args args = {
        DT_NORM_GRAD_ARGS(node, exec),
        .kind = attr->kind,
        .alpha = dt_rule_data(node->in[ALPHA]),
        .shift = dt_rule_data(node->in[SHIFT]),
        .dalpha = dt_rule_data(node->out[DALPHA]),
        .dshift = dt_rule_data(node->out[DSHIFT]),
        .accumulate_alpha = dt_node_adds(node, exec, DALPHA),
        .accumulate_shift = dt_node_adds(node, exec, DSHIFT),
    };
    return exec->kernels->point_norm_grad(exec->queue, node->in[DT_NORM_DY]->dtype, &args);
}

/* --- the table entries --- */

const dt_op dt_op_point_norm = {
    .name = "point_norm",
    .attr_size = sizeof(dt_point_norm_attr),
    .max_outputs = DT_NORM_SUM + 1,
    .flags = DT_OP_CHEAP,
    .wide_inputs = 1u << DT_NORM_GAMMA | 1u << DT_NORM_BETA | 1u << DT_NORM_ALPHA | 1u << DT_NORM_SHIFT,
    .trunk_inputs = 1u << DT_NORM_X,
    .trunk_outputs = 1u << DT_NORM_SUM,
    .shape = point_norm_shape,
    .grad = point_norm_backward,
    .cost = point_norm_cost,
    .run = point_norm_run,
};

const dt_op dt_op_point_norm_grad = {
    .name = "point_norm_grad",
    .attr_size = sizeof(dt_point_norm_attr),
    .max_outputs = DT_NORM_DRESIDUAL + 1,
    .in_place = 1u << DT_NORM_DY | 1u << DT_NORM_DSUM,
    .accumulates = 1u << DT_NORM_DGAMMA | 1u << DT_NORM_DBETA | 1u << DALPHA | 1u << DSHIFT,
    .wide_inputs = 1u << DT_NORM_GRAD_GAMMA | 1u << ALPHA | 1u << SHIFT,
    .wide_outputs = 1u << DT_NORM_DGAMMA | 1u << DT_NORM_DBETA | 1u << DALPHA | 1u << DSHIFT,
    .trunk_inputs = 1u << DT_NORM_DSUM | 1u << DT_NORM_GRAD_X,
    .trunk_outputs = 1u << DT_NORM_DX,
    .shape = point_norm_grad_shape,
    .cost = point_norm_grad_cost,
    .workspace = point_norm_grad_workspace,
    .run = point_norm_grad_run,
};

dt_tensor *dt_point_norm(dt_graph *graph, dt_tensor *x, dt_tensor *gamma, dt_tensor *beta, dt_tensor *alpha,
                         dt_tensor *shift, dt_pointwise kind)
{
    if (!x) return NULL;
    dt_tensor *const in[POINT_NORM_INPUTS] = {[DT_NORM_X] = x,         [DT_NORM_GAMMA] = gamma,
                                              [DT_NORM_BETA] = beta,   [DT_NORM_ALPHA] = alpha,
                                              [DT_NORM_SHIFT] = shift};
    return dt_apply(graph, &dt_op_point_norm, &(dt_point_norm_attr){kind}, in, POINT_NORM_INPUTS);
}
