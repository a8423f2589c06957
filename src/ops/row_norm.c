/* Norms with row statistics over the last dimension, y = gamma (x - mean) rstd + beta: LayerNorm (Ba, Kiros and Hinton,
 * 2016), and without centring RMSNorm (Zhang and Sennrich, 2019), both optionally of x + residual. */
#include "ops/norm.h"

enum { FLOPS = 8, GRAD_FLOPS = 16 }; /* per element */
enum { ROW_NORM_INPUTS = DT_NORM_BETA + 1 };

/* The kernel always writes the statistics, so they are always made. */
static bool row_norm_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_row_norm_attr *attr = node->attr;
    const dt_tensor *x = node->in[DT_NORM_X];
    dt_shape rows = DT_SHAPE(dt_shape_rows(&x->shape));
    return dt_norm_shape(graph, node) &&
           (!attr->center || dt_node_output(graph, node, DT_NORM_MEAN, x->dtype, &rows)) &&
           dt_node_output(graph, node, DT_NORM_RSTD, x->dtype, &rows);
}

static dt_cost row_norm_cost(const dt_node *node)
{
    return dt_rule_cost(node, FLOPS * (double)dt_rule_elements(node->in[DT_NORM_X]));
}

static dt_status row_norm_run(const dt_node *node, const dt_exec *exec)
{
    const dt_row_norm_attr *attr = node->attr;
    const dt_row_norm_args args = {
        DT_NORM_ARGS(node),
        .center = attr->center,
        .epsilon = attr->epsilon,
        .mean = dt_rule_data(node->out[DT_NORM_MEAN]),
        .rstd = node->out[DT_NORM_RSTD]->data,
    };
    return exec->kernels->row_norm(exec->queue, node->out[DT_NORM_Y]->dtype, &args);
}

/* --- the gradient --- */

enum { MEAN = DT_NORM_GRAD_MORE, RSTD, GRAD_INPUTS };

/* Without dy, only dsum reaches x and residual. */
static void row_norm_backward(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    dt_tensor *dx = dout[DT_NORM_SUM], *dresidual = NULL;
    bool wants_x = dt_rule_wants(node, DT_NORM_X) || dt_rule_wants(node, DT_NORM_RESIDUAL);
    if (dout[DT_NORM_Y]) {
        dt_tensor *const in[GRAD_INPUTS] = {
            [DT_NORM_DY] = dout[DT_NORM_Y],
            [DT_NORM_DSUM] = dout[DT_NORM_SUM],
            [DT_NORM_GRAD_X] = dt_norm_operand(node),
            [DT_NORM_GRAD_GAMMA] = node->in[DT_NORM_GAMMA],
            [MEAN] = node->out[DT_NORM_MEAN],
            [RSTD] = node->out[DT_NORM_RSTD],
        };
        unsigned wanted = (unsigned)wants_x << DT_NORM_DX | dt_norm_wants_dresidual(node) |
                          (unsigned)dt_rule_wants(node, DT_NORM_GAMMA) << DT_NORM_DGAMMA |
                          (unsigned)dt_rule_wants(node, DT_NORM_BETA) << DT_NORM_DBETA;
        dt_node *grad = dt_node_add(graph, &dt_op_row_norm_grad, node->attr, in, GRAD_INPUTS, wanted);
        if (!grad) return;
        dx = grad->out[DT_NORM_DX];
        dresidual = grad->out[DT_NORM_DRESIDUAL];
        din[DT_NORM_GAMMA] = grad->out[DT_NORM_DGAMMA];
        din[DT_NORM_BETA] = grad->out[DT_NORM_DBETA];
    }
    dt_norm_share_dx(graph, node, dx, dresidual, din);
}

static dt_cost row_norm_grad_cost(const dt_node *node)
{
    return dt_rule_cost(node, GRAD_FLOPS * (double)dt_rule_elements(node->in[DT_NORM_DY]));
}

static int64_t row_norm_grad_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    const dt_tensor *x = node->in[DT_NORM_GRAD_X];
    return kernels->row_norm_grad_scratch(info, x->dtype, dt_shape_rows(&x->shape), dt_shape_last(&x->shape));
}

static dt_status row_norm_grad_run(const dt_node *node, const dt_exec *exec)
{
    const dt_row_norm_attr *attr = node->attr;
    const dt_row_norm_grad_args args = {
        DT_NORM_GRAD_ARGS(node, exec),
        .center = attr->center,
        .mean = dt_rule_data(node->in[MEAN]),
        .rstd = node->in[RSTD]->data,
    };
    return exec->kernels->row_norm_grad(exec->queue, node->in[DT_NORM_DY]->dtype, &args);
}

/* --- the table entries --- */

const dt_op dt_op_row_norm = {
    .name = "row_norm",
    .attr_size = sizeof(dt_row_norm_attr),
    .max_outputs = DT_NORM_RSTD + 1,
    .flags = DT_OP_CHEAP,
    .wide_inputs = 1u << DT_NORM_GAMMA | 1u << DT_NORM_BETA,
    .wide_outputs = 1u << DT_NORM_MEAN | 1u << DT_NORM_RSTD,
    .trunk_inputs = 1u << DT_NORM_X,
    .trunk_outputs = 1u << DT_NORM_SUM,
    .shape = row_norm_shape,
    .grad = row_norm_backward,
    .cost = row_norm_cost,
    .run = row_norm_run,
};

const dt_op dt_op_row_norm_grad = {
    .name = "row_norm_grad",
    .attr_size = sizeof(dt_row_norm_attr),
    .max_outputs = DT_NORM_DRESIDUAL + 1,
    .in_place = 1u << DT_NORM_DY | 1u << DT_NORM_DSUM,
    .accumulates = 1u << DT_NORM_DGAMMA | 1u << DT_NORM_DBETA,
    .wide_inputs = 1u << DT_NORM_GRAD_GAMMA | 1u << MEAN | 1u << RSTD,
    .wide_outputs = 1u << DT_NORM_DGAMMA | 1u << DT_NORM_DBETA,
    .trunk_inputs = 1u << DT_NORM_DSUM | 1u << DT_NORM_GRAD_X,
    .trunk_outputs = 1u << DT_NORM_DX,
    .shape = dt_norm_grad_shape,
    .cost = row_norm_grad_cost,
    .workspace = row_norm_grad_workspace,
    .run = row_norm_grad_run,
};

dt_tensor *dt_row_norm(dt_graph *graph, dt_tensor *x, dt_tensor *gamma, dt_tensor *beta, dt_row_norm_attr attr)
{
    if (!x) return NULL;
    dt_tensor *const in[ROW_NORM_INPUTS] = {[DT_NORM_X] = x, [DT_NORM_GAMMA] = gamma, [DT_NORM_BETA] = beta};
    return dt_apply(graph, &dt_op_row_norm, &attr, in, ROW_NORM_INPUTS);
}
