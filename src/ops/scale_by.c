/* scale_by: a tensor times one number that is a tensor too, learned or computed. */
#include "ops/ops.h"
#include "ops/rule.h"

enum { X, BY, INPUTS };

static bool scale_by_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_types(graph, node, (1u << INPUTS) - 1) && dt_rule_count(graph, node, BY, "the factor", 1) &&
           dt_rule_like_input(graph, node);
}

static dt_cost scale_by_cost(const dt_node *node)
{
    return dt_rule_cost(node, (double)dt_rule_elements(node->out[0]));
}

static dt_status scale_by_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *x = node->in[X];
    return exec->kernels->scale_by(exec->queue, x->dtype, dt_rule_elements(x), x->data, node->in[BY]->data,
                                   node->out[0]->data);
}

/* Inputs x, by, dy; outputs dx, dby. */
enum { GRAD_X, GRAD_BY, GRAD_DY, GRAD_INPUTS };
enum { DX, DBY };

static void scale_by_backward(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    unsigned wanted = (unsigned)dt_rule_wants(node, X) << DX | (unsigned)dt_rule_wants(node, BY) << DBY;
    dt_tensor *const in[GRAD_INPUTS] = {node->in[X], node->in[BY], dout[0]};
    dt_node *grad = dt_node_add(graph, &dt_op_scale_by_grad, NULL, in, GRAD_INPUTS, wanted);
    if (!grad) return;
    din[X] = grad->out[DX];
    din[BY] = grad->out[DBY];
}

static bool scale_by_grad_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_tensor *x = node->in[GRAD_X], *by = node->in[GRAD_BY];
    return dt_rule_types(graph, node, (1u << GRAD_INPUTS) - 1) &&
           dt_rule_shape(graph, node, GRAD_DY, "the output's gradient", &x->shape) &&
           (!dt_rule_wanted(wanted, DX) || dt_node_output(graph, node, DX, x->dtype, &x->shape)) &&
           (!dt_rule_wanted(wanted, DBY) || dt_node_output(graph, node, DBY, x->dtype, &by->shape));
}

static dt_cost scale_by_grad_cost(const dt_node *node)
{
    return dt_rule_cost(node, 3.0 * (double)dt_rule_elements(node->in[GRAD_X]));
}

static int64_t scale_by_grad_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    return kernels->reduce_scratch(info, dt_rule_elements(node->in[GRAD_X]));
}

static dt_status scale_by_grad_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *x = node->in[GRAD_X];
    return exec->kernels->scale_by_grad(exec->queue, x->dtype, dt_rule_elements(x), x->data, node->in[GRAD_BY]->data,
                                        node->in[GRAD_DY]->data, dt_rule_data(node->out[DX]),
                                        dt_rule_data(node->out[DBY]), dt_node_adds(node, exec, DBY), node->workspace);
}

const dt_op dt_op_scale_by = {
    .name = "scale_by",
    .max_outputs = 1,
    .flags = DT_OP_CHEAP,
    .in_place = 1u << X,
    .wide_inputs = 1u << BY,
    .trunk_inputs = 1u << X,
    .trunk_outputs = 1,
    .shape = scale_by_shape,
    .grad = scale_by_backward,
    .cost = scale_by_cost,
    .run = scale_by_run,
};

const dt_op dt_op_scale_by_grad = {
    .name = "scale_by_grad",
    .max_outputs = 2,
    .in_place = 1u << GRAD_DY,
    .accumulates = 1u << DBY,
    .wide_inputs = 1u << GRAD_BY,
    .wide_outputs = 1u << DBY,
    .shape = scale_by_grad_shape,
    .cost = scale_by_grad_cost,
    .workspace = scale_by_grad_workspace,
    .run = scale_by_grad_run,
};

dt_tensor *dt_scale_by(dt_graph *graph, dt_tensor *x, dt_tensor *by)
{
    if (!x || !by) return NULL;
    return dt_apply(graph, &dt_op_scale_by, NULL, (dt_tensor *[]){x, by}, INPUTS);
}
