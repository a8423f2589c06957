/* Our own kernels for matrix products c[m,n] = epilogue(op(a) op(b)): the part of the epilogue that the library does
 * not take, as one element-wise pass over the product, and a plain product for what the library cannot do.
 *
 * Bytes of the pass: the product is read where it lies (pre or c) and c is written, 2 s per element of size s, s more
 * for each of act_grad_of and residual, and s for pre where it gets its bias here. */
#ifndef DT_KERNELS_CUDA_MATMUL_OWN_CUH
#define DT_KERNELS_CUDA_MATMUL_OWN_CUH

#include <algorithm>
#include <type_traits>

#include "kernels/cuda/gelu.cuh"
#include "kernels/cuda/wide.cuh"

namespace dt {

/* v (+ bias); pre = v; v = act(v), or v act'(act_grad_of) with SLOPE; (+ add); c = v. What is NULL is left out. `add`
 * may be c. */
template <typename T, typename C, dt_activation ACT, bool SLOPE> struct epilogue {
    int64_t n;
    const float *bias;
    T *pre;
    const T *act_grad_of;
    const C *add;
    C *c;

    /* Elements i .. i + N - 1; where all rows have a multiple of N these are of one row. */
    template <int N> __device__ __forceinline__ void add_bias(int64_t i, float (&v)[N]) const
    {
        int64_t column = (i | n) >> 32 ? i % n : (uint32_t)i % (uint32_t)n;
        if (n % N == 0) {
            float terms[N];
            load_wide(bias + column, terms);
            for (int e = 0; e < N; e++) v[e] += terms[e];
            return;
        }
        for (int e = 0; e < N; e++) {
            v[e] += bias[column];
            column = column + 1 == n ? 0 : column + 1;
        }
    }

    template <int N> __device__ __forceinline__ void finish(int64_t i, float (&v)[N]) const
    {
        float other[N];
        if (bias) add_bias(i, v);
        if (pre) {
            for (int e = 0; e < N; e++) v[e] = widen(narrow<T>(v[e]));
            store_wide(pre + i, v);
        }
        if (SLOPE) {
            load_wide(act_grad_of + i, other);
            for (int e = 0; e < N; e++) v[e] *= activation<ACT, T>::slope(other[e]);
        } else {
            for (int e = 0; e < N; e++) v[e] = activation<ACT, T>::value(v[e]);
        }
        if (add) {
            load_wide(add + i, other);
            for (int e = 0; e < N; e++) v[e] += other[e];
        }
        store_wide(c + i, v);
    }
};

/* The same with activation and slope known at run time, for a kernel that does not wait for them. */
template <typename T, typename C> struct any_epilogue {
    epilogue<T, C, DT_ACT_NONE, false> parts;
    dt_activation act;
    bool slope;

    template <dt_activation ACT, bool SLOPE> __device__ __forceinline__ void finish_as(int64_t i, float (&v)[1]) const
    {
        const epilogue<T, C, ACT, SLOPE> e = {parts.n, parts.bias, parts.pre, parts.act_grad_of, parts.add, parts.c};
        e.finish(i, v);
    }

    __device__ __forceinline__ void finish(int64_t i, float (&v)[1]) const
    {
        switch (act) {
        case DT_ACT_GELU: return slope ? finish_as<DT_ACT_GELU, true>(i, v) : finish_as<DT_ACT_GELU, false>(i, v);
        case DT_ACT_GELU_TANH:
            return slope ? finish_as<DT_ACT_GELU_TANH, true>(i, v) : finish_as<DT_ACT_GELU_TANH, false>(i, v);
        default: return parts.finish(i, v);
        }
    }
};

enum { FINISH_THREADS = 256, PRODUCT_THREADS = 256, PRODUCT_TILE = 64, PRODUCT_STEP = 16, PRODUCT_EACH = 4 };

/* The product lies in `kept`, or in c when that is NULL. N elements a thread, of at most 16 bytes; the last thread
 * takes what is left. */
template <int N, typename E, typename T>
__global__ void __launch_bounds__(FINISH_THREADS) finish_product(E epilogue, int64_t count, const T *kept)
{
    const int64_t i = ((int64_t)blockIdx.x * FINISH_THREADS + threadIdx.x) * N;
    if (i + N <= count) {
        float v[N];
        if (kept)
            load_wide(kept + i, v);
        else
            load_wide(epilogue.c + i, v);
        epilogue.finish(i, v);
        return;
    }
#pragma unroll 1
    for (int64_t j = i; j < count; j++) {
        float v[1] = {kept ? widen(kept[j]) : widen(epilogue.c[j])};
        epilogue.finish(j, v);
    }
}

/* The whole product: a block makes a tile of 64 x 64, a thread 4 x 4 of it, in float32 and in the order of k. */
template <typename T, typename C>
__global__ void __launch_bounds__(PRODUCT_THREADS, 3)
make_product(any_epilogue<T, C> epilogue, int64_t m, int64_t k, bool transpose_a, bool transpose_b, const T *a,
             const T *b)
{
    constexpr int TILE = PRODUCT_TILE, STEP = PRODUCT_STEP, EACH = PRODUCT_EACH, SIDE = TILE / EACH;
    __shared__ float a_tile[STEP][TILE + 1], b_tile[STEP][TILE + 1];
    const int64_t n = epilogue.parts.n, across = (n + TILE - 1) / TILE;
    const int64_t row = blockIdx.x / across * TILE, column = blockIdx.x % across * TILE;
    const int y = threadIdx.x / SIDE, x = threadIdx.x % SIDE;
    float sum[EACH][EACH] = {};
    for (int64_t p = 0; p < k; p += STEP) {
        for (int l = threadIdx.x; l < TILE * STEP; l += PRODUCT_THREADS) { /* neighbours load neighbours */
            const int i = transpose_a ? l % TILE : l / STEP, i_step = transpose_a ? l / TILE : l % STEP;
            const int j = transpose_b ? l / STEP : l % TILE, j_step = transpose_b ? l % STEP : l / TILE;
            const int64_t a_at = transpose_a ? (p + i_step) * m + row + i : (row + i) * k + p + i_step;
            const int64_t b_at = transpose_b ? (column + j) * k + p + j_step : (p + j_step) * n + column + j;
            a_tile[i_step][i] = row + i < m && p + i_step < k ? widen(a[a_at]) : 0.0f;
            b_tile[j_step][j] = column + j < n && p + j_step < k ? widen(b[b_at]) : 0.0f;
        }
        __syncthreads();
        for (int s = 0; s < STEP; s++)
            for (int i = 0; i < EACH; i++)
                for (int j = 0; j < EACH; j++) sum[i][j] += a_tile[s][y + i * SIDE] * b_tile[s][x + j * SIDE];
        __syncthreads();
    }
#pragma unroll
    for (int i = 0; i < EACH; i++)
#pragma unroll
        for (int j = 0; j < EACH; j++) {
            const int64_t at_row = row + y + i * SIDE, at_column = column + x + j * SIDE;
            float v[1] = {sum[i][j]};
            if (at_row < m && at_column < n) epilogue.finish(at_row * n + at_column, v);
        }
}

/* Calls f(T(), C()) for the element types of the operands and of c. */
template <typename F> static dt_status by_product_types(dt_dtype t, dt_dtype c_type, F f)
{
    if (t == DT_F32 && c_type == DT_F32) return f(float(), float());
    if (t == DT_BF16 && c_type == DT_BF16) return f(bf16(), bf16());
    if (t == DT_BF16 && c_type == DT_F32) return f(bf16(), float());
    return dt_fail(DT_ERR_USAGE, "CUDA does not multiply %s into %s", dt_dtype_name(t), dt_dtype_name(c_type));
}

/* Calls f with an empty epilogue of the types and of the activation or, with `slope`, its derivative. */
template <typename F> static dt_status by_epilogue(dt_dtype t, const dt_matmul_args *x, F f)
{
    return by_product_types(t, x->c_type, [&](auto t_zero, auto c_zero) {
        typedef decltype(t_zero) T;
        typedef decltype(c_zero) C;
        const bool slope = x->act_grad_of;
        switch (x->act) {
        case DT_ACT_GELU:
            return slope ? f(epilogue<T, C, DT_ACT_GELU, true>{}) : f(epilogue<T, C, DT_ACT_GELU, false>{});
        case DT_ACT_GELU_TANH:
            return slope ? f(epilogue<T, C, DT_ACT_GELU_TANH, true>{}) : f(epilogue<T, C, DT_ACT_GELU_TANH, false>{});
        default: return f(epilogue<T, C, DT_ACT_NONE, false>{});
        }
    });
}

template <typename T, typename C, dt_activation ACT, bool SLOPE>
static void fill_epilogue(epilogue<T, C, ACT, SLOPE> &e, const dt_matmul_args *x, bool whole, const void *add)
{
    e = {x->n,
         whole ? (const float *)x->bias : NULL,
         whole ? (T *)x->pre : NULL,
         (const T *)x->act_grad_of,
         (const C *)add,
         (C *)x->c};
}

/* Applies to the product in pre, or else in c, what the library left: the activation, and `add`, which may be NULL. */
static inline dt_status run_finish(const dt_queue *q, dt_dtype t, const dt_matmul_args *x, const void *add)
{
    return by_epilogue(t, x, [&](auto e) {
        typedef std::remove_pointer_t<decltype(e.pre)> T;
        constexpr int N = 16 / (int)std::max(sizeof(T), sizeof(*e.c));
        const int64_t count = x->m * x->n, blocks = ceil_div<int64_t>(count, N * FINISH_THREADS);
        fill_epilogue(e, x, false, add);
        finish_product<N><<<(unsigned)blocks, FINISH_THREADS, 0, stream_of(q)>>>(e, count, (const T *)x->pre);
        return launched();
    });
}

/* Product and epilogue in one kernel. */
static inline dt_status run_own(const dt_queue *q, dt_dtype t, const dt_matmul_args *x)
{
    return by_product_types(t, x->c_type, [&](auto t_zero, auto c_zero) {
        typedef decltype(t_zero) T;
        any_epilogue<T, decltype(c_zero)> e = {{}, x->act, x->act_grad_of != NULL};
        const int64_t blocks = ceil_div<int64_t>(x->m, PRODUCT_TILE) * ceil_div<int64_t>(x->n, PRODUCT_TILE);
        fill_epilogue(e.parts, x, true, x->accumulate ? x->c : x->residual);
        make_product<<<(unsigned)blocks, PRODUCT_THREADS, 0, stream_of(q)>>>(
            e, x->m, x->k, x->transpose_a, x->transpose_b, (const T *)x->a, (const T *)x->b);
        return launched();
    });
}

}

#endif
