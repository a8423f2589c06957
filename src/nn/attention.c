/* Multi-head self-attention. */
#include "nn/nn.h"

dt_tensor *dt_nn_attention(dt_nn_graph *ng, dt_tensor *x, const char *name, dt_nn_attention_options options)
{
    if (!x) return NULL;
    int64_t width = dt_shape_last(&x->shape);
    dt_scope_begin(ng->graph, "%s", name);
    x = dt_nn_linear(ng, x, "qkv", 3 * width, options.qkv_bias);
    x = dt_attention(ng->graph, x, (dt_attention_attr){.heads = options.heads, .causal = options.causal});
    x = dt_nn_linear(ng, x, "proj", width, true);
    x = dt_nn_dropout(ng, x);
    dt_scope_end(ng->graph);
    return x;
}
