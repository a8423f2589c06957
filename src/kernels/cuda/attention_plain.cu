/* Attention by plain float32 arithmetic: float32 data, and head sizes that the tensor-core kernels do not take, up to
 * 256. The mathematics and the products are those of attention.cu and attention_grad.cu; the bytes too. 256 threads as
 * 16 x 16 make a tile of scores, rows of queries by columns of keys, from tiles in shared memory, whose rows have odd
 * lengths so that a column lies in different banks; then they make the tile's part of the result from scores in shared
 * memory. A masked key is passed over in that second product too, whatever it holds.
 *
 * delta, the row sums of dout x out, is 4 bytes out for 2 rows in: bounded by memory. */
#include "kernels/cuda/attention.cuh"

namespace {

using namespace dt;

enum { THREADS = 256, SIDE = 16, MOST_SIZE = 256 };

/* TILE queries and keys, COLUMNS x 16 columns of a head: TILE / 16 rows of both to a thread. */
template <int TILE> constexpr int SCORE_LD = TILE + 1;

__host__ __device__ constexpr int row_length(int size) { return size | 1; }

template <int TILE, typename T>
__device__ __forceinline__ void load_tile(float *tile, const T *from, int64_t stride, int first, int tokens, int size)
{
    for (int i = threadIdx.x; i < TILE * size; i += THREADS) {
        const int row = i / size, column = i % size;
        const bool there = first + row < tokens;
        tile[row * row_length(size) + column] = there ? widen(from[(first + row) * stride + column]) : 0;
    }
}

/* Where a thread stands: rows row .. row + TILE / 16 - 1, columns column + 16 i, of a head no further than its last. */
template <int COLUMNS> struct place {
    int row, column, at[COLUMNS];
};

template <int TILE, int COLUMNS> __device__ __forceinline__ place<COLUMNS> find_place(int size)
{
    place<COLUMNS> p;
    p.row = threadIdx.x / SIDE * (TILE / SIDE), p.column = threadIdx.x % SIDE;
#pragma unroll
    for (int i = 0; i < COLUMNS; i++) p.at[i] = min(p.column + i * SIDE, size - 1);
    return p;
}

/* What a block has, a tile of queries or keys from number `first` on of a head, and where a thread stands in it. */
template <int COLUMNS> struct work {
    int ld, first;
    unsigned number; /* of the head */
    place<COLUMNS> at;
};

template <int TILE, int COLUMNS> __device__ __forceinline__ work<COLUMNS> find_work(int tokens, int size)
{
    const unsigned tiles = (tokens + TILE - 1) / TILE;
    return {row_length(size), (int)(blockIdx.x % tiles) * TILE, blockIdx.x / tiles, find_place<TILE, COLUMNS>(size)};
}

/* s = rows of a times rows of b. */
template <int TILE>
__device__ __forceinline__ void make_scores(float (&s)[TILE / SIDE][TILE / SIDE], const float *a, const float *b,
                                            int row, int column, int size)
{
    const int ld = row_length(size);
#pragma unroll
    for (int i = 0; i < TILE / SIDE; i++)
        for (int j = 0; j < TILE / SIDE; j++) s[i][j] = 0;
    for (int d = 0; d < size; d++) {
        float x[TILE / SIDE], y[TILE / SIDE];
#pragma unroll
        for (int i = 0; i < TILE / SIDE; i++) x[i] = a[(row + i) * ld + d], y[i] = b[(column + i * SIDE) * ld + d];
#pragma unroll
        for (int i = 0; i < TILE / SIDE; i++)
#pragma unroll
            for (int j = 0; j < TILE / SIDE; j++) s[i][j] = fmaf(x[i], y[j], s[i][j]);
    }
}

/* With documents: row i of a thread sees of the other side at most rows begin[i] .. end[i] - 1. */
template <bool DOCUMENTS, int ROWS> struct bounds {
    int begin[DOCUMENTS ? ROWS : 1], end[DOCUMENTS ? ROWS : 1];

    __device__ __forceinline__ bool leave_out(int i, int other) const
    {
        return DOCUMENTS && (other < begin[i] || other >= end[i]);
    }
};

/* What queries from number `first` on see, and what sees keys from number `first` on. */
template <bool DOCUMENTS, int ROWS>
__device__ __forceinline__ bounds<DOCUMENTS, ROWS> bound_keys(const int *starts, int first, int tokens)
{
    bounds<DOCUMENTS, ROWS> b;
#pragma unroll
    for (int i = 0; i < (DOCUMENTS ? ROWS : 0); i++)
        b.begin[i] = start_of(starts, first + i, tokens), b.end[i] = tokens;
    return b;
}

template <bool DOCUMENTS, int ROWS>
__device__ __forceinline__ bounds<DOCUMENTS, ROWS> bound_queries(const int *starts, int first, int tokens)
{
    bounds<DOCUMENTS, ROWS> b;
#pragma unroll
    for (int i = 0; i < (DOCUMENTS ? ROWS : 0); i++)
        b.begin[i] = 0, b.end[i] = find_document_end(starts, first + i, tokens, first + i);
    return b;
}

template <int ROWS, int COLUMNS> __device__ __forceinline__ void clear(float (&sum)[ROWS][COLUMNS])
{
#pragma unroll
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLUMNS; j++) sum[i][j] = 0;
}

/* sum[i] += those of the `rows` rows of `tile`, from number `begin` on, that row i sees, which are `least` + i to
 * `most` + i, within bounds. Row j is weighted by weight[i * row_step + j * step]. */
template <bool DOCUMENTS, int ROWS, int COLUMNS>
__device__ __forceinline__ void add_rows(float (&sum)[ROWS][COLUMNS], const float *weight, int row_step, int step,
                                         const float *tile, int ld, const place<COLUMNS> &p, int rows, int least,
                                         int most, int begin, const bounds<DOCUMENTS, ROWS> &seen)
{
    for (int j = 0; j < rows; j++) {
        float x[COLUMNS];
#pragma unroll
        for (int c = 0; c < COLUMNS; c++) x[c] = tile[j * ld + p.at[c]];
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
            const float by = weight[i * row_step + j * step];
            if (j > most + i || j < least + i || seen.leave_out(i, begin + j)) continue;
#pragma unroll
            for (int c = 0; c < COLUMNS; c++) sum[i][c] = fmaf(by, x[c], sum[i][c]);
        }
    }
}

template <typename T, int ROWS, int COLUMNS>
__device__ __forceinline__ void store(const float (&sum)[ROWS][COLUMNS], const float (&by)[ROWS], T *to, int64_t stride,
                                      int first, const place<COLUMNS> &p, int tokens, int size)
{
#pragma unroll
    for (int i = 0; i < ROWS; i++)
#pragma unroll
        for (int c = 0; c < COLUMNS; c++)
            if (first + p.row + i < tokens && p.column + c * SIDE < size)
                to[(first + p.row + i) * stride + p.column + c * SIDE] = narrow<T>(sum[i][c] * by[i]);
}

/* One row of scores becomes probabilities relative to its maximum so far, and what came before is brought to it. */
template <int N, int COLUMNS>
__device__ __forceinline__ void softmax_row(float (&s)[N], float (&sum)[COLUMNS], float &top, float &total)
{
    float most = top, part = 0;
#pragma unroll
    for (int j = 0; j < N; j++) most = fmaxf(most, s[j]);
    most = warp_max<SIDE>(most); /* the 16 threads that share the row */
    const float shrink = expf(top - most);
#pragma unroll
    for (int j = 0; j < N; j++) s[j] = expf(s[j] - most), part += s[j];
    top = most;
    total = fmaf(total, shrink, warp_sum<SIDE>(part));
#pragma unroll
    for (int c = 0; c < COLUMNS; c++) sum[c] *= shrink;
}

constexpr int EVERY = 1 << 20; /* beyond the rows of a tile */

/* Of the first tile that a tile of queries from number `first` on sees. */
template <int TILE> __device__ __forceinline__ int first_key(const int *starts, int first)
{
    return starts ? __ldg(starts + first) / TILE * TILE : 0;
}

template <typename T, int TILE, int COLUMNS, bool DOCUMENTS>
__global__ void __launch_bounds__(THREADS) attend_plainly(const attention_problem<T> p)
{
    constexpr int ROWS = TILE / SIDE, LD = SCORE_LD<TILE>;
    extern __shared__ float room[];
    const auto [ld, first, number, at] = find_work<TILE, COLUMNS>(p.tokens, p.size);
    const attention_head<T> h = find_head(p, number);
    float *q = room, *keys = q + TILE * ld, *weight = keys + TILE * ld; /* keys, then values */
    const int *starts = DOCUMENTS ? find_starts(p, number / p.heads) : NULL;
    const int last = p.causal ? min(p.tokens, first + TILE) : p.tokens;
    float sum[ROWS][COLUMNS], top[ROWS], total[ROWS], s[ROWS][ROWS];
    const auto seen = bound_keys<DOCUMENTS, ROWS>(starts, first + at.row, p.tokens);
    clear(sum);
    for (int i = 0; i < ROWS; i++) top[i] = DOCUMENTS ? NO_SCORE : -INFINITY, total[i] = 0;
    load_tile<TILE>(q, h.q, h.wide, first, p.tokens, p.size);
    for (int begin = first_key<TILE>(starts, first); begin < last; begin += TILE) {
        __syncthreads(); /* all have left the tile before */
        load_tile<TILE>(keys, h.k, h.wide, begin, p.tokens, p.size);
        __syncthreads();
        make_scores<TILE>(s, q, keys, at.row, at.column, p.size);
#pragma unroll
        for (int i = 0; i < ROWS; i++) {
#pragma unroll
            for (int j = 0; j < ROWS; j++) {
                const int row = first + at.row + i, key = begin + at.column + j * SIDE;
                s[i][j] = key >= p.tokens || (p.causal && key > row) || seen.leave_out(i, key) ? -INFINITY
                                                                                               : s[i][j] * p.scale;
            }
            softmax_row(s[i], sum[i], top[i], total[i]);
#pragma unroll
            for (int j = 0; j < ROWS; j++) weight[(at.row + i) * LD + at.column + j * SIDE] = s[i][j];
        }
        __syncthreads(); /* keys have been read, weights are there */
        load_tile<TILE>(keys, h.v, h.wide, begin, p.tokens, p.size);
        __syncthreads();
        add_rows(sum, weight + at.row * LD, LD, 1, keys, ld, at, min(TILE, p.tokens - begin), -EVERY,
                 p.causal ? first + at.row - begin : EVERY, begin, seen);
    }
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const int row = first + at.row + i;
        if (at.column == 0 && row < p.tokens) h.lse[row] = top[i] + logf(total[i]);
        total[i] = 1 / total[i];
    }
    store(sum, total, h.out, h.narrow, first, at, p.tokens, p.size);
}

/* The tiles of a backward block: of queries with dout, of keys with values, of P and dS as [query, key]. */
struct grad_tiles {
    float *q, *dout, *k, *v, *weight, *slope;
};

template <int TILE> __device__ __forceinline__ grad_tiles find_tiles(float *room, int size)
{
    const int step = TILE * row_length(size);
    float *scores = room + 4 * step;
    return {room, room + step, room + 2 * step, room + 3 * step, scores, scores + TILE * SCORE_LD<TILE>};
}

/* P and dS of a tile. */
template <typename T, int TILE, bool DOCUMENTS>
__device__ __forceinline__ void make_slopes(const grad_tiles &x, const attention_problem<T> &p,
                                            const attention_head<T> &h, int row, int column, int query, int key,
                                            const int *starts)
{
    constexpr int ROWS = TILE / SIDE, LD = SCORE_LD<TILE>;
    float s[ROWS][ROWS], dp[ROWS][ROWS];
    make_scores<TILE>(s, x.q, x.k, row, column, p.size);
    make_scores<TILE>(dp, x.dout, x.v, row, column, p.size);
#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const int at = query + row + i;
        const float lse = at < p.tokens ? h.lse[at] : 0, delta = at < p.tokens ? h.delta[at] : 0;
        const int start = DOCUMENTS ? start_of(starts, at, p.tokens) : 0;
#pragma unroll
        for (int j = 0; j < ROWS; j++) {
            const int other = key + column + j * SIDE, to = (row + i) * LD + column + j * SIDE;
            const bool masked = at >= p.tokens || other >= p.tokens || (p.causal && other > at) ||
                                (DOCUMENTS && other < start);
            const float weight = masked ? 0 : expf(s[i][j] * p.scale - lse);
            x.weight[to] = weight;
            x.slope[to] = masked ? 0 : p.scale * weight * (dp[i][j] - delta);
        }
    }
}

/* dk and dv of a tile of keys. */
template <typename T, int TILE, int COLUMNS, bool DOCUMENTS>
__global__ void __launch_bounds__(THREADS) grad_of_keys(const attention_problem<T> p)
{
    constexpr int ROWS = TILE / SIDE, LD = SCORE_LD<TILE>;
    extern __shared__ float room[];
    const grad_tiles x = find_tiles<TILE>(room, p.size);
    const auto [ld, first, number, at] = find_work<TILE, COLUMNS>(p.tokens, p.size);
    attention_head<T> h = find_kv_head(p, number);
    const int *starts = DOCUMENTS ? find_starts(p, number / p.kv_heads) : NULL;
    const int last = DOCUMENTS ? find_document_end(starts, first, p.tokens, first + TILE - 1) : p.tokens;
    float dk[ROWS][COLUMNS], dv[ROWS][COLUMNS], one[ROWS];
    const auto seen = bound_queries<DOCUMENTS, ROWS>(starts, first + at.row, p.tokens);
    clear(dk), clear(dv);
    for (int i = 0; i < ROWS; i++) one[i] = 1;
    load_tile<TILE>(x.k, h.k, h.wide, first, p.tokens, p.size);
    load_tile<TILE>(x.v, h.v, h.wide, first, p.tokens, p.size);
    for (int head = 0; head < p.heads / p.kv_heads; head++) {
        for (int begin = p.causal ? first : 0; begin < last; begin += TILE) {
            __syncthreads(); /* all have left the tile before */
            load_tile<TILE>(x.q, h.q, h.wide, begin, p.tokens, p.size);
            load_tile<TILE>(x.dout, h.dout, h.narrow, begin, p.tokens, p.size);
            __syncthreads();
            make_slopes<T, TILE, DOCUMENTS>(x, p, h, at.row, at.column, begin, first, starts);
            __syncthreads();
            const int rows = min(TILE, p.tokens - begin), least = p.causal ? first + at.row - begin : -EVERY;
            add_rows(dk, x.slope + at.row, 1, LD, x.q, ld, at, rows, least, EVERY, begin, seen);
            add_rows(dv, x.weight + at.row, 1, LD, x.dout, ld, at, rows, least, EVERY, begin, seen);
        }
        h.q += p.size, h.dout += p.size, h.lse += p.tokens, h.delta += p.tokens;
    }
    store(dk, one, h.dk, h.wide, first, at, p.tokens, p.size);
    store(dv, one, h.dv, h.wide, first, at, p.tokens, p.size);
}

/* dq of a tile of queries. */
template <typename T, int TILE, int COLUMNS, bool DOCUMENTS>
__global__ void __launch_bounds__(THREADS) grad_of_queries(const attention_problem<T> p)
{
    constexpr int ROWS = TILE / SIDE, LD = SCORE_LD<TILE>;
    extern __shared__ float room[];
    const grad_tiles x = find_tiles<TILE>(room, p.size);
    const auto [ld, first, number, at] = find_work<TILE, COLUMNS>(p.tokens, p.size);
    const attention_head<T> h = find_head(p, number);
    const int *starts = DOCUMENTS ? find_starts(p, number / p.heads) : NULL;
    const int last = p.causal ? min(p.tokens, first + TILE) : p.tokens;
    float dq[ROWS][COLUMNS], one[ROWS];
    const auto seen = bound_keys<DOCUMENTS, ROWS>(starts, first + at.row, p.tokens);
    clear(dq);
    for (int i = 0; i < ROWS; i++) one[i] = 1;
    load_tile<TILE>(x.q, h.q, h.wide, first, p.tokens, p.size);
    load_tile<TILE>(x.dout, h.dout, h.narrow, first, p.tokens, p.size);
    for (int begin = first_key<TILE>(starts, first); begin < last; begin += TILE) {
        __syncthreads(); /* all have left the tile before */
        load_tile<TILE>(x.k, h.k, h.wide, begin, p.tokens, p.size);
        load_tile<TILE>(x.v, h.v, h.wide, begin, p.tokens, p.size);
        __syncthreads();
        make_slopes<T, TILE, DOCUMENTS>(x, p, h, at.row, at.column, first, begin, starts);
        __syncthreads();
        add_rows(dq, x.slope + at.row * LD, LD, 1, x.k, ld, at, min(TILE, p.tokens - begin), -EVERY,
                 p.causal ? first + at.row - begin : EVERY, begin, seen);
    }
    store(dq, one, h.dq, h.wide, first, at, p.tokens, p.size);
}

/* delta: LANES threads to a row of out and dout, [batch, tokens, heads]. */
enum { LANES = 8 };

template <typename T> __global__ void __launch_bounds__(THREADS) sum_rows(const attention_problem<T> p, int64_t rows)
{
    constexpr int PACK = pack<T>::size;
    const int64_t row = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / LANES, at = min(row, rows - 1) * p.size;
    const int lane = threadIdx.x % LANES;
    const T *x = p.out + at, *y = p.dout + at;
    float sum = 0;
    if (p.size % PACK == 0) {
        for (int i = lane * PACK; i < p.size; i += LANES * PACK) {
            const pack<T> a = load_pack(x + i), b = load_pack(y + i);
#pragma unroll
            for (int j = 0; j < PACK; j++) sum = fmaf(widen(a.at[j]), widen(b.at[j]), sum);
        }
    } else {
        for (int i = lane; i < p.size; i += LANES) sum = fmaf(widen(x[i]), widen(y[i]), sum);
    }
    sum = warp_sum<LANES>(sum);
    if (lane || row >= rows) return;
    const int64_t token = row / p.heads, sample = token / p.tokens;
    p.delta[(sample * p.heads + row % p.heads) * p.tokens + token % p.tokens] = sum;
}

template <typename T, int TILE, int COLUMNS> dt_status attend(const dt_queue *q, const dt_attention_args *a)
{
    const size_t floats = 2 * TILE * row_length((int)a->size) + TILE * SCORE_LD<TILE>;
    const attention_problem<T> p = describe_attention<T>(a);
    const int64_t tiles = p.batch * p.heads * ceil_div<int64_t>(a->tokens, TILE);
    const auto kernel =
        a->documents ? attend_plainly<T, TILE, COLUMNS, true> : attend_plainly<T, TILE, COLUMNS, false>;
    return launch_attention(q, kernel, tiles, THREADS, floats * sizeof(float), p);
}

template <typename T, int TILE, int COLUMNS> dt_status grad(const dt_queue *q, const dt_attention_args *a)
{
    const size_t floats = 4 * TILE * row_length((int)a->size) + 2 * TILE * SCORE_LD<TILE>;
    const attention_problem<T> p = describe_attention<T>(a);
    const int64_t tiles = p.batch * ceil_div<int64_t>(a->tokens, TILE);
    const size_t bytes = floats * sizeof(float);
    const bool documents = a->documents;
    const auto keys = documents ? grad_of_keys<T, TILE, COLUMNS, true> : grad_of_keys<T, TILE, COLUMNS, false>;
    const auto queries = documents ? grad_of_queries<T, TILE, COLUMNS, true> : grad_of_queries<T, TILE, COLUMNS, false>;
    DT_TRY(launch_attention(q, keys, tiles * p.kv_heads, THREADS, bytes, p));
    return launch_attention(q, queries, tiles * p.heads, THREADS, bytes, p);
}

dt_status check_size(const dt_attention_args *a)
{
    if (a->size <= MOST_SIZE) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "attention: heads of size %lld are too large for CUDA, which takes up to %d",
                   (long long)a->size, (int)MOST_SIZE);
}

}

/* The largest tiles that leave room for a second block, or at least fit into 99 KB. */
dt_status dt::attention_plain(const dt_queue *q, dt_dtype t, const dt_attention_args *a)
{
    DT_TRY(check_size(a));
    return by_type(t, [&](auto type) {
        typedef decltype(type) T;
        if (a->size <= 64) return attend<T, 64, 4>(q, a);
        if (a->size <= 128) return attend<T, 64, 8>(q, a);
        return attend<T, 32, 16>(q, a);
    });
}

dt_status dt::attention_grad_plain(const dt_queue *q, dt_dtype t, const dt_attention_args *a)
{
    DT_TRY(check_size(a));
    DT_TRY(attention_delta(q, t, a));
    return by_type(t, [&](auto type) {
        typedef decltype(type) T;
        if (a->size <= 64) return grad<T, 64, 4>(q, a);
        if (a->size <= 128) return grad<T, 32, 8>(q, a);
        return grad<T, 16, 16>(q, a);
    });
}

dt_status dt::attention_delta(const dt_queue *q, dt_dtype t, const dt_attention_args *a)
{
    return by_type(t, [&](auto type) {
        typedef decltype(type) T;
        const attention_problem<T> p = describe_attention<T>(a);
        const int64_t rows = p.batch * p.heads * p.tokens, blocks = ceil_div<int64_t>(rows, THREADS / LANES);
        sum_rows<T><<<(unsigned)blocks, THREADS, 0, stream_of(q)>>>(p, rows);
        return launched();
    });
}
