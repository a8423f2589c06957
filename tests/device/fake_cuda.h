/* A CUDA runtime, cuBLASLt and dlopen without a GPU, linked before the real ones: the answers are the test's, memory is
 * the host's, recordings do nothing. It has what src/device/cuda.c calls, and shows what the program says to errors
 * that no test can make on a real GPU. A test has no CUDA kernels beside it: it defines dt_kernels_of itself. */
#ifndef DT_TESTS_FAKE_CUDA_H
#define DT_TESTS_FAKE_CUDA_H

#include <stdbool.h>

#include <cublasLt.h>
#include <cuda_runtime_api.h>

typedef struct fake_cuda {
    cudaError_t count_error, open_error, graph_error; /* of cudaGetDeviceCount, cudaSetDevice, cudaGraphInstantiate */
    int count, driver, major, minor;
    const char *name;
    size_t memory, others; /* bytes in all, and held by other processes */
    cudaError_t launch_error;   /* of each launch of a kernel */
    cublasStatus_t blas_status; /* of cublasLtCreate */
    bool has_cudnn;             /* a library by that name, without its functions */
    int fault_at;     /* the launch that faults, counted from 1; 0: none */
    int refused_call; /* the call that fails as one, counted from 1 over all that can; 0: none */
    /* What happened. */
    int launches, captures, selected, calls;
    size_t held;     /* bytes of the GPU's memory that were not given back */
    int handles;     /* streams, events, graphs, host memory that were not */
    bool copying;    /* a copy that nothing has waited for */
    int freed_early; /* host memory freed meanwhile */
    bool faulted, reported;
    cudaError_t last; /* refusal that nobody asked for */
} fake_cuda;

extern fake_cuda fake;
void fake_reset(void);  /* one healthy H100 */
void fake_launch(void); /* for the test's kernels to call; what is called next does not know of a fault yet */

#endif
