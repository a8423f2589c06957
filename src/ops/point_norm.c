/* Point-wise norms, y = gamma f(alpha x + shift) + beta over the last dimension: DyT (Zhu et al., "Transformers without
 * Normalization", 2025) and its relatives in kernels/pointwise, all optionally of x + residual. */
#include "ops/ops.h"
#include "ops/rule.h"

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

/* The kernel always writes the sum where there is a residual, so it is always made then. */
static bool point_norm_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_tensor *x = node->in[DT_NORM_X];
    dt_shape channels = DT_SHAPE(dt_shape_last(&x->shape));
    if (!dt_rule_types(graph, node, (1u << POINT_NORM_INPUTS) - 1) ||
        !dt_rule_shape(graph, node, DT_NORM_RESIDUAL, "the residual", &x->shape) ||
        !dt_rule_shape(graph, node, DT_NORM_GAMMA, "gamma", &channels) ||
        !dt_rule_shape(graph, node, DT_NORM_BETA, "beta", &channels) ||
        !dt_rule_count(graph, node, DT_NORM_ALPHA, "alpha", 1) ||
        !dt_rule_count(graph, node, DT_NORM_SHIFT, "shift", 1))
        return false;
    return dt_node_output(graph, node, DT_NORM_Y, x->dtype, &x->shape) &&
           (!node->in[DT_NORM_RESIDUAL] || dt_node_output(graph, node, DT_NORM_SUM, x->dtype, &x->shape));
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
    const dt_tensor *x = node->in[DT_NORM_X];
    const dt_point_norm_args args = {
        .rows = dt_shape_rows(&x->shape),
        .channels = dt_shape_last(&x->shape),
        .kind = attr->kind,
        .x = x->data,
        .residual = dt_rule_data(node->in[DT_NORM_RESIDUAL]),
        .sum = dt_rule_data(node->out[DT_NORM_SUM]),
        .alpha = dt_rule_data(node->in[DT_NORM_ALPHA]),
        .shift = dt_rule_data(node->in[DT_NORM_SHIFT]),
        .gamma = dt_rule_data(node->in[DT_NORM_GAMMA]),
        .beta = dt_rule_data(node->in[DT_NORM_BETA]),
        .y = node->out[DT_NORM_Y]->data,
    };
    return exec->kernels->point_norm(exec->queue, x->dtype, &args);
}

/* --- the gradient --- */

enum { DY, DSUM, X, GAMMA, ALPHA, SHIFT, GRAD_INPUTS };
enum { DX, DGAMMA, DBETA, DALPHA, DSHIFT };

/* x and residual enter by their sum alone, so they share one gradient. Without dy, only dsum reaches them. */
static void point_norm_backward(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    dt_tensor *residual = node->in[DT_NORM_RESIDUAL], *dx = dout[DT_NORM_SUM];
    if (dout[DT_NORM_Y]) {
        dt_tensor *const in[GRAD_INPUTS] = {
            [DY] = dout[DT_NORM_Y],
            [DSUM] = dout[DT_NORM_SUM],
            [X] = residual ? node->out[DT_NORM_SUM] : node->in[DT_NORM_X],
            [GAMMA] = node->in[DT_NORM_GAMMA],
            [ALPHA] = node->in[DT_NORM_ALPHA],
            [SHIFT] = node->in[DT_NORM_SHIFT],
        };
        unsigned wanted = 1u << DX; /* which the kernel always writes */
        for (int i = DT_NORM_GAMMA; i <= DT_NORM_SHIFT; i++)
            wanted |= (unsigned)dt_rule_wants(node, i) << (i - DT_NORM_GAMMA + DGAMMA);
        dt_node *grad = dt_node_add(graph, &dt_op_point_norm_grad, node->attr, in, GRAD_INPUTS, wanted);
        if (!grad) return;
        dx = grad->out[DX];
        for (int i = DT_NORM_GAMMA; i <= DT_NORM_SHIFT; i++) din[i] = grad->out[i - DT_NORM_GAMMA + DGAMMA];
    }
    if (dt_rule_wants(node, DT_NORM_X)) din[DT_NORM_X] = dx;
    if (dt_rule_wants(node, DT_NORM_RESIDUAL)) din[DT_NORM_RESIDUAL] = dx;
}

static bool point_norm_grad_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_tensor *dy = node->in[DY];
    if (!dt_rule_types(graph, node, (1u << GRAD_INPUTS) - 1) ||
        !dt_rule_shape(graph, node, DSUM, "the sum's gradient", &dy->shape) ||
        !dt_rule_shape(graph, node, X, "x", &dy->shape))
        return false;
    dt_shape channels = DT_SHAPE(dt_shape_last(&dy->shape));
    const dt_tensor *alpha = node->in[ALPHA], *shift = node->in[SHIFT];
    const dt_shape *shapes[] = {[DX] = &dy->shape,
                                [DGAMMA] = &channels,
                                [DBETA] = &channels,
                                [DALPHA] = alpha ? &alpha->shape : NULL,
                                [DSHIFT] = shift ? &shift->shape : NULL};
    for (int k = DX; k <= DSHIFT; k++)
        if (dt_rule_wanted(wanted, k) && !dt_node_output(graph, node, k, dy->dtype, shapes[k])) return false;
    return true;
}

static dt_cost point_norm_grad_cost(const dt_node *node)
{
    const dt_point_norm_attr *attr = node->attr;
    double elements = (double)dt_rule_elements(node->in[DY]);
    return dt_rule_cost(node, (function_flops(attr->kind) + AFFINE_GRAD_FLOPS) * elements);
}

static int64_t point_norm_grad_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    const dt_tensor *dy = node->in[DY];
    return kernels->point_norm_grad_scratch(info, dy->dtype, dt_shape_rows(&dy->shape), dt_shape_last(&dy->shape));
}

static dt_status point_norm_grad_run(const dt_node *node, const dt_exec *exec)
{
    const dt_point_norm_attr *attr = node->attr;
    const dt_tensor *dy = node->in[DY];
    const dt_point_norm_grad_args args = {
        .rows = dt_shape_rows(&dy->shape),
        .channels = dt_shape_last(&dy->shape),
        .kind = attr->kind,
        .x = node->in[X]->data,
        .alpha = dt_rule_data(node->in[ALPHA]),
        .shift = dt_rule_data(node->in[SHIFT]),
        .gamma = dt_rule_data(node->in[GAMMA]),
        .dy = dy->data,
        .dsum = dt_rule_data(node->in[DSUM]),
        .dx = dt_rule_data(node->out[DX]),
        .dgamma = dt_rule_data(node->out[DGAMMA]),
        .dbeta = dt_rule_data(node->out[DBETA]),
        .dalpha = dt_rule_data(node->out[DALPHA]),
        .dshift = dt_rule_data(node->out[DSHIFT]),
        .accumulate_gamma = dt_node_adds(node, exec, DGAMMA),
        .accumulate_beta = dt_node_adds(node, exec, DBETA),
        .accumulate_alpha = dt_node_adds(node, exec, DALPHA),
        .accumulate_shift = dt_node_adds(node, exec, DSHIFT),
        .scratch = node->workspace,
    };
    return exec->kernels->point_norm_grad(exec->queue, dy->dtype, &args);
}

/* --- the table entries --- */

const dt_op dt_op_point_norm = {
    .name = "point_norm",
    .attr_size = sizeof(dt_point_norm_attr),
    .max_outputs = DT_NORM_SUM + 1,
    .flags = DT_OP_CHEAP,
    .wide_inputs = 1u << DT_NORM_GAMMA | 1u << DT_NORM_BETA | 1u << DT_NORM_ALPHA | 1u << DT_NORM_SHIFT,
    .shape = point_norm_shape,
    .grad = point_norm_backward,
    .cost = point_norm_cost,
    .run = point_norm_run,
};

const dt_op dt_op_point_norm_grad = {
    .name = "point_norm_grad",
    .attr_size = sizeof(dt_point_norm_attr),
    .max_outputs = DSHIFT + 1,
    .in_place = 1u << DY | 1u << DSUM,
    .accumulates = 1u << DGAMMA | 1u << DBETA | 1u << DALPHA | 1u << DSHIFT,
    .wide_inputs = 1u << GAMMA | 1u << ALPHA | 1u << SHIFT,
    .wide_outputs = 1u << DGAMMA | 1u << DBETA | 1u << DALPHA | 1u << DSHIFT,
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
