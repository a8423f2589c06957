/* Scaled dot-product attention over packed queries, keys and values: out = softmax(scale q k^T) v for every head, the
 * forward pass keeping each row's log of the sum of exponentials instead of the probabilities (Dao et al.,
 * "FlashAttention", 2022). */
#include <math.h>

#include "ops/ops.h"
#include "ops/rule.h"

enum { QKV, STARTS, INPUTS };
enum { OUT, LSE };

static int64_t kv_heads_of(const dt_attention_attr *attr) { return attr->kv_heads ? attr->kv_heads : attr->heads; }

/* Sizes and settings; the arrays are the caller's to fill. */
static dt_attention_args describe(const dt_attention_attr *attr, const dt_tensor *qkv, const dt_tensor *starts)
{
    int64_t kv_heads = kv_heads_of(attr), size = qkv->shape.dim[2] / (attr->heads + 2 * kv_heads);
    return (dt_attention_args){
        .batch = qkv->shape.dim[0],
        .tokens = qkv->shape.dim[1],
        .heads = attr->heads,
        .kv_heads = kv_heads,
        .size = size,
        .causal = attr->causal,
        .documents = starts != NULL,
        .starts = dt_rule_data(starts),
        .scale = attr->scale != 0 ? attr->scale : 1 / sqrt((double)size),
    };
}

/* FLOPs of one product of the queries with the keys, or of the probabilities with the values; the causal half is not
 * discounted, nor other documents. */
static double product_flops(const dt_node *node)
{
    dt_attention_args at = describe(node->attr, node->in[QKV], NULL);
    return 2.0 * (double)at.batch * (double)at.heads * (double)at.tokens * (double)at.tokens * (double)at.size;
}

/* Where documents begin is told for every token; without the causal mask a token would see the next document. */
static bool starts_fit(dt_graph *graph, const dt_node *node, int input)
{
    const dt_attention_attr *attr = node->attr;
    const dt_shape *qkv = &node->in[QKV]->shape;
    if (node->in[input] && !attr->causal) {
        dt_graph_fail(graph, "%s: where documents begin is for causal attention alone", node->op->name);
        return false;
    }
    return dt_rule_type(graph, node, input, "where documents begin", DT_I32) &&
           dt_rule_shape(graph, node, input, "where documents begin", &DT_SHAPE(qkv->dim[0], qkv->dim[1]));
}

/* The kernel always writes the log-sum-exp, so it is always made. */
static bool attention_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_attention_attr *attr = node->attr;
    const dt_tensor *qkv = node->in[QKV];
    if (!dt_rule_types(graph, node, 1u << QKV) || !dt_rule_rank(graph, node, QKV, "qkv", 3)) return false;
    int64_t batch = qkv->shape.dim[0], tokens = qkv->shape.dim[1], packed = qkv->shape.dim[2];
    int64_t heads = attr->heads, kv_heads = kv_heads_of(attr), all = heads + 2 * kv_heads;
    if (heads <= 0 || kv_heads <= 0 || heads % kv_heads || packed % all) {
        char text[96];
        dt_graph_fail(graph, "attention: %lld heads, %lld of them with keys and values, do not divide the queries, "
                      "keys and values of shape %s", (long long)heads, (long long)kv_heads,
                      dt_shape_text(&qkv->shape, text));
        return false;
    }
    return starts_fit(graph, node, STARTS) &&
           dt_node_output(graph, node, OUT, qkv->dtype, &DT_SHAPE(batch, tokens, packed / all * heads)) &&
           dt_node_output(graph, node, LSE, qkv->dtype, &DT_SHAPE(batch, attr->heads, tokens));
}

static dt_cost attention_cost(const dt_node *node) { return dt_rule_cost(node, 2 * product_flops(node)); }

static int64_t attention_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    dt_attention_args args = describe(node->attr, node->in[QKV], node->in[STARTS]);
    return kernels->attention_scratch(info, node->in[QKV]->dtype, &args);
}

static dt_status attention_run(const dt_node *node, const dt_exec *exec)
{
    dt_attention_args args = describe(node->attr, node->in[QKV], node->in[STARTS]);
    args.qkv = node->in[QKV]->data;
    args.out = node->out[OUT]->data;
    args.lse = node->out[LSE]->data;
    args.scratch = node->workspace;
    return exec->kernels->attention(exec->queue, node->in[QKV]->dtype, &args);
}

/* --- the gradient: the scores are computed again from qkv and lse --- */

enum { GRAD_QKV, GRAD_OUT, GRAD_LSE, GRAD_DOUT, GRAD_STARTS, GRAD_INPUTS };

static void attention_backward(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    dt_tensor *const in[GRAD_INPUTS] = {node->in[QKV], node->out[OUT], node->out[LSE], dout[OUT],
                                          node->in[STARTS]};
    din[QKV] = dt_apply(graph, &dt_op_attention_grad, node->attr, in, in[GRAD_STARTS] ? GRAD_INPUTS : GRAD_STARTS);
}

static bool attention_grad_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_types(graph, node, (1u << GRAD_STARTS) - 1) && starts_fit(graph, node, GRAD_STARTS) &&
           dt_rule_shape(graph, node, GRAD_DOUT, "the output's gradient", &node->in[GRAD_OUT]->shape) &&
           dt_rule_like_input(graph, node);
}

/* Scores, and the gradients of probabilities, queries, keys and values: five products. */
static dt_cost attention_grad_cost(const dt_node *node) { return dt_rule_cost(node, 5 * product_flops(node)); }

static dt_attention_args describe_grad(const dt_node *node)
{
    dt_attention_args args = describe(node->attr, node->in[GRAD_QKV], node->in[GRAD_STARTS]);
    args.qkv = node->in[GRAD_QKV]->data;
    args.out = node->in[GRAD_OUT]->data;
    args.lse = node->in[GRAD_LSE]->data;
    args.dout = node->in[GRAD_DOUT]->data;
    args.dqkv = node->out[0]->data;
    args.scratch = node->workspace;
    return args;
}

static int64_t attention_grad_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    dt_attention_args args = describe_grad(node);
    return kernels->attention_grad_scratch(info, node->in[GRAD_QKV]->dtype, &args);
}

static dt_status attention_grad_run(const dt_node *node, const dt_exec *exec)
{
    dt_attention_args args = describe_grad(node);
    return exec->kernels->attention_grad(exec->queue, node->in[GRAD_QKV]->dtype, &args);
}

/* --- the table entries --- */

const dt_op dt_op_attention = {
    .name = "attention",
    .attr_size = sizeof(dt_attention_attr),
    .max_outputs = 2,
    .wide_outputs = 1u << LSE,
    .shape = attention_shape,
    .grad = attention_backward,
    .cost = attention_cost,
    .workspace = attention_workspace,
    .run = attention_run,
};

const dt_op dt_op_attention_grad = {
    .name = "attention_grad",
    .attr_size = sizeof(dt_attention_attr),
    .max_outputs = 1,
    .wide_inputs = 1u << GRAD_LSE,
    .shape = attention_grad_shape,
    .cost = attention_grad_cost,
    .workspace = attention_grad_workspace,
    .run = attention_grad_run,
};

dt_tensor *dt_attention(dt_graph *graph, dt_tensor *qkv, dt_tensor *starts, dt_attention_attr attr)
{
    if (!qkv) return NULL;
    return dt_apply(graph, &dt_op_attention, &attr, (dt_tensor *[INPUTS]){qkv, starts}, starts ? INPUTS : STARTS);
}
