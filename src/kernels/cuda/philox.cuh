/* Random masks on the GPU: the generator is base/random.h's, compiled here for the device, so that CPU and CUDA draw
 * the same integers and the same uniforms. */
#ifndef DT_KERNELS_CUDA_PHILOX_CUH
#define DT_KERNELS_CUDA_PHILOX_CUH

#include "base/random.h"
#include "kernels/cuda/common.cuh"

namespace dt {

/* The draws of one dropout of the model, for one sample. */
struct mask_stream {
    uint64_t seed;
    uint32_t purpose;
    uint64_t step_and_site, sample;
};

__device__ __forceinline__ mask_stream make_mask_stream(uint64_t seed, dt_purpose purpose, const int64_t *step,
                                                        uint32_t site, int64_t sample)
{
    return {seed, (uint32_t)purpose, (uint64_t)*step + ((uint64_t)site << 32), (uint64_t)sample};
}

/* The uniforms in [0, 1) of the elements 4 block .. 4 block + 3. */
__device__ __forceinline__ void draw_uniforms(const mask_stream &s, uint32_t block, float *uniform)
{
    const dt_random4 r = dt_philox(s.seed, s.purpose, s.step_and_site, s.sample, block);
#pragma unroll
    for (int i = 0; i < 4; i++) uniform[i] = dt_uniform(r.word[i]);
}

}

#endif
