/* Norms with row statistics over the last dimension, y = gamma (x - mean) rstd + beta: LayerNorm (Ba, Kiros and Hinton,
 * 2016), and without centring RMSNorm (Zhang and Sennrich, 2019), both optionally of x + residual. */
#include "ops/ops.h"
#include "ops/rule.h"

enum { FLOPS = 8, GRAD_FLOPS = 16 }; /* per element */
enum { ROW_NORM_INPUTS = DT_NORM_BETA + 1 };

/* The kernel always writes what it normalises, if that is a sum, and its statistics, so they are always made. */
static bool row_norm_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_row_norm_attr *attr = node->attr;
    const dt_tensor *x = node->in[DT_NORM_X];
    dt_shape channels = DT_SHAPE(dt_shape_last(&x->shape)), rows = DT_SHAPE(dt_shape_rows(&x->shape));
    if (!dt_rule_types(graph, node, (1u << ROW_NORM_INPUTS) - 1) ||
        !dt_rule_shape(graph, node, DT_NORM_RESIDUAL, "the residual", &x->shape) ||
        !dt_rule_shape(graph, node, DT_NORM_GAMMA, "gamma", &channels) ||
        !dt_rule_shape(graph, node, DT_NORM_BETA, "beta", &channels))
        return false;
    return dt_node_output(graph, node, DT_NORM_Y, x->dtype, &x->shape) &&
           (!node->in[DT_NORM_RESIDUAL] || dt_node_output(graph, node, DT_NORM_SUM, x->dtype, &x->shape)) &&
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
    const dt_tensor *x = node->in[DT_NORM_X];
    const dt_row_norm_args args = {
        .rows = dt_shape_rows(&x->shape),
        .channels = dt_shape_last(&x->shape),
        .center = attr->center,
        .epsilon = attr->epsilon,
        .x = x->data,
        .residual = dt_rule_data(node->in[DT_NORM_RESIDUAL]),
        .sum = dt_rule_data(node->out[DT_NORM_SUM]),
        .gamma = dt_rule_data(node->in[DT_NORM_GAMMA]),
        .beta = dt_rule_data(node->in[DT_NORM_BETA]),
        .y = node->out[DT_NORM_Y]->data,
        .mean = dt_rule_data(node->out[DT_NORM_MEAN]),
        .rstd = node->out[DT_NORM_RSTD]->data,
    };
    return exec->kernels->row_norm(exec->queue, x->dtype, &args);
}

/* --- the gradient --- */

enum { DY, DSUM, X, GAMMA, MEAN, RSTD, GRAD_INPUTS };
enum { DX, DGAMMA, DBETA };

/* x and residual enter by their sum alone, so they share one gradient. Without dy, only dsum reaches them. */
static void row_norm_backward(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    dt_tensor *residual = node->in[DT_NORM_RESIDUAL], *dx = dout[DT_NORM_SUM];
    bool wants_x = dt_rule_wants(node, DT_NORM_X) || dt_rule_wants(node, DT_NORM_RESIDUAL);
    if (dout[DT_NORM_Y]) {
        dt_tensor *const in[GRAD_INPUTS] = {
            [DY] = dout[DT_NORM_Y],
            [DSUM] = dout[DT_NORM_SUM],
            [X] = residual ? node->out[DT_NORM_SUM] : node->in[DT_NORM_X],
            [GAMMA] = node->in[DT_NORM_GAMMA],
            [MEAN] = node->out[DT_NORM_MEAN],
            [RSTD] = node->out[DT_NORM_RSTD],
        };
        unsigned wanted = (unsigned)wants_x << DX | (unsigned)dt_rule_wants(node, DT_NORM_GAMMA) << DGAMMA |
                          (unsigned)dt_rule_wants(node, DT_NORM_BETA) << DBETA;
        dt_node *grad = dt_node_add(graph, &dt_op_row_norm_grad, node->attr, in, GRAD_INPUTS, wanted);
        if (!grad) return;
        dx = grad->out[DX];
        din[DT_NORM_GAMMA] = grad->out[DGAMMA];
        din[DT_NORM_BETA] = grad->out[DBETA];
    }
    if (dt_rule_wants(node, DT_NORM_X)) din[DT_NORM_X] = dx;
    if (dt_rule_wants(node, DT_NORM_RESIDUAL)) din[DT_NORM_RESIDUAL] = dx;
}

static bool row_norm_grad_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_tensor *dy = node->in[DY];
    dt_shape channels = DT_SHAPE(dt_shape_last(&dy->shape));
    if (!dt_rule_types(graph, node, (1u << GRAD_INPUTS) - 1) ||
        !dt_rule_shape(graph, node, DSUM, "the sum's gradient", &dy->shape) ||
        !dt_rule_shape(graph, node, X, "x", &dy->shape))
        return false;
    for (int k = DX; k <= DBETA; k++)
        if (dt_rule_wanted(wanted, k) && !dt_node_output(graph, node, k, dy->dtype, k == DX ? &dy->shape : &channels))
            return false;
    return true;
}

static dt_cost row_norm_grad_cost(const dt_node *node)
{
    return dt_rule_cost(node, GRAD_FLOPS * (double)dt_rule_elements(node->in[DY]));
}

static int64_t row_norm_grad_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    const dt_tensor *dy = node->in[DY];
    return kernels->row_norm_grad_scratch(info, dy->dtype, dt_shape_rows(&dy->shape), dt_shape_last(&dy->shape));
}

static dt_status row_norm_grad_run(const dt_node *node, const dt_exec *exec)
{
    const dt_row_norm_attr *attr = node->attr;
    const dt_tensor *dy = node->in[DY];
    const dt_row_norm_grad_args args = {
        .rows = dt_shape_rows(&dy->shape),
        .channels = dt_shape_last(&dy->shape),
        .center = attr->center,
        .x = node->in[X]->data,
        .gamma = dt_rule_data(node->in[GAMMA]),
        .mean = dt_rule_data(node->in[MEAN]),
        .rstd = node->in[RSTD]->data,
        .dy = dy->data,
        .dsum = dt_rule_data(node->in[DSUM]),
        .dx = dt_rule_data(node->out[DX]),
        .dgamma = dt_rule_data(node->out[DGAMMA]),
        .dbeta = dt_rule_data(node->out[DBETA]),
        .accumulate_gamma = dt_node_adds(node, exec, DGAMMA),
        .accumulate_beta = dt_node_adds(node, exec, DBETA),
        .scratch = node->workspace,
    };
    return exec->kernels->row_norm_grad(exec->queue, dy->dtype, &args);
}

/* --- the table entries --- */

const dt_op dt_op_row_norm = {
    .name = "row_norm",
    .attr_size = sizeof(dt_row_norm_attr),
    .max_outputs = DT_NORM_RSTD + 1,
    .flags = DT_OP_CHEAP,
    .wide_inputs = 1u << DT_NORM_GAMMA | 1u << DT_NORM_BETA,
    .wide_outputs = 1u << DT_NORM_MEAN | 1u << DT_NORM_RSTD,
    .shape = row_norm_shape,
    .grad = row_norm_backward,
    .cost = row_norm_cost,
    .run = row_norm_run,
};

const dt_op dt_op_row_norm_grad = {
    .name = "row_norm_grad",
    .attr_size = sizeof(dt_row_norm_attr),
    .max_outputs = DBETA + 1,
    .in_place = 1u << DY | 1u << DSUM,
    .accumulates = 1u << DGAMMA | 1u << DBETA,
    .wide_inputs = 1u << GAMMA | 1u << MEAN | 1u << RSTD,
    .wide_outputs = 1u << DGAMMA | 1u << DBETA,
    .shape = row_norm_grad_shape,
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
