/* Writes to persistent memory: accumulate (gradient slots) and assign (state tensors). */
#include "ops/ops.h"
#include "ops/rule.h"

enum { TARGET, SOURCE };

/* The target is written by an input's name: the node makes no tensor. */
static bool write_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_shape(graph, node, SOURCE, "what is written", &node->in[TARGET]->shape) &&
           dt_rule_type(graph, node, SOURCE, "what is written", node->in[TARGET]->dtype);
}

/* --- accumulate: slot += gradient, or slot = gradient: in the first micro-batch of a step, or in all --- */

static dt_cost accumulate_cost(const dt_node *node)
{
    const dt_tensor *slot = node->in[TARGET];
    return (dt_cost){(double)dt_rule_elements(slot), 3.0 * (double)dt_rule_bytes(slot)};
}

static dt_status accumulate_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *slot = node->in[TARGET], *gradient = node->in[SOURCE];
    if (!dt_node_adds(node, exec, 0))
        return exec->kernels->copy(exec->queue, dt_rule_bytes(slot), gradient->data, slot->data);
    return exec->kernels->add(exec->queue, slot->dtype, false, dt_rule_elements(slot), slot->data, gradient->data,
                              slot->data);
}

const dt_op dt_op_accumulate = {
    .name = "accumulate",
    .flags = DT_OP_EFFECT,
    .shape = write_shape,
    .cost = accumulate_cost,
    .run = accumulate_run,
};

void dt_accumulate(dt_graph *graph, dt_tensor *slot, dt_tensor *gradient)
{
    if (!slot || !gradient) return;
    dt_node *node = dt_node_add(graph, &dt_op_accumulate, NULL, (dt_tensor *[]){slot, gradient}, 2, 0);
    if (node) node->accumulates = 1;
}

/* --- assign: state := value, behind the state's last reader (passes/order.c) --- */

static dt_cost assign_cost(const dt_node *node)
{
    return (dt_cost){.bytes = 2.0 * (double)dt_rule_bytes(node->in[TARGET])};
}

static dt_status assign_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *state = node->in[TARGET];
    return dt_device_copy(exec->device, exec->stream, state->data, node->in[SOURCE]->data,
                          (size_t)dt_rule_bytes(state));
}

const dt_op dt_op_assign = {
    .name = "assign",
    .flags = DT_OP_EFFECT,
    .shape = write_shape,
    .cost = assign_cost,
    .run = assign_run,
};

void dt_assign(dt_graph *graph, dt_tensor *state, dt_tensor *value)
{
    if (!state || !value) return;
    dt_node_add(graph, &dt_op_assign, NULL, (dt_tensor *[]){state, value}, 2, 0);
}
