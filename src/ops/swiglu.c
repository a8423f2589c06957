/* SwiGLU: silu(gate) up of a product that holds both, the gate in the first half of a row. */
#include "ops/ops.h"
#include "ops/rule.h"

enum { FLOPS = 5, GRAD_FLOPS = 10 }; /* per element of y, an exponential counted as one */
enum { GRAD_X, GRAD_DY, GRAD_INPUTS };

static bool swiglu_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_tensor *x = node->in[0];
    char text[96];
    if (!dt_rule_types(graph, node, 1)) return false;
    if (x->shape.rank < 1 || dt_shape_last(&x->shape) % 2) {
        dt_graph_fail(graph, "swiglu: the shape %s has no two halves", dt_shape_text(&x->shape, text));
        return false;
    }
    dt_shape shape = dt_rule_with_last(&x->shape, dt_shape_last(&x->shape) / 2);
    return dt_node_output(graph, node, 0, x->dtype, &shape) != NULL;
}

static void swiglu_backward(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    din[0] = dt_apply(graph, &dt_op_swiglu_grad, NULL, (dt_tensor *[]){node->in[0], dout[0]}, GRAD_INPUTS);
}

static dt_cost swiglu_cost(const dt_node *node)
{
    return dt_rule_cost(node, FLOPS * (double)dt_rule_elements(node->out[0]));
}

static dt_status swiglu_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *x = node->in[0], *y = node->out[0];
    return exec->kernels->swiglu(exec->queue, x->dtype, dt_shape_rows(&y->shape), dt_shape_last(&y->shape), x->data,
                                 y->data);
}

static bool swiglu_grad_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_shape *x = &node->in[GRAD_X]->shape;
    dt_shape shape = dt_rule_with_last(x, dt_shape_last(x) / 2);
    return dt_rule_types(graph, node, (1u << GRAD_INPUTS) - 1) &&
           dt_rule_shape(graph, node, GRAD_DY, "the output's gradient", &shape) && dt_rule_like_input(graph, node);
}

static dt_cost swiglu_grad_cost(const dt_node *node)
{
    return dt_rule_cost(node, GRAD_FLOPS * (double)dt_rule_elements(node->in[GRAD_DY]));
}

static dt_status swiglu_grad_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *x = node->in[GRAD_X], *dy = node->in[GRAD_DY];
    return exec->kernels->swiglu_grad(exec->queue, x->dtype, dt_shape_rows(&dy->shape), dt_shape_last(&dy->shape),
                                      x->data, dy->data, node->out[0]->data);
}

const dt_op dt_op_swiglu = {
    .name = "swiglu",
    .max_outputs = 1,
    .flags = DT_OP_CHEAP,
    .shape = swiglu_shape,
    .grad = swiglu_backward,
    .cost = swiglu_cost,
    .run = swiglu_run,
};

const dt_op dt_op_swiglu_grad = {
    .name = "swiglu_grad",
    .max_outputs = 1,
    .in_place = 1u << GRAD_X,
    .shape = swiglu_grad_shape,
    .cost = swiglu_grad_cost,
    .run = swiglu_grad_run,
};

dt_tensor *dt_swiglu(dt_graph *graph, dt_tensor *x)
{
    if (!x) return NULL;
    return dt_apply(graph, &dt_op_swiglu, NULL, &x, 1);
}
