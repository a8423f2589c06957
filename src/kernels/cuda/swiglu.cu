/* SwiGLU (Shazeer, "GLU variants improve transformer", 2020): y = g s u with s = 1 / (1 + exp(-g)), g the first half of
 * a row of x[rows, 2 n] and u the second. Backward: dg = dy u s (1 + g (1 - s)), du = dy g s.
 *
 * Bytes for each element of y: 3 elements forward, 5 backward. The bound is memory; a thread takes 16 bytes of each
 * array where rows allow it, else one element.
 *
 * Reached on an H200 in bfloat16 (`bench kernels`): all of the bandwidth of a copy of as many bytes, forward and
 * backward. */
#include "kernels/cuda/divide.cuh"
#include "kernels/cuda/wide.cuh"

namespace {

using namespace dt;

enum { THREADS = 256 };

__device__ __forceinline__ float sigmoid(float x) { return fast_reciprocal(1 + fast_exp2(-1.4426950408889634f * x)); }

template <typename T, int N, typename INDEX>
__global__ void __launch_bounds__(THREADS) forward(INDEX count, int64_t n, divider<INDEX> per_row, const T *x, T *y)
{
    INDEX row = (INDEX)blockIdx.x * THREADS + threadIdx.x;
    if (row >= count) return;
    const int64_t column = (int64_t)per_row.split(&row) * N;
    const T *gate = x + (int64_t)row * 2 * n + column;
    float g[N], u[N];
    load_wide(gate, g);
    load_wide(gate + n, u);
#pragma unroll
    for (int e = 0; e < N; e++) u[e] *= g[e] * sigmoid(g[e]);
    store_wide(y + (int64_t)row * n + column, u);
}

template <typename T, int N, typename INDEX>
__global__ void __launch_bounds__(THREADS) backward(INDEX count, int64_t n, divider<INDEX> per_row, const T *x,
                                                    const T *dy, T *dx)
{
    INDEX row = (INDEX)blockIdx.x * THREADS + threadIdx.x;
    if (row >= count) return;
    const int64_t column = (int64_t)per_row.split(&row) * N, at = (int64_t)row * 2 * n + column;
    float g[N], u[N], d[N];
    load_wide(x + at, g);
    load_wide(x + at + n, u);
    load_wide(dy + (int64_t)row * n + column, d);
#pragma unroll
    for (int e = 0; e < N; e++) {
        const float s = sigmoid(g[e]), up = u[e];
        u[e] = d[e] * g[e] * s;
        g[e] = d[e] * up * s * (1 + g[e] * (1 - s));
    }
    store_wide(dx + at, g);
    store_wide(dx + at + n, u);
}

/* Calls f(T(), elements at once, index type) for rows x n elements. */
template <typename F> dt_status by_shape(dt_dtype t, int64_t rows, int64_t n, F f)
{
    if (rows * n == 0) return DT_OK;
    return by_type(t, [&](auto zero) {
        constexpr int SIZE = pack<decltype(zero)>::size;
        return by_index(rows * n, [&](auto index) {
            if (n % SIZE == 0) return f(zero, std::integral_constant<int, SIZE>(), index);
            return f(zero, std::integral_constant<int, 1>(), index);
        });
    });
}

}

dt_status dt_cuda_swiglu(const dt_queue *q, dt_dtype t, int64_t rows, int64_t n, const void *x, void *y)
{
    return by_shape(t, rows, n, [&](auto zero, auto size, auto index) {
        typedef decltype(zero) T;
        typedef decltype(index) INDEX;
        constexpr int N = size();
        const int64_t count = rows * n / N;
        forward<T, N, INDEX><<<(unsigned)ceil_div<int64_t>(count, THREADS), THREADS, 0, stream_of(q)>>>(
            (INDEX)count, n, divider<INDEX>(n / N), (const T *)x, (T *)y);
        return launched();
    });
}

dt_status dt_cuda_swiglu_grad(const dt_queue *q, dt_dtype t, int64_t rows, int64_t n, const void *x, const void *dy,
                              void *dx)
{
    return by_shape(t, rows, n, [&](auto zero, auto size, auto index) {
        typedef decltype(zero) T;
        typedef decltype(index) INDEX;
        constexpr int N = size();
        const int64_t count = rows * n / N;
        backward<T, N, INDEX><<<(unsigned)ceil_div<int64_t>(count, THREADS), THREADS, 0, stream_of(q)>>>(
            (INDEX)count, n, divider<INDEX>(n / N), (const T *)x, (const T *)dy, (T *)dx);
        return launched();
    });
}
