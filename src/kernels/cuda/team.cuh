/* Reductions over a team of threads that works on one row: a warp, or all of a block. */
#ifndef DT_KERNELS_CUDA_TEAM_CUH
#define DT_KERNELS_CUDA_TEAM_CUH

#include "kernels/cuda/common.cuh"

namespace dt {

/* Every thread of the team gets the result. A team of 32 is a warp, a larger one its whole block, for which `room` is
 * shared memory for TEAM / 32 values and may be used again at once. */
template <int TEAM> __device__ __forceinline__ float team_sum(float x, float *room)
{
    if constexpr (TEAM == 32) return warp_sum(x);
    else return block_sum<TEAM>(x, room);
}

/* NaNs are passed over where there is a number. */
template <int TEAM> __device__ __forceinline__ float team_max(float x, float *room)
{
    x = warp_max(x);
    if constexpr (TEAM == 32) return x;
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = x;
    __syncthreads();
    float top = room[0];
    for (int warp = 1; warp < TEAM / 32; warp++) top = fmaxf(top, room[warp]);
    __syncthreads();
    return top;
}

}

#endif
