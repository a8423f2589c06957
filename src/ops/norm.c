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
    const dt_tensor *residual = node->in[DT_NORM_RESIDUAL];
    return dt_node_output(graph, node, DT_NORM_Y, residual ? residual->dtype : x->dtype, &x->shape) &&
           (!residual || dt_node_output(graph, node, DT_NORM_SUM, x->dtype, &x->shape));
}

bool dt_norm_grad_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_tensor *dy = node->in[DT_NORM_DY], *x = node->in[DT_NORM_GRAD_X];
    const dt_shape channels = DT_SHAPE(dt_shape_last(&dy->shape));
    if (!dt_rule_types(graph, node, ALL_INPUTS) ||
        !dt_rule_shape(graph, node, DT_NORM_DSUM, "the sum's gradient", &dy->shape) ||
        !dt_rule_shape(graph, node, DT_NORM_GRAD_X, "x", &dy->shape))
        return false;
    if (dt_rule_wanted(wanted, DT_NORM_DX) && !dt_node_output(graph, node, DT_NORM_DX, x->dtype, &x->shape))
        return false;
    for (int k = DT_NORM_DGAMMA; k <= DT_NORM_DBETA; k++)
        if (dt_rule_wanted(wanted, k) && !dt_node_output(graph, node, k, dy->dtype, &channels)) return false;
    return !dt_rule_wanted(wanted, DT_NORM_DRESIDUAL) ||
           dt_node_output(graph, node, DT_NORM_DRESIDUAL, dy->dtype, &x->shape);
}

dt_tensor *dt_norm_operand(const dt_node *node)
{
    return node->in[DT_NORM_RESIDUAL] ? node->out[DT_NORM_SUM] : node->in[DT_NORM_X];
}

unsigned dt_norm_wants_dresidual(const dt_node *node)
{
    bool wants = dt_rule_wants(node, DT_NORM_RESIDUAL);
    return wants && dt_rule_wide_trunk(node->in[DT_NORM_X], node->in[DT_NORM_RESIDUAL]) ? 1u << DT_NORM_DRESIDUAL : 0;
}

void dt_norm_share_dx(dt_graph *graph, const dt_node *node, dt_tensor *dx, dt_tensor *dresidual, dt_tensor **din)
{
    const dt_tensor *residual = node->in[DT_NORM_RESIDUAL];
    if (dt_rule_wants(node, DT_NORM_X)) din[DT_NORM_X] = dx;
    if (dt_rule_wants(node, DT_NORM_RESIDUAL))
        din[DT_NORM_RESIDUAL] = dresidual ? dresidual : dt_cast(graph, dx, residual->dtype);
}
