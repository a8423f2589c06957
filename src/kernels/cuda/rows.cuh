/* What the row norms' two passes share: teams of threads that have a row each. */
#ifndef DT_KERNELS_CUDA_ROWS_CUH
#define DT_KERNELS_CUDA_ROWS_CUH

#include "kernels/cuda/columns.cuh"

namespace dt {

enum { SHARED_BLOCK = 256, LOOP_THREADS = 256, MOST_ROW_BLOCKS = 1 << 20 };

/* Adds over a team of 8 or 32 threads of one warp. */
template <int TEAM> __device__ __forceinline__ float team_sum(float x) { return warp_sum<TEAM>(x); }

}

#endif
