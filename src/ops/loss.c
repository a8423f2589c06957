/* Losses: cross_entropy of log-probabilities, and softmax_xent of logits, which the fuse pass makes of log_softmax and
 * cross_entropy. Both sum over samples: loss = -sum_b weight[b] sum_c target[b,c] logp[b,c]. Only the first input is
 * differentiated. */
#include "ops/ops.h"
#include "ops/rule.h"

enum { SCORES, TARGET, WEIGHT, INPUTS }; /* scores: log-probabilities or logits */

enum { FLOPS = 2, GRAD_FLOPS = 2, FUSED_FLOPS = 8, FUSED_GRAD_FLOPS = 4 }; /* per element */

/* The common part of every shape rule here: input 0 [.., V], the targets like it, one weight a row. */
static bool inputs_fit(dt_graph *graph, const dt_node *node, unsigned floats, int target, int weight)
{
    const dt_shape *shape = &node->in[0]->shape;
    return dt_rule_types(graph, node, floats) && dt_rule_shape(graph, node, target, "the target", shape) &&
           dt_rule_count(graph, node, weight, "the weight", dt_shape_rows(shape));
}

static double elements(const dt_node *node) { return (double)dt_rule_elements(node->in[0]); }

static int64_t loss_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    return kernels->reduce_scratch(info, dt_shape_rows(&node->in[SCORES]->shape));
}

/* --- cross_entropy --- */

static bool cross_entropy_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return inputs_fit(graph, node, (1u << INPUTS) - 1, TARGET, WEIGHT) &&
           dt_node_output(graph, node, 0, node->in[SCORES]->dtype, &DT_SCALAR);
}

/* Inputs of the gradient: target, weight, dloss; its attribute is the type of the log-probabilities. */
static void cross_entropy_backward(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    if (!dt_rule_wants(node, SCORES)) return;
    dt_tensor *const in[] = {node->in[TARGET], node->in[WEIGHT], dout[0]};
    din[SCORES] = dt_apply(graph, &dt_op_cross_entropy_grad, &node->in[SCORES]->dtype, in, 3);
}

static dt_cost cross_entropy_cost(const dt_node *node) { return dt_rule_cost(node, FLOPS * elements(node)); }

static dt_status cross_entropy_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *logp = node->in[SCORES];
    return exec->kernels->cross_entropy(exec->queue, logp->dtype, dt_shape_rows(&logp->shape),
                                        dt_shape_last(&logp->shape), logp->data, node->in[TARGET]->data,
                                        node->in[WEIGHT]->data, node->out[0]->data, node->workspace);
}

static bool cross_entropy_grad_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_dtype *type = node->attr;
    return inputs_fit(graph, node, 7, 0, 1) && dt_rule_count(graph, node, 2, "the loss's gradient", 1) &&
           dt_node_output(graph, node, 0, *type, &node->in[0]->shape);
}

static dt_cost cross_entropy_grad_cost(const dt_node *node) { return dt_rule_cost(node, GRAD_FLOPS * elements(node)); }

static dt_status cross_entropy_grad_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *target = node->in[0];
    return exec->kernels->cross_entropy_grad(exec->queue, node->out[0]->dtype, dt_shape_rows(&target->shape),
                                             dt_shape_last(&target->shape), target->data, node->in[1]->data,
                                             node->in[2]->data, node->out[0]->data);
}

const dt_op dt_op_cross_entropy = {
    .name = "cross_entropy",
    .max_outputs = 1,
    .wide_inputs = 1u << TARGET | 1u << WEIGHT,
    .wide_outputs = 1,
    .shape = cross_entropy_shape,
    .grad = cross_entropy_backward,
    .cost = cross_entropy_cost,
    .workspace = loss_workspace,
    .run = cross_entropy_run,
};

const dt_op dt_op_cross_entropy_grad = {
    .name = "cross_entropy_grad",
    .max_outputs = 1,
    .attr_size = sizeof(dt_dtype),
    .wide_inputs = 7,
    .shape = cross_entropy_grad_shape,
    .cost = cross_entropy_grad_cost,
    .run = cross_entropy_grad_run,
};

dt_tensor *dt_cross_entropy(dt_graph *graph, dt_tensor *logp, dt_tensor *target, dt_tensor *weight)
{
    if (!logp || !target || !weight) return NULL;
    return dt_apply(graph, &dt_op_cross_entropy, NULL, (dt_tensor *[]){logp, target, weight}, INPUTS);
}

/* --- softmax_xent --- */

/* The kernel always writes probabilities, so both outputs are always made. */
static bool softmax_xent_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_tensor *x = node->in[SCORES];
    return inputs_fit(graph, node, (1u << INPUTS) - 1, TARGET, WEIGHT) &&
           dt_node_output(graph, node, DT_XENT_PROB, x->dtype, &x->shape) &&
           dt_node_output(graph, node, DT_XENT_LOSS, x->dtype, &DT_SCALAR);
}

/* Inputs of the gradient: prob, target, weight, dloss. */
static void softmax_xent_backward(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    if (!dt_rule_wants(node, SCORES)) return;
    dt_tensor *const in[] = {node->out[DT_XENT_PROB], node->in[TARGET], node->in[WEIGHT], dout[DT_XENT_LOSS]};
    din[SCORES] = dt_apply(graph, &dt_op_softmax_xent_grad, NULL, in, 4);
}

static dt_cost softmax_xent_cost(const dt_node *node) { return dt_rule_cost(node, FUSED_FLOPS * elements(node)); }

static dt_status softmax_xent_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *x = node->in[SCORES];
    return exec->kernels->softmax_xent(exec->queue, x->dtype, dt_shape_rows(&x->shape), dt_shape_last(&x->shape),
                                       x->data, node->in[TARGET]->data, node->in[WEIGHT]->data,
                                       node->out[DT_XENT_PROB]->data, node->out[DT_XENT_LOSS]->data, node->workspace);
}

static bool softmax_xent_grad_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return inputs_fit(graph, node, 15, 1, 2) && dt_rule_count(graph, node, 3, "the loss's gradient", 1) &&
           dt_rule_like_input(graph, node);
}

static dt_cost softmax_xent_grad_cost(const dt_node *node)
{
    return dt_rule_cost(node, FUSED_GRAD_FLOPS * elements(node));
}

static dt_status softmax_xent_grad_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *prob = node->in[0];
    return exec->kernels->softmax_xent_grad(exec->queue, prob->dtype, dt_shape_rows(&prob->shape),
                                            dt_shape_last(&prob->shape), prob->data, node->in[1]->data,
                                            node->in[2]->data, node->in[3]->data, node->out[0]->data);
}

const dt_op dt_op_softmax_xent = {
    .name = "softmax_xent",
    .max_outputs = 2,
    .in_place = 1u << SCORES,
    .wide_inputs = 1u << TARGET | 1u << WEIGHT,
    .wide_outputs = 1u << DT_XENT_LOSS,
    .shape = softmax_xent_shape,
    .grad = softmax_xent_backward,
    .cost = softmax_xent_cost,
    .workspace = loss_workspace,
    .run = softmax_xent_run,
};

const dt_op dt_op_softmax_xent_grad = {
    .name = "softmax_xent_grad",
    .max_outputs = 1,
    .in_place = 1,
    .wide_inputs = 1u << 1 | 1u << 2 | 1u << 3,
    .shape = softmax_xent_grad_shape,
    .cost = softmax_xent_grad_cost,
    .run = softmax_xent_grad_run,
};
