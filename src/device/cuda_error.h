/* What CUDA says of a call, as a status: for the back end and for its kernels. */
#ifndef DT_DEVICE_CUDA_ERROR_H
#define DT_DEVICE_CUDA_ERROR_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "base/status.h"

/* "CUDA cannot <what>: reason". DT_ERR_MEMORY where CUDA had no memory for itself, with what helps; else DT_ERR_DEVICE.
 * What is told here is not told again by the next launch of a kernel, which asks for the last error: only faults, after
 * which nothing works, stay. */
DT_MUST_USE dt_status dt_cuda_check(cudaError_t, const char *what);

#ifdef __cplusplus
}
#endif

#endif
