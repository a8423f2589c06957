/* Sequences of tokens: embed_tokens (class token and position embedding) and token_mean (pooling). */
#include "ops/ops.h"
#include "ops/rule.h"

/* --- embed_tokens: y[B,N(+1),C] = (cls, x[B,N,C]) + position --- */

enum { X, CLS, POSITION, EMBED_INPUTS };

static bool embed_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_tensor *x = node->in[X];
    if (!dt_rule_types(graph, node, (1u << EMBED_INPUTS) - 1) || !dt_rule_rank(graph, node, X, "x", 3)) return false;
    int64_t batch = x->shape.dim[0], channels = x->shape.dim[2];
    int64_t tokens = x->shape.dim[1] + (node->in[CLS] ? 1 : 0);
    return dt_rule_shape(graph, node, CLS, "the class token", &DT_SHAPE(channels)) &&
           dt_rule_shape(graph, node, POSITION, "the position embedding", &DT_SHAPE(tokens, channels)) &&
           dt_node_output(graph, node, 0, x->dtype, &DT_SHAPE(batch, tokens, channels));
}

static dt_cost embed_cost(const dt_node *node)
{
    return dt_rule_cost(node, node->in[POSITION] ? (double)dt_rule_elements(node->out[0]) : 0);
}

static dt_status embed_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *x = node->in[X];
    const int64_t *dim = x->shape.dim;
    return exec->kernels->embed_tokens(exec->queue, x->dtype, dt_rule_wide_trunk(node->out[0], x), dim[0], dim[1],
                                       dim[2], x->data, dt_rule_data(node->in[CLS]),
                                       dt_rule_data(node->in[POSITION]), node->out[0]->data);
}

/* Its gradient. Input dy; outputs dx, dcls, dposition. */
enum { DX, DCLS, DPOSITION };
typedef struct embed_grad_attr {
    bool has_cls;
    dt_dtype type; /* of x and dx, where dy is the trunk's and wider */
} embed_grad_attr;

/* Without a class token dx is dy, and only the position embedding may need a node. */
static void embed_backward(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    bool has_cls = node->in[CLS];
    unsigned wanted = (unsigned)(has_cls && dt_rule_wants(node, X)) << DX | (unsigned)dt_rule_wants(node, CLS) << DCLS |
                      (unsigned)dt_rule_wants(node, POSITION) << DPOSITION;
    if (wanted) {
        embed_grad_attr attr = {has_cls, node->in[X]->dtype};
        dt_node *grad = dt_node_add(graph, &dt_op_embed_tokens_grad, &attr, dout, 1, wanted);
        if (!grad) return;
        din[X] = grad->out[DX];
        din[CLS] = grad->out[DCLS];
        din[POSITION] = grad->out[DPOSITION];
    }
    if (!has_cls && dt_rule_wants(node, X)) din[X] = dt_cast(graph, dout[0], node->in[X]->dtype);
}

static bool embed_grad_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const embed_grad_attr *attr = node->attr;
    const dt_tensor *dy = node->in[0];
    if (!dt_rule_types(graph, node, 1) || !dt_rule_rank(graph, node, 0, "the output's gradient", 3)) return false;
    const int64_t *dim = dy->shape.dim;
    const dt_shape shapes[] = {[DX] = DT_SHAPE(dim[0], dim[1] - attr->has_cls, dim[2]),
                               [DCLS] = DT_SHAPE(dim[2]),
                               [DPOSITION] = DT_SHAPE(dim[1], dim[2])};
    for (int k = DX; k <= DPOSITION; k++)
        if (dt_rule_wanted(wanted, k) && !dt_node_output(graph, node, k, attr->type, &shapes[k])) return false;
    return true;
}

static dt_cost embed_grad_cost(const dt_node *node)
{
    return dt_rule_cost(node, node->out[DPOSITION] ? (double)dt_rule_elements(node->in[0]) : 0);
}

static int64_t embed_grad_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    const embed_grad_attr *attr = node->attr;
    const dt_tensor *dy = node->in[0];
    const int64_t *dim = dy->shape.dim;
    return kernels->embed_tokens_grad_scratch(info, dy->dtype, dim[0], dim[1] - attr->has_cls, dim[2]);
}

static dt_status embed_grad_run(const dt_node *node, const dt_exec *exec)
{
    const embed_grad_attr *attr = node->attr;
    const dt_tensor *dy = node->in[0];
    const int64_t *dim = dy->shape.dim;
    return exec->kernels->embed_tokens_grad(exec->queue, attr->type, dy->dtype != attr->type, dim[0],
                                            dim[1] - attr->has_cls, dim[2], attr->has_cls, dy->data,
                                            dt_rule_data(node->out[DX]), dt_rule_data(node->out[DCLS]),
                                            dt_rule_data(node->out[DPOSITION]), dt_node_adds(node, exec, DCLS),
                                            dt_node_adds(node, exec, DPOSITION), node->workspace);
}

const dt_op dt_op_embed_tokens = {
    .name = "embed_tokens",
    .max_outputs = 1,
    .wide_inputs = 1u << CLS | 1u << POSITION,
    .trunk_outputs = 1,
    .shape = embed_shape,
    .grad = embed_backward,
    .cost = embed_cost,
    .run = embed_run,
};

const dt_op dt_op_embed_tokens_grad = {
    .name = "embed_tokens_grad",
    .attr_size = sizeof(embed_grad_attr),
    .max_outputs = 3,
    .accumulates = 1u << DCLS | 1u << DPOSITION,
    .wide_outputs = 1u << DCLS | 1u << DPOSITION,
    .trunk_inputs = 1,
    .shape = embed_grad_shape,
    .cost = embed_grad_cost,
    .workspace = embed_grad_workspace,
    .run = embed_grad_run,
};

dt_tensor *dt_embed_tokens(dt_graph *graph, dt_tensor *x, dt_tensor *cls, dt_tensor *position)
{
    if (!x) return NULL;
    dt_tensor *const in[EMBED_INPUTS] = {[X] = x, [CLS] = cls, [POSITION] = position};
    return dt_apply(graph, &dt_op_embed_tokens, NULL, in, EMBED_INPUTS);
}

/* --- token_mean: y[B,C] = the mean of count tokens of x[B,T,C] from `first` on --- */

typedef struct mean_attr {
    int64_t first, count, tokens;
} mean_attr;

static bool mean_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_tensor *x = node->in[0];
    return dt_rule_types(graph, node, 1) &&
           dt_node_output(graph, node, 0, x->dtype, &DT_SHAPE(x->shape.dim[0], x->shape.dim[2]));
}

static void mean_backward(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    din[0] = dt_apply(graph, &dt_op_token_mean_grad, node->attr, dout, 1);
}

/* Only the pooled tokens move. */
static dt_cost mean_cost(const dt_node *node)
{
    const mean_attr *attr = node->attr;
    const dt_tensor *y = node->out[0];
    double elements = (double)(dt_rule_elements(y) * attr->count);
    return (dt_cost){elements, elements * (double)dt_dtype_size(y->dtype) + (double)dt_rule_bytes(y)};
}

static dt_status mean_run(const dt_node *node, const dt_exec *exec)
{
    const mean_attr *attr = node->attr;
    const dt_tensor *x = node->in[0];
    return exec->kernels->token_mean(exec->queue, x->dtype, x->shape.dim[0], attr->tokens, x->shape.dim[2], attr->first,
                                     attr->count, x->data, node->out[0]->data);
}

static bool mean_grad_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const mean_attr *attr = node->attr;
    const dt_tensor *dy = node->in[0];
    return dt_rule_types(graph, node, 1) && dt_rule_rank(graph, node, 0, "the output's gradient", 2) &&
           dt_node_output(graph, node, 0, dy->dtype, &DT_SHAPE(dy->shape.dim[0], attr->tokens, dy->shape.dim[1]));
}

static dt_cost mean_grad_cost(const dt_node *node) { return dt_rule_cost(node, (double)dt_rule_elements(node->in[0])); }

static dt_status mean_grad_run(const dt_node *node, const dt_exec *exec)
{
    const mean_attr *attr = node->attr;
    const dt_tensor *dy = node->in[0];
    return exec->kernels->token_mean_grad(exec->queue, dy->dtype, dy->shape.dim[0], attr->tokens, dy->shape.dim[1],
                                          attr->first, attr->count, dy->data, node->out[0]->data);
}

const dt_op dt_op_token_mean = {
    .name = "token_mean",
    .attr_size = sizeof(mean_attr),
    .max_outputs = 1,
    .trunk_inputs = 1,
    .trunk_outputs = 1,
    .shape = mean_shape,
    .grad = mean_backward,
    .cost = mean_cost,
    .run = mean_run,
};

const dt_op dt_op_token_mean_grad = {
    .name = "token_mean_grad",
    .attr_size = sizeof(mean_attr),
    .max_outputs = 1,
    .shape = mean_grad_shape,
    .cost = mean_grad_cost,
    .run = mean_grad_run,
};

dt_tensor *dt_token_mean(dt_graph *graph, dt_tensor *x, int64_t first, int64_t count)
{
    if (!x) return NULL;
    if (x->shape.rank != 3 || first < 0 || count <= 0 || first + count > x->shape.dim[1]) {
        char text[96];
        return dt_graph_fail(graph, "token_mean: the input of shape %s does not have tokens %lld to %lld",
                             dt_shape_text(&x->shape, text), (long long)first, (long long)(first + count - 1));
    }
    return dt_apply(graph, &dt_op_token_mean, &(mean_attr){first, count, x->shape.dim[1]}, &x, 1);
}
