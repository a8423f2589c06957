/* The CUDA back end, through the runtime API. One thread opens the device and makes all calls on it.
 *
 * The three streams do not wait for the default stream. Communication gets the highest priority, so that its few
 * blocks are placed while a large product runs. */
#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#if __has_include(<nvtx3/nvToolsExt.h>) /* a package of its own (cuda-nvtx), without which there are no ranges */
#include <nvtx3/nvToolsExt.h>
#define HAVE_RANGES
#endif

#include "device/archs.h"
#include "device/backend.h"
#include "device/cuda_error.h"

typedef struct cuda_device {
    int index;
    int processors;
    cublasLtHandle_t blas;
    cudaStream_t streams[DT_STREAMS];
} cuda_device;

/* The newest CUDA that the driver takes, as in cudart's headers (13020 is 13.2); 0 where there is no driver. */
static int driver_version(void)
{
    int version = 0;
    return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

static const char *why_none(cudaError_t error)
{
    switch (error) {
    case cudaSuccess:
    case cudaErrorNoDevice: return "no CUDA device: the driver sees no GPU, or CUDA_VISIBLE_DEVICES hides it";
    case cudaErrorInsufficientDriver:
        return driver_version() ? "no CUDA device: the NVIDIA driver is older than CUDA " DT_CUDA_VERSION
                                  ", which this program was built with; a newer driver or an older toolkit helps"
                                : "no CUDA device: there is no NVIDIA driver";
    case cudaErrorSystemDriverMismatch:
        return "no CUDA device: library and kernel module of the NVIDIA driver differ in version; a reboot helps";
    case cudaErrorSystemNotReady:
        return "no CUDA device: the system is not ready; where NVSwitch joins GPUs, the fabric manager must run";
    default: return cudaGetErrorString(error);
    }
}

static int cuda_count(const char **why)
{
    int count = 0;
    cudaError_t error = cudaGetDeviceCount(&count);
    if (error) cudaGetLastError(); /* it is told here */
    *why = error || !count ? why_none(error) : NULL;
    return error ? 0 : count;
}

static int blas_version(libraryPropertyType part)
{
    int version = 0;
    return cublasLtGetProperty(part, &version) == CUBLAS_STATUS_SUCCESS ? version : 0;
}

static void cuda_versions(char *out, size_t room)
{
    int runtime = 0, driver = driver_version();
    char newest[40];
    cudaRuntimeGetVersion(&runtime);
    snprintf(newest, sizeof newest, "driver for CUDA %d.%d", driver / 1000, driver % 1000 / 10);
    snprintf(out, room, "%s, runtime %d.%d, cuBLASLt %d.%d.%d", driver ? newest : "no driver", runtime / 1000,
             runtime % 1000 / 10, blas_version(MAJOR_VERSION), blas_version(MINOR_VERSION), blas_version(PATCH_LEVEL));
}

/* As nvidia-smi writes it: groups of 4, 2, 2, 2 and 6 bytes. */
static dt_status cuda_id(int index, char out[DT_DEVICE_ID_ROOM])
{
    struct cudaDeviceProp properties;
    DT_TRY(dt_cuda_check(cudaGetDeviceProperties(&properties, index), "read the device's properties"));
    int length = snprintf(out, DT_DEVICE_ID_ROOM, "GPU-");
    for (int i = 0; i < 16; i++)
        length += snprintf(out + length, (size_t)(DT_DEVICE_ID_ROOM - length), "%s%02x",
                           i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", (uint8_t)properties.uuid.bytes[i]);
    return DT_OK;
}

static dt_status cuda_check(int index)
{
    int major, minor;
    struct cudaDeviceProp properties;
    DT_TRY(dt_cuda_check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index),
                         "ask for the capability"));
    DT_TRY(dt_cuda_check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index),
                         "ask for the capability"));
    if (dt_archs_run(DT_GPU_ARCHS, 10 * major + minor)) return DT_OK;
    DT_TRY(dt_cuda_check(cudaGetDeviceProperties(&properties, index), "read the device's properties"));
    if (10 * major + minor < DT_LOWEST_CAPABILITY)
        return dt_fail(DT_ERR_DEVICE, "GPU %d (%.128s) is of compute capability %d.%d, and the kernels need %d.%d or "
                       "higher", index, properties.name, major, minor, DT_LOWEST_CAPABILITY / 10,
                       DT_LOWEST_CAPABILITY % 10);
    return dt_fail(DT_ERR_DEVICE, "GPU %d (%.128s) is of compute capability %d.%d, and this program was built for "
                   "-Dgpu_archs=" DT_GPU_ARCHS ": build it with -Dgpu_archs=native", index, properties.name, major,
                   minor);
}

static void cuda_close(void *context)
{
    cuda_device *device = context;
    for (int s = 0; s < DT_STREAMS; s++)
        if (device->streams[s]) cudaStreamDestroy(device->streams[s]);
    if (device->blas) cublasLtDestroy(device->blas);
    free(device);
}

/* Makes the context, for which the GPU must have some memory free. */
static dt_status select_device(int index)
{
    cudaError_t error = cudaSetDevice(index);
    if (error != cudaErrorMemoryAllocation && error != cudaErrorDevicesUnavailable)
        return dt_cuda_check(error, "select the device");
    cudaGetLastError();
    return dt_fail(DT_ERR_DEVICE, "CUDA cannot start on GPU %d: %s: other processes hold it (nvidia-smi names them)",
                   index, cudaGetErrorString(error));
}

static dt_status start_blas(cublasLtHandle_t *blas)
{
    cublasStatus_t error = cublasLtCreate(blas);
    if (error == CUBLAS_STATUS_SUCCESS) return DT_OK;
    if (error == CUBLAS_STATUS_ALLOC_FAILED) return dt_cuda_check(cudaErrorMemoryAllocation, "start cuBLASLt");
    return dt_fail(DT_ERR_DEVICE, "cannot start cuBLASLt: %s", cublasLtGetStatusString(error));
}

static dt_status cuda_open(int index, void **context)
{
    cuda_device *device = calloc(1, sizeof *device);
    if (!device) return dt_fail_memory(sizeof *device, "a CUDA device");
    device->index = index;
    dt_status status;
    int lowest, highest; /* a smaller number is a higher priority */
    DT_TRY_GOTO(select_device(index), failed);
    DT_TRY_GOTO(dt_cuda_check(cudaDeviceGetStreamPriorityRange(&lowest, &highest), "ask for stream priorities"),
                failed);
    for (int s = 0; s < DT_STREAMS; s++)
        DT_TRY_GOTO(dt_cuda_check(cudaStreamCreateWithPriority(&device->streams[s], cudaStreamNonBlocking,
                                                               s == DT_STREAM_COMM ? highest : lowest),
                                  "create a stream"),
                    failed);
    DT_TRY_GOTO(dt_cuda_check(cudaDeviceGetAttribute(&device->processors, cudaDevAttrMultiProcessorCount, index),
                              "count multiprocessors"),
                failed);
    DT_TRY_GOTO(start_blas(&device->blas), failed);
    *context = device;
    return DT_OK;
failed:
    cuda_close(device);
    return status;
}

static dt_status cuda_query(void *context, dt_device_info *out)
{
    const cuda_device *device = context;
    struct cudaDeviceProp properties;
    size_t available, total;
    DT_TRY(dt_cuda_check(cudaGetDeviceProperties(&properties, device->index), "read the device's properties"));
    DT_TRY(dt_cuda_check(cudaMemGetInfo(&available, &total), "read the device's free memory"));
    snprintf(out->name, sizeof out->name, "%.*s", (int)sizeof out->name - 1, properties.name);
    out->memory_total = (int64_t)total;
    out->memory_free = (int64_t)available;
    out->capability = properties.major * 10 + properties.minor;
    out->processors = device->processors;
    return DT_OK;
}

/* A refused allocation is an answer, not a fault. */
static dt_status check_memory(cudaError_t error, const char *what)
{
    if (error != cudaErrorMemoryAllocation) return dt_cuda_check(error, what);
    cudaGetLastError();
    return DT_ERR_MEMORY;
}

static dt_status cuda_alloc(void *context, size_t bytes, void **out)
{
    const cuda_device *device = context;
    cudaStream_t stream = device->streams[DT_STREAM_COMPUTE];
    void *ptr;
    DT_TRY(check_memory(cudaMalloc(&ptr, bytes ? bytes : 1), "allocate memory"));
    cudaError_t error = cudaMemsetAsync(ptr, 0, bytes, stream);
    if (error == cudaSuccess) error = cudaStreamSynchronize(stream);
    if (error != cudaSuccess) {
        cudaFree(ptr);
        return dt_cuda_check(error, "clear new memory");
    }
    *out = ptr;
    return DT_OK;
}

static void cuda_free(void *context, void *ptr) { cudaFree(ptr); }

static dt_status cuda_alloc_host(void *context, size_t bytes, void **out)
{
    return check_memory(cudaMallocHost(out, bytes ? bytes : 1), "allocate pinned host memory");
}

/* Behind a failure copies may still be under way. */
static void cuda_free_host(void *context, void *ptr)
{
    cudaDeviceSynchronize();
    cudaFreeHost(ptr);
}

static dt_status cuda_copy(void *context, dt_stream stream, void *to, const void *from, size_t bytes)
{
    const cuda_device *device = context;
    return dt_cuda_check(cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, device->streams[stream]), "copy");
}

static dt_status cuda_clear(void *context, dt_stream stream, void *ptr, size_t bytes)
{
    const cuda_device *device = context;
    return dt_cuda_check(cudaMemsetAsync(ptr, 0, bytes, device->streams[stream]), "clear memory");
}

static dt_status cuda_sync(void *context, dt_stream stream)
{
    const cuda_device *device = context;
    return dt_cuda_check(cudaStreamSynchronize(device->streams[stream]), "finish the work of a stream");
}

static void cuda_queue(void *context, dt_stream stream, dt_queue *out)
{
    const cuda_device *device = context;
    *out = (dt_queue){.stream = device->streams[stream], .blas = device->blas, .processors = device->processors};
}

/* Thread-local: loader and writer threads allocate while this thread records. */
static dt_status cuda_record_begin(void *context)
{
    const cuda_device *device = context;
    return dt_cuda_check(cudaStreamBeginCapture(device->streams[DT_STREAM_COMPUTE], cudaStreamCaptureModeThreadLocal),
                 "record a stream");
}

static dt_status cuda_record_end(void *context, void **recording)
{
    const cuda_device *device = context;
    cudaGraph_t graph = NULL;
    cudaGraphExec_t exec = NULL;
    cudaError_t error = cudaStreamEndCapture(device->streams[DT_STREAM_COMPUTE], &graph);
    if (error == cudaSuccess && recording)
        error = cudaGraphInstantiate(&exec, graph, cudaGraphInstantiateFlagUseNodePriority);
    if (graph) cudaGraphDestroy(graph);
    if (!recording) return DT_OK; /* behind another failure, whose message stays */
    *recording = exec;
    return dt_cuda_check(error, "make a graph of recorded work");
}

static dt_status cuda_record_run(void *context, void *recording)
{
    const cuda_device *device = context;
    return dt_cuda_check(cudaGraphLaunch(recording, device->streams[DT_STREAM_COMPUTE]), "launch a graph");
}

static void cuda_record_free(void *recording) { cudaGraphExecDestroy(recording); }

#ifdef HAVE_RANGES
static void cuda_range_begin(const char *name) { nvtxRangePushA(name); }

static void cuda_range_end(void) { nvtxRangePop(); }
#endif

static dt_status cuda_event_create(void *context, void **event)
{
    cudaEvent_t created = NULL;
    DT_TRY(dt_cuda_check(cudaEventCreateWithFlags(&created, cudaEventDisableTiming), "create an event"));
    *event = created;
    return DT_OK;
}

static void cuda_event_free(void *event) { cudaEventDestroy(event); }

static dt_status cuda_event_record(void *context, void *event, dt_stream stream)
{
    const cuda_device *device = context;
    return dt_cuda_check(cudaEventRecord(event, device->streams[stream]), "record an event");
}

static dt_status cuda_event_wait(void *context, void *event, dt_stream stream)
{
    const cuda_device *device = context;
    return dt_cuda_check(cudaStreamWaitEvent(device->streams[stream], event, 0), "wait for an event on a stream");
}

static dt_status cuda_event_sync(void *event)
{
    return dt_cuda_check(cudaEventSynchronize(event), "wait for an event");
}

const dt_backend_table dt_backend_cuda = {
    .name = "cuda",
    .built = true,
    .count = cuda_count,
    .versions = cuda_versions,
    .id = cuda_id,
    .check = cuda_check,
    .open = cuda_open,
    .close = cuda_close,
    .query = cuda_query,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .alloc_host = cuda_alloc_host,
    .free_host = cuda_free_host,
    .copy = cuda_copy,
    .clear = cuda_clear,
    .sync = cuda_sync,
    .queue = cuda_queue,
    .record_begin = cuda_record_begin,
    .record_end = cuda_record_end,
    .record_run = cuda_record_run,
    .record_free = cuda_record_free,
#ifdef HAVE_RANGES
    .range_begin = cuda_range_begin,
    .range_end = cuda_range_end,
#endif
    .event_create = cuda_event_create,
    .event_free = cuda_event_free,
    .event_record = cuda_event_record,
    .event_wait = cuda_event_wait,
    .event_sync = cuda_event_sync,
};
