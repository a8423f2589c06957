/* The two-layer perceptron of a transformer block. */
#include "nn/nn.h"

dt_tensor *dt_nn_mlp(dt_nn_graph *ng, dt_tensor *x, const char *name, int64_t hidden, dt_activation activation)
{
    if (!x) return NULL;
    int64_t width = dt_shape_last(&x->shape);
    dt_scope_begin(ng->graph, "%s", name);
    x = dt_nn_linear(ng, x, "fc1", hidden, true);
    x = dt_gelu(ng->graph, x, activation);
    x = dt_nn_dropout(ng, x);
    x = dt_nn_linear(ng, x, "fc2", width, true);
    x = dt_nn_dropout(ng, x);
    dt_scope_end(ng->graph);
    return x;
}
