/* Rotary position embedding: (a, b) becomes (a cos - b sin, b cos + a sin), a in the first half of a head and b in the
 * second, by the angle place times frequency.
 *
 * Bytes: 2 elements for each rotated one, and for the others where the result goes to another place. A block takes one
 * token or, where heads are few, several. What a thread rotates first is on its way from memory while the block makes
 * each token's angles, once for all heads: in float64, less whole turns, since place times frequency in float32 is off
 * by up to 1e-4 at place 4096.
 *
 * Reached on an H200 in bfloat16 (`bench kernels`): 83 % of the bandwidth of a copy of as many bytes with 36 heads of
 * 64, 93 % with 48 of 128. */
#include <algorithm>

#include "kernels/cuda/divide.cuh"
#include "kernels/cuda/wide.cuh"

namespace {

using namespace dt;

enum { THREADS = 256, DEPTH = 2, MOST_TOKENS = 8, MOST_HALF = DT_ROPE_MOST / 2 };

template <typename T> struct problem {
    int64_t rows, tokens;              /* rows: the tokens of all sequences */
    int heads, rotated, size, group;   /* group: rows that a block takes */
    divider<uint32_t> packs, turning;  /* of half a head; heads that are rotated */
    double turns[MOST_HALF];           /* from one token to the next, of each pair of a head */
    const int32_t *position;
    const T *x;
    T *y;
};

struct angles {
    float cosine[MOST_TOKENS][MOST_HALF], sine[MOST_TOKENS][MOST_HALF];
};

template <typename T>
__device__ __forceinline__ void make_angles(const problem<T> &p, int64_t row, int rows, angles *to)
{
    const int half = p.size / 2;
    for (int i = threadIdx.x; i < rows * half; i += THREADS) {
        const int token = i / half, pair = i % half;
        const int64_t place = (row + token) % p.tokens + (p.position ? p.position[(row + token) / p.tokens] : 0);
        const double turn = (double)place * p.turns[pair];
        sincospif((float)(2 * (turn - rint(turn))), &to->sine[token][pair], &to->cosine[token][pair]);
    }
}

/* Where the pack of half a head lies that a block does as its `job`-th. */
struct spot {
    uint32_t at; /* elements from the block's first */
    uint32_t token, pair;
};

template <int N, typename T> __device__ __forceinline__ spot spot_of(const problem<T> &p, uint32_t job)
{
    const uint32_t pair = p.packs.split(&job) * N, head = p.turning.split(&job);
    return {(job * p.heads + head) * p.size + pair, job, pair};
}

template <typename T, int N>
__device__ __forceinline__ void turn(const angles &by, const spot &s, const group<T, N> &first,
                                     const group<T, N> &second, T *y, int half)
{
    float c[N], n[N], a[N], b[N];
    load_wide(&by.cosine[s.token][s.pair], c);
    load_wide(&by.sine[s.token][s.pair], n);
#pragma unroll
    for (int e = 0; e < N; e++) {
        a[e] = widen(first.at[e]) * c[e] - widen(second.at[e]) * n[e];
        b[e] = widen(second.at[e]) * c[e] + widen(first.at[e]) * n[e];
    }
    store_wide(y + s.at, a);
    store_wide(y + s.at + half, b);
}

template <int N, typename T> __device__ __forceinline__ void copy_others(const problem<T> &p, int64_t start, int rows)
{
    const int width = p.heads * p.size;
    for (int64_t at = start; at < start + (int64_t)rows * width; at += width)
        for (int i = p.rotated * p.size + threadIdx.x * N; i < width; i += THREADS * N)
            store_group<N>(p.y + at + i, load_group<N>(p.x + at + i));
}

template <typename T, int N> __global__ void __launch_bounds__(THREADS, 4) rotate(const __grid_constant__ problem<T> p)
{
    __shared__ alignas(16) angles by;
    const int64_t row = (int64_t)blockIdx.x * p.group, start = row * p.heads * p.size;
    const int rows = (int)min((int64_t)p.group, p.rows - row), half = p.size / 2;
    const uint32_t jobs = rows * p.turning.by * p.packs.by;
    for (uint32_t begin = 0; begin < jobs; begin += DEPTH * THREADS) {
        group<T, N> first[DEPTH], second[DEPTH];
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            const uint32_t job = begin + d * THREADS + threadIdx.x;
            if (job >= jobs) break;
            const T *from = p.x + start + spot_of<N>(p, job).at;
            first[d] = load_group<N>(from);
            second[d] = load_group<N>(from + half);
        }
        if (begin == 0) {
            make_angles(p, row, rows, &by);
            __syncthreads();
        }
#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            const uint32_t job = begin + d * THREADS + threadIdx.x;
            if (job < jobs) turn(by, spot_of<N>(p, job), first[d], second[d], p.y + start, half);
        }
    }
    if (p.x != p.y) copy_others<N>(p, start, rows);
}

}

dt_status dt_cuda_rope(const dt_queue *q, dt_dtype t, const dt_rope_args *a)
{
    const int64_t rows = a->batch * a->tokens;
    if (rows == 0) return DT_OK;
    return by_type(t, [&](auto zero) {
        typedef decltype(zero) T;
        const bool packed = a->size / 2 % pack<T>::size == 0;
        const int64_t packs = a->size / 2 / (packed ? pack<T>::size : 1), full = DEPTH * THREADS / (packs * a->rotated);
        const int64_t group = std::clamp<int64_t>(full, 1, MOST_TOKENS), blocks = ceil_div(rows, group);
        if (blocks > INT32_MAX)
            return dt_fail(DT_ERR_USAGE, "rope: %lld tokens are too many for one launch", (long long)rows);
        problem<T> p = {rows, a->tokens, (int)a->heads, (int)a->rotated, (int)a->size, (int)group,
                        divider<uint32_t>(packs), divider<uint32_t>(a->rotated), {}, a->position,
                        (const T *)a->x, (T *)a->y};
        for (int i = 0; i < p.size / 2; i++) p.turns[i] = a->frequency[i] * 0.15915494309189533577; /* 1/(2 pi) */
        const auto kernel = packed ? rotate<T, pack<T>::size> : rotate<T, 1>;
        kernel<<<(unsigned)blocks, THREADS, 0, stream_of(q)>>>(p);
        return launched();
    });
}
