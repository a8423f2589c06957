/* A linear layer: weight [out, in], bias [out]. */
#include "nn/init.h"

dt_tensor *dt_nn_linear(dt_nn_graph *ng, dt_tensor *x, const char *name, int64_t out, bool bias)
{
    if (!x) return NULL;
    int64_t in = dt_shape_last(&x->shape);
    dt_param_options weights = {.role = DT_ROLE_MATRIX, .init = dt_init_matrix(ng->nn, in, out)};
    dt_param_options biases = {.role = DT_ROLE_BIAS}; /* zero */
    dt_scope_begin(ng->graph, "%s", name);
    dt_tensor *w = dt_param_tensor(ng->graph, "weight", DT_SHAPE(out, in), weights);
    dt_tensor *b = bias ? dt_param_tensor(ng->graph, "bias", DT_SHAPE(out), biases) : NULL;
    dt_tensor *y = dt_linear(ng->graph, x, w, b);
    dt_scope_end(ng->graph);
    return y;
}
