/* Attention of new tokens over a cache of keys and values and over themselves, and adding to the cache.
 *
 * A block takes one query of one head and a piece of the keys that it sees; the blocks of heads that share keys run
 * side by side, so that the second-level cache serves all but the first. Teams of lanes take keys in turn, a lane
 * 16 bytes of each: score, running maximum and sum (Milakov and Gimelshein, 2018), weighted values. The teams of a
 * block are then added up in order, and where the keys are in several pieces a second kernel adds up those ("flash
 * decoding", Dao et al., 2023). How many pieces there are follows from the shapes; blocks whose piece begins behind the
 * last key leave at once.
 *
 * Bytes: for one new token the keys and values in the cache once, which is nearly all there is. Several new tokens read
 * them again for each, from the second-level cache.
 *
 * Reached on an H200 in bfloat16 (`bench kernels`): 52 to 68 % of the bandwidth of a copy of as many bytes, 21 % where
 * four heads share keys and little is left to read. */
#include "kernels/cuda/wide.cuh"

namespace {

using namespace dt;

enum { THREADS = 128, MOST_SIZE = 256, KEYS_AT_ONCE = 4, LEAST_PIECE = 256, ENOUGH_BLOCKS = 2048 };

template <typename T> struct problem {
    const T *qkv, *cache;
    const int32_t *position;
    T *out;
    float *parts; /* of each row and piece: top, total, the sums */
    int64_t capacity, piece;
    int tokens, heads, kv_heads, size, pieces;
    float scale;
};

/* What a query sees: keys of the cache, then new ones; its values lie `values` elements behind a key. */
template <typename T> struct seen {
    const T *old, *fresh;
    int64_t past, keys, old_stride, fresh_stride;

    __device__ const T *key(int64_t j) const
    {
        return j < past ? old + j * old_stride : fresh + (j - past) * fresh_stride;
    }
};

template <typename T> __device__ int64_t count_past(const problem<T> &p, int64_t sample)
{
    const int64_t position = p.position[sample];
    return position < 0 ? 0 : position < p.capacity ? position : p.capacity;
}

template <typename T> __device__ seen<T> find_keys(const problem<T> &p, int64_t token_row, int head)
{
    const int64_t sample = token_row / p.tokens, width = (int64_t)2 * p.kv_heads * p.size;
    const int kv_head = head / (p.heads / p.kv_heads);
    seen<T> s;
    s.past = count_past(p, sample);
    s.keys = s.past + token_row % p.tokens + 1;
    s.old_stride = width;
    s.fresh_stride = (int64_t)p.heads * p.size + width;
    s.old = p.cache + sample * p.capacity * width + kv_head * p.size;
    s.fresh = p.qkv + sample * p.tokens * s.fresh_stride + (p.heads + kv_head) * p.size;
    return s;
}

/* A row as TEAM lanes hold it: EACH packs of N elements to a lane, zeros beyond its end. */
template <int N, int TEAM, int EACH, typename T>
__device__ __forceinline__ void load_row(const T *from, int lane, int size, float (&to)[EACH][N])
{
#pragma unroll
    for (int e = 0; e < EACH; e++) {
        const int at = (e * TEAM + lane) * N;
        if (at < size) load_wide(from + at, to[e]);
        else
#pragma unroll
            for (int i = 0; i < N; i++) to[e][i] = 0;
    }
}

/* The reference of exponentials; not -inf, from which nothing can be subtracted. */
__device__ __forceinline__ float finite_top(float top) { return top == -INFINITY ? 0 : top; }

/* A team's share of the softmax and of the weighted sum. */
template <int N, int EACH> struct share {
    float top, total, sum[EACH][N];
};

/* Keys first + team, first + team + TEAMS, .. of `count` behind `from`. */
template <int N, int TEAM, int EACH, typename T>
__device__ __forceinline__ void take_keys(const seen<T> &s, int64_t from, int first, int count, int64_t values,
                                          const float (&query)[EACH][N], int lane, int size, share<N, EACH> &mine)
{
    constexpr int TEAMS = THREADS / TEAM;
    float score[KEYS_AT_ONCE], most = mine.top;
    const T *key[KEYS_AT_ONCE];
#pragma unroll
    for (int u = 0; u < KEYS_AT_ONCE; u++) {
        const int j = first + u * TEAMS;
        float row[EACH][N], dot = 0;
        key[u] = s.key(from + min(j, count - 1));
        load_row<N, TEAM>(key[u], lane, size, row);
#pragma unroll
        for (int e = 0; e < EACH; e++)
#pragma unroll
            for (int i = 0; i < N; i++) dot = fmaf(query[e][i], row[e][i], dot);
        dot = warp_sum<TEAM>(dot);
        score[u] = j < count ? dot : -INFINITY;
        most = fmaxf(most, score[u]);
    }
    const float reference = finite_top(most), shrink = expf(mine.top - reference);
    mine.top = most;
    mine.total *= shrink;
#pragma unroll
    for (int e = 0; e < EACH; e++)
#pragma unroll
        for (int i = 0; i < N; i++) mine.sum[e][i] *= shrink;
#pragma unroll
    for (int u = 0; u < KEYS_AT_ONCE; u++) {
        if (first + u * TEAMS >= count) continue; /* what its values are does not matter, NaN neither */
        float row[EACH][N];
        const float weight = expf(score[u] - reference);
        load_row<N, TEAM>(key[u] + values, lane, size, row);
        mine.total += weight;
#pragma unroll
        for (int e = 0; e < EACH; e++)
#pragma unroll
            for (int i = 0; i < N; i++) mine.sum[e][i] = fmaf(weight, row[e][i], mine.sum[e][i]);
    }
}

/* Adds up `count` shares in order: those whose tops, totals and sums of element d stand `stride` apart. */
__device__ __forceinline__ void add_shares(const float *tops, const float *totals, const float *sums, int count,
                                           int64_t stride, int64_t sum_stride, float &top, float &total, float &sum)
{
    top = -INFINITY, total = 0, sum = 0;
    for (int i = 0; i < count; i++) top = fmaxf(top, tops[i * stride]);
    const float reference = finite_top(top);
    for (int i = 0; i < count; i++) {
        const float by = expf(tops[i * stride] - reference);
        total = fmaf(totals[i * stride], by, total);
        sum = fmaf(sums[i * sum_stride], by, sum);
    }
}

template <typename T, int N, int TEAM, int EACH>
__global__ void __launch_bounds__(THREADS) attend_piece(const problem<T> p)
{
    constexpr int TEAMS = THREADS / TEAM, WIDTH = TEAM * EACH * N;
    __shared__ float tops[TEAMS], totals[TEAMS], sums[TEAMS][WIDTH];
    const int64_t row = blockIdx.x, from = blockIdx.y * p.piece, values = (int64_t)p.kv_heads * p.size;
    const int head = (int)(row % p.heads), team = threadIdx.x / TEAM, lane = threadIdx.x % TEAM;
    const seen<T> s = find_keys(p, row / p.heads, head);
    if (from >= s.keys) return;
    const int count = (int)min(p.piece, s.keys - from);

    float query[EACH][N];
    load_row<N, TEAM>(p.qkv + row / p.heads * s.fresh_stride + head * p.size, lane, p.size, query);
    share<N, EACH> mine = {-INFINITY, 0, {}};
#pragma unroll
    for (int e = 0; e < EACH; e++)
#pragma unroll
        for (int i = 0; i < N; i++) query[e][i] *= p.scale;
    for (int base = 0; base < count; base += TEAMS * KEYS_AT_ONCE)
        take_keys<N, TEAM, EACH>(s, from, base + team, count, values, query, lane, p.size, mine);

    if (lane == 0) tops[team] = mine.top, totals[team] = mine.total;
#pragma unroll
    for (int e = 0; e < EACH; e++)
#pragma unroll
        for (int i = 0; i < N; i++) sums[team][(e * TEAM + lane) * N + i] = mine.sum[e][i];
    __syncthreads();
    float *part = p.parts + (row * p.pieces + blockIdx.y) * (p.size + 2);
    for (int d = threadIdx.x; d < p.size; d += THREADS) {
        float top, total, sum;
        add_shares(tops, totals, &sums[0][d], TEAMS, 1, WIDTH, top, total, sum);
        if (p.pieces == 1) {
            p.out[row * p.size + d] = narrow<T>(sum / total);
            continue;
        }
        if (d == 0) part[0] = top, part[1] = total;
        part[2 + d] = sum;
    }
}

template <typename T> __global__ void __launch_bounds__(THREADS) add_pieces(const problem<T> p)
{
    const int64_t row = blockIdx.x, stride = p.size + 2;
    const int64_t keys = count_past(p, row / p.heads / p.tokens) + row / p.heads % p.tokens + 1;
    const int count = (int)((keys + p.piece - 1) / p.piece);
    const float *part = p.parts + row * p.pieces * stride;
    for (int d = threadIdx.x; d < p.size; d += THREADS) {
        float top, total, sum;
        add_shares(part, part + 1, part + 2 + d, count, stride, stride, top, total, sum);
        p.out[row * p.size + d] = narrow<T>(sum / total);
    }
}

/* A warp for each row of 16-byte words, or of elements. */
template <typename W>
__global__ void __launch_bounds__(THREADS) append(int64_t rows, int64_t tokens, int64_t capacity, int64_t packed,
                                                  int64_t width, const W *x, const int32_t *position, W *cache)
{
    const int64_t row = (int64_t)blockIdx.x * (THREADS / 32) + threadIdx.x / 32;
    if (row >= rows) return;
    const int64_t sample = row / tokens, place = position[sample] + row % tokens;
    if (place < 0 || place >= capacity) return;
    const W *from = x + (row + 1) * packed - width;
    W *to = cache + (sample * capacity + place) * width;
    for (int64_t i = threadIdx.x % 32; i < width; i += 32) store_word(to + i, from[i]);
}

/* --- the host's part --- */

int64_t rows_of(const dt_attention_cached_args *x) { return x->batch * x->tokens * x->heads; }

/* Keys of a piece: no fewer pieces than keep a large GPU busy, and no more. */
int64_t piece_of(const dt_attention_cached_args *x)
{
    const int64_t wanted = ENOUGH_BLOCKS / (rows_of(x) ? rows_of(x) : 1), keys = x->capacity + x->tokens;
    const int64_t piece = ceil_div(keys, wanted > 1 ? wanted : (int64_t)1);
    return piece > LEAST_PIECE ? piece : (int64_t)LEAST_PIECE;
}

int64_t pieces_of(const dt_attention_cached_args *x) { return ceil_div(x->capacity + x->tokens, piece_of(x)); }

template <typename T> problem<T> describe(const dt_attention_cached_args *x)
{
    problem<T> p = {};
    p.qkv = (const T *)x->qkv, p.cache = (const T *)x->cache, p.position = x->position, p.out = (T *)x->out;
    p.parts = (float *)x->scratch;
    p.capacity = x->capacity, p.piece = piece_of(x), p.pieces = (int)pieces_of(x);
    p.tokens = (int)x->tokens, p.heads = (int)x->heads, p.kv_heads = (int)x->kv_heads, p.size = (int)x->size;
    p.scale = (float)x->scale;
    return p;
}

template <typename T> using piece_kernel = void (*)(problem<T>);

/* Lanes for a head of that size: 16 bytes each where rows are whole packs. */
template <typename T> piece_kernel<T> kernel_for(int64_t size)
{
    constexpr int N = pack<T>::size;
    if (size % N) return attend_piece<T, 1, 32, MOST_SIZE / 32>;
    if (size <= 64) return attend_piece<T, N, 64 / N, 1>;
    if (size <= 128) return attend_piece<T, N, 128 / N, 1>;
    return attend_piece<T, N, 32, MOST_SIZE / N / 32>;
}

template <typename T> dt_status attend(const dt_queue *q, const dt_attention_cached_args *x)
{
    const problem<T> p = describe<T>(x);
    const unsigned rows = (unsigned)rows_of(x);
    kernel_for<T>(x->size)<<<dim3(rows, (unsigned)p.pieces), THREADS, 0, stream_of(q)>>>(p);
    DT_TRY(launched());
    if (p.pieces == 1) return DT_OK;
    add_pieces<T><<<rows, THREADS, 0, stream_of(q)>>>(p);
    return launched();
}

template <typename W> dt_status append_words(const dt_queue *q, const dt_cache_append_args *x, int64_t bytes)
{
    const int64_t rows = x->batch * x->tokens, each = (int64_t)sizeof(W) / bytes;
    const int64_t blocks = ceil_div(rows, (int64_t)(THREADS / 32));
    if (blocks > INT32_MAX)
        return dt_fail(DT_ERR_USAGE, "cache_append: %lld tokens are too many for one launch", (long long)rows);
    append<W><<<(unsigned)blocks, THREADS, 0, stream_of(q)>>>(rows, x->tokens, x->capacity, x->packed / each,
                                                               x->width / each, (const W *)x->x, x->position,
                                                               (W *)x->cache);
    return launched();
}

}

int64_t dt_cuda_attention_cached_scratch(const dt_device_info *, dt_dtype, const dt_attention_cached_args *x)
{
    const int64_t pieces = pieces_of(x);
    return pieces == 1 ? 0 : rows_of(x) * pieces * (x->size + 2) * (int64_t)sizeof(float);
}

dt_status dt_cuda_attention_cached(const dt_queue *q, dt_dtype t, const dt_attention_cached_args *x)
{
    if (rows_of(x) == 0) return DT_OK;
    if (x->size > MOST_SIZE)
        return dt_fail(DT_ERR_USAGE, "attention_cached: heads of size %lld are too large for CUDA, which takes up to "
                       "%d", (long long)x->size, (int)MOST_SIZE);
    if (rows_of(x) > INT32_MAX)
        return dt_fail(DT_ERR_USAGE, "attention_cached: %lld queries are too many for one launch",
                       (long long)rows_of(x));
    return by_type(t, [&](auto zero) { return attend<decltype(zero)>(q, x); });
}

dt_status dt_cuda_cache_append(const dt_queue *q, dt_dtype t, const dt_cache_append_args *x)
{
    const int64_t bytes = (int64_t)dt_dtype_size(t);
    if (x->batch * x->tokens == 0) return DT_OK;
    if (x->packed * bytes % 16 == 0 && x->width * bytes % 16 == 0) return append_words<uint4>(q, x, bytes);
    return bytes == 2 ? append_words<uint16_t>(q, x, bytes) : append_words<uint32_t>(q, x, bytes);
}
