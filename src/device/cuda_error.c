/* Messages about calls of CUDA that failed. */
#include "device/cuda_error.h"

dt_status dt_cuda_check(cudaError_t error, const char *what)
{
    if (error == cudaSuccess) return DT_OK;
    cudaGetLastError();
    if (error == cudaErrorMemoryAllocation) /* recordings, kernels and libraries take some besides the plan */
        return dt_fail(DT_ERR_MEMORY, "out of memory on cuda: CUDA cannot %s: it needs some memory of its own; what "
                       "helps: a smaller train.micro_batch, or fewer other processes (nvidia-smi names them)", what);
    return dt_fail(DT_ERR_DEVICE, "CUDA cannot %s: %s", what, cudaGetErrorString(error));
}
