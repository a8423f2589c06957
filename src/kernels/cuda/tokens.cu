/* Token sequences: class token and position embedding, y[b] = (cls, x[b]) + position, and the mean over tokens, with
 * their gradients: dposition = sum over b of dy[b], dcls its row 0, dx = dy without that row.
 *
 * Bytes: all read their large input once and write their large output once: for n elements of x in bfloat16, 4 n for
 * the embedding and for its gradient, 2 n for the mean, which reads, and for its gradient, which writes. Positions and
 * the sums of the gradient are float32 but only as large as one sample. The bound is memory.
 *
 * Within a sample of y the class row, the tokens and the positions are flat arrays side by side, so a thread needs one
 * index into a sample and goes through samples. Going through several of them lets it read its positions once: they
 * come from the L2 cache, but are twice as wide as x.
 *
 * The gradient sums over the batch in two stages. A group of consecutive samples is added up in its order, on the way
 * of copying dy to dx, and leaves its sums in scratch[group, token, channel]; a second kernel adds the groups in order.
 * How many there are depends on the shape alone.
 *
 * Reached on an H200 in float32 (`bench --profile`): for 256 x 197 tokens of 768 channels the embedding moves 3.6
 * TB/s and its gradient 3.2, the mean 2.7 and its gradient 3.2, where a copy moves 4.2. */
#include <algorithm>
#include <type_traits>

#include "kernels/cuda/wide.cuh"

namespace {

using namespace dt;

/* Calls f with the number of elements that a thread takes at once: a pack where `stride`, of which all offsets are
 * multiples, allows it, and else one. */
template <typename T, typename F> dt_status by_width(int64_t stride, F f)
{
    constexpr int N = pack<T>::size;
    if (stride % N == 0) return f(std::integral_constant<int, N>());
    return f(std::integral_constant<int, 1>());
}

template <int N> __device__ __forceinline__ void add_floats(const float *x, float (&to)[N])
{
    float more[N];
    load_wide(x, more);
#pragma unroll
    for (int j = 0; j < N; j++) to[j] += more[j];
}

/* --- embed_tokens --- */

enum { THREADS = 128, SAMPLES = 4 };

/* Sizes in elements: the class row (0 without one) and all of a sample of y, of which the class row is the front. */
struct sequence {
    int64_t batch, head, row;
    unsigned tiles; /* blocks to a sample */
};

sequence make_sequence(int64_t batch, int64_t tokens, int64_t channels, bool has_cls, int width)
{
    const int64_t head = has_cls ? channels : 0, row = head + tokens * channels;
    return {batch, head, row, (unsigned)ceil_div<int64_t>(row, width * THREADS)};
}

/* A thread makes N elements of each of SAMPLES samples. S is the type of the trunk, here and below: y. */
template <int N, typename T, typename S>
__global__ void __launch_bounds__(THREADS)
    embed(sequence s, const T *x, const float *cls, const float *position, S *y)
{
    const int64_t i = ((int64_t)(blockIdx.x % s.tiles) * THREADS + threadIdx.x) * N;
    const int64_t first = (int64_t)(blockIdx.x / s.tiles) * SAMPLES;
    if (i >= s.row) return;
    group<T, N> in[SAMPLES] = {};
    float add[N] = {};
    if (i < s.head) {
        add_floats<N>(cls + i, add);
    } else {
#pragma unroll
        for (int k = 0; k < SAMPLES; k++)
            if (first + k < s.batch) in[k] = load_group<N>(x + (first + k) * (s.row - s.head) + i - s.head);
    }
    if (position) add_floats<N>(position + i, add);
#pragma unroll
    for (int k = 0; k < SAMPLES; k++) {
        group<S, N> out;
#pragma unroll
        for (int j = 0; j < N; j++) out.at[j] = narrow<S>(widen(in[k].at[j]) + add[j]);
        if (first + k < s.batch) store_group<N>(y + (first + k) * s.row + i, out);
    }
}

/* --- embed_tokens_grad --- */

/* What is wanted: dx may be NULL, of each sample the first `summed` elements are summed. */
template <typename T, typename S> struct embed_gradient {
    int64_t per_group, summed;
    const S *dy;
    T *dx;
    float *partial; /* [groups, row] */
};

template <int N, typename T, typename S>
__global__ void __launch_bounds__(THREADS) split_and_sum(sequence s, embed_gradient<T, S> g)
{
    const int64_t i = ((int64_t)(blockIdx.x % s.tiles) * THREADS + threadIdx.x) * N, part = blockIdx.x / s.tiles;
    const bool copies = g.dx && i >= s.head, sums = i < g.summed;
    if (i >= s.row || !(copies || sums)) return;
    const int64_t end = min((part + 1) * g.per_group, s.batch);
    float sum[N] = {};
    for (int64_t first = part * g.per_group; first < end; first += SAMPLES) {
        group<S, N> in[SAMPLES] = {}; /* 0 where there is no sample */
#pragma unroll
        for (int k = 0; k < SAMPLES; k++)
            if (first + k < end) in[k] = load_group<N>(g.dy + (first + k) * s.row + i);
#pragma unroll
        for (int k = 0; k < SAMPLES; k++) {
            if (copies && first + k < end) {
                T *to = g.dx + (first + k) * (s.row - s.head) + i - s.head;
                if constexpr (std::is_same<T, S>::value) {
                    store_group<N>(to, in[k]);
                } else {
                    group<T, N> out;
#pragma unroll
                    for (int j = 0; j < N; j++) out.at[j] = narrow<T>(widen(in[k].at[j]));
                    store_group<N>(to, out);
                }
            }
#pragma unroll
            for (int j = 0; j < N; j++) sum[j] += widen(in[k].at[j]);
        }
    }
    if (sums) store_wide(g.partial + part * s.row + i, sum);
}

/* dposition[i], i < row, and dcls[i], i < head, (+)= the sum of partial[group, i]; either may be NULL. */
struct group_sums {
    int64_t groups, row, summed, head;
    const float *partial;
    float *dcls, *dposition;
    bool accumulate_cls, accumulate_position;
};

__global__ void __launch_bounds__(THREADS) add_groups(group_sums g)
{
    const int64_t i = (int64_t)blockIdx.x * THREADS + threadIdx.x;
    if (i >= g.summed) return;
    float total = 0;
#pragma unroll 8
    for (int64_t part = 0; part < g.groups; part++) total += g.partial[part * g.row + i];
    if (g.dposition) g.dposition[i] = g.accumulate_position ? g.dposition[i] + total : total;
    if (g.dcls && i < g.head) g.dcls[i] = g.accumulate_cls ? g.dcls[i] + total : total;
}

/* Enough groups to fill a GPU (16 blocks of 128 threads on each of 128 multiprocessors), few enough that their sums
 * weigh little beside dy. The class row counts whether there is one or not: the size of the scratch does not know. */
int64_t samples_per_group(dt_dtype t, int64_t batch, int64_t tokens, int64_t channels)
{
    enum { BLOCKS = 2048, MOST_GROUPS = 64 };
    const int64_t width = 16 / (int64_t)dt_dtype_size(t);
    const int64_t tiles = std::max<int64_t>(ceil_div<int64_t>((tokens + 1) * channels, width * THREADS), 1);
    const int64_t groups = std::min<int64_t>(ceil_div<int64_t>(BLOCKS, tiles), MOST_GROUPS);
    return std::max<int64_t>(ceil_div<int64_t>(batch, groups), SAMPLES);
}

template <typename T, typename S>
dt_status sum_samples(const dt_queue *q, int64_t batch, int64_t tokens, int64_t channels, bool has_cls, int64_t groups,
                      const embed_gradient<T, S> &g)
{
    return by_width<S>(has_cls ? channels : tokens * channels, [=](auto width) {
        constexpr int N = decltype(width)::value;
        const sequence s = make_sequence(batch, tokens, channels, has_cls, N);
        const int64_t blocks = s.tiles * groups;
        if (blocks > 0) split_and_sum<N, T, S><<<(unsigned)blocks, THREADS, 0, stream_of(q)>>>(s, g);
        return launched();
    });
}

/* --- token_mean, token_mean_grad --- */

/* Blocks of 32 groups of channels by LANES tokens of one sample. */
enum { LANES = 8, AHEAD = 4, TOKENS_PER_LANE = 8 };

struct pooling {
    int64_t tokens, channels, first, count;
    float share;                /* 1 / count */
    unsigned tiles, chunks;     /* blocks along the channels; along the tokens */
};

template <int N> pooling make_pooling(int64_t tokens, int64_t channels, int64_t first, int64_t count)
{
    return {tokens, channels, first, count, 1 / (float)count, (unsigned)ceil_div<int64_t>(channels, 32 * N),
            (unsigned)ceil_div<int64_t>(tokens, LANES * TOKENS_PER_LANE)};
}

/* Calls f(T(), width, pooling) as the type and the channels ask. */
template <typename F>
dt_status by_pooling(dt_dtype t, int64_t tokens, int64_t channels, int64_t first, int64_t count, F f)
{
    return by_type(t, [=](auto zero) {
        return by_width<decltype(zero)>(channels, [=](auto width) {
            return f(zero, width, make_pooling<width()>(tokens, channels, first, count));
        });
    });
}

/* Lane l adds the tokens l, l + LANES, ... in this order; then the lanes are added in theirs. */
template <int N, typename T>
__global__ void __launch_bounds__(32 * LANES) mean_of_tokens(pooling p, const T *x, T *y)
{
    __shared__ float room[LANES][N][32];
    const int64_t c = ((int64_t)(blockIdx.x % p.tiles) * 32 + threadIdx.x) * N, sample = blockIdx.x / p.tiles;
    const T *from = x + (sample * p.tokens + p.first) * p.channels + c;
    float sum[N] = {};
    for (int64_t t = threadIdx.y; t < p.count && c < p.channels; t += AHEAD * LANES) {
        group<T, N> in[AHEAD] = {};
#pragma unroll
        for (int k = 0; k < AHEAD; k++)
            if (t + k * LANES < p.count) in[k] = load_group<N>(from + (t + k * LANES) * p.channels);
#pragma unroll
        for (int k = 0; k < AHEAD; k++)
#pragma unroll
            for (int j = 0; j < N; j++) sum[j] += widen(in[k].at[j]);
    }
#pragma unroll
    for (int j = 0; j < N; j++) room[threadIdx.y][j][threadIdx.x] = sum[j];
    __syncthreads();
    if (threadIdx.y != 0 || c >= p.channels) return;
    group<T, N> out;
#pragma unroll
    for (int j = 0; j < N; j++) {
        float total = 0;
        for (int lane = 0; lane < LANES; lane++) total += room[lane][j][threadIdx.x];
        out.at[j] = narrow<T>(total * p.share);
    }
    store_group<N>(y + sample * p.channels + c, out);
}

template <int N, typename T>
__global__ void __launch_bounds__(32 * LANES) spread_over_tokens(pooling p, const T *dy, T *dx)
{
    const int64_t c = ((int64_t)(blockIdx.x % p.tiles) * 32 + threadIdx.x) * N;
    const unsigned rest = blockIdx.x / p.tiles;
    const int64_t sample = rest / p.chunks, begin = (int64_t)(rest % p.chunks) * (LANES * TOKENS_PER_LANE);
    if (c >= p.channels) return;
    const group<T, N> in = load_group<N>(dy + sample * p.channels + c), zero = {};
    group<T, N> out;
#pragma unroll
    for (int j = 0; j < N; j++) out.at[j] = narrow<T>(p.share * widen(in.at[j]));
#pragma unroll
    for (int k = 0; k < TOKENS_PER_LANE; k++) {
        const int64_t token = begin + k * LANES + threadIdx.y;
        if (token >= p.tokens) break;
        T *to = dx + (sample * p.tokens + token) * p.channels + c;
        if (token >= p.first && token < p.first + p.count)
            store_group<N>(to, out);
        else
            store_group<N>(to, zero);
    }
}

}

dt_status dt_cuda_embed_tokens(const dt_queue *q, dt_dtype t, bool wide_trunk, int64_t batch, int64_t tokens,
                               int64_t channels, const void *x, const void *cls, const void *position, void *y)
{
    return by_trunk(t, wide_trunk, [=](auto zero, auto trunk) {
        typedef decltype(zero) T;
        typedef decltype(trunk) S;
        return by_width<S>(cls ? channels : tokens * channels, [=](auto width) {
            constexpr int N = decltype(width)::value;
            const sequence s = make_sequence(batch, tokens, channels, cls, N);
            const int64_t blocks = s.tiles * ceil_div<int64_t>(batch, SAMPLES);
            if (blocks > 0)
                embed<N, T, S><<<(unsigned)blocks, THREADS, 0, stream_of(q)>>>(s, (const T *)x, (const float *)cls,
                                                                               (const float *)position, (S *)y);
            return launched();
        });
    });
}

int64_t dt_cuda_embed_tokens_grad_scratch(const dt_device_info *, dt_dtype t, int64_t batch, int64_t tokens,
                                          int64_t channels)
{
    const int64_t groups = ceil_div(batch, samples_per_group(t, batch, tokens, channels));
    return groups * (tokens + 1) * channels * (int64_t)sizeof(float);
}

dt_status dt_cuda_embed_tokens_grad(const dt_queue *q, dt_dtype t, bool wide_trunk, int64_t batch, int64_t tokens,
                                    int64_t channels, bool has_cls, const void *dy, void *dx, void *dcls,
                                    void *dposition, bool accumulate_cls, bool accumulate_position, void *scratch)
{
    const int64_t head = has_cls ? channels : 0, row = head + tokens * channels;
    const int64_t summed = dposition ? row : dcls ? head : 0;
    const int64_t per_group = samples_per_group(wide_trunk ? DT_F32 : t, batch, tokens, channels);
    const int64_t groups = ceil_div(batch, per_group);
    DT_TRY(by_trunk(t, wide_trunk, [=](auto zero, auto trunk) {
        typedef decltype(zero) T;
        typedef decltype(trunk) S;
        const embed_gradient<T, S> g = {per_group, summed, (const S *)dy, (T *)dx, (float *)scratch};
        return sum_samples<T, S>(q, batch, tokens, channels, has_cls, groups, g);
    }));
    if (!summed) return DT_OK;
    const group_sums sums = {groups, row, summed, head, (const float *)scratch, (float *)dcls, (float *)dposition,
                             accumulate_cls, accumulate_position};
    add_groups<<<(unsigned)ceil_div<int64_t>(summed, THREADS), THREADS, 0, stream_of(q)>>>(sums);
    return launched();
}

dt_status dt_cuda_token_mean(const dt_queue *q, dt_dtype t, int64_t batch, int64_t tokens, int64_t channels,
                             int64_t first, int64_t count, const void *x, void *y)
{
    return by_pooling(t, tokens, channels, first, count, [=](auto zero, auto width, const pooling &p) {
        typedef decltype(zero) T;
        const int64_t blocks = batch * p.tiles;
        if (blocks > 0)
            mean_of_tokens<width(), T><<<(unsigned)blocks, dim3(32, LANES), 0, stream_of(q)>>>(p, (const T *)x, (T *)y);
        return launched();
    });
}

dt_status dt_cuda_token_mean_grad(const dt_queue *q, dt_dtype t, int64_t batch, int64_t tokens, int64_t channels,
                                  int64_t first, int64_t count, const void *dy, void *dx)
{
    return by_pooling(t, tokens, channels, first, count, [=](auto zero, auto width, const pooling &p) {
        typedef decltype(zero) T;
        const int64_t blocks = batch * p.tiles * p.chunks;
        if (blocks > 0)
            spread_over_tokens<width(), T><<<(unsigned)blocks, dim3(32, LANES), 0, stream_of(q)>>>(p, (const T *)dy,
                                                                                                  (T *)dx);
        return launched();
    });
}
