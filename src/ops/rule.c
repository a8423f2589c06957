/* Checks and costs shared by the operators. */
#include "ops/rule.h"

#include "ops/ops.h"

static bool is_wide(const dt_node *node, int i) { return (node->op->wide_inputs >> i) & 1u; }
static bool is_trunk(const dt_node *node, int i) { return (node->op->trunk_inputs >> i) & 1u; }

static const dt_tensor *first_of(const dt_node *node, unsigned mask)
{
    for (int i = 0; i < node->input_count; i++)
        if (node->in[i] && ((mask >> i) & 1u)) return node->in[i];
    return NULL;
}

/* The first input in `mask` that is of the type that the operator computes in, as far as the others tell: else the
 * first of the trunk, else the first of all. */
static const dt_tensor *first_typed(const dt_node *node, unsigned mask)
{
    const dt_tensor *first = first_of(node, mask & ~node->op->wide_inputs & ~node->op->trunk_inputs);
    if (!first) first = first_of(node, mask & ~node->op->wide_inputs);
    return first ? first : first_of(node, mask);
}

/* The trunk has either type, the same in all inputs. */
static bool has_type(const dt_node *node, unsigned mask, int i, dt_dtype computed)
{
    dt_dtype have = node->in[i]->dtype, wide = dt_dtype_wide(computed);
    if (!is_trunk(node, i)) return have == (is_wide(node, i) ? wide : computed);
    return (have == computed || have == wide) && have == first_of(node, mask & node->op->trunk_inputs)->dtype;
}

bool dt_rule_types(dt_graph *graph, const dt_node *node, unsigned mask)
{
    const dt_tensor *first = first_typed(node, mask);
    for (int i = 0; i < node->input_count; i++) {
        const dt_tensor *x = node->in[i];
        if (!x || !((mask >> i) & 1u)) continue;
        if (!dt_dtype_is_float(x->dtype)) {
            dt_graph_fail(graph, "%s: input %d is of type %s, not of a floating-point type", node->op->name, i,
                          dt_dtype_name(x->dtype));
            return false;
        }
        if (!has_type(node, mask, i, first->dtype)) {
            dt_graph_fail(graph, "%s: inputs of types %s and %s", node->op->name, dt_dtype_name(first->dtype),
                          dt_dtype_name(x->dtype));
            return false;
        }
    }
    return true;
}

bool dt_rule_type(dt_graph *graph, const dt_node *node, int i, const char *name, dt_dtype expected)
{
    const dt_tensor *x = node->in[i];
    if (!x || x->dtype == expected) return true;
    dt_graph_fail(graph, "%s: %s is of type %s, not %s", node->op->name, name, dt_dtype_name(x->dtype),
                  dt_dtype_name(expected));
    return false;
}

bool dt_rule_shape(dt_graph *graph, const dt_node *node, int i, const char *name, const dt_shape *expected)
{
    const dt_tensor *x = node->in[i];
    if (!x || dt_shape_equal(&x->shape, expected)) return true;
    char have[96], want[96], first[96];
    dt_graph_fail(graph, "%s: %s has shape %s, but %s would fit the input of shape %s", node->op->name, name,
                  dt_shape_text(&x->shape, have), dt_shape_text(expected, want),
                  dt_shape_text(&node->in[0]->shape, first));
    return false;
}

bool dt_rule_count(dt_graph *graph, const dt_node *node, int i, const char *name, int64_t expected)
{
    const dt_tensor *x = node->in[i];
    if (!x || dt_rule_elements(x) == expected) return true;
    char have[96], first[96];
    dt_graph_fail(graph, "%s: %s has shape %s, but %lld elements would fit the input of shape %s", node->op->name,
                  name, dt_shape_text(&x->shape, have), (long long)expected,
                  dt_shape_text(&node->in[0]->shape, first));
    return false;
}

bool dt_rule_rank(dt_graph *graph, const dt_node *node, int i, const char *name, int expected)
{
    const dt_tensor *x = node->in[i];
    if (!x || x->shape.rank == expected) return true;
    char have[96];
    dt_graph_fail(graph, "%s: %s has shape %s, not %d dimensions", node->op->name, name,
                  dt_shape_text(&x->shape, have), expected);
    return false;
}

bool dt_rule_like_input(dt_graph *graph, dt_node *node)
{
    return dt_node_output(graph, node, 0, node->in[0]->dtype, &node->in[0]->shape) != NULL;
}

dt_cost dt_rule_cost(const dt_node *node, double flops)
{
    double bytes = 0;
    for (int i = 0; i < node->input_count; i++)
        if (node->in[i]) bytes += (double)dt_rule_bytes(node->in[i]);
    for (int k = 0; k < node->op->max_outputs; k++)
        if (node->out[k]) bytes += (double)dt_rule_bytes(node->out[k]) * (((node->accumulates >> k) & 1u) ? 2 : 1);
    return (dt_cost){flops, bytes};
}

dt_shape dt_rule_with_last(const dt_shape *shape, int64_t last)
{
    dt_shape out = *shape;
    out.dim[out.rank - 1] = last;
    return out;
}

dt_tensor *dt_rule_reshaped(dt_graph *graph, dt_tensor *x, const dt_shape *shape)
{
    if (!x || dt_shape_equal(&x->shape, shape)) return x;
    return dt_reshape(graph, x, *shape);
}
