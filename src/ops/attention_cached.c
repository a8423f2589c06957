/* Attention of new tokens behind others whose keys and values a cache keeps, and adding to that cache: what generation
 * of text is made of. A program reads the cache at its value before the program; the new tokens' keys and values come
 * from qkv, and are appended behind the last reader. */
#include <math.h>

#include "ops/ops.h"
#include "ops/rule.h"

/* --- attention_cached --- */

enum { QKV, CACHE, POSITION, INPUTS };

static int64_t kv_heads_of(const dt_attention_attr *attr) { return attr->kv_heads ? attr->kv_heads : attr->heads; }

/* Sizes and settings; the arrays are the caller's to fill. */
static dt_attention_cached_args describe(const dt_node *node)
{
    const dt_attention_attr *attr = node->attr;
    const dt_tensor *qkv = node->in[QKV];
    int64_t kv_heads = kv_heads_of(attr), size = qkv->shape.dim[2] / (attr->heads + 2 * kv_heads);
    return (dt_attention_cached_args){
        .batch = qkv->shape.dim[0],
        .tokens = qkv->shape.dim[1],
        .heads = attr->heads,
        .kv_heads = kv_heads,
        .size = size,
        .capacity = node->in[CACHE]->shape.dim[1],
        .scale = attr->scale != 0 ? attr->scale : 1 / sqrt((double)size),
    };
}

static bool heads_fit(dt_graph *graph, const dt_attention_attr *attr, const dt_tensor *qkv)
{
    int64_t kv_heads = kv_heads_of(attr);
    char text[96];
    if (attr->heads > 0 && kv_heads > 0 && attr->heads % kv_heads == 0 &&
        qkv->shape.dim[2] % (attr->heads + 2 * kv_heads) == 0)
        return true;
    dt_graph_fail(graph, "attention_cached: %lld heads, %lld of them with keys and values, do not divide the queries, "
                  "keys and values of shape %s", (long long)attr->heads, (long long)kv_heads,
                  dt_shape_text(&qkv->shape, text));
    return false;
}

static bool attention_cached_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_attention_attr *attr = node->attr;
    const dt_tensor *qkv = node->in[QKV], *cache = node->in[CACHE];
    if (!dt_rule_types(graph, node, 1u << QKV | 1u << CACHE) || !dt_rule_rank(graph, node, QKV, "qkv", 3) ||
        !dt_rule_rank(graph, node, CACHE, "the cache", 3) || !heads_fit(graph, attr, qkv))
        return false;
    int64_t batch = qkv->shape.dim[0], tokens = qkv->shape.dim[1], size = describe(node).size;
    dt_shape kept = DT_SHAPE(batch, cache->shape.dim[1], 2 * kv_heads_of(attr) * size);
    return dt_rule_shape(graph, node, CACHE, "the cache", &kept) &&
           dt_rule_type(graph, node, POSITION, "the position", DT_I32) &&
           dt_rule_count(graph, node, POSITION, "the position", batch) &&
           dt_node_output(graph, node, 0, qkv->dtype, &DT_SHAPE(batch, tokens, attr->heads * size)) != NULL;
}

/* As if the cache were full. */
static dt_cost attention_cached_cost(const dt_node *node)
{
    dt_attention_cached_args at = describe(node);
    double pairs = (double)at.batch * (double)at.heads * (double)at.tokens * (double)(at.capacity + at.tokens);
    return dt_rule_cost(node, 4 * pairs * (double)at.size);
}

static int64_t attention_cached_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    dt_attention_cached_args args = describe(node);
    return kernels->attention_cached_scratch(info, node->in[QKV]->dtype, &args);
}

static dt_status attention_cached_run(const dt_node *node, const dt_exec *exec)
{
    dt_attention_cached_args args = describe(node);
    args.qkv = node->in[QKV]->data;
    args.cache = node->in[CACHE]->data;
    args.position = node->in[POSITION]->data;
    args.out = node->out[0]->data;
    args.scratch = node->workspace;
    return exec->kernels->attention_cached(exec->queue, node->in[QKV]->dtype, &args);
}

const dt_op dt_op_attention_cached = {
    .name = "attention_cached",
    .attr_size = sizeof(dt_attention_attr),
    .max_outputs = 1,
    .shape = attention_cached_shape,
    .cost = attention_cached_cost,
    .workspace = attention_cached_workspace,
    .run = attention_cached_run,
};

dt_tensor *dt_attention_cached(dt_graph *graph, dt_tensor *qkv, dt_tensor *cache, dt_tensor *position,
                               dt_attention_attr attr)
{
    if (!qkv || !cache || !position) return NULL;
    return dt_apply(graph, &dt_op_attention_cached, &attr, (dt_tensor *[]){qkv, cache, position}, INPUTS);
}

/* --- cache_append --- */

enum { TO, FROM, AT, APPEND_INPUTS };

static bool cache_append_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_tensor *cache = node->in[TO], *x = node->in[FROM];
    char kept[96], text[96];
    if (!dt_rule_types(graph, node, 1u << TO | 1u << FROM) || !dt_rule_rank(graph, node, TO, "the cache", 3) ||
        !dt_rule_rank(graph, node, FROM, "what is appended", 3))
        return false;
    if (cache->kind == DT_STATE && x->shape.dim[0] == cache->shape.dim[0] && x->shape.dim[2] >= cache->shape.dim[2])
        return dt_rule_type(graph, node, AT, "the position", DT_I32) &&
               dt_rule_count(graph, node, AT, "the position", x->shape.dim[0]);
    dt_graph_fail(graph, "cache_append: %s cannot be appended to a state of shape %s", dt_shape_text(&x->shape, text),
                  dt_shape_text(&cache->shape, kept));
    return false;
}

static dt_cost cache_append_cost(const dt_node *node)
{
    const dt_tensor *x = node->in[FROM];
    double rows = (double)(x->shape.dim[0] * x->shape.dim[1]), width = (double)node->in[TO]->shape.dim[2];
    return (dt_cost){.bytes = 2 * rows * width * (double)dt_dtype_size(x->dtype)};
}

static dt_status cache_append_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *cache = node->in[TO], *x = node->in[FROM];
    dt_cache_append_args args = {.batch = x->shape.dim[0],
                                 .tokens = x->shape.dim[1],
                                 .capacity = cache->shape.dim[1],
                                 .packed = x->shape.dim[2],
                                 .width = cache->shape.dim[2],
                                 .x = x->data,
                                 .position = node->in[AT]->data,
                                 .cache = cache->data};
    return exec->kernels->cache_append(exec->queue, x->dtype, &args);
}

const dt_op dt_op_cache_append = {
    .name = "cache_append",
    .flags = DT_OP_EFFECT,
    .shape = cache_append_shape,
    .cost = cache_append_cost,
    .run = cache_append_run,
};

void dt_cache_append(dt_graph *graph, dt_tensor *cache, dt_tensor *x, dt_tensor *position)
{
    if (!cache || !x || !position) return;
    dt_node_add(graph, &dt_op_cache_append, NULL, (dt_tensor *[]){cache, x, position}, APPEND_INPUTS, 0);
}
