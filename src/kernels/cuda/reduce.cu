/* The sum and the sum of squares of an array, and what follows from the norm of the gradients:
 *   y = sum_i x_i,   out (+)= sum_i x_i²,
 *   norm = sqrt(squares) / count,   scale = min(1, clip / norm) / count.
 * Bytes: each element is read once, n times its size; the partial results are at most 32 KiB.
 *
 * Each block adds one piece of the array in float64, 16 bytes per thread and load; a second kernel of one block adds
 * the pieces. Conversion to float64 is the scarce unit: 16 a cycle and multiprocessor (CUDA C++ Programming Guide, 9.0)
 * are 3.6e12 elements a second on an H200, more than bfloat16 from memory (2.1e12).
 *
 * Reached on an H200 in float32 (`bench --profile`): the sum of squares of 86.6 M gradients moves 3.4
 * TB/s, where a copy moves 4.2. */
#include "kernels/cuda/common.cuh"
#include "kernels/cuda/reduce.cuh"

namespace {

using namespace dt;

enum { THREADS = 256, LEAST_PIECE = 8192 };

template <bool SQUARES, typename T> __device__ __forceinline__ double term(T x)
{
    const double wide = widen(x);
    return SQUARES ? wide * wide : wide;
}

/* partial[block] = the sum over the block's piece. Pieces start at multiples of 16 bytes. */
template <typename T, bool SQUARES>
__global__ void __launch_bounds__(THREADS) add_piece(pieces split, const T *x, double *partial)
{
    __shared__ double room[THREADS / 32];
    constexpr int SIZE = pack<T>::size;
    const int64_t begin = blockIdx.x * split.size, end = min(begin + split.size, split.items);
    const int64_t packs = (end - begin) / SIZE;
    double sum = 0;
#pragma unroll 4
    for (int64_t i = threadIdx.x; i < packs; i += THREADS) {
        const pack<T> v = load_pack(x + begin + i * SIZE);
        double part = 0;
        for (int e = 0; e < SIZE; e++) part += term<SQUARES>(v.at[e]);
        sum += part;
    }
    const int64_t rest = begin + packs * SIZE + threadIdx.x;
    if (rest < end) sum += term<SQUARES>(x[rest]);
    sum = block_sum<THREADS>(sum, room);
    if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

template <bool SQUARES, typename T, typename Y>
dt_status reduce(const dt_queue *q, int64_t n, const T *x, Y *y, bool accumulate, void *scratch)
{
    const pieces split = cut(n, LEAST_PIECE);
    double *partial = (double *)scratch;
    if (split.count) {
        add_piece<T, SQUARES><<<(unsigned)split.count, THREADS, 0, stream_of(q)>>>(split, x, partial);
        DT_TRY(launched());
    }
    return finish_pieces(q, split.count, partial, y, accumulate);
}

template <typename T>
__global__ void scale_by_norm(double clip, const double *squares, const T *count, double *norm, double *scale,
                              int32_t *finite)
{
    const double samples = *count, length = sqrt(*squares) / samples;
    *norm = length;
    *scale = (clip > 0 && length > clip ? clip / length : 1) / samples;
    *finite = samples > 0 && isfinite(length);
}

}

dt_status dt_cuda_sum(const dt_queue *q, dt_dtype t, int64_t n, const void *x, void *y, void *scratch)
{
    return dt::by_type_or_double(t, [&](auto zero) {
        typedef decltype(zero) T;
        return reduce<false>(q, n, (const T *)x, (wide<T> *)y, false, scratch);
    });
}

dt_status dt_cuda_square_sum(const dt_queue *q, dt_dtype t, int64_t n, const void *x, double *out, bool accumulate,
                             void *scratch)
{
    return dt::by_type_or_double(t, [&](auto zero) {
        typedef decltype(zero) T;
        return reduce<true>(q, n, (const T *)x, out, accumulate, scratch);
    });
}

dt_status dt_cuda_norm_scale(const dt_queue *q, dt_dtype t, double clip, const double *squares, const void *count,
                             double *norm, double *scale, int32_t *finite)
{
    return dt::by_type_or_double(t, [&](auto zero) {
        typedef wide<decltype(zero)> T;
        scale_by_norm<<<1, 1, 0, stream_of(q)>>>(clip, squares, (const T *)count, norm, scale, finite);
        return launched();
    });
}

int64_t dt_cuda_reduce_scratch(const dt_device_info *, int64_t n)
{
    return dt::cut(n, 1).count * (int64_t)sizeof(double);
}
