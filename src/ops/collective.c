/* Collectives as operators: all_reduce. */
#include "ops/ops.h"
#include "ops/rule.h"

/* The sum over all ranks, in place: the node makes no tensor, and what reads the input behind it sees the sum. */
static bool all_reduce_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_types(graph, node, 1);
}

static dt_cost all_reduce_cost(const dt_node *node)
{
    return (dt_cost){.bytes = 2.0 * (double)dt_rule_bytes(node->in[0])};
}

static dt_status all_reduce_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *x = node->in[0];
    if (!exec->last) return DT_OK; /* once per step, not per micro-batch */
    return dt_comm_all_reduce(exec->comm, exec->stream, x->dtype, dt_rule_elements(x), x->data);
}

const dt_op dt_op_all_reduce = {
    .name = "all_reduce",
    .flags = DT_OP_EFFECT,
    .shape = all_reduce_shape,
    .cost = all_reduce_cost,
    .run = all_reduce_run,
};

void dt_all_reduce(dt_graph *graph, dt_tensor *x)
{
    if (!x) return;
    dt_node *node = dt_node_add(graph, &dt_op_all_reduce, NULL, &x, 1, 0);
    if (node) node->stream = DT_STREAM_COMM;
}
