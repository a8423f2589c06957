/* LayerNorm (Ba et al., 2016) and RMSNorm (Zhang and Sennrich, 2019) over the last dimension, optionally of a sum (x +
 * residual, normalised as it is stored):
 *   y = (x - mean) rstd gamma + beta, rstd = 1 / sqrt(mean((x - mean)²) + epsilon); RMSNorm has mean 0
 * Bytes: x, y (and residual, sum), each once; statistics are a few percent of that at worst in large arrays. x and sum,
 * which are the trunk, may be float32 beside bfloat16.
 *
 * A team of threads has a row: 8 or 32 threads of a warp, or a block, each with K packs of 16 bytes. It holds the row
 * in registers, so that the variance is that of two passes. Rows that are too long for that, or do not divide into
 * packs, take loops over the row, read from memory once and from cache thereafter.
 *
 * Reached on an H200 in bfloat16 (`bench kernels`): 91 to 97 % of the bandwidth of a copy of as many bytes. */
#include "kernels/cuda/rows.cuh"

using namespace dt;

namespace {

/* S is the type of the trunk, here and below: x and sum. Threads walk in its packs. */
template <typename T, typename S> struct norm_job {
    int64_t rows, channels;
    float epsilon;
    bool center;
    const S *x;
    const T *residual;
    S *sum;
    T *y;
    const float *gamma, *beta;
    float *mean, *rstd;
};

/* Threads of a block whose teams are of this size. */
template <int TEAM> struct block_of { enum { threads = TEAM > 32 ? TEAM : SHARED_BLOCK }; };

template <int TEAM> __device__ __forceinline__ float row_sum(float x, float *room)
{
    if constexpr (TEAM > 32)
        return block_sum<TEAM>(x, room);
    else
        return team_sum<TEAM>(x);
}

/* What one thread of a team holds of a row: the packs lane, lane + TEAM ... */
template <typename T, typename S, int TEAM, int K> struct held_row {
    static constexpr int V = pack<S>::size;
    int lane, packs; /* packs: of the whole row; 0: there is no row, but the warp's sums to take part in */
    int64_t start;
    run<S, V> x[K];

    __device__ __forceinline__ void load(const S *from)
    {
#pragma unroll
        for (int k = 0; k < K; k++)
            if (lane + k * TEAM < packs) x[k] = load_run<V>(from + start + (lane + k * TEAM) * V);
    }

    __device__ __forceinline__ void add_residual(const norm_job<T, S> &p)
    {
        run<T, V> other[K];
#pragma unroll
        for (int k = 0; k < K; k++)
            if (lane + k * TEAM < packs) other[k] = load_run<V>(p.residual + start + (lane + k * TEAM) * V);
#pragma unroll
        for (int k = 0; k < K; k++)
            if (lane + k * TEAM < packs) {
                x[k] = add_runs(x[k], other[k]);
                store_run(p.sum + start + (lane + k * TEAM) * V, x[k]);
            }
    }

    /* This thread's share of the sum of f(total, x). */
    template <typename F> __device__ __forceinline__ float sum(F f) const
    {
        float total = 0;
#pragma unroll
        for (int k = 0; k < K; k++)
            if (lane + k * TEAM < packs) {
                float wide[V];
                widen_run(x[k], wide);
#pragma unroll
                for (int i = 0; i < V; i++) total = f(total, wide[i]);
            }
        return total;
    }

    __device__ __forceinline__ void store_result(const norm_job<T, S> &p, float mean, float rstd) const
    {
#pragma unroll
        for (int k = 0; k < K; k++)
            if (lane + k * TEAM < packs) {
                const int column = (lane + k * TEAM) * V;
                float wide[V], gamma[V], beta[V];
                widen_run(x[k], wide);
                load_factors(gamma, p.gamma, column, 1);
                load_factors(beta, p.beta, column, 0);
#pragma unroll
                for (int i = 0; i < V; i++) wide[i] = fmaf((wide[i] - mean) * rstd, gamma[i], beta[i]);
                store_run(p.y + start + column, narrow_run<T>(wide));
            }
    }
};

template <typename T, typename S, int TEAM, int K>
__global__ void __launch_bounds__(block_of<TEAM>::threads) row_norm(const norm_job<T, S> p)
{
    constexpr int TEAMS = block_of<TEAM>::threads / TEAM;
    __shared__ float room[32];
    const int64_t row = (int64_t)blockIdx.x * TEAMS + (int)threadIdx.x / TEAM;
    held_row<T, S, TEAM, K> held;
    held.lane = (int)threadIdx.x % TEAM;
    held.packs = row < p.rows ? (int)(p.channels / held.V) : 0;
    held.start = row * p.channels;
    held.load(p.x);
    if (p.residual) held.add_residual(p);
    float mean = 0;
    if (p.center) {
        const float total = held.sum([](float total, float x) { return total + x; });
        mean = row_sum<TEAM>(total, room) / (float)p.channels;
    }
    const float spread = held.sum([=](float total, float x) { return fmaf(x - mean, x - mean, total); });
    const float rstd = 1 / sqrtf(row_sum<TEAM>(spread, room) / (float)p.channels + p.epsilon);
    held.store_result(p, mean, rstd);
    if (held.lane == 0 && held.packs) {
        if (p.center) p.mean[row] = mean;
        p.rstd[row] = rstd;
    }
}

/* A block has a row and reads it three times. */
template <typename T, typename S, int V>
__global__ void __launch_bounds__(LOOP_THREADS) row_norm_loop(const norm_job<T, S> p)
{
    constexpr int64_t STEP = LOOP_THREADS * V;
    __shared__ float room[LOOP_THREADS / 32];
    const int64_t first = (int64_t)threadIdx.x * V;
    for (int64_t row = blockIdx.x; row < p.rows; row += gridDim.x) {
        const S *x = p.x + row * p.channels;
        T *y = p.y + row * p.channels;
        float mean = 0, spread = 0, wide[V];
        if (p.residual) { /* each thread reads again what it writes here itself */
            for (int64_t j = first; j < p.channels; j += STEP)
                store_run(p.sum + row * p.channels + j,
                          add_runs(load_run<V>(x + j), load_run<V>(p.residual + row * p.channels + j)));
            x = p.sum + row * p.channels;
        }
        if (p.center) {
            for (int64_t j = first; j < p.channels; j += STEP) {
                widen_run(load_run<V>(x + j), wide);
                for (int i = 0; i < V; i++) mean += wide[i];
            }
            mean = block_sum<LOOP_THREADS>(mean, room) / (float)p.channels;
        }
        for (int64_t j = first; j < p.channels; j += STEP) {
            widen_run(load_run<V>(x + j), wide);
            for (int i = 0; i < V; i++) spread = fmaf(wide[i] - mean, wide[i] - mean, spread);
        }
        const float rstd = 1 / sqrtf(block_sum<LOOP_THREADS>(spread, room) / (float)p.channels + p.epsilon);
        for (int64_t j = first; j < p.channels; j += STEP) {
            float gamma[V], beta[V];
            widen_run(load_run<V>(x + j), wide);
            load_factors(gamma, p.gamma, j, 1);
            load_factors(beta, p.beta, j, 0);
            for (int i = 0; i < V; i++) wide[i] = fmaf((wide[i] - mean) * rstd, gamma[i], beta[i]);
            store_run(y + j, narrow_run<T>(wide));
        }
        if (threadIdx.x == 0) {
            if (p.center) p.mean[row] = mean;
            p.rstd[row] = rstd;
        }
    }
}

template <int TEAM, int K, typename T, typename S> dt_status launch_norm(const dt_queue *q, const norm_job<T, S> &p)
{
    constexpr int threads = block_of<TEAM>::threads;
    const int64_t blocks = ceil_div<int64_t>(p.rows, threads / TEAM); /* their limit, 2^31, is beyond any memory */
    row_norm<T, S, TEAM, K><<<(unsigned)blocks, threads, 0, stream_of(q)>>>(p);
    return launched();
}

template <typename T, typename S> dt_status launch_norm_loop(const dt_queue *q, const norm_job<T, S> &p)
{
    const unsigned blocks = (unsigned)std::min<int64_t>(p.rows, MOST_ROW_BLOCKS);
    if (in_packs<S>(p.channels))
        row_norm_loop<T, S, pack<S>::size><<<blocks, LOOP_THREADS, 0, stream_of(q)>>>(p);
    else
        row_norm_loop<T, S, 1><<<blocks, LOOP_THREADS, 0, stream_of(q)>>>(p);
    return launched();
}

template <typename T, typename S> dt_status run_row_norm(const dt_queue *q, const dt_row_norm_args *a)
{
    const norm_job<T, S> p = {a->rows,
                              a->channels,
                              (float)a->epsilon,
                              a->center,
                              static_cast<const S *>(a->x),
                              static_cast<const T *>(a->residual),
                              static_cast<S *>(a->sum),
                              static_cast<T *>(a->y),
                              static_cast<const float *>(a->gamma),
                              static_cast<const float *>(a->beta),
                              static_cast<float *>(a->mean),
                              static_cast<float *>(a->rstd)};
    const int64_t packs = p.channels / pack<S>::size;
    if (!in_packs<S>(p.channels)) return launch_norm_loop(q, p);
    if (packs <= 8) return launch_norm<8, 1>(q, p);
    if (packs <= 16) return launch_norm<8, 2>(q, p);
    if (packs <= 32) return launch_norm<32, 1>(q, p);
    if (packs <= 64) return launch_norm<32, 2>(q, p);
    if (packs <= 96) return launch_norm<32, 3>(q, p);
    if (packs <= 128) return launch_norm<32, 4>(q, p);
    if (packs <= 256) return launch_norm<128, 2>(q, p);
    if (packs <= 384) return launch_norm<128, 3>(q, p);
    if (packs <= 512) return launch_norm<128, 4>(q, p);
    if (packs <= 1024) return launch_norm<512, 2>(q, p);
    if (packs <= 2048) return launch_norm<512, 4>(q, p);
    if (packs <= 4096) return launch_norm<1024, 4>(q, p);
    return launch_norm_loop(q, p);
}

}

dt_status dt_cuda_row_norm(const dt_queue *q, dt_dtype t, const dt_row_norm_args *p)
{
    if (p->rows == 0 || p->channels == 0) return DT_OK;
    return by_trunk(t, p->wide_trunk, [&](auto zero, auto trunk) {
        return run_row_norm<decltype(zero), decltype(trunk)>(q, p);
    });
}
