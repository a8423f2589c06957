/* The fake: one struct that the test writes and reads. */
#include "fake_cuda.h"

#include <cublasLt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER = 256 }; /* before each allocation: its size */

fake_cuda fake;

void fake_reset(void)
{
    fake = (fake_cuda){.count = 1, .driver = 13000, .major = 9, .name = "NVIDIA H100 80GB HBM3",
                       .memory = (size_t)80 << 30};
}

void fake_launch(void)
{
    if (++fake.launches == fake.fault_at) fake.faulted = true;
}

/* As on a GPU: a fault is known once something waits for it, and from then on to every call. */
static cudaError_t asynchronous(void) { return fake.reported ? cudaErrorIllegalAddress : cudaSuccess; }

static cudaError_t waiting(void)
{
    fake.reported = fake.faulted;
    return asynchronous();
}

/* A refusal is told again to the next who asks for the last error. */
static cudaError_t refuse(cudaError_t error) { return fake.last = error; }

/* --- devices --- */

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = fake.count_error ? 0 : fake.count;
    return fake.count_error;
}

cudaError_t cudaDriverGetVersion(int *version)
{
    *version = fake.driver;
    return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int *version)
{
    *version = CUDART_VERSION;
    return cudaSuccess;
}

cudaError_t cudaSetDevice(int device)
{
    fake.selected = device;
    return refuse(fake.open_error);
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    *value = attribute == cudaDevAttrComputeCapabilityMajor   ? fake.major
             : attribute == cudaDevAttrComputeCapabilityMinor ? fake.minor
                                                              : 132; /* multiprocessors */
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "%s", fake.name);
    properties->major = fake.major;
    properties->minor = fake.minor;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *lowest, int *highest)
{
    *lowest = 0;
    *highest = -5;
    return cudaSuccess;
}

const char *cudaGetErrorString(cudaError_t error)
{
    return error == cudaErrorMemoryAllocation ? "out of memory"
           : error == cudaErrorIllegalAddress ? "an illegal memory access was encountered"
                                              : "another error";
}

cudaError_t cudaGetLastError(void)
{
    cudaError_t last = fake.last;
    fake.last = cudaSuccess;
    return fake.reported ? cudaErrorIllegalAddress : last;
}

/* --- memory --- */

cudaError_t cudaMemGetInfo(size_t *available, size_t *total)
{
    *total = fake.memory;
    *available = fake.memory - fake.others - fake.held;
    return asynchronous();
}

cudaError_t cudaMalloc(void **ptr, size_t bytes)
{
    char *block;
    if (bytes > fake.memory - fake.others - fake.held) return refuse(cudaErrorMemoryAllocation);
    if (posix_memalign((void **)&block, HEADER, HEADER + bytes)) return cudaErrorMemoryAllocation;
    memcpy(block, &bytes, sizeof bytes);
    fake.held += bytes;
    *ptr = block + HEADER;
    return asynchronous();
}

cudaError_t cudaFree(void *ptr)
{
    size_t bytes;
    memcpy(&bytes, (char *)ptr - HEADER, sizeof bytes);
    fake.held -= bytes;
    free((char *)ptr - HEADER);
    return asynchronous();
}

cudaError_t cudaMallocHost(void **ptr, size_t bytes)
{
    *ptr = malloc(bytes);
    return *ptr ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaFreeHost(void *ptr)
{
    free(ptr);
    return asynchronous();
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    memcpy(to, from, bytes);
    return asynchronous();
}

cudaError_t cudaMemsetAsync(void *ptr, int value, size_t bytes, cudaStream_t stream)
{
    memset(ptr, value, bytes);
    return asynchronous();
}

/* --- streams, events, recordings: handles that nothing looks into --- */

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority)
{
    *stream = (cudaStream_t)&fake;
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) { return asynchronous(); }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return waiting(); }
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) { return asynchronous(); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    *event = (cudaEvent_t)&fake;
    return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) { return asynchronous(); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) { return asynchronous(); }
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return waiting(); }

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    fake.captures++;
    return asynchronous();
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    *graph = (cudaGraph_t)&fake;
    return asynchronous();
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    *exec = fake.graph_error ? NULL : (cudaGraphExec_t)&fake;
    return fake.graph_error ? refuse(fake.graph_error) : asynchronous();
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return cudaSuccess; }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return cudaSuccess; }
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) { return asynchronous(); }

/* --- cuBLASLt --- */

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = fake.no_blas ? NULL : (cublasLtHandle_t)&fake;
    return fake.no_blas ? CUBLAS_STATUS_NOT_INITIALIZED : CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle) { return CUBLAS_STATUS_SUCCESS; }
