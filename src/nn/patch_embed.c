/* Patch embedding: every patch of the image is one row of a matrix product. */
#include "nn/init.h"

dt_tensor *dt_nn_patch_embed(dt_nn_graph *ng, dt_tensor *images, const char *name, int64_t patch, int64_t out)
{
    if (!images) return NULL;
    int64_t channels = images->shape.dim[1], in = channels * patch * patch;
    dt_shape published = DT_SHAPE(out, channels, patch, patch);
    dt_param_options weights = {.role = DT_ROLE_MATRIX, .init = dt_init_patch_weight(ng->nn, in, out),
                                .published = &published};
    dt_param_options biases = {.role = DT_ROLE_BIAS, .init = dt_init_patch_bias(ng->nn, in)};
    dt_scope_begin(ng->graph, "%s", name);
    dt_tensor *w = dt_param_tensor(ng->graph, "weight", DT_SHAPE(out, in), weights);
    dt_tensor *b = dt_param_tensor(ng->graph, "bias", DT_SHAPE(out), biases);
    dt_tensor *y = dt_linear(ng->graph, dt_patchify(ng->graph, images, patch), w, b);
    dt_scope_end(ng->graph);
    return y;
}
