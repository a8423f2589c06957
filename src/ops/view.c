/* reshape: the same memory under another shape. */
#include "ops/ops.h"
#include "ops/rule.h"

static bool reshape_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_shape *shape = node->attr;
    const dt_tensor *x = node->in[0];
    if (dt_shape_count(shape) != dt_rule_elements(x)) {
        char from[96], to[96];
        dt_graph_fail(graph, "reshape: %s does not have as many elements as %s", dt_shape_text(&x->shape, from),
                      dt_shape_text(shape, to));
        return false;
    }
    return dt_node_output(graph, node, 0, x->dtype, shape) != NULL;
}

static void reshape_grad(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    din[0] = dt_reshape(graph, dout[0], node->in[0]->shape);
}

static dt_cost reshape_cost(const dt_node *node) { return (dt_cost){0}; }

const dt_op dt_op_reshape = {
    .name = "reshape",
    .attr_size = sizeof(dt_shape),
    .max_outputs = 1,
    .flags = DT_OP_VIEW,
    .trunk_inputs = 1,
    .trunk_outputs = 1,
    .shape = reshape_shape,
    .grad = reshape_grad,
    .cost = reshape_cost,
};

dt_tensor *dt_reshape(dt_graph *graph, dt_tensor *x, dt_shape shape)
{
    if (!x) return NULL;
    return dt_apply(graph, &dt_op_reshape, &shape, &x, 1);
}
