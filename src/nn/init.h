/* Inside nn/: initial values of weights, by model.init. */
#ifndef DT_NN_INIT_H
#define DT_NN_INIT_H

#include "nn/nn.h"

dt_init dt_init_matrix(const dt_nn *, int64_t in, int64_t out);
dt_init dt_init_embedding(const dt_nn *, int64_t channels);
/* A convolution over patches with `in` inputs: its weight, its bias. */
dt_init dt_init_patch_weight(const dt_nn *, int64_t in, int64_t out);
dt_init dt_init_patch_bias(const dt_nn *, int64_t in);

#endif
