/* Initial values. `paper` is what timm's ViT does, on which the DyT paper builds: N(0, 0.02) for every linear layer and
 * the convolution's default of PyTorch for patches. `fan_in` keeps the variance of activations and gradients at any
 * width (Glorot and Bengio, 2010, with normal numbers). */
#include "nn/init.h"

#include <math.h>

static const double paper_deviation = 0.02;

static dt_init normal(double deviation) { return (dt_init){DT_INIT_NORMAL, deviation}; }

static dt_init fan_in(int64_t in, int64_t out) { return normal(sqrt(2.0 / (double)(in + out))); }

/* PyTorch's default: Kaiming-uniform with a = sqrt(5), whose bound is 1/sqrt(in) */
static dt_init uniform(int64_t in) { return (dt_init){DT_INIT_UNIFORM, 1 / sqrt((double)in)}; }

dt_init dt_init_matrix(const dt_nn *nn, int64_t in, int64_t out)
{
    return nn->paper_init ? normal(paper_deviation) : fan_in(in, out);
}

/* fan_in: rows of length one, which a factor of sqrt(channels) brings to variance one. */
dt_init dt_init_embedding(const dt_nn *nn, int64_t channels)
{
    return normal(nn->paper_init ? paper_deviation : 1 / sqrt((double)channels));
}

dt_init dt_init_patch_weight(const dt_nn *nn, int64_t in, int64_t out)
{
    return nn->paper_init ? uniform(in) : fan_in(in, out);
}

dt_init dt_init_patch_bias(const dt_nn *nn, int64_t in)
{
    return nn->paper_init ? uniform(in) : (dt_init){DT_INIT_CONSTANT, 0};
}
