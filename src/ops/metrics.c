/* Sums and counts of a batch: top_hits and sum. */
#include "ops/ops.h"
#include "ops/rule.h"

/* --- top_hits: summed weights of the samples whose label is the best, and among the five best --- */

enum { SCORES, LABELS, WEIGHT, INPUTS };

static bool top_hits_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_tensor *scores = node->in[SCORES];
    int64_t rows = dt_shape_rows(&scores->shape);
    return dt_rule_types(graph, node, 1u << SCORES | 1u << WEIGHT) &&
           dt_rule_type(graph, node, LABELS, "the labels", DT_I32) &&
           dt_rule_count(graph, node, LABELS, "the labels", rows) &&
           dt_rule_count(graph, node, WEIGHT, "the weight", rows) &&
           dt_node_output(graph, node, 0, scores->dtype, &DT_SHAPE(2));
}

static dt_cost top_hits_cost(const dt_node *node) { return dt_rule_cost(node, 0); } /* comparisons */

static dt_status top_hits_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *scores = node->in[SCORES];
    return exec->kernels->top_hits(exec->queue, scores->dtype, dt_shape_rows(&scores->shape),
                                   dt_shape_last(&scores->shape), scores->data, node->in[LABELS]->data,
                                   node->in[WEIGHT]->data, node->out[0]->data);
}

const dt_op dt_op_top_hits = {
    .name = "top_hits",
    .max_outputs = 1,
    .wide_inputs = 1u << WEIGHT,
    .wide_outputs = 1,
    .shape = top_hits_shape,
    .cost = top_hits_cost,
    .run = top_hits_run,
};

dt_tensor *dt_top_hits(dt_graph *graph, dt_tensor *scores, dt_tensor *labels, dt_tensor *weight)
{
    if (!scores || !labels || !weight) return NULL;
    return dt_apply(graph, &dt_op_top_hits, NULL, (dt_tensor *[]){scores, labels, weight}, INPUTS);
}

/* --- sum: of all elements --- */

static bool sum_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_types(graph, node, 1) && dt_node_output(graph, node, 0, node->in[0]->dtype, &DT_SCALAR);
}

/* Every element gets dy: a column of ones times dy. */
static void sum_grad(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    const dt_tensor *x = node->in[0];
    dt_tensor *ones = dt_fill(graph, x->dtype, &DT_SHAPE(dt_rule_elements(x), 1), 1);
    dt_tensor *dy = dt_reshape(graph, dout[0], DT_SHAPE(1, 1));
    din[0] = dt_rule_reshaped(graph, dt_matmul(graph, ones, dy, (dt_matmul_attr){0}), &x->shape);
}

static dt_cost sum_cost(const dt_node *node) { return dt_rule_cost(node, (double)dt_rule_elements(node->in[0])); }

static int64_t sum_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    return kernels->reduce_scratch(info, dt_rule_elements(node->in[0]));
}

static dt_status sum_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *x = node->in[0];
    return exec->kernels->sum(exec->queue, x->dtype, dt_rule_elements(x), x->data, node->out[0]->data, node->workspace);
}

const dt_op dt_op_sum = {
    .name = "sum",
    .max_outputs = 1,
    .wide_inputs = 1,
    .wide_outputs = 1,
    .shape = sum_shape,
    .grad = sum_grad,
    .cost = sum_cost,
    .workspace = sum_workspace,
    .run = sum_run,
};

dt_tensor *dt_sum(dt_graph *graph, dt_tensor *x)
{
    if (!x) return NULL;
    return dt_apply(graph, &dt_op_sum, NULL, &x, 1);
}
