/* Element by element: cast, fill, add, scale. */
#include "ops/ops.h"
#include "ops/rule.h"

/* --- cast: another element type, which stands in the attributes while building and in the output afterwards --- */

static bool cast_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_dtype *to = node->attr;
    return dt_node_output(graph, node, 0, *to, &node->in[0]->shape) != NULL;
}

static void cast_grad(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    din[0] = dt_cast(graph, dout[0], node->in[0]->dtype);
}

static dt_cost cast_cost(const dt_node *node) { return dt_rule_cost(node, 0); }

static dt_status cast_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *x = node->in[0], *y = node->out[0];
    return exec->kernels->cast(exec->queue, x->dtype, y->dtype, dt_rule_elements(x), x->data, y->data);
}

const dt_op dt_op_cast = {
    .name = "cast",
    .attr_size = sizeof(dt_dtype),
    .max_outputs = 1,
    .shape = cast_shape,
    .grad = cast_grad,
    .cost = cast_cost,
    .run = cast_run,
};

dt_tensor *dt_cast(dt_graph *graph, dt_tensor *x, dt_dtype to)
{
    if (!x || x->dtype == to) return x;
    return dt_apply(graph, &dt_op_cast, &to, &x, 1);
}

/* --- fill: one value everywhere --- */

typedef struct fill_attr {
    dt_dtype dtype;
    dt_shape shape;
    double value;
} fill_attr;

static bool fill_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const fill_attr *attr = node->attr;
    if (!dt_dtype_is_float(attr->dtype)) {
        dt_graph_fail(graph, "fill: %s is not a floating-point type", dt_dtype_name(attr->dtype));
        return false;
    }
    return dt_node_output(graph, node, 0, attr->dtype, &attr->shape) != NULL;
}

static dt_cost fill_cost(const dt_node *node) { return dt_rule_cost(node, 0); }

static dt_status fill_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *y = node->out[0];
    const fill_attr *attr = node->attr;
    return exec->kernels->fill(exec->queue, y->dtype, dt_rule_elements(y), attr->value, y->data);
}

const dt_op dt_op_fill = {
    .name = "fill",
    .attr_size = sizeof(fill_attr),
    .max_outputs = 1,
    .shape = fill_shape,
    .cost = fill_cost,
    .run = fill_run,
};

dt_tensor *dt_fill(dt_graph *graph, dt_dtype dtype, const dt_shape *shape, double value)
{
    fill_attr attr = {dtype, *shape, value};
    return dt_apply(graph, &dt_op_fill, &attr, NULL, 0);
}

bool dt_is_filled(const dt_tensor *x, double value)
{
    return x->maker && x->maker->op == &dt_op_fill && ((const fill_attr *)x->maker->attr)->value == value;
}

/* --- add: of which the first input and the output may be the trunk --- */

static bool add_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_types(graph, node, 3) &&
           dt_rule_shape(graph, node, 1, "the second input", &node->in[0]->shape) && dt_rule_like_input(graph, node);
}

static void add_grad(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    din[0] = dout[0];
    din[1] = dt_cast(graph, dout[0], node->in[1]->dtype);
}

static dt_cost add_cost(const dt_node *node) { return dt_rule_cost(node, (double)dt_rule_elements(node->out[0])); }

static dt_status add_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *a = node->in[0], *b = node->in[1], *y = node->out[0];
    return exec->kernels->add(exec->queue, b->dtype, dt_rule_wide_trunk(a, b), dt_rule_elements(y), a->data, b->data,
                              y->data);
}

const dt_op dt_op_add = {
    .name = "add",
    .max_outputs = 1,
    .flags = DT_OP_CHEAP,
    .in_place = 3,
    .trunk_inputs = 1,
    .trunk_outputs = 1,
    .shape = add_shape,
    .grad = add_grad,
    .cost = add_cost,
    .run = add_run,
};

dt_tensor *dt_add(dt_graph *graph, dt_tensor *a, dt_tensor *b)
{
    if (!a || !b) return NULL;
    return dt_apply(graph, &dt_op_add, NULL, (dt_tensor *[]){a, b}, 2);
}

/* --- scale: times a constant --- */

static bool scale_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_types(graph, node, 1) && dt_rule_like_input(graph, node);
}

static void scale_grad(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    din[0] = dt_scale(graph, dout[0], *(const double *)node->attr);
}

static dt_cost scale_cost(const dt_node *node) { return dt_rule_cost(node, (double)dt_rule_elements(node->out[0])); }

static dt_status scale_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *y = node->out[0];
    return exec->kernels->scale(exec->queue, y->dtype, dt_rule_elements(y), *(const double *)node->attr,
                                node->in[0]->data, y->data);
}

const dt_op dt_op_scale = {
    .name = "scale",
    .attr_size = sizeof(double),
    .max_outputs = 1,
    .flags = DT_OP_CHEAP,
    .in_place = 1,
    .trunk_inputs = 1,
    .trunk_outputs = 1,
    .shape = scale_shape,
    .grad = scale_grad,
    .cost = scale_cost,
    .run = scale_run,
};

dt_tensor *dt_scale(dt_graph *graph, dt_tensor *x, double by)
{
    if (!x) return NULL;
    return dt_apply(graph, &dt_op_scale, &by, &x, 1);
}
