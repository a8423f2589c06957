/* The fake: one struct that the test writes and reads. */
#include "fake_cuda.h"

#include <cublasLt.h>
#include <dlfcn.h>
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
    if (fake.launch_error) fake.last = fake.launch_error;
}

/* As on a GPU: a fault is known once something waits for it, and from then on to every call. */
static cudaError_t asynchronous(void) { return fake.reported ? cudaErrorIllegalAddress : cudaSuccess; }

/* A refusal is told again to the next who asks for the last error. */
static cudaError_t refuse(cudaError_t error) { return fake.last = error; }

/* Of a call that can fail, before it does anything: all but those that give something back. */
static cudaError_t answer(void)
{
    if (++fake.calls == fake.refused_call) return refuse(cudaErrorUnknown);
    return asynchronous();
}

#define ANSWER()                                     \
    do {                                             \
        cudaError_t answer_ = answer();              \
        if (answer_ != cudaSuccess) return answer_;  \
    } while (0)

static cudaError_t wait_for_all(void)
{
    fake.copying = false;
    fake.reported = fake.faulted;
    return answer();
}

/* A handle that nothing looks into; each is to be given back. */
static void *make_handle(void)
{
    fake.handles++;
    return &fake;
}

static cudaError_t end_handle(void)
{
    fake.handles--;
    return asynchronous();
}

/* --- devices --- */

cudaError_t cudaGetDeviceCount(int *count)
{
    *count = 0;
    ANSWER();
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
    ANSWER();
    fake.selected = device;
    return refuse(fake.open_error);
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device)
{
    ANSWER();
    *value = attribute == cudaDevAttrComputeCapabilityMajor   ? fake.major
             : attribute == cudaDevAttrComputeCapabilityMinor ? fake.minor
                                                              : 132; /* multiprocessors */
    return cudaSuccess;
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *properties, int device)
{
    ANSWER();
    memset(properties, 0, sizeof *properties);
    snprintf(properties->name, sizeof properties->name, "%s", fake.name);
    properties->major = fake.major;
    properties->minor = fake.minor;
    return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *lowest, int *highest)
{
    ANSWER();
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
    ANSWER();
    *total = fake.memory;
    *available = fake.memory - fake.others - fake.held;
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **ptr, size_t bytes)
{
    char *block;
    ANSWER();
    if (bytes > fake.memory - fake.others - fake.held) return refuse(cudaErrorMemoryAllocation);
    if (posix_memalign((void **)&block, HEADER, HEADER + bytes)) return cudaErrorMemoryAllocation;
    memcpy(block, &bytes, sizeof bytes);
    fake.held += bytes;
    *ptr = block + HEADER;
    return cudaSuccess;
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
    ANSWER();
    *ptr = malloc(bytes);
    if (!*ptr) return cudaErrorMemoryAllocation;
    fake.handles++;
    return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize(void)
{
    fake.copying = false;
    return asynchronous();
}

cudaError_t cudaFreeHost(void *ptr)
{
    fake.freed_early += fake.copying;
    free(ptr);
    return end_handle();
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind, cudaStream_t stream)
{
    ANSWER();
    fake.copying = true;
    memcpy(to, from, bytes);
    return cudaSuccess;
}

cudaError_t cudaMemsetAsync(void *ptr, int value, size_t bytes, cudaStream_t stream)
{
    ANSWER();
    memset(ptr, value, bytes);
    return cudaSuccess;
}

/* --- streams, events, recordings --- */

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned flags, int priority)
{
    ANSWER();
    *stream = make_handle();
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned flags)
{
    ANSWER();
    *event = make_handle();
    return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) { return end_handle(); }
cudaError_t cudaEventDestroy(cudaEvent_t event) { return end_handle(); }
cudaError_t cudaStreamSynchronize(cudaStream_t stream) { return wait_for_all(); }
cudaError_t cudaEventSynchronize(cudaEvent_t event) { return wait_for_all(); }
cudaError_t cudaStreamQuery(cudaStream_t stream) { return asynchronous(); }
cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) { return answer(); }
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) { return answer(); }

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode)
{
    ANSWER();
    fake.captures++;
    return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph)
{
    *graph = NULL;
    ANSWER();
    *graph = make_handle();
    return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags)
{
    ANSWER();
    if (fake.graph_error) return refuse(fake.graph_error);
    *exec = make_handle();
    return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) { return end_handle(); }
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) { return end_handle(); }
cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) { return answer(); }

/* --- libraries that are loaded at run time: cuDNN --- */

void *dlopen(const char *name, int flags) { return fake.has_cudnn ? &fake : NULL; }
void *dlsym(void *library, const char *name) { return NULL; }
char *dlerror(void)
{
    static char reason[] = "cannot open shared object file";
    return reason;
}

/* --- cuBLASLt --- */

cublasStatus_t cublasLtCreate(cublasLtHandle_t *handle)
{
    *handle = fake.blas_status ? NULL : make_handle();
    return fake.blas_status;
}

cublasStatus_t cublasLtDestroy(cublasLtHandle_t handle)
{
    fake.handles--;
    return CUBLAS_STATUS_SUCCESS;
}
