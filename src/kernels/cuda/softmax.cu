/* Over the last dimension of x[rows, classes]:
 *   log_softmax:   y = x - top - log(sum(exp(x - top)))           dx = dy - exp(y) sum(dy)
 *   cross_entropy: loss = -sum_b w_b sum_c target logp            dlogp = -dloss w_b target
 *   softmax_xent:  prob = softmax(x), loss as above               dx = dloss w_b (prob sum(target) - target)
 * with top = max(x). -sum(target log(prob)) = sum(target) log(sum(exp(x - top))) - sum(target (x - top)).
 *
 * Bytes per element, s that of a score (4 or 2) and targets 4: log_softmax 2s, its gradient 3s; cross_entropy s + 4 and
 * 4 + s; softmax_xent 2s + 4, its gradient 2s + 4. Rows that the caches do not hold are read a second time: x in
 * log_softmax and softmax_xent, dy in log_softmax_grad, the target in softmax_xent_grad.
 *
 * A team works on one row: a warp for up to 256 classes, a block of 256 threads for more. It sees each score once to
 * find the sums: a thread keeps them relative to the largest score that it has seen and rescales them when that grows
 * (Milakov and Gimelshein, 2018). Losses are added in float64, one partial sum per piece of rows and the pieces in
 * order. NaNs are passed over by the largest score; the exponentials bring them back.
 *
 * Reached on an H200 in float32 (`bench --profile`): 256 rows of 1000 scores take 22 us and their gradient 17, 3
 * and 4 % of the bandwidth of a copy: of so little the launches are most. */
#include <cfloat>
#include <type_traits>

#include "kernels/cuda/reduce.cuh"
#include "kernels/cuda/team.cuh"
#include "kernels/cuda/wide.cuh"

namespace {

using namespace dt;

enum { THREADS = 256, WARP = 32, MOST_WARP_CLASSES = 256, MOST_BLOCKS = 1 << 20 };

template <int TEAM> struct team {
    static constexpr int per_block = THREADS / TEAM;
    static __device__ int lane() { return threadIdx.x % TEAM; }
    static __device__ int64_t index() { return (int64_t)blockIdx.x * per_block + threadIdx.x / TEAM; }
    static __device__ int64_t count() { return (int64_t)gridDim.x * per_block; }
};

/* What one thread has seen of a row, relative to `top`. It begins at the smallest number, not at minus infinity, so
 * that no difference to it is infinite less infinite. */
struct tally {
    float top = -FLT_MAX;
    float exps = 0;    /* sum(exp(x - top)) */
    float hit = 0;     /* sum(target (x - top)) */
    float targets = 0; /* sum(target) */
};

__device__ __forceinline__ void raise(tally &seen, float top)
{
    seen.exps *= expf(seen.top - top);
    if (seen.targets != 0) seen.hit += (seen.top - top) * seen.targets; /* the difference may be infinite at first */
    seen.top = top;
}

/* `target` is NULL where only the exponentials are wanted. */
template <int N> __device__ __forceinline__ void add_scores(tally &seen, const float (&x)[N], const float *target)
{
    float top = seen.top;
#pragma unroll
    for (int e = 0; e < N; e++) top = x[e] > top ? x[e] : top;
    if (top > seen.top) raise(seen, top);
#pragma unroll
    for (int e = 0; e < N; e++) {
        const float score = x[e] - top;
        seen.exps += expf(score);
        if (!target) continue;
        seen.hit += target[e] * score;
        seen.targets += target[e];
    }
}

/* Every thread gets top and exps of the whole row; its own hit and targets are put relative to that top. */
template <int TEAM> __device__ __forceinline__ void join(tally &seen, float *room)
{
    raise(seen, team_max<TEAM>(seen.top, room));
    seen.exps = team_sum<TEAM>(seen.exps, room);
}

/* y may be x. */
template <typename T, int TEAM, int N>
__global__ void __launch_bounds__(THREADS) log_softmax_rows(int64_t rows, int64_t classes, const T *x, T *y)
{
    __shared__ float room[THREADS / WARP];
    for (int64_t row = team<TEAM>::index(); row < rows; row += team<TEAM>::count()) {
        const T *from = x + row * classes;
        T *to = y + row * classes;
        tally seen;
        float v[N];
        for (int64_t j = team<TEAM>::lane() * N; j < classes; j += TEAM * N) {
            load_wide(from + j, v);
            add_scores(seen, v, NULL);
        }
        join<TEAM>(seen, room);
        const float log_exps = logf(seen.exps);
        for (int64_t j = team<TEAM>::lane() * N; j < classes; j += TEAM * N) {
            load_wide(from + j, v);
            for (int e = 0; e < N; e++) v[e] = (v[e] - seen.top) - log_exps;
            store_wide(to + j, v);
        }
    }
}

/* dx may be dy. */
template <typename T, int TEAM, int N>
__global__ void __launch_bounds__(THREADS)
log_softmax_grad_rows(int64_t rows, int64_t classes, const T *y, const T *dy, T *dx)
{
    __shared__ float room[THREADS / WARP];
    for (int64_t row = team<TEAM>::index(); row < rows; row += team<TEAM>::count()) {
        const int64_t at = row * classes;
        float sum = 0, v[N], logp[N];
        for (int64_t j = team<TEAM>::lane() * N; j < classes; j += TEAM * N) {
            load_wide(dy + at + j, v);
            for (int e = 0; e < N; e++) sum += v[e];
        }
        sum = team_sum<TEAM>(sum, room);
        for (int64_t j = team<TEAM>::lane() * N; j < classes; j += TEAM * N) {
            load_wide(dy + at + j, v);
            load_wide(y + at + j, logp);
            for (int e = 0; e < N; e++) v[e] -= expf(logp[e]) * sum;
            store_wide(dx + at + j, v);
        }
    }
}

/* partial[piece] = the sum over its rows of weight[row] loss(row, room), with `room` for a block's sums. */
template <int TEAM, typename F>
__device__ __forceinline__ void add_losses(const pieces &split, const float *weight, double *partial, const F &loss)
{
    __shared__ float room[THREADS / WARP];
    const int64_t piece = team<TEAM>::index();
    if (piece >= split.count) return;
    const int64_t end = min((piece + 1) * split.size, split.items);
    double sum = 0;
    for (int64_t row = piece * split.size; row < end; row++) sum += (double)weight[row] * loss(row, room);
    if (team<TEAM>::lane() == 0) partial[piece] = sum;
}

template <typename T, int TEAM, int N>
__global__ void __launch_bounds__(THREADS) cross_entropy_rows(pieces split, int64_t classes, const T *logp,
                                                              const float *target, const float *weight,
                                                              double *partial)
{
    add_losses<TEAM>(split, weight, partial, [=](int64_t row, float *room) {
        const int64_t at = row * classes;
        float hit = 0, v[N], wanted[N];
#pragma unroll 2
        for (int64_t j = team<TEAM>::lane() * N; j < classes; j += TEAM * N) {
            load_wide(logp + at + j, v);
            load_wide(target + at + j, wanted);
            for (int e = 0; e < N; e++) hit += wanted[e] * v[e];
        }
        return -(double)team_sum<TEAM>(hit, room);
    });
}

template <typename T, int TEAM, int N>
__global__ void __launch_bounds__(THREADS) cross_entropy_grad_rows(int64_t rows, int64_t classes, const float *target,
                                                                   const float *weight, const float *dloss, T *dlogp)
{
    for (int64_t row = team<TEAM>::index(); row < rows; row += team<TEAM>::count()) {
        const float scale = -*dloss * weight[row];
        for (int64_t j = team<TEAM>::lane() * N; j < classes; j += TEAM * N) {
            float v[N];
            load_wide(target + row * classes + j, v);
            for (int e = 0; e < N; e++) v[e] *= scale;
            store_wide(dlogp + row * classes + j, v);
        }
    }
}

/* The loss of one row, and its probabilities. prob may be x. */
template <typename T, int TEAM, int N>
__device__ __forceinline__ double softmax_xent_row(int64_t classes, const T *x, const float *target, T *prob,
                                                   float *room)
{
    tally seen;
    float v[N], wanted[N];
    for (int64_t j = team<TEAM>::lane() * N; j < classes; j += TEAM * N) {
        load_wide(x + j, v);
        load_wide(target + j, wanted);
        add_scores(seen, v, wanted);
    }
    join<TEAM>(seen, room);
    const float inverse = 1 / seen.exps;
    for (int64_t j = team<TEAM>::lane() * N; j < classes; j += TEAM * N) {
        load_wide(x + j, v);
        for (int e = 0; e < N; e++) v[e] = expf(v[e] - seen.top) * inverse;
        store_wide(prob + j, v);
    }
    const float hit = team_sum<TEAM>(seen.hit, room), targets = team_sum<TEAM>(seen.targets, room);
    return (double)targets * (double)logf(seen.exps) - (double)hit;
}

template <typename T, int TEAM, int N>
__global__ void __launch_bounds__(THREADS) softmax_xent_rows(pieces split, int64_t classes, const T *x,
                                                             const float *target, const float *weight, T *prob,
                                                             double *partial)
{
    add_losses<TEAM>(split, weight, partial, [=](int64_t row, float *room) {
        const int64_t at = row * classes;
        return softmax_xent_row<T, TEAM, N>(classes, x + at, target + at, prob + at, room);
    });
}

/* dx may be prob. */
template <typename T, int TEAM, int N>
__global__ void __launch_bounds__(THREADS)
softmax_xent_grad_rows(int64_t rows, int64_t classes, const T *prob, const float *target, const float *weight,
                       const float *dloss, T *dx)
{
    __shared__ float room[THREADS / WARP];
    for (int64_t row = team<TEAM>::index(); row < rows; row += team<TEAM>::count()) {
        const int64_t at = row * classes;
        const float scale = *dloss * weight[row];
        float targets = 0, v[N], wanted[N];
#pragma unroll 2
        for (int64_t j = team<TEAM>::lane() * N; j < classes; j += TEAM * N) {
            load_wide(target + at + j, wanted);
            for (int e = 0; e < N; e++) targets += wanted[e];
        }
        targets = team_sum<TEAM>(targets, room);
#pragma unroll 2
        for (int64_t j = team<TEAM>::lane() * N; j < classes; j += TEAM * N) {
            load_wide(target + at + j, wanted);
            load_wide(prob + at + j, v);
            for (int e = 0; e < N; e++) v[e] = scale * (v[e] * targets - wanted[e]);
            store_wide(dx + at + j, v);
        }
    }
}

template <int I> using constant = std::integral_constant<int, I>;

/* Calls f(T(), team, elements at once) as the type and the classes ask: all rows start at multiples of 16 bytes, or
 * elements are taken one by one. */
template <typename F> dt_status by_classes(dt_dtype t, int64_t classes, F f)
{
    return by_type(t, [&](auto zero) {
        constexpr int SIZE = pack<decltype(zero)>::size;
        const bool packed = classes % SIZE == 0;
        if (classes <= MOST_WARP_CLASSES)
            return packed ? f(zero, constant<WARP>(), constant<SIZE>()) : f(zero, constant<WARP>(), constant<1>());
        return packed ? f(zero, constant<THREADS>(), constant<SIZE>()) : f(zero, constant<THREADS>(), constant<1>());
    });
}

/* Blocks for `count` teams, which take several rows each where these would be too many. */
unsigned blocks_of(int64_t count, int team)
{
    return (unsigned)std::min<int64_t>(ceil_div<int64_t>(count, THREADS / team), MOST_BLOCKS);
}

}

dt_status dt_cuda_log_softmax(const dt_queue *q, dt_dtype t, int64_t rows, int64_t classes, const void *x, void *y)
{
    if (!rows) return DT_OK;
    return by_classes(t, classes, [&](auto zero, auto team, auto n) {
        typedef decltype(zero) T;
        log_softmax_rows<T, team(), n()>
            <<<blocks_of(rows, team()), THREADS, 0, stream_of(q)>>>(rows, classes, (const T *)x, (T *)y);
        return launched();
    });
}

dt_status dt_cuda_log_softmax_grad(const dt_queue *q, dt_dtype t, int64_t rows, int64_t classes, const void *y,
                                   const void *dy, void *dx)
{
    if (!rows) return DT_OK;
    return by_classes(t, classes, [&](auto zero, auto team, auto n) {
        typedef decltype(zero) T;
        log_softmax_grad_rows<T, team(), n()><<<blocks_of(rows, team()), THREADS, 0, stream_of(q)>>>(
            rows, classes, (const T *)y, (const T *)dy, (T *)dx);
        return launched();
    });
}

dt_status dt_cuda_cross_entropy(const dt_queue *q, dt_dtype t, int64_t rows, int64_t classes, const void *logp,
                                const void *target, const void *weight, void *loss, void *scratch)
{
    const pieces split = cut(rows, 1);
    if (rows)
        DT_TRY(by_classes(t, classes, [&](auto zero, auto team, auto n) {
            typedef decltype(zero) T;
            cross_entropy_rows<T, team(), n()><<<blocks_of(split.count, team()), THREADS, 0, stream_of(q)>>>(
                split, classes, (const T *)logp, (const float *)target, (const float *)weight, (double *)scratch);
            return launched();
        }));
    return finish_pieces(q, split.count, (const double *)scratch, (float *)loss, false);
}

dt_status dt_cuda_cross_entropy_grad(const dt_queue *q, dt_dtype t, int64_t rows, int64_t classes, const void *target,
                                     const void *weight, const void *dloss, void *dlogp)
{
    if (!rows) return DT_OK;
    return by_classes(t, classes, [&](auto zero, auto team, auto n) {
        typedef decltype(zero) T;
        cross_entropy_grad_rows<T, team(), n()><<<blocks_of(rows, team()), THREADS, 0, stream_of(q)>>>(
            rows, classes, (const float *)target, (const float *)weight, (const float *)dloss, (T *)dlogp);
        return launched();
    });
}

dt_status dt_cuda_softmax_xent(const dt_queue *q, dt_dtype t, int64_t rows, int64_t classes, const void *x,
                               const void *target, const void *weight, void *prob, void *loss, void *scratch)
{
    const pieces split = cut(rows, 1);
    if (rows)
        DT_TRY(by_classes(t, classes, [&](auto zero, auto team, auto n) {
            typedef decltype(zero) T;
            softmax_xent_rows<T, team(), n()><<<blocks_of(split.count, team()), THREADS, 0, stream_of(q)>>>(
                split, classes, (const T *)x, (const float *)target, (const float *)weight, (T *)prob,
                (double *)scratch);
            return launched();
        }));
    return finish_pieces(q, split.count, (const double *)scratch, (float *)loss, false);
}

dt_status dt_cuda_softmax_xent_grad(const dt_queue *q, dt_dtype t, int64_t rows, int64_t classes, const void *prob,
                                    const void *target, const void *weight, const void *dloss, void *dx)
{
    if (!rows) return DT_OK;
    return by_classes(t, classes, [&](auto zero, auto team, auto n) {
        typedef decltype(zero) T;
        softmax_xent_grad_rows<T, team(), n()><<<blocks_of(rows, team()), THREADS, 0, stream_of(q)>>>(
            rows, classes, (const T *)prob, (const float *)target, (const float *)weight, (const float *)dloss,
            (T *)dx);
        return launched();
    });
}
