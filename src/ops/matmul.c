/* Matrix products with their epilogues (kernels/kernels.h, dt_matmul_args), and the sums over rows that their biases'
 * gradients are. */
#include "ops/ops.h"
#include "ops/rule.h"

typedef struct sizes {
    int64_t m, n, k;
} sizes;

/* A tensor of any rank is the matrix of its rows. */
static sizes sizes_of(const dt_node *node)
{
    const dt_matmul_attr *attr = node->attr;
    const dt_shape *a = &node->in[DT_MATMUL_A]->shape, *b = &node->in[DT_MATMUL_B]->shape;
    return (sizes){
        .m = attr->transpose_a ? dt_shape_last(a) : dt_shape_rows(a),
        .n = attr->transpose_b ? dt_shape_rows(b) : dt_shape_last(b),
        .k = attr->transpose_a ? dt_shape_rows(a) : dt_shape_last(a),
    };
}

static bool matmul_fits(dt_graph *graph, const dt_node *node)
{
    const dt_matmul_attr *attr = node->attr;
    const dt_shape *a = &node->in[DT_MATMUL_A]->shape, *b = &node->in[DT_MATMUL_B]->shape;
    int64_t inner = attr->transpose_b ? dt_shape_last(b) : dt_shape_rows(b);
    if (a->rank > 0 && b->rank > 0 && sizes_of(node).k == inner) return true;
    char left[96], right[96];
    dt_graph_fail(graph, "matmul: %s%s does not fit %s%s", dt_shape_text(a, left),
                  attr->transpose_a ? " transposed" : "", dt_shape_text(b, right),
                  attr->transpose_b ? " transposed" : "");
    return false;
}

static bool matmul_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_matmul_attr *attr = node->attr;
    const dt_tensor *a = node->in[DT_MATMUL_A], *residual = node->in[DT_MATMUL_RESIDUAL];
    if (!dt_rule_types(graph, node, (1u << DT_MATMUL_INPUTS) - 1) || !matmul_fits(graph, node)) return false;
    sizes size = sizes_of(node);
    dt_dtype type = residual ? residual->dtype : attr->wide ? dt_dtype_wide(a->dtype) : a->dtype;
    dt_shape c = attr->transpose_a ? DT_SHAPE(size.m, size.n) : dt_rule_with_last(&a->shape, size.n);
    if (!dt_rule_shape(graph, node, DT_MATMUL_BIAS, "bias", &DT_SHAPE(size.n)) ||
        !dt_rule_shape(graph, node, DT_MATMUL_RESIDUAL, "residual", &c) ||
        !dt_rule_shape(graph, node, DT_MATMUL_ACT_GRAD_OF, "the input of the activation", &c) ||
        !dt_node_output(graph, node, DT_MATMUL_C, type, &c))
        return false;
    return !dt_rule_wanted(wanted, DT_MATMUL_PRE) || dt_node_output(graph, node, DT_MATMUL_PRE, a->dtype, &c);
}

/* Of the product that makes the gradient of `x`; its transpositions are the caller's. */
static dt_matmul_attr gradient_attr(const dt_graph *graph, const dt_matmul_attr *forward, const dt_tensor *x)
{
    bool wide = x->kind == DT_PARAM && dt_param_gradient_type(graph, x) == dt_dtype_wide(x->dtype);
    return (dt_matmul_attr){.wide = wide, .tf32 = forward->tf32};
}

/* da = dc op(b)^T, stored the way that a is. */
static dt_tensor *gradient_of_a(dt_graph *graph, const dt_node *node, dt_tensor *dc)
{
    const dt_matmul_attr *attr = node->attr;
    dt_tensor *a = node->in[DT_MATMUL_A], *b = node->in[DT_MATMUL_B];
    dt_matmul_attr transposed = gradient_attr(graph, attr, a), plain = transposed;
    transposed.transpose_a = attr->transpose_b, transposed.transpose_b = true;
    plain.transpose_b = !attr->transpose_b;
    dt_tensor *da = attr->transpose_a ? dt_matmul(graph, b, dc, transposed) : dt_matmul(graph, dc, b, plain);
    return dt_rule_reshaped(graph, da, &a->shape);
}

/* db = op(a)^T dc, stored the way that b is. */
static dt_tensor *gradient_of_b(dt_graph *graph, const dt_node *node, dt_tensor *dc)
{
    const dt_matmul_attr *attr = node->attr;
    dt_tensor *a = node->in[DT_MATMUL_A], *b = node->in[DT_MATMUL_B];
    dt_matmul_attr transposed = gradient_attr(graph, attr, b), plain = transposed;
    transposed.transpose_a = true, transposed.transpose_b = attr->transpose_a;
    plain.transpose_a = !attr->transpose_a;
    dt_tensor *db = attr->transpose_b ? dt_matmul(graph, dc, a, transposed) : dt_matmul(graph, a, dc, plain);
    return dt_rule_reshaped(graph, db, &b->shape);
}

/* The rule of forward products: those with act_grad_of are made behind differentiation only. */
static void matmul_grad(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    const dt_matmul_attr *attr = node->attr;
    dt_tensor *dc = dt_cast(graph, dout[DT_MATMUL_C], node->in[DT_MATMUL_A]->dtype); /* c may be of the trunk */
    if (dt_rule_wants(node, DT_MATMUL_RESIDUAL)) din[DT_MATMUL_RESIDUAL] = dout[DT_MATMUL_C];
    if (attr->act != DT_ACT_NONE) {
        if (!node->out[DT_MATMUL_PRE]) {
            dt_graph_fail(graph, "matmul: differentiated, but built without the value before its activation");
            return;
        }
        dc = dt_gelu_grad(graph, node->out[DT_MATMUL_PRE], dc, attr->act);
    }
    if (dt_rule_wants(node, DT_MATMUL_A)) din[DT_MATMUL_A] = gradient_of_a(graph, node, dc);
    if (dt_rule_wants(node, DT_MATMUL_B)) din[DT_MATMUL_B] = gradient_of_b(graph, node, dc);
    if (dt_rule_wants(node, DT_MATMUL_BIAS)) din[DT_MATMUL_BIAS] = dt_column_sum(graph, dc);
}

static dt_cost matmul_cost(const dt_node *node)
{
    sizes size = sizes_of(node);
    return dt_rule_cost(node, 2.0 * (double)size.m * (double)size.n * (double)size.k);
}

static dt_matmul_args describe(const dt_node *node)
{
    const dt_matmul_attr *attr = node->attr;
    sizes size = sizes_of(node);
    return (dt_matmul_args){
        .m = size.m,
        .n = size.n,
        .k = size.k,
        .transpose_a = attr->transpose_a,
        .transpose_b = attr->transpose_b,
        .a = node->in[DT_MATMUL_A]->data,
        .b = node->in[DT_MATMUL_B]->data,
        .bias = dt_rule_data(node->in[DT_MATMUL_BIAS]),
        .pre = dt_rule_data(node->out[DT_MATMUL_PRE]),
        .act = attr->act,
        .act_grad_of = dt_rule_data(node->in[DT_MATMUL_ACT_GRAD_OF]),
        .residual = dt_rule_data(node->in[DT_MATMUL_RESIDUAL]),
        .c_type = node->out[DT_MATMUL_C]->dtype,
        .tf32 = attr->tf32,
        .c = node->out[DT_MATMUL_C]->data,
        .scratch = node->workspace,
    };
}

static int64_t matmul_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    dt_matmul_args args = describe(node);
    return kernels->matmul_scratch(info, node->in[DT_MATMUL_A]->dtype, &args);
}

static dt_status matmul_run(const dt_node *node, const dt_exec *exec)
{
    dt_matmul_args args = describe(node);
    args.accumulate = dt_node_adds(node, exec, DT_MATMUL_C);
    return exec->kernels->matmul(exec->queue, node->in[DT_MATMUL_A]->dtype, &args);
}

const dt_op dt_op_matmul = {
    .name = "matmul",
    .attr_size = sizeof(dt_matmul_attr),
    .max_outputs = 2,
    .accumulates = 1u << DT_MATMUL_C,
    .wide_inputs = 1u << DT_MATMUL_BIAS,
    .trunk_inputs = 1u << DT_MATMUL_RESIDUAL,
    .trunk_outputs = 1u << DT_MATMUL_C,
    .shape = matmul_shape,
    .grad = matmul_grad,
    .cost = matmul_cost,
    .workspace = matmul_workspace,
    .run = matmul_run,
};

static dt_tensor *product(dt_graph *graph, dt_tensor *a, dt_tensor *b, dt_tensor *bias, dt_matmul_attr attr)
{
    bool keep = attr.act != DT_ACT_NONE && dt_graph_training(graph);
    dt_tensor *const in[DT_MATMUL_INPUTS] = {[DT_MATMUL_A] = a, [DT_MATMUL_B] = b, [DT_MATMUL_BIAS] = bias};
    dt_node *node = dt_node_add(graph, &dt_op_matmul, &attr, in, DT_MATMUL_INPUTS,
                                1u << DT_MATMUL_C | (unsigned)keep << DT_MATMUL_PRE);
    return node ? node->out[DT_MATMUL_C] : NULL;
}

dt_tensor *dt_matmul(dt_graph *graph, dt_tensor *a, dt_tensor *b, dt_matmul_attr attr)
{
    if (!a || !b) return NULL;
    return product(graph, a, b, NULL, attr);
}

dt_tensor *dt_linear(dt_graph *graph, dt_tensor *x, dt_tensor *w, dt_tensor *bias)
{
    if (!x || !w) return NULL;
    if (w->shape.rank != 2 || x->shape.rank == 0 || dt_shape_last(&x->shape) != w->shape.dim[1]) {
        char input[96], weight[96];
        return dt_graph_fail(graph, "linear: the input of shape %s does not fit the weight of shape %s",
                             dt_shape_text(&x->shape, input), dt_shape_text(&w->shape, weight));
    }
    return product(graph, x, w, bias, (dt_matmul_attr){.transpose_b = true});
}

/* --- column_sum: over all rows --- */

static bool column_sum_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_tensor *x = node->in[0];
    return dt_rule_types(graph, node, 1) &&
           dt_node_output(graph, node, 0, x->dtype, &DT_SHAPE(dt_shape_last(&x->shape)));
}

/* dx = 1 dy^T: every row gets dy. */
static void column_sum_grad(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    const dt_tensor *x = node->in[0];
    dt_tensor *ones = dt_fill(graph, x->dtype, &DT_SHAPE(dt_shape_rows(&x->shape), 1), 1);
    dt_tensor *dy = dt_cast(graph, dout[0], x->dtype); /* the sum is wide */
    dt_tensor *row = dt_reshape(graph, dy, DT_SHAPE(1, dt_shape_last(&x->shape)));
    din[0] = dt_rule_reshaped(graph, dt_matmul(graph, ones, row, (dt_matmul_attr){0}), &x->shape);
}

static dt_cost column_sum_cost(const dt_node *node)
{
    return dt_rule_cost(node, (double)dt_rule_elements(node->in[0]));
}

static int64_t column_sum_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    const dt_tensor *x = node->in[0];
    return kernels->column_sum_scratch(info, x->dtype, dt_shape_rows(&x->shape), dt_shape_last(&x->shape));
}

static dt_status column_sum_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *x = node->in[0];
    return exec->kernels->column_sum(exec->queue, x->dtype, dt_shape_rows(&x->shape), dt_shape_last(&x->shape), x->data,
                                     node->out[0]->data, dt_node_adds(node, exec, 0), node->workspace);
}

const dt_op dt_op_column_sum = {
    .name = "column_sum",
    .max_outputs = 1,
    .accumulates = 1,
    .wide_outputs = 1,
    .shape = column_sum_shape,
    .grad = column_sum_grad,
    .cost = column_sum_cost,
    .workspace = column_sum_workspace,
    .run = column_sum_run,
};

dt_tensor *dt_column_sum(dt_graph *graph, dt_tensor *x)
{
    if (!x) return NULL;
    return dt_apply(graph, &dt_op_column_sum, NULL, &x, 1);
}
