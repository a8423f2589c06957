/* embedding: rows of a table by number. The tokens come sorted as well, so that the gradient of the table adds up each
 * token's places in a fixed order. */
#include "ops/ops.h"
#include "ops/rule.h"

enum { TABLE, TOKENS, ORDER, INPUTS }; /* the order is read by the gradient only, and may be absent where none is */

static bool tokens_fit(dt_graph *graph, const dt_node *node, int tokens, int order)
{
    return dt_rule_type(graph, node, tokens, "the tokens", DT_I32) &&
           dt_rule_type(graph, node, order, "the tokens' order", DT_I32) &&
           dt_rule_count(graph, node, order, "the tokens' order", dt_rule_elements(node->in[tokens]));
}

static bool embedding_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_tensor *table = node->in[TABLE];
    dt_shape shape = node->in[TOKENS]->shape;
    if (!dt_rule_types(graph, node, 1u << TABLE) || !dt_rule_rank(graph, node, TABLE, "the table", 2) ||
        !dt_rule_rank(graph, node, TOKENS, "the tokens", 2) || !tokens_fit(graph, node, TOKENS, ORDER))
        return false;
    shape.dim[shape.rank++] = table->shape.dim[1];
    return dt_node_output(graph, node, 0, table->dtype, &shape) != NULL;
}

/* Of the table only the rows that occur are read: at most as many as are written. */
static dt_cost embedding_cost(const dt_node *node)
{
    return (dt_cost){.bytes = 2.0 * (double)dt_rule_bytes(node->out[0]) + (double)dt_rule_bytes(node->in[TOKENS])};
}

static dt_status embedding_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *table = node->in[TABLE], *tokens = node->in[TOKENS];
    return exec->kernels->embedding(exec->queue, table->dtype, dt_rule_elements(tokens), table->shape.dim[1],
                                    table->data, tokens->data, node->out[0]->data);
}

/* --- the gradient; its attribute is the number of the table's rows --- */

enum { GRAD_DY, GRAD_TOKENS, GRAD_ORDER, GRAD_INPUTS };

static void embedding_backward(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    if (!dt_rule_wants(node, TABLE)) return;
    if (!node->in[ORDER]) {
        dt_graph_fail(graph, "embedding: its gradient needs the tokens' order");
        return;
    }
    const dt_tensor *table = node->in[TABLE];
    dt_tensor *const in[GRAD_INPUTS] = {dout[0], node->in[TOKENS], node->in[ORDER]};
    dt_tensor *sum = dt_apply(graph, &dt_op_embedding_grad, &table->shape.dim[0], in, GRAD_INPUTS);
    din[TABLE] = table->kind == DT_PARAM ? dt_cast(graph, sum, dt_param_gradient_type(graph, table)) : sum;
}

static bool embedding_grad_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const int64_t *rows = node->attr;
    const dt_tensor *dy = node->in[GRAD_DY];
    return dt_rule_types(graph, node, 1u << GRAD_DY) && tokens_fit(graph, node, GRAD_TOKENS, GRAD_ORDER) &&
           dt_node_output(graph, node, 0, dy->dtype, &DT_SHAPE(*rows, dt_shape_last(&dy->shape))) != NULL;
}

static dt_cost embedding_grad_cost(const dt_node *node)
{
    return dt_rule_cost(node, (double)dt_rule_elements(node->in[GRAD_DY]));
}

static int64_t embedding_grad_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    const dt_tensor *dy = node->in[GRAD_DY];
    return kernels->embedding_grad_scratch(info, dy->dtype, dt_shape_rows(&dy->shape), dt_shape_last(&dy->shape));
}

static dt_status embedding_grad_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *dy = node->in[GRAD_DY];
    dt_embedding_grad_args args = {
        .count = dt_shape_rows(&dy->shape),
        .rows = *(const int64_t *)node->attr,
        .channels = dt_shape_last(&dy->shape),
        .tokens = node->in[GRAD_TOKENS]->data,
        .order = node->in[GRAD_ORDER]->data,
        .dy = dy->data,
        .dtable = node->out[0]->data,
        .accumulate = dt_node_adds(node, exec, 0),
        .scratch = node->workspace,
    };
    return exec->kernels->embedding_grad(exec->queue, dy->dtype, &args);
}

/* --- the table entries --- */

const dt_op dt_op_embedding = {
    .name = "embedding",
    .max_outputs = 1,
    .flags = DT_OP_CHEAP,
    .shape = embedding_shape,
    .grad = embedding_backward,
    .cost = embedding_cost,
    .run = embedding_run,
};

const dt_op dt_op_embedding_grad = {
    .name = "embedding_grad",
    .attr_size = sizeof(int64_t),
    .max_outputs = 1,
    .accumulates = 1,
    .wide_outputs = 1,
    .shape = embedding_grad_shape,
    .cost = embedding_grad_cost,
    .workspace = embedding_grad_workspace,
    .run = embedding_grad_run,
};

dt_tensor *dt_embedding(dt_graph *graph, dt_tensor *table, dt_tensor *tokens, dt_tensor *order)
{
    if (!table || !tokens) return NULL;
    return dt_apply(graph, &dt_op_embedding, NULL, (dt_tensor *[]){table, tokens, order}, INPUTS);
}
