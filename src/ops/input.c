/* input: a tensor that every run copies from its feed slot. */
#include "ops/ops.h"
#include "ops/rule.h"

typedef struct input_attr {
    int64_t offset; /* bytes from the start of the slot */
    dt_dtype dtype;
    dt_shape shape;
} input_attr;

static bool input_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const input_attr *attr = node->attr;
    return dt_node_output(graph, node, 0, attr->dtype, &attr->shape) != NULL;
}

static dt_cost input_cost(const dt_node *node)
{
    return (dt_cost){.bytes = 2.0 * (double)dt_rule_bytes(node->out[0])};
}

static dt_status input_run(const dt_node *node, const dt_exec *exec)
{
    const input_attr *attr = node->attr;
    const dt_tensor *out = node->out[0];
    return dt_device_copy(exec->device, exec->stream, out->data, exec->slot + attr->offset,
                          (size_t)dt_rule_bytes(out));
}

const dt_op dt_op_input = {
    .name = "input",
    .attr_size = sizeof(input_attr),
    .max_outputs = 1,
    .shape = input_shape,
    .cost = input_cost,
    .run = input_run,
};

dt_tensor *dt_input(dt_graph *graph, const char *name, dt_dtype dtype, dt_shape shape)
{
    input_attr attr = {dt_graph_feed_reserve(graph, name, dtype, &shape), dtype, shape};
    return dt_apply(graph, &dt_op_input, &attr, NULL, 0);
}
