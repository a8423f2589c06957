/* Multi-head self-attention. */
#include "nn/nn.h"

/* The state "<scope>.cache" [B, capacity, 2 Hkv D]. */
static dt_tensor *cache_of(dt_nn_graph *ng, const dt_tensor *qkv, const dt_attention_attr *attr)
{
    int64_t kv_heads = attr->kv_heads ? attr->kv_heads : attr->heads;
    int64_t width = dt_shape_last(&qkv->shape) / (attr->heads + 2 * kv_heads) * 2 * kv_heads;
    const char *name = dt_arena_format(dt_graph_arena(ng->graph), "%s.cache", dt_graph_scope(ng->graph));
    return dt_state_tensor(ng->graph, name, DT_F32, DT_SHAPE(qkv->shape.dim[0], ng->capacity, width), false);
}

dt_tensor *dt_nn_attend(dt_nn_graph *ng, dt_tensor *qkv, dt_attention_attr attr)
{
    if (!qkv) return NULL;
    if (!ng->position) return dt_attention(ng->graph, qkv, ng->starts, attr);
    dt_tensor *cache = cache_of(ng, qkv, &attr);
    dt_tensor *out = dt_attention_cached(ng->graph, qkv, cache, ng->position, attr);
    dt_cache_append(ng->graph, cache, qkv, ng->position);
    return out;
}

dt_tensor *dt_nn_attention(dt_nn_graph *ng, dt_tensor *x, const char *name, dt_nn_attention_options options)
{
    if (!x) return NULL;
    int64_t width = dt_shape_last(&x->shape);
    dt_scope_begin(ng->graph, "%s", name);
    x = dt_nn_linear(ng, x, "qkv", 3 * width, options.qkv_bias);
    x = dt_nn_attend(ng, x, (dt_attention_attr){.heads = options.heads, .causal = options.causal});
    x = dt_nn_linear(ng, x, "proj", width, true);
    x = dt_nn_dropout(ng, x);
    dt_scope_end(ng->graph);
    return x;
}
