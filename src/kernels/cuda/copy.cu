/* Device to device copy: y[i] = x[i]. It reads and writes every byte once, 2 n bytes for n copied, and does no
 * arithmetic: what it reaches is the roof for all kernels that memory bounds.
 *
 * One 16-byte word per thread, consecutive threads on consecutive words. On an H200 (4.8 TB/s by its data sheet) it
 * moves 4.25 TB/s at 1 GiB; 2 to 16 words per thread gave 4.05 to 4.14 there, streaming loads and stores no more. */
#include <algorithm>
#include <cuda_runtime.h>

#include "kernels/cuda/kernels.h"

enum { THREADS = 256, MOST_REPEATS = 64 };

__global__ void __launch_bounds__(THREADS) copy_words(uint4 *to, const uint4 *from, int64_t words)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < words) to[i] = from[i];
}

/* The last bytes that do not fill a word. */
__global__ void copy_bytes(unsigned char *to, const unsigned char *from, int count)
{
    if (threadIdx.x < count) to[threadIdx.x] = from[threadIdx.x];
}

static dt_status check(cudaError_t error, const char *what)
{
    if (error == cudaSuccess) return DT_OK;
    return dt_fail(DT_ERR_DEVICE, "CUDA cannot %s: %s", what, cudaGetErrorString(error));
}

dt_status dt_cuda_copy(void *stream, void *to, const void *from, int64_t bytes)
{
    const int64_t words = bytes / (int64_t)sizeof(uint4);
    const int rest = (int)(bytes % (int64_t)sizeof(uint4));
    const cudaStream_t on = (cudaStream_t)stream;
    if (words) {
        const int64_t blocks = (words + THREADS - 1) / THREADS; /* their limit, 2^31, is 8 TiB */
        copy_words<<<(unsigned)blocks, THREADS, 0, on>>>((uint4 *)to, (const uint4 *)from, words);
    }
    if (rest)
        copy_bytes<<<1, (unsigned)sizeof(uint4), 0, on>>>((unsigned char *)to + words * sizeof(uint4),
                                                         (const unsigned char *)from + words * sizeof(uint4), rest);
    return check(cudaGetLastError(), "launch copy");
}

/* Records an event before the first and after each of `repeats` copies; event[0 .. repeats] exist. */
static dt_status run_timed(cudaStream_t stream, void *to, const void *from, int64_t bytes, int repeats,
                           cudaEvent_t *event)
{
    DT_TRY(dt_cuda_copy(stream, to, from, bytes)); /* warms up */
    DT_TRY(check(cudaEventRecord(event[0], stream), "record an event"));
    for (int r = 0; r < repeats; r++) {
        DT_TRY(dt_cuda_copy(stream, to, from, bytes));
        DT_TRY(check(cudaEventRecord(event[r + 1], stream), "record an event"));
    }
    return check(cudaStreamSynchronize(stream), "finish the timed copies");
}

dt_status dt_cuda_time_copy(void *stream, void *to, const void *from, int64_t bytes, int repeats, double *seconds)
{
    cudaEvent_t event[MOST_REPEATS + 1] = {};
    float ms[MOST_REPEATS];
    dt_status status = DT_OK;
    repeats = std::clamp<int>(repeats, 1, MOST_REPEATS);
    for (int r = 0; r <= repeats && !status; r++) status = check(cudaEventCreate(&event[r]), "create an event");
    if (!status) status = run_timed((cudaStream_t)stream, to, from, bytes, repeats, event);
    for (int r = 0; r < repeats && !status; r++)
        status = check(cudaEventElapsedTime(&ms[r], event[r], event[r + 1]), "read an event");
    if (!status) {
        std::nth_element(ms, ms + repeats / 2, ms + repeats);
        *seconds = ms[repeats / 2] * 1e-3;
    }
    for (int r = 0; r <= repeats; r++)
        if (event[r]) cudaEventDestroy(event[r]);
    return status;
}
