/* Classes: one_hot targets and log_softmax over the last dimension. */
#include "ops/ops.h"
#include "ops/rule.h"

enum { FLOPS = 5, GRAD_FLOPS = 5 }; /* of log_softmax, per element */

/* --- one_hot: smoothing spreads its share evenly over all classes (Szegedy et al., 2016) --- */

typedef struct one_hot_attr {
    int64_t classes;
    double smoothing;
} one_hot_attr;

static bool one_hot_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const one_hot_attr *attr = node->attr;
    return dt_rule_type(graph, node, 0, "the labels", DT_I32) && dt_rule_rank(graph, node, 0, "the labels", 1) &&
           dt_node_output(graph, node, 0, DT_F32, &DT_SHAPE(node->in[0]->shape.dim[0], attr->classes));
}

static dt_cost one_hot_cost(const dt_node *node) { return dt_rule_cost(node, 0); }

static dt_status one_hot_run(const dt_node *node, const dt_exec *exec)
{
    const one_hot_attr *attr = node->attr;
    const dt_tensor *labels = node->in[0], *y = node->out[0];
    double off = attr->smoothing / (double)attr->classes, on = 1 - attr->smoothing + off;
    return exec->kernels->one_hot(exec->queue, y->dtype, labels->shape.dim[0], attr->classes, on, off, labels->data,
                                  y->data);
}

const dt_op dt_op_one_hot = {
    .name = "one_hot",
    .attr_size = sizeof(one_hot_attr),
    .max_outputs = 1,
    .wide_outputs = 1,
    .shape = one_hot_shape,
    .cost = one_hot_cost,
    .run = one_hot_run,
};

dt_tensor *dt_one_hot(dt_graph *graph, dt_tensor *labels, int64_t classes, double smoothing)
{
    if (!labels) return NULL;
    return dt_apply(graph, &dt_op_one_hot, &(one_hot_attr){classes, smoothing}, &labels, 1);
}

/* --- log_softmax, and its gradient dx = dy - exp(y) sum(dy), which reads y --- */

enum { GRAD_Y, GRAD_DY, GRAD_INPUTS };

static bool log_softmax_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_types(graph, node, 1) && dt_rule_like_input(graph, node);
}

static void log_softmax_backward(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    din[0] = dt_apply(graph, &dt_op_log_softmax_grad, NULL, (dt_tensor *[]){node->out[0], dout[0]}, GRAD_INPUTS);
}

static dt_cost log_softmax_cost(const dt_node *node)
{
    return dt_rule_cost(node, FLOPS * (double)dt_rule_elements(node->out[0]));
}

static dt_status log_softmax_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *x = node->in[0];
    return exec->kernels->log_softmax(exec->queue, x->dtype, dt_shape_rows(&x->shape), dt_shape_last(&x->shape),
                                      x->data, node->out[0]->data);
}

static bool log_softmax_grad_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_types(graph, node, (1u << GRAD_INPUTS) - 1) &&
           dt_rule_shape(graph, node, GRAD_DY, "the output's gradient", &node->in[GRAD_Y]->shape) &&
           dt_rule_like_input(graph, node);
}

static dt_cost log_softmax_grad_cost(const dt_node *node)
{
    return dt_rule_cost(node, GRAD_FLOPS * (double)dt_rule_elements(node->out[0]));
}

static dt_status log_softmax_grad_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *y = node->in[GRAD_Y];
    return exec->kernels->log_softmax_grad(exec->queue, y->dtype, dt_shape_rows(&y->shape), dt_shape_last(&y->shape),
                                           y->data, node->in[GRAD_DY]->data, node->out[0]->data);
}

const dt_op dt_op_log_softmax = {
    .name = "log_softmax",
    .max_outputs = 1,
    .in_place = 1,
    .shape = log_softmax_shape,
    .grad = log_softmax_backward,
    .cost = log_softmax_cost,
    .run = log_softmax_run,
};

const dt_op dt_op_log_softmax_grad = {
    .name = "log_softmax_grad",
    .max_outputs = 1,
    .in_place = 1u << GRAD_DY,
    .shape = log_softmax_grad_shape,
    .cost = log_softmax_grad_cost,
    .run = log_softmax_grad_run,
};

dt_tensor *dt_log_softmax(dt_graph *graph, dt_tensor *x)
{
    if (!x) return NULL;
    return dt_apply(graph, &dt_op_log_softmax, NULL, &x, 1);
}
