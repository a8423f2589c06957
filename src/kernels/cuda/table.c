/* The table of the CUDA back end. */
#include "kernels/cuda/kernels.h"

const dt_kernels dt_cuda_kernels = {
    .name = "cuda",
#define X(function) .function = dt_cuda_##function,
    DT_KERNEL_LIST(X)
    DT_KERNEL_SCRATCH_LIST(X)
#undef X
};
