/* Rotary position embedding (Su et al., "RoFormer", 2021) of the first heads of packed queries, keys and values, in the
 * form with half-split heads that LLaMA's published weights have. Its gradient is the rotation back. */
#include <math.h>

#include "ops/ops.h"
#include "ops/rule.h"

/* Llama 3.1's change of the frequencies for contexts beyond the `original_context` that a model was trained on: waves
 * that fit into it `high` times and more stay, those that fit fewer than `low` times are stretched by `factor`, those
 * between in proportion. */
static double scaled(const dt_rope_attr *attr, double frequency)
{
    double waves = (double)attr->original_context * frequency / (2 * M_PI); /* that fit into the context */
    if (attr->factor == 0 || waves > attr->high) return frequency;
    if (waves < attr->low) return frequency / attr->factor;
    double share = (waves - attr->low) / (attr->high - attr->low);
    return (1 - share) * frequency / attr->factor + share * frequency;
}

enum { X, POSITION };

static bool rope_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_rope_attr *attr = node->attr;
    const dt_tensor *x = node->in[0];
    char text[96];
    if (!dt_rule_types(graph, node, 1) || !dt_rule_rank(graph, node, 0, "x", 3)) return false;
    if (attr->size < 2 || attr->size % 2 || attr->size > DT_ROPE_MOST) {
        dt_graph_fail(graph, "rope: heads of size %lld cannot be rotated: that takes an even size up to %d",
                      (long long)attr->size, (int)DT_ROPE_MOST);
        return false;
    }
    if (dt_shape_last(&x->shape) % attr->size || attr->heads < 1 ||
        attr->heads * attr->size > dt_shape_last(&x->shape)) {
        dt_graph_fail(graph, "rope: %lld heads of size %lld do not fit the shape %s", (long long)attr->heads,
                      (long long)attr->size, dt_shape_text(&x->shape, text));
        return false;
    }
    return dt_rule_type(graph, node, POSITION, "the position", DT_I32) &&
           dt_rule_count(graph, node, POSITION, "the position", x->shape.dim[0]) && dt_rule_like_input(graph, node);
}

static void rope_grad(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    dt_rope_attr attr = *(const dt_rope_attr *)node->attr;
    attr.inverse = !attr.inverse;
    din[X] = dt_rope(graph, dout[0], node->in[POSITION], attr);
}

static dt_cost rope_cost(const dt_node *node)
{
    const dt_rope_attr *attr = node->attr;
    return dt_rule_cost(node, 3.0 * (double)(dt_shape_rows(&node->in[0]->shape) * attr->heads * attr->size));
}

static dt_status rope_run(const dt_node *node, const dt_exec *exec)
{
    const dt_rope_attr *attr = node->attr;
    const dt_tensor *x = node->in[0];
    dt_rope_args args = {.batch = x->shape.dim[0],
                         .tokens = x->shape.dim[1],
                         .heads = x->shape.dim[2] / attr->size,
                         .rotated = attr->heads,
                         .size = attr->size,
                         .x = x->data,
                         .y = node->out[0]->data,
                         .position = dt_rule_data(node->in[POSITION])};
    for (int64_t i = 0; i < attr->size / 2; i++) {
        double frequency = scaled(attr, pow(attr->theta, -2.0 * (double)i / (double)attr->size));
        args.frequency[i] = attr->inverse ? -frequency : frequency;
    }
    return exec->kernels->rope(exec->queue, x->dtype, &args);
}

const dt_op dt_op_rope = {
    .name = "rope",
    .attr_size = sizeof(dt_rope_attr),
    .max_outputs = 1,
    .in_place = 1,
    .shape = rope_shape,
    .grad = rope_grad,
    .cost = rope_cost,
    .run = rope_run,
};

dt_tensor *dt_rope(dt_graph *graph, dt_tensor *x, dt_tensor *position, dt_rope_attr attr)
{
    if (!x) return NULL;
    return dt_apply(graph, &dt_op_rope, &attr, (dt_tensor *[]){x, position}, position ? 2 : 1);
}
