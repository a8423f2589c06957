/* A linear layer: weight [out, in], bias [out]; and several as one product. */
#include <assert.h>

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

enum { MOST_PARTS = 4 };

dt_tensor *dt_nn_linears(dt_nn_graph *ng, dt_tensor *x, const dt_nn_part *parts, int count)
{
    if (!x) return NULL;
    int64_t in = dt_shape_last(&x->shape);
    dt_param_part weights[MOST_PARTS];
    assert(count <= MOST_PARTS);
    for (int i = 0; i < count; i++)
        weights[i] = (dt_param_part){dt_arena_format(dt_graph_arena(ng->graph), "%s.weight", parts[i].name),
                                     parts[i].out, dt_init_matrix(ng->nn, in, parts[i].out)};
    dt_tensor *w = dt_param_joined(ng->graph, weights, count, in, (dt_param_options){.role = DT_ROLE_MATRIX});
    return dt_linear(ng->graph, x, w, NULL);
}
