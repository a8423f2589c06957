/* Cross-entropy with one target a row: loss = sum over rows of log(sum(exp(x))) - x[target], and at once its gradient
 * softmax(x) - target, which may overwrite the scores. Of a row of `width` scores the first `classes` count.
 *
 * Bytes: each score is read once from memory and written once; the second read of a row comes from the second-level
 * cache. A warp takes a row of up to 256 scores, a block of 512 threads a longer one. A thread keeps its sum relative
 * to the largest score that it has seen and rescales it when that grows (Milakov and Gimelshein, 2018). Losses and
 * numbers of targets are added in float64, one partial sum per piece of rows and the pieces in order. */
#include <cfloat>
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

template <typename T, int TEAM, int N>
__global__ void __launch_bounds__(block_threads<TEAM>, RESIDENT) lose(const problem<T> p)
{
    __shared__ float room[block_threads<TEAM> / WARP];
    const int64_t piece = (int64_t)blockIdx.x * (block_threads<TEAM> / TEAM) + threadIdx.x / TEAM;
    if (piece >= p.split.count) return;
    const int64_t end = min((piece + 1) * p.split.size, p.split.items);
    double loss = 0, count = 0;
    for (int64_t row = piece * p.split.size; row < end; row++) {
        const T *x = p.logits + row * p.width;
        const int32_t target = p.targets[row];
        row_sum total = {};
        if (target >= 0) {
            const float hit = widen(x[target]);
            __syncwarp(); /* with the barriers of a larger team: all have read it before one overwrites it */
            total = sum_exponentials<T, TEAM, N>(p.classes, x, room);
            loss += (double)(total.rest / LOG2_E) + ((double)total.top - (double)hit);
            count++;
        }
        if (p.dlogits) write_slopes<T, TEAM, N>(p.width, p.classes, x, p.dlogits + row * p.width, total, target);
    }
    if (lane_of_team<TEAM>() == 0) p.loss[piece] = loss, p.count[piece] = count;
}

template <int I> using constant = std::integral_constant<int, I>;

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

}

dt_status dt_cuda_token_loss(const dt_queue *q, dt_dtype t, const dt_token_loss_args *a)
{
    const pieces split = cut(a->rows, 1);
    double *loss = (double *)a->scratch, *count = loss + split.count;
    if (split.count)
        DT_TRY(by_width(t, a->width, [&](auto zero, auto team, auto size) {
            typedef decltype(zero) T;
            constexpr int TEAM = team(), N = size(), THREADS = block_threads<TEAM>;
            const problem<T> p = {split, a->width, a->classes, (const T *)a->logits, (T *)a->dlogits, a->targets,
                                  loss, count};
            const int64_t blocks = ceil_div<int64_t>(split.count, THREADS / TEAM);
            lose<T, TEAM, N><<<(unsigned)blocks, THREADS, 0, stream_of(q)>>>(p);
            return launched();
        }));
    DT_TRY(finish_pieces(q, split.count, loss, (float *)a->loss, false));
    return finish_pieces(q, split.count, count, (float *)a->count, false);
}
