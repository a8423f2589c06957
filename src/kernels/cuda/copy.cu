/* Device to device copy: y[i] = x[i]. It reads and writes every byte once, 2 n bytes for n copied, and does no
 * arithmetic: what it reaches is the roof for all kernels that memory bounds.
 *
 * One 16-byte word per thread, consecutive threads on consecutive words; the thread behind the last word copies the
 * bytes that do not fill one. On an H200 (4.8 TB/s by its data sheet) it moves 4.25 TB/s at 1 GiB; 2 to 16 words per
 * thread gave 4.05 to 4.14 there, streaming loads and stores no more. */
#include "kernels/cuda/common.cuh"

namespace {

using namespace dt;

enum { THREADS = 256 };

__global__ void __launch_bounds__(THREADS) copy_words(uint4 *to, const uint4 *from, int64_t words, int rest)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i < words) {
        to[i] = from[i];
    } else if (i == words) {
#pragma unroll 1
        for (int b = 0; b < rest; b++) ((uint8_t *)(to + words))[b] = ((const uint8_t *)(from + words))[b];
    }
}

}

dt_status dt_cuda_copy(const dt_queue *q, int64_t bytes, const void *x, void *y)
{
    if (bytes <= 0) return DT_OK;
    const int64_t words = bytes / (int64_t)sizeof(uint4);
    const int rest = (int)(bytes % (int64_t)sizeof(uint4));
    const int64_t blocks = ceil_div<int64_t>(words + (rest ? 1 : 0), THREADS); /* their limit, 2^31, is 8 TiB */
    copy_words<<<(unsigned)blocks, THREADS, 0, stream_of(q)>>>((uint4 *)y, (const uint4 *)x, words, rest);
    return launched();
}
