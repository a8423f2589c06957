/* Element by element: y[i] = f(x[i], ...) for fill, add, scale, cast, GELU and its gradient dx = dy gelu'(x).
 *
 * Bytes: every input is read once and every output written once; for n elements of bfloat16 that is 2 n to fill, 4 n
 * for scale and GELU, 6 n to add and for GELU's gradient. The bound is memory. The arithmetic of GELU comes near it: an
 * H200 issues some 28 instructions per bfloat16 element in the time a copy takes, which is why gelu.cuh has short forms
 * for bfloat16.
 *
 * One kernel for all: a thread takes N consecutive elements, as many as fill 16 bytes of the widest array, so that all
 * accesses of a warp are contiguous; one group per thread, as in copy.cu. The last thread takes what is left. Outputs
 * may be inputs, since a thread loads what it needs before it stores.
 *
 * Reached on an H200 in bfloat16 (`bench kernels`): adding and both passes of GELU 99 to 102 % of the bandwidth of a
 * copy of as many bytes. */
#include <algorithm>

#include "kernels/cuda/gelu.cuh"
#include "kernels/cuda/group.cuh"

namespace {

using namespace dt;

enum { THREADS = 256 };

template <int N, typename F, typename Y, typename... X>
__device__ __forceinline__ void apply(const F &f, Y *y, const group<X, N> &...x)
{
    group<Y, N> out;
#pragma unroll
    for (int j = 0; j < N; j++) out.at[j] = f(x.at[j]...);
    store_group<N>(y, out);
}

template <int N, typename F, typename Y, typename... X>
__global__ void __launch_bounds__(THREADS) map_elements(F f, int64_t n, Y *y, const X *...x)
{
    const int64_t i = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * N;
    if (i + N <= n) {
        apply<N>(f, y + i, load_group<N>(x + i)...);
    } else {
#pragma unroll 1
        for (int64_t j = i; j < n; j++) y[j] = f(x[j]...);
    }
}

/* y[i] = f(x[i]...) for i < n */
template <typename F, typename Y, typename... X>
dt_status map(const dt_queue *q, const F &f, int64_t n, Y *y, const X *...x)
{
    constexpr int N = 16 / (int)std::max({sizeof(Y), sizeof(X)...});
    if (n <= 0) return DT_OK;
    const int64_t blocks = ceil_div<int64_t>(n, N * THREADS); /* their limit, 2^31, is 8 TiB */
    map_elements<N><<<(unsigned)blocks, THREADS, 0, stream_of(q)>>>(f, n, y, x...);
    return launched();
}

template <typename T> struct filled {
    wide<T> value;
    __device__ T operator()() const { return narrow<T>(value); }
};

template <typename S, typename T> struct added {
    __device__ S operator()(S a, T b) const { return narrow<S>(widen(a) + widen(b)); }
};

template <typename T> struct scaled {
    wide<T> by;
    __device__ T operator()(T x) const { return narrow<T>(by * widen(x)); }
};

template <dt_activation ACT, typename T> struct activated {
    __device__ T operator()(T x) const { return narrow<T>(activation<ACT, T>::value(widen(x))); }
};

template <dt_activation ACT, typename T> struct activated_grad {
    __device__ T operator()(T x, T dy) const { return narrow<T>(widen(dy) * activation<ACT, T>::slope(widen(x))); }
};

/* C's conversions; to bfloat16 rounded once. */
template <typename Y, typename X> struct converted {
    __device__ Y operator()(X x) const { return (Y)x; }
};

template <typename Y> struct converted<Y, bf16> {
    __device__ Y operator()(bf16 x) const { return (Y)__bfloat162float(x); }
};

template <> struct converted<bf16, bf16> {
    __device__ bf16 operator()(bf16 x) const { return x; }
};

template <> struct converted<bf16, float> {
    __device__ bf16 operator()(float x) const { return __float2bfloat16_rn(x); }
};

template <> struct converted<bf16, double> {
    __device__ bf16 operator()(double x) const { return __double2bfloat16(x); }
};

template <> struct converted<bf16, int32_t> {
    __device__ bf16 operator()(int32_t x) const { return __int2bfloat16_rn(x); }
};

template <> struct converted<bf16, uint8_t> {
    __device__ bf16 operator()(uint8_t x) const { return __float2bfloat16_rn((float)x); }
};

template <typename Y, typename X> dt_status convert(const dt_queue *q, int64_t n, const void *x, void *y)
{
    return map(q, converted<Y, X>(), n, (Y *)y, (const X *)x);
}

template <typename X> dt_status convert_from(const dt_queue *q, dt_dtype to, int64_t n, const void *x, void *y)
{
    switch (to) {
    case DT_F32: return convert<float, X>(q, n, x, y);
    case DT_F64: return convert<double, X>(q, n, x, y);
    case DT_BF16: return convert<bf16, X>(q, n, x, y);
    case DT_I32: return convert<int32_t, X>(q, n, x, y);
    case DT_U8: return convert<uint8_t, X>(q, n, x, y);
    default: return dt_fail(DT_ERR_USAGE, "CUDA does not cast to %s", dt_dtype_name(to));
    }
}

}

dt_status dt_cuda_fill(const dt_queue *q, dt_dtype t, int64_t n, double value, void *y)
{
    return by_type_or_double(t, [=](auto zero) {
        typedef decltype(zero) T;
        return map(q, filled<T>{(wide<T>)value}, n, (T *)y);
    });
}

dt_status dt_cuda_add(const dt_queue *q, dt_dtype t, bool wide_trunk, int64_t n, const void *a, const void *b, void *y)
{
    const auto sum = [=](auto zero, auto trunk) {
        typedef decltype(zero) T;
        typedef decltype(trunk) S;
        return map(q, added<S, T>(), n, (S *)y, (const S *)a, (const T *)b);
    };
    return t == DT_F64 ? sum(double(), double()) : by_trunk(t, wide_trunk, sum);
}

dt_status dt_cuda_scale(const dt_queue *q, dt_dtype t, int64_t n, double by, const void *x, void *y)
{
    return by_type_or_double(t, [=](auto zero) {
        typedef decltype(zero) T;
        return map(q, scaled<T>{(wide<T>)by}, n, (T *)y, (const T *)x);
    });
}

dt_status dt_cuda_cast(const dt_queue *q, dt_dtype from, dt_dtype to, int64_t n, const void *x, void *y)
{
    switch (from) {
    case DT_F32: return convert_from<float>(q, to, n, x, y);
    case DT_F64: return convert_from<double>(q, to, n, x, y);
    case DT_BF16: return convert_from<bf16>(q, to, n, x, y);
    case DT_I32: return convert_from<int32_t>(q, to, n, x, y);
    case DT_U8: return convert_from<uint8_t>(q, to, n, x, y);
    default: return dt_fail(DT_ERR_USAGE, "CUDA does not cast %s to %s", dt_dtype_name(from), dt_dtype_name(to));
    }
}

dt_status dt_cuda_gelu(const dt_queue *q, dt_dtype t, dt_activation act, int64_t n, const void *x, void *y)
{
    return by_type(t, [=](auto zero) {
        typedef decltype(zero) T;
        if (act == DT_ACT_GELU) return map(q, activated<DT_ACT_GELU, T>(), n, (T *)y, (const T *)x);
        return map(q, activated<DT_ACT_GELU_TANH, T>(), n, (T *)y, (const T *)x);
    });
}

dt_status dt_cuda_gelu_grad(const dt_queue *q, dt_dtype t, dt_activation act, int64_t n, const void *x, const void *dy,
                            void *dx)
{
    return by_type(t, [=](auto zero) {
        typedef decltype(zero) T;
        const T *at = (const T *)x, *by = (const T *)dy;
        if (act == DT_ACT_GELU) return map(q, activated_grad<DT_ACT_GELU, T>(), n, (T *)dx, at, by);
        return map(q, activated_grad<DT_ACT_GELU_TANH, T>(), n, (T *)dx, at, by);
    });
}
