/* GELU, exact or in its tanh form (Hendrycks and Gimpel, 2016): x Phi(x), element by element. */
#include "ops/ops.h"
#include "ops/rule.h"

enum { FLOPS = 10, GRAD_FLOPS = 16 }; /* per element */

static bool gelu_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_types(graph, node, 1) && dt_rule_like_input(graph, node);
}

static void gelu_backward(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    din[0] = dt_gelu_grad(graph, node->in[0], dout[0], *(const dt_activation *)node->attr);
}

static dt_cost gelu_cost(const dt_node *node)
{
    return dt_rule_cost(node, FLOPS * (double)dt_rule_elements(node->out[0]));
}

static dt_status gelu_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *x = node->in[0];
    return exec->kernels->gelu(exec->queue, x->dtype, *(const dt_activation *)node->attr, dt_rule_elements(x), x->data,
                               node->out[0]->data);
}

const dt_op dt_op_gelu = {
    .name = "gelu",
    .attr_size = sizeof(dt_activation),
    .max_outputs = 1,
    .flags = DT_OP_CHEAP,
    .shape = gelu_shape,
    .grad = gelu_backward,
    .cost = gelu_cost,
    .run = gelu_run,
};

dt_tensor *dt_gelu(dt_graph *graph, dt_tensor *x, dt_activation act)
{
    if (!x) return NULL;
    return dt_apply(graph, &dt_op_gelu, &act, &x, 1);
}

/* --- its gradient: dx = dy gelu'(x) --- */

static bool gelu_grad_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_types(graph, node, 3) && dt_rule_shape(graph, node, 1, "dy", &node->in[0]->shape) &&
           dt_rule_like_input(graph, node);
}

static dt_cost gelu_grad_cost(const dt_node *node)
{
    return dt_rule_cost(node, GRAD_FLOPS * (double)dt_rule_elements(node->out[0]));
}

static dt_status gelu_grad_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *x = node->in[0];
    return exec->kernels->gelu_grad(exec->queue, x->dtype, *(const dt_activation *)node->attr, dt_rule_elements(x),
                                    x->data, node->in[1]->data, node->out[0]->data);
}

const dt_op dt_op_gelu_grad = {
    .name = "gelu_grad",
    .attr_size = sizeof(dt_activation),
    .max_outputs = 1,
    .shape = gelu_grad_shape,
    .cost = gelu_grad_cost,
    .run = gelu_grad_run,
};

dt_tensor *dt_gelu_grad(dt_graph *graph, dt_tensor *x, dt_tensor *dy, dt_activation act)
{
    if (!x || !dy) return NULL;
    return dt_apply(graph, &dt_op_gelu_grad, &act, (dt_tensor *[]){x, dy}, 2);
}
