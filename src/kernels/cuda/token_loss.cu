/* Cross-entropy with one target a row: loss = sum over rows of log(sum(exp(x))) - x[target], and at once its gradient
 * softmax(x) - target, which may overwrite the scores. Of a row of `width` scores the first `classes` count.
 *
 * Bytes: each score is read once from memory and written once. A warp takes a row of up to 256 scores, a block of 512
 * threads a longer one, and keeps it in shared memory for the second reading where two such blocks fit a multiprocessor
 * (one loads while the other writes); else that comes from the second-level cache. A thread keeps its sum relative to
 * the largest score that it has seen and rescales it when that grows (Milakov and Gimelshein, 2018). Losses and numbers
 * of targets are added in float64, one partial sum per piece of rows and the pieces in order.
 *
 * Reached on an H200 in bfloat16 (`bench kernels`): 71 to 76 % of the bandwidth of a copy of as many bytes. */
#include <cfloat>
#include <cuda_pipeline.h>
#include <type_traits>

#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/team.cuh"
#include "kernels/cuda/wide.cuh"

namespace {

using namespace dt;

enum { WARP = 32, MOST_WARP_WIDTH = 256, WARPS_OF_SMALL = 8, RESIDENT = 2 };
constexpr float LOG2_E = 1.4426950408889634f;

template <typename T> struct problem {
    pieces split; /* rows */
    int64_t width, classes;
    const T *logits;
    T *dlogits;
    const int32_t *targets;
    double *loss, *count; /* one for each piece */
};

/* A row's team: TEAM threads, a warp of the block or all of it. */
template <int TEAM> constexpr int block_threads = TEAM == WARP ? WARP * WARPS_OF_SMALL : TEAM;

template <int TEAM> __device__ __forceinline__ int lane_of_team(void) { return threadIdx.x % TEAM; }

/* sum(exp(score)) over a row as exp(top) 2^rest, every thread gets it: apart, as scores that are large lose in float32
 * what tells them apart once they are multiplied. */
struct row_sum {
    float top, rest;
};

template <typename T, int TEAM, int N>
__device__ __forceinline__ row_sum sum_exponentials(int64_t classes, const T *x, float *room)
{
    float top = -FLT_MAX, sum = 0;
#pragma unroll 2
    for (int64_t j = lane_of_team<TEAM>() * N; j < classes; j += TEAM * N) {
        float v[N], most = top;
        load_wide(x + j, v);
#pragma unroll
        for (int e = 0; e < N; e++) {
            if (j + e >= classes) v[e] = -INFINITY;
            most = v[e] > most ? v[e] : most;
        }
        sum *= fast_exp2((top - most) * LOG2_E);
        top = most;
#pragma unroll
        for (int e = 0; e < N; e++) sum += fast_exp2((v[e] - top) * LOG2_E);
    }
    const float all = team_max<TEAM>(top, room);
    return {all, log2f(team_sum<TEAM>(sum * fast_exp2((top - all) * LOG2_E), room))};
}

template <typename T, int TEAM, int N>
__device__ __forceinline__ void write_slopes(int64_t width, int64_t classes, const T *x, T *dx, row_sum total,
                                             int32_t target)
{
#pragma unroll 2
    for (int64_t j = lane_of_team<TEAM>() * N; j < width; j += TEAM * N) {
        float v[N];
        if (target >= 0) load_wide(x + j, v);
#pragma unroll
        for (int e = 0; e < N; e++) {
            const bool counts = target >= 0 && j + e < classes;
            const float hit = j + e == target ? 1.0f : 0.0f;
            v[e] = counts ? fast_exp2(fmaf(v[e] - total.top, LOG2_E, -total.rest)) - hit : 0;
        }
        store_wide(dx + j, v);
    }
}

/* A row into shared memory. A thread gets what it will read itself, so no barrier follows. */
template <typename T, int TEAM, int N> __device__ __forceinline__ void fetch(int64_t width, const T *x, T *to)
{
    for (int64_t j = lane_of_team<TEAM>() * N; j < width; j += TEAM * N)
        __pipeline_memcpy_async(to + j, x + j, N * sizeof(T));
    __pipeline_commit();
    __pipeline_wait_prior(0);
}

/* KEPT: the block's dynamic shared memory has room for a row. */
template <typename T, int TEAM, int N, bool KEPT>
__global__ void __launch_bounds__(block_threads<TEAM>, RESIDENT) lose(const problem<T> p)
{
    extern __shared__ uint4 shared[];
    __shared__ float room[block_threads<TEAM> / WARP];
    const int64_t piece = (int64_t)blockIdx.x * (block_threads<TEAM> / TEAM) + threadIdx.x / TEAM;
    if (piece >= p.split.count) return;
    const int64_t end = min((piece + 1) * p.split.size, p.split.items);
    double loss = 0, count = 0;
    for (int64_t row = piece * p.split.size; row < end; row++) {
        const T *from = p.logits + row * p.width, *x = KEPT ? reinterpret_cast<const T *>(shared) : from;
        const int32_t target = p.targets[row];
        row_sum total = {};
        if (target >= 0) {
            const float hit = widen(from[target]);
            __syncwarp(); /* with the barriers of a larger team: all have read it before one overwrites it */
            if constexpr (KEPT) fetch<T, TEAM, N>(p.width, from, reinterpret_cast<T *>(shared));
            total = sum_exponentials<T, TEAM, N>(p.classes, x, room);
            loss += (double)(total.rest / LOG2_E) + ((double)total.top - (double)hit);
            count++;
        }
        if (p.dlogits) write_slopes<T, TEAM, N>(p.width, p.classes, x, p.dlogits + row * p.width, total, target);
    }
    if (lane_of_team<TEAM>() == 0) p.loss[piece] = loss, p.count[piece] = count;
}

template <int I> using constant = std::integral_constant<int, I>;

/* Calls f(T(), size of a team, elements at a time) for rows of that width. */
template <typename F> dt_status by_width(dt_dtype t, int64_t width, F f)
{
    return by_type(t, [&](auto zero) {
        constexpr int SIZE = pack<decltype(zero)>::size;
        const bool packed = width % SIZE == 0;
        if (width <= MOST_WARP_WIDTH)
            return packed ? f(zero, constant<WARP>(), constant<SIZE>()) : f(zero, constant<WARP>(), constant<1>());
        return packed ? f(zero, constant<512>(), constant<SIZE>()) : f(zero, constant<512>(), constant<1>());
    });
}

/* Do RESIDENT blocks that keep a row of so many bytes fit a multiprocessor? */
dt_status can_keep(int64_t row, bool *out)
{
    int limit = 0, spare = 0;
    DT_TRY(tell_limit(cudaDevAttrMaxSharedMemoryPerMultiprocessor, &limit));
    DT_TRY(tell_limit(cudaDevAttrReservedSharedMemoryPerBlock, &spare));
    *out = RESIDENT * (row + spare + 1024) <= limit; /* 1024: what the kernel has besides, and to spare */
    return DT_OK;
}

template <typename T, int TEAM, int N> dt_status launch(const dt_queue *q, const problem<T> &p)
{
    constexpr int THREADS = block_threads<TEAM>;
    const unsigned blocks = (unsigned)ceil_div<int64_t>(p.split.count, THREADS / TEAM);
    if constexpr (TEAM > WARP && N == pack<T>::size) {
        const int64_t row = p.width * (int64_t)sizeof(T);
        bool keep = false;
        if (p.dlogits) DT_TRY(can_keep(row, &keep)); /* a loss by itself reads a row once */
        if (keep) {
            const auto kernel = lose<T, TEAM, N, true>;
            DT_TRY(allow_shared(kernel, row));
            kernel<<<blocks, THREADS, (size_t)row, stream_of(q)>>>(p);
            return launched();
        }
    }
    lose<T, TEAM, N, false><<<blocks, THREADS, 0, stream_of(q)>>>(p);
    return launched();
}

}

dt_status dt_cuda_token_loss(const dt_queue *q, dt_dtype t, const dt_token_loss_args *a)
{
    const pieces split = cut(a->rows, 1);
    double *loss = (double *)a->scratch, *count = loss + split.count;
    if (split.count)
        DT_TRY(by_width(t, a->width, [&](auto zero, auto team, auto size) {
            typedef decltype(zero) T;
            const problem<T> p = {split, a->width, a->classes, (const T *)a->logits, (T *)a->dlogits, a->targets,
                                  loss, count};
            return launch<T, team(), size()>(q, p);
        }));
    DT_TRY(finish_pieces(q, split.count, loss, (float *)a->loss, false));
    return finish_pieces(q, split.count, count, (float *)a->count, false);
}
