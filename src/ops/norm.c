/* Rules that row norms and point-wise norms share. */
#include "ops/norm.h"

static const unsigned ALL_INPUTS = ~0u;

bool dt_norm_shape(dt_graph *graph, dt_node *node)
{
    const dt_tensor *x = node->in[DT_NORM_X];
    dt_shape channels = DT_SHAPE(dt_shape_last(&x->shape));
    if (!dt_rule_types(graph, node, ALL_INPUTS) ||
        !dt_rule_shape(graph, node, DT_NORM_RESIDUAL, "the residual", &x->shape) ||
        !dt_rule_shape(graph, node, DT_NORM_GAMMA, "gamma", &channels) ||
        !dt_rule_shape(graph, node, DT_NORM_BETA, "beta", &channels))
        return false;
    /* The kernels always write the sum where there is a residual, so it is always made then. */
    return dt_node_output(graph, node, DT_NORM_Y, x->dtype, &x->shape) &&
           (!node->in[DT_NORM_RESIDUAL] || dt_node_output(graph, node, DT_NORM_SUM, x->dtype, &x->shape));
}

bool dt_norm_grad_check(dt_graph *graph, const dt_node *node)
{
    const dt_shape *shape = &node->in[DT_NORM_DY]->shape;
    return dt_rule_types(graph, node, ALL_INPUTS) &&
           dt_rule_shape(graph, node, DT_NORM_DSUM, "the sum's gradient", shape) &&
           dt_rule_shape(graph, node, DT_NORM_GRAD_X, "x", shape);
}

dt_tensor *dt_norm_operand(const dt_node *node)
{
    return node->in[DT_NORM_RESIDUAL] ? node->out[DT_NORM_SUM] : node->in[DT_NORM_X];
}

void dt_norm_share_dx(const dt_node *node, dt_tensor *dx, dt_tensor **din)
{
    if (dt_rule_wants(node, DT_NORM_X)) din[DT_NORM_X] = dx;
    if (dt_rule_wants(node, DT_NORM_RESIDUAL)) din[DT_NORM_RESIDUAL] = dx;
}
