/* The point-wise norms: u = alpha x + shift, y = gamma f(u) + beta, optionally of a sum (x + residual, normalised as it
 * is stored).
 *   with s = dy gamma f'(u): dx = alpha s (+ dsum), dalpha = sum of x s, dshift = sum of s,
 *   dgamma = sum over rows of dy f(u), dbeta = of dy
 * Bytes: forward x, y (and residual, sum), backward x, dy, dx (and dsum), each once; the partial sums of the backward
 * pass are 8 bytes per channel and slice (see columns.cuh), a few percent of that at worst in large arrays. The trunk's
 * x, sum, dsum and dx may be float32 beside bfloat16; dx is then also written rounded where a branch wants it.
 *
 * A thread owns a run of columns, whose gamma, beta and partial sums stay in registers; it loads a group of rows at
 * once. The sums of alpha and shift are kept per thread, then added per block; add_partials adds the slices.
 *
 * Float32 takes the accurate functions of CUDA's library. In bfloat16, whose rounding is 2^-9, the forward pass has the
 * hardware's tanh, with a relative error of 2^-11, because it is one instruction. The backward pass does not: with it
 * 1 - f² would be wrong in the first digit where f nears 1. There tanh is 1 - 2 / (exp(2u) + 1), within 3e-7.
 *
 * Reached on an H200 in bfloat16 (`bench kernels`): of the bandwidth of a copy of as many bytes DyT has 96 to 98 %
 * forward and 88 to 98 % backward. */
#include "kernels/cuda/columns.cuh"

using namespace dt;

namespace {

/* --- the functions of all kinds, three times --- */

__device__ __forceinline__ float hardware_tanh(float x)
{
    float y;
    asm("tanh.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float hardware_sqrt(float x)
{
    float y;
    asm("sqrt.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float fast_exp(float x) { return fast_exp2(x * 1.44269504f); }

/* The limits come out right: exp(2u) of infinity gives 1, of 0 gives -1; a NaN stays one. */
__device__ __forceinline__ float tanh_by_exp(float x)
{
    return fmaf(-2.0f, fast_reciprocal(1.0f + fast_exp2(x * 2.88539008f)), 1.0f);
}

#define DT_REAL float
#define DT_FN(name) name
#define DT_POINT_FN static __device__ __forceinline__

struct accurate {
#define DT_TANH tanhf
#define DT_EXP expf
#define DT_ERF erff
#define DT_SQRT sqrtf
#include "kernels/pointwise/pointwise.h"
#undef DT_TANH
#undef DT_EXP
#undef DT_SQRT
};

struct fast_forward {
#define DT_TANH hardware_tanh
#define DT_EXP fast_exp
#define DT_SQRT hardware_sqrt
#include "kernels/pointwise/pointwise.h"
#undef DT_TANH
};

struct fast_backward {
#define DT_TANH tanh_by_exp
#include "kernels/pointwise/pointwise.h"
#undef DT_TANH
#undef DT_EXP
#undef DT_ERF
#undef DT_SQRT
};

#undef DT_REAL
#undef DT_FN
#undef DT_POINT_FN

template <typename T> struct forward_of { typedef fast_forward functions; };
template <typename T> struct backward_of { typedef fast_backward functions; };
template <> struct forward_of<float> { typedef accurate functions; };
template <> struct backward_of<float> { typedef accurate functions; };

/* f and f' of one kind out of one of those. */
template <typename FUNCTIONS, dt_pointwise KIND> struct point;
#define X(kind, has_shift, flops)                                                                                     \
    template <typename FUNCTIONS> struct point<FUNCTIONS, DT_POINTWISE_##kind> {                                      \
        static __device__ __forceinline__ float value(float u) { return FUNCTIONS::kind##_value(u); }                 \
        static __device__ __forceinline__ float slope(float u, float f) { return FUNCTIONS::kind##_slope(u, f); }     \
    };
DT_POINTWISE_KINDS(X)
#undef X

/* Calls f(integral constant of the kind). */
template <typename F> dt_status by_kind(dt_pointwise kind, F f)
{
    switch (kind) {
#define X(name, has_shift, flops) \
    case DT_POINTWISE_##name: return f(std::integral_constant<dt_pointwise, DT_POINTWISE_##name>());
        DT_POINTWISE_KINDS(X)
#undef X
    default: return dt_fail(DT_ERR_USAGE, "CUDA has no point-wise function %d", (int)kind);
    }
}

/* --- forward --- */

enum { FORWARD_BLOCKS = 132 * 128 }; /* many more than run at once, so that no multiprocessor waits for the last */

/* S is the type of the trunk, here and below: x and sum. Threads walk in its packs. */
template <typename T, typename S> struct point_job {
    column_tiling t;
    const S *x;
    const T *residual;
    S *sum;
    T *y;
    const float *alpha, *shift, *gamma, *beta;
};

template <typename T, typename S, int V, dt_pointwise KIND>
__global__ void __launch_bounds__(COLUMN_THREADS) point_norm(const point_job<T, S> p)
{
    typedef point<typename forward_of<T>::functions, KIND> function;
    const column_place place = place_in<V>(p.t);
    if (!place.inside) return;
    float gamma[V], beta[V];
    load_factors(gamma, p.gamma, place.column, 1);
    load_factors(beta, p.beta, place.column, 0);
    const float alpha = p.alpha ? *p.alpha : 1, shift = p.shift ? *p.shift : 0;
    const int64_t step = p.t.lanes * p.t.channels;
    for (int64_t group = place.slice; group < p.t.groups; group += p.t.slices) {
        const int64_t row = first_row(p.t, place, group), at = row * p.t.channels + place.column;
        const int left = rows_left(p.t, row);
        run<S, V> x[GROUP_ROWS];
#pragma unroll
        for (int u = 0; u < GROUP_ROWS; u++)
            if (u * p.t.lanes < left) x[u] = load_run<V>(p.x + at + u * step);
        if (p.residual) {
            run<T, V> other[GROUP_ROWS];
#pragma unroll
            for (int u = 0; u < GROUP_ROWS; u++)
                if (u * p.t.lanes < left) other[u] = load_run<V>(p.residual + at + u * step);
#pragma unroll
            for (int u = 0; u < GROUP_ROWS; u++)
                if (u * p.t.lanes < left) {
                    x[u] = add_runs(x[u], other[u]);
                    store_run(p.sum + at + u * step, x[u]);
                }
        }
#pragma unroll
        for (int u = 0; u < GROUP_ROWS; u++)
            if (u * p.t.lanes < left) {
                float y[V];
                widen_run(x[u], y);
#pragma unroll
                for (int i = 0; i < V; i++)
                    y[i] = fmaf(gamma[i], function::value(fmaf(alpha, y[i], shift)), beta[i]);
                store_run(p.y + at + u * step, narrow_run<T>(y));
            }
    }
}

template <typename T, typename S> dt_status run_point_norm(const dt_queue *q, const dt_point_norm_args *p)
{
    const bool packs = in_packs<S>(p->channels);
    const point_job<T, S> job = {
        tile_columns(p->rows, p->channels, packs ? pack<S>::size : 1, FORWARD_BLOCKS),
        static_cast<const S *>(p->x), static_cast<const T *>(p->residual), static_cast<S *>(p->sum),
        static_cast<T *>(p->y), static_cast<const float *>(p->alpha), static_cast<const float *>(p->shift),
        static_cast<const float *>(p->gamma), static_cast<const float *>(p->beta)};
    const unsigned blocks = (unsigned)(job.t.tiles * job.t.slices), threads = (unsigned)job.t.threads;
    return by_kind(p->kind, [&](auto kind) {
        if (packs)
            point_norm<T, S, pack<S>::size, decltype(kind)::value><<<blocks, threads, 0, stream_of(q)>>>(job);
        else
            point_norm<T, S, 1, decltype(kind)::value><<<blocks, threads, 0, stream_of(q)>>>(job);
        return launched();
    });
}

/* --- backward --- */

enum { RESIDENT = 2, BACKWARD_BLOCKS = 132 * RESIDENT }; /* one wave on an H200, whose slices are equal */

template <typename T, typename S> struct point_grad_job { /* the trunk: x, dsum and dx */
    column_tiling t;
    const S *x;
    const T *dy;
    const S *dsum;
    S *dx;
    const float *alpha, *shift, *gamma;
    float *dalpha, *dshift, *dgamma, *dbeta; /* partial sums, of a block and of a slice; NULL: not wanted */
    T *dresidual; /* dx rounded, where S is wider than T; NULL: not wanted */
};

/* What a thread keeps over all its rows. */
template <int V> struct point_sums {
    float alpha, shift, gamma[V], beta[V];
};

/* s of one run of a row, and what it adds to the sums. */
template <typename FUNCTION, typename T, typename S, int V>
__device__ __forceinline__ void point_slopes(const run<S, V> &x, const run<T, V> &dy, float alpha, float shift,
                                             const float (&gamma)[V], point_sums<V> &sums, float (&s)[V])
{
    float wide_x[V], wide_dy[V], by_alpha = 0, by_shift = 0;
    widen_run(x, wide_x), widen_run(dy, wide_dy);
#pragma unroll
    for (int i = 0; i < V; i++) {
        const float u = fmaf(alpha, wide_x[i], shift), f = FUNCTION::value(u);
        s[i] = FUNCTION::slope(u, f) * wide_dy[i] * gamma[i];
        sums.gamma[i] = fmaf(wide_dy[i], f, sums.gamma[i]);
        sums.beta[i] += wide_dy[i];
        by_alpha = fmaf(wide_x[i], s[i], by_alpha);
        by_shift += s[i];
    }
    sums.alpha += by_alpha;
    sums.shift += by_shift;
}

/* The rows of one group. dx may be dy (of its type) or dsum: each element is read before it is written, by the same
 * thread. */
template <typename FUNCTION, bool DSUM, typename T, typename S, int V>
__device__ __forceinline__ void point_group(const point_grad_job<T, S> &p, int64_t row, int64_t column, float alpha,
                                            float shift, const float (&gamma)[V], point_sums<V> &sums)
{
    const int64_t at = row * p.t.channels + column, step = p.t.lanes * p.t.channels;
    const int left = rows_left(p.t, row);
    run<S, V> x[GROUP_ROWS], dsum[GROUP_ROWS];
    run<T, V> dy[GROUP_ROWS];
#pragma unroll
    for (int u = 0; u < GROUP_ROWS; u++)
        if (u * p.t.lanes < left) {
            x[u] = load_run<V>(p.x + at + u * step);
            dy[u] = load_run<V>(p.dy + at + u * step);
            if (DSUM) dsum[u] = load_run<V>(p.dsum + at + u * step);
        }
#pragma unroll
    for (int u = 0; u < GROUP_ROWS; u++)
        if (u * p.t.lanes < left) {
            float s[V], more[V] = {};
            point_slopes<FUNCTION>(x[u], dy[u], alpha, shift, gamma, sums, s);
            if (DSUM) widen_run(dsum[u], more);
#pragma unroll
            for (int i = 0; i < V; i++) s[i] = DSUM ? fmaf(alpha, s[i], more[i]) : alpha * s[i];
            store_run(p.dx + at + u * step, narrow_run<S>(s));
            if constexpr (!std::is_same<T, S>::value)
                if (p.dresidual) store_run(p.dresidual + at + u * step, narrow_run<T>(s));
        }
}

/* The sum over a block's threads, whole warps, in partial[blockIdx.x]. */
__device__ __forceinline__ void store_block_sum(float x, float *partial, float *room)
{
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = x;
    __syncthreads();
    if (threadIdx.x == 0) {
        for (unsigned warp = 1; warp < blockDim.x / 32; warp++) x += room[warp];
        partial[blockIdx.x] = x;
    }
    __syncthreads();
}

template <typename T, typename S, int V, dt_pointwise KIND, bool DSUM>
__global__ void __launch_bounds__(COLUMN_THREADS, RESIDENT) point_norm_grad(const point_grad_job<T, S> p)
{
    typedef point<typename backward_of<T>::functions, KIND> function;
    __shared__ float room[COLUMN_THREADS * V];
    const column_place place = place_in<V>(p.t);
    point_sums<V> sums = {};
    if (place.inside) {
        float gamma[V];
        load_factors(gamma, p.gamma, place.column, 1);
        const float alpha = p.alpha ? *p.alpha : 1, shift = p.shift ? *p.shift : 0;
        for (int64_t group = place.slice; group < p.t.groups; group += p.t.slices)
            point_group<function, DSUM>(p, first_row(p.t, place, group), place.column, alpha, shift, gamma, sums);
    }
    if (p.dgamma) store_partial(sums.gamma, p.t, place, p.dgamma, room);
    if (p.dbeta) store_partial(sums.beta, p.t, place, p.dbeta, room);
    if (p.dalpha) store_block_sum(sums.alpha, p.dalpha, room);
    if (p.dshift) store_block_sum(sums.shift, p.dshift, room);
}

template <typename S> column_tiling grad_tiling(int64_t rows, int64_t channels)
{
    return tile_columns(rows, channels, in_packs<S>(channels) ? pack<S>::size : 1, BACKWARD_BLOCKS);
}

/* The partial sums in scratch: gamma and beta by slices, then alpha and shift by blocks. */
template <typename T, typename S> point_grad_job<T, S> grad_job(const dt_point_norm_grad_args *p)
{
    const column_tiling t = grad_tiling<S>(p->rows, p->channels);
    float *gamma = static_cast<float *>(p->scratch), *beta = gamma + t.slices * t.channels;
    float *alpha = beta + t.slices * t.channels, *shift = alpha + t.tiles * t.slices;
    return {t,
            static_cast<const S *>(p->x),
            static_cast<const T *>(p->dy),
            static_cast<const S *>(p->dsum),
            static_cast<S *>(p->dx),
            static_cast<const float *>(p->alpha),
            static_cast<const float *>(p->shift),
            static_cast<const float *>(p->gamma),
            p->dalpha ? alpha : nullptr,
            p->dshift ? shift : nullptr,
            p->dgamma ? gamma : nullptr,
            p->dbeta ? beta : nullptr,
            static_cast<T *>(p->dresidual)};
}

template <dt_pointwise KIND, bool DSUM, typename T, typename S>
dt_status launch_grad(const dt_queue *q, const point_grad_job<T, S> &job)
{
    const unsigned blocks = (unsigned)(job.t.tiles * job.t.slices), threads = (unsigned)job.t.threads;
    if (in_packs<S>(job.t.channels))
        point_norm_grad<T, S, pack<S>::size, KIND, DSUM><<<blocks, threads, 0, stream_of(q)>>>(job);
    else
        point_norm_grad<T, S, 1, KIND, DSUM><<<blocks, threads, 0, stream_of(q)>>>(job);
    return launched();
}

template <typename T, typename S> dt_status run_point_norm_grad(const dt_queue *q, const dt_point_norm_grad_args *p)
{
    const point_grad_job<T, S> job = grad_job<T, S>(p);
    if (p->rows > 0)
        DT_TRY(by_kind(p->kind, [&](auto kind) {
            return job.dsum ? launch_grad<decltype(kind)::value, true>(q, job)
                            : launch_grad<decltype(kind)::value, false>(q, job);
        }));
    column_jobs jobs = {};
    add_column_job(&jobs, job.dgamma, p->dgamma, job.t.slices, p->channels, p->accumulate_gamma);
    add_column_job(&jobs, job.dbeta, p->dbeta, job.t.slices, p->channels, p->accumulate_beta);
    add_column_job(&jobs, job.dalpha, p->dalpha, job.t.tiles * job.t.slices, 1, p->accumulate_alpha);
    add_column_job(&jobs, job.dshift, p->dshift, job.t.tiles * job.t.slices, 1, p->accumulate_shift);
    return run_column_jobs(q, jobs);
}

}

dt_status dt_cuda_point_norm(const dt_queue *q, dt_dtype t, const dt_point_norm_args *p)
{
    if (p->rows == 0 || p->channels == 0) return DT_OK;
    return by_trunk(t, p->wide_trunk, [&](auto zero, auto trunk) {
        return run_point_norm<decltype(zero), decltype(trunk)>(q, p);
    });
}

dt_status dt_cuda_point_norm_grad(const dt_queue *q, dt_dtype t, const dt_point_norm_grad_args *p)
{
    if (p->channels == 0) return DT_OK;
    return by_trunk(t, p->wide_trunk, [&](auto zero, auto trunk) {
        return run_point_norm_grad<decltype(zero), decltype(trunk)>(q, p);
    });
}

int64_t dt_cuda_point_norm_grad_scratch(const dt_device_info *, dt_dtype type, int64_t rows, int64_t channels)
{
    if (channels == 0) return 0;
    const column_tiling t = type == DT_BF16 ? grad_tiling<bf16>(rows, channels) : grad_tiling<float>(rows, channels);
    return (2 * t.slices * t.channels + 2 * t.tiles * t.slices) * (int64_t)sizeof(float);
}
