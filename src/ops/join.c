/* join: the node's stream waits for what another stream was given before. The streams pass alone makes them. */
#include "ops/ops.h"

static bool join_shape(dt_graph *graph, dt_node *node, unsigned wanted) { return true; }

static dt_cost join_cost(const dt_node *node) { return (dt_cost){0, 0}; }

static dt_status join_run(const dt_node *node, const dt_exec *exec)
{
    return dt_device_join(exec->device, exec->stream, *(const dt_stream *)node->attr);
}

const dt_op dt_op_join = {
    .name = "join",
    .attr_size = sizeof(dt_stream),
    .flags = DT_OP_EFFECT | DT_OP_JOIN,
    .shape = join_shape,
    .cost = join_cost,
    .run = join_run,
};

void dt_join(dt_graph *graph, dt_stream waiting, dt_stream awaited)
{
    dt_node *node = dt_node_add(graph, &dt_op_join, &awaited, NULL, 0, 0);
    if (node) node->stream = waiting;
}
