/* Scaled dot-product attention, backward (FlashAttention-2, Dao, 2023). With P = exp(scale q k' - lse) made again from
 * the kept log-sum-exp, and delta = rowsum(dout out):
 *   dv = P' dout, dS = P (dout v' - delta), dq = scale dS k, dk = scale dS' q
 * 10 tokens^2 size FLOPs per head. It must read qkv, out, dout, lse and write dqkv.
 *
 * bf16, a warp to 16 keys: their k, v and the sums of dk, dv stay in registers, queries come by in pieces of 16. P and
 * dS are made transposed, [key, query], so that as C fragments they already are the left sides of dv and dk.
 *
 * Short sequences, whole_head: a block holds a head, so that after every 32 queries their dS for all keys lies in
 * shared memory and the product with k gives their dq for good: five products, nothing made twice, one barrier. The
 * products for dq go to those of the four schedulers that have a warp less where their number is uneven; dS has two
 * buffers, so that other warps run ahead meanwhile.
 *
 * Longer ones, and where several heads of queries share one of keys and values: key_tile makes dk and dv of a tile of
 * keys over all queries, one head of them behind the other, query_tile dq of a tile of queries over all keys with P and
 * dS made again: seven products. Sums have the same order whatever runs when.
 *
 * A masked P or dS is set to 0, and what it would multiply must be finite, or NaN would pass the mask: with a causal
 * mask, q, k and dout are cleaned of NaN and infinity in shared memory. Nothing is lost by that: a bad q or k has made
 * lse NaN for the rows that see it, a bad dout makes delta NaN, which is passed on into P; v needs no cleaning, for
 * dout v' is masked behind the product.
 *
 * Where a sample has several documents, tiles do it: those in which no row sees a key are passed over.
 *
 * Everything else, and float32: attention_plain.cu.
 *
 * Reached on an H200 in bfloat16 (`bench kernels`): of what a large matrix product reaches 26 % at 197 tokens and
 * heads of 64, 17 % at 4096 causal ones and heads of 128, where cuDNN is taken if it is there. */
#include "kernels/cuda/attention.cuh"

namespace {

using namespace dt;

/* 4 bytes in the background, or zeros. */
__device__ __forceinline__ void copy_float_later(float *to, const float *from, bool wanted)
{
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(wanted ? 4 : 0) : "memory");
}

/* Rows of queries come by as q, dout, and in the padding lse, delta and where the document begins: one address serves
 * all. */
template <int DP> constexpr int PAIR_LD = 2 * DP + ATTENTION_PAD;

/* What a warp keeps of its 16 keys: g and g + 8 for lane 4 g + t. Large heads read k and v again every time. */
template <int DP> struct key_rows {
    static constexpr bool KEPT = DP <= 80;
    static constexpr int LD = DP + ATTENTION_PAD, PAIR = PAIR_LD<DP>;
    uint32_t k[KEPT ? DP / 16 : 1][4], v[KEPT ? DP / 16 : 1][4];
    float dk[DP / 8][4], dv[DP / 8][4];
    const bf16 *k_tile, *v_tile;
    int first;
};

template <int DP>
__device__ __forceinline__ void load_keys(key_rows<DP> &w, const bf16 *k_tile, const bf16 *v_tile, int first)
{
#pragma unroll
    for (int n = 0; n < DP / 8; n++)
        for (int i = 0; i < 4; i++) w.dk[n][i] = w.dv[n][i] = 0;
    w.k_tile = k_tile, w.v_tile = v_tile, w.first = first;
#pragma unroll
    for (int d = 0; d < (w.KEPT ? DP / 16 : 0); d++) {
        load_a(w.k[d], k_tile + d * 16, w.LD);
        load_a(w.v[d], v_tile + d * 16, w.LD);
    }
}

/* s = k q' and dp = v dout' of the warp's keys and 16 queries. */
template <int DP>
__device__ __forceinline__ void make_scores(key_rows<DP> &w, const bf16 *pairs, float (&s)[2][4], float (&dp)[2][4])
{
#pragma unroll
    for (int n = 0; n < 2; n++)
        for (int i = 0; i < 4; i++) s[n][i] = dp[n][i] = 0;
#pragma unroll
    for (int d = 0; d < DP / 16; d++) {
        uint32_t b[4];
        const int kept = w.KEPT ? d : 0;
        if (!w.KEPT) load_a(w.k[0], w.k_tile + d * 16, w.LD);
        load_b_rows_n(b, pairs + d * 16, w.PAIR);
        multiply(s[0], w.k[kept], b[0], b[1]);
        multiply(s[1], w.k[kept], b[2], b[3]);
        if (!w.KEPT) load_a(w.v[0], w.v_tile + d * 16, w.LD);
        load_b_rows_n(b, pairs + DP + d * 16, w.PAIR);
        multiply(dp[0], w.v[kept], b[0], b[1]);
        multiply(dp[1], w.v[kept], b[2], b[3]);
    }
}

/* lse and delta in a row of queries. */
template <int DP> __device__ __forceinline__ float2 *row_sums(bf16 *row)
{
    return reinterpret_cast<float2 *>(row + 2 * DP);
}

template <int DP> __device__ __forceinline__ int *row_start(bf16 *row)
{
    return reinterpret_cast<int *>(row_sums<DP>(row) + 1);
}

/* The warp's keys and the 16 queries from number `query` on, whose rows are at pairs: adds to dv and dk and leaves dS
 * (without scale) in ds, keys by queries. */
template <int DP, attention_mask MASK>
__device__ __forceinline__ void add_queries(key_rows<DP> &w, bf16 *pairs, int query, int tokens, float per_score,
                                            uint32_t (&ds)[4])
{
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const bool masked = w.first + 16 > tokens || (MASK != OPEN && query < w.first + 15) ||
                        (MASK == DOCUMENTS && *row_start<DP>(pairs + 15 * w.PAIR) > w.first);
    float p[2][4], dp[2][4];
    make_scores<DP>(w, pairs, p, dp);
#pragma unroll
    for (int n = 0; n < 2; n++) {
        bf16 *row = pairs + (n * 8 + 2 * t) * w.PAIR;
        const float2 even = *row_sums<DP>(row), odd = *row_sums<DP>(row + w.PAIR);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float shift = -LOG2_E * (i % 2 ? odd.x : even.x), mean = i % 2 ? odd.y : even.y;
            p[n][i] = fast_exp2(fmaf(p[n][i], per_score, shift));
            dp[n][i] = p[n][i] * (dp[n][i] - mean);
            if (MASK != OPEN) p[n][i] = fmaf(mean, 0.0f, p[n][i]);
            const int key = w.first + g + i / 2 * 8, at = query + n * 8 + 2 * t + i % 2;
            if (masked && (key >= tokens || (MASK != OPEN && key > at))) p[n][i] = dp[n][i] = 0;
            if (MASK == DOCUMENTS && masked && key < *row_start<DP>(row + i % 2 * w.PAIR)) p[n][i] = dp[n][i] = 0;
        }
    }
    uint32_t weight[4];
    round_to_a(weight, p[0], p[1]);
    round_to_a(ds, dp[0], dp[1]);
#pragma unroll
    for (int n = 0; n < DP / 16; n++) {
        uint32_t b[4];
        load_b_rows_k(b, pairs + DP + n * 16, w.PAIR);
        multiply(w.dv[2 * n], weight, b[0], b[1]);
        multiply(w.dv[2 * n + 1], weight, b[2], b[3]);
        load_b_rows_k(b, pairs + n * 16, w.PAIR);
        multiply(w.dk[2 * n], ds, b[0], b[1]);
        multiply(w.dk[2 * n + 1], ds, b[2], b[3]);
    }
}

/* dk and dv of the warp, through 16 rows of shared memory. */
template <int DP>
__device__ __forceinline__ void store_keys(key_rows<DP> &w, bf16 *room, const attention_problem<bf16> &p,
                                           const attention_head<bf16> &h)
{
    store_rows<DP>(room, w.dk, p.scale, p.scale, h.dk, h.wide, w.first, p.tokens, p.size);
    store_rows<DP>(room, w.dv, 1, 1, h.dv, h.wide, w.first, p.tokens, p.size);
}

/* --- a head in a block --- */

/* dS of a step lies as [key, STEP queries] in rows of STEP + 8: writes and reads each spread over the banks. */
enum { STEP = 32, DS_LD = STEP + 8, MOST_WARPS = 13, MOST_SIZE = 64 };

/* Shared memory: k, pairs, then v until it is in registers and two buffers of dS from then on. */
template <int DP> size_t head_shared(int rows)
{
    return rows * (DP + ATTENTION_PAD + PAIR_LD<DP> + 2 * DS_LD) * sizeof(bf16);
}
static_assert(MOST_SIZE + ATTENTION_PAD <= 2 * DS_LD, "v lies where dS is later");

/* delta of 16 rows of queries from `first` on: two lanes a row. */
template <int DP>
__device__ __forceinline__ void make_delta(bf16 *pairs, const attention_head<bf16> &h, int first, int tokens, int size)
{
    const int lane = threadIdx.x % 32, row = first + lane / 2;
    const int64_t from = (int64_t)row * h.narrow;
    float sum = 0;
    if (row < tokens)
        for (int at = lane % 2 * 8; at < size; at += 16) {
            const pack<bf16> x = load_pack(h.out + from + at), y = load_pack(h.dout + from + at);
            for (int i = 0; i < 8; i++) sum = fmaf(widen(x.at[i]), widen(y.at[i]), sum);
        }
    sum += __shfl_xor_sync(0xffffffffu, sum, 1);
    if (lane % 2 == 0) row_sums<DP>(pairs + row * PAIR_LD<DP>)->y = sum;
}

/* dq of 16 queries from number `query` on and 16 columns: the sum over `pieces` x 16 keys of ds[key, query] k. */
template <int DP>
__device__ __forceinline__ void make_dq(const bf16 *ds, const bf16 *k, int pieces, int query, int column,
                                        const attention_problem<bf16> &p, const attention_head<bf16> &h)
{
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    constexpr int LD = DP + ATTENTION_PAD;
    float sum[2][4] = {};
#pragma unroll 2
    for (int piece = 0; piece < pieces; piece++) {
        uint32_t a[4], b[4];
        load_a_rows_k(a, ds + piece * 16 * DS_LD, DS_LD);
        load_b_rows_k(b, k + piece * 16 * LD + column, LD);
        multiply(sum[0], a, b[0], b[1]);
        multiply(sum[1], a, b[2], b[3]);
    }
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int row = query + g + half * 8;
        if (row >= p.tokens) continue;
        for (int n = 0; n < 2; n++)
            if (column + n * 8 < p.size)
                *reinterpret_cast<uint32_t *>(h.dq + (int64_t)row * h.wide + column + n * 8 + 2 * t) =
                    round_two(sum[n][2 * half] * p.scale, sum[n][2 * half + 1] * p.scale);
    }
}

/* Who makes dq: all warps, or, where the first of the four schedulers has a warp more, those of the others. */
__device__ __forceinline__ bool first_has_more(int warps) { return warps % 4 == 1 && warps > 4; }
__device__ __forceinline__ int dq_makers(int warps) { return first_has_more(warps) ? warps / 4 * 3 : warps; }
/* The place of a warp among them; -1: none. */
__device__ __forceinline__ int dq_maker(int warps, int warp)
{
    if (!first_has_more(warps)) return warp;
    return warp % 4 ? warp / 4 * 3 + warp % 4 - 1 : -1;
}

/* The whole head into shared memory, in the background: k and v first, then, in a group of their own, the pairs. */
template <int DP>
__device__ __forceinline__ void fetch_head(bf16 *k, bf16 *v, bf16 *pairs, const attention_problem<bf16> &p,
                                           const attention_head<bf16> &h, int rows, int threads)
{
    constexpr int PAIR = PAIR_LD<DP>;
    fetch_rows<DP>(k, h.k, h.wide, 0, rows, p.tokens, p.size, threadIdx.x, threads);
    fetch_rows<DP>(v, h.v, h.wide, 0, rows, p.tokens, p.size, threadIdx.x, threads);
    close_copies();
    fetch_rows<DP, PAIR>(pairs, h.q, h.wide, 0, rows, p.tokens, p.size, threadIdx.x, threads);
    fetch_rows<DP, PAIR>(pairs + DP, h.dout, h.narrow, 0, rows, p.tokens, p.size, threadIdx.x, threads);
    if (threadIdx.x < rows) {
        const bool wanted = threadIdx.x < p.tokens;
        copy_float_later(&row_sums<DP>(pairs + threadIdx.x * PAIR)->x, wanted ? h.lse + threadIdx.x : h.lse, wanted);
    }
    close_copies();
}

template <int DP, attention_mask MASK>
__global__ void __launch_bounds__(32 * MOST_WARPS, 1) whole_head(const attention_problem<bf16> p)
{
    constexpr int LD = DP + ATTENTION_PAD, PAIR = PAIR_LD<DP>;
    extern __shared__ uint4 memory[];
    const int threads = blockDim.x, warps = threads / 32, warp = threadIdx.x / 32, rows = 16 * warps;
    bf16 *k = reinterpret_cast<bf16 *>(memory), *pairs = k + rows * LD, *ds = pairs + rows * PAIR, *v = ds;
    const attention_head<bf16> h = find_head(p, blockIdx.x);
    fetch_head<DP>(k, v, pairs, p, h, rows, threads);
    make_delta<DP>(pairs, h, 16 * warp, p.tokens, p.size);

    key_rows<DP> w;
    wait_copies<1>();
    if (MASK != OPEN) clean_rows<DP>(k, rows, threads);
    __syncthreads();
    load_keys<DP>(w, k + 16 * warp * LD, v + 16 * warp * LD, 16 * warp);
    wait_copies<0>();
    if (MASK != OPEN) clean_rows<DP, PAIR>(pairs, rows, threads), clean_rows<DP, PAIR>(pairs + DP, rows, threads);
    __syncthreads(); /* queries are there, and v has been read */

    const float per_score = p.scale * LOG2_E;
#pragma unroll 1
    for (int query = 0; query < rows; query += 16) {
        query = opaque(query);
        bf16 *step = ds + query / STEP % 2 * rows * DS_LD;
        if (MASK == OPEN || query >= w.first) { /* what is left out make_dq leaves out */
            const int lane = opaque(threadIdx.x % 32);
            uint32_t x[4];
            add_queries<DP, MASK>(w, pairs + query * PAIR, query, p.tokens, per_score, x);
            bf16 *to = step + (w.first + lane / 4) * DS_LD + query % STEP + lane % 4 * 2;
            for (int i = 0; i < 4; i++) *reinterpret_cast<uint32_t *>(to + i % 2 * 8 * DS_LD + i / 2 * 8) = x[i];
        }
        if (query % STEP + 16 < STEP && query + 16 < rows) continue;
        __syncthreads(); /* this dS is there, and all have left the buffer of the next */
        const int pieces = query % STEP / 16 + 1, makers = dq_makers(warps), maker = dq_maker(warps, opaque(warp));
        for (int job = maker; job >= 0 && job < pieces * (DP / 16); job += makers) {
            const int row = job % pieces * 16, number = query / STEP * STEP + row;
            make_dq<DP>(step + row, k, MASK != OPEN ? number / 16 + 1 : warps, number, job / pieces * 16, p,
                        find_head(p, block_number()));
        }
    }
    store_keys<DP>(w, pairs + 16 * warp * PAIR, p, find_head(p, block_number())); /* pairs have no reader any more */
}

template <int DP> dt_status grad_by_head(const dt_queue *q, const dt_attention_args *a)
{
    const attention_problem<bf16> p = describe_attention<bf16>(a);
    const int warps = (int)ceil_div<int64_t>(a->tokens, 16);
    const auto kernel = p.causal ? whole_head<DP, CAUSAL> : whole_head<DP, OPEN>;
    return launch_attention(q, kernel, p.batch * p.heads, 32 * warps, head_shared<DP>(16 * warps), p);
}

/* --- a tile of a head in a block --- */

template <int DP> struct shape {
    static constexpr int LD = DP + ATTENTION_PAD;
    static constexpr int WARPS = DP <= 80 ? 4 : 8, THREADS = 32 * WARPS;
    static constexpr int OWN = 16 * WARPS;           /* keys of key_tile, queries of query_tile */
    static constexpr int OTHER = DP <= 80 ? 64 : 32; /* queries or keys that come by at a time */
    static constexpr int RESIDENT = DP <= 64 ? 3 : DP == 80 ? 2 : 1;
    static constexpr size_t SHARED = (2 * OWN + 4 * OTHER) * LD * sizeof(bf16);
};

/* A tile of queries from number `begin` on, with their sums and where their documents begin, in the background. */
template <int DP, attention_mask MASK>
__device__ __forceinline__ void fetch_queries(bf16 *to, const attention_problem<bf16> &p,
                                              const attention_head<bf16> &h, int begin, const int *starts)
{
    constexpr int OTHER = shape<DP>::OTHER, THREADS = shape<DP>::THREADS, PAIR = PAIR_LD<DP>;
    const int thread = opaque(threadIdx.x), row = begin + thread;
    fetch_rows<DP, PAIR>(to, h.q, h.wide, begin, OTHER, p.tokens, p.size, thread, THREADS);
    fetch_rows<DP, PAIR>(to + DP, h.dout, h.narrow, begin, OTHER, p.tokens, p.size, thread, THREADS);
    if (thread < OTHER) {
        float2 *sums = row_sums<DP>(to + thread * PAIR);
        copy_float_later(&sums->x, h.lse + (row < p.tokens ? row : 0), row < p.tokens);
        copy_float_later(&sums->y, h.delta + (row < p.tokens ? row : 0), row < p.tokens);
        if (MASK == DOCUMENTS)
            copy_float_later(reinterpret_cast<float *>(sums + 1),
                             reinterpret_cast<const float *>(starts + min(row, p.tokens - 1)), true);
    }
    close_copies();
}

template <int DP, attention_mask MASK>
__global__ void __launch_bounds__(shape<DP>::THREADS, shape<DP>::RESIDENT) key_tile(const attention_problem<bf16> p)
{
    constexpr int LD = shape<DP>::LD, OWN = shape<DP>::OWN, OTHER = shape<DP>::OTHER, THREADS = shape<DP>::THREADS;
    constexpr int PAIR = PAIR_LD<DP>;
    extern __shared__ uint4 memory[];
    bf16 *k = reinterpret_cast<bf16 *>(memory), *v = k + OWN * LD, *pairs = v + OWN * LD;
    const int tiles = (p.tokens + OWN - 1) / OWN, first = blockIdx.x % tiles * OWN, warp = threadIdx.x / 32;
    attention_head<bf16> h = find_kv_head(p, blockIdx.x / tiles);
    const int from = MASK != OPEN ? first / OTHER * OTHER : 0, heads = p.heads / p.kv_heads;
    const int *starts = MASK == DOCUMENTS ? find_starts(p, blockIdx.x / tiles / p.kv_heads) : NULL;
    fetch_rows<DP>(k, h.k, h.wide, first, OWN, p.tokens, p.size, threadIdx.x, THREADS);
    fetch_rows<DP>(v, h.v, h.wide, first, OWN, p.tokens, p.size, threadIdx.x, THREADS);
    fetch_queries<DP, MASK>(pairs, p, h, from, starts);
    const int end = MASK == DOCUMENTS ? find_document_end(starts, first, p.tokens, first + OWN - 1) : p.tokens;
    key_rows<DP> w;
    const float per_score = p.scale * LOG2_E;
    int begin = from, head = 0, buffer = 0;
    for (bool loaded = false;; loaded = true) {
        bf16 *tile = pairs + buffer * OTHER * PAIR;
        wait_copies<0>();
        if (MASK != OPEN) {
            if (!loaded) clean_rows<DP>(k, OWN, THREADS);
            clean_rows<DP, PAIR>(tile, OTHER, THREADS);
            clean_rows<DP, PAIR>(tile + DP, OTHER, THREADS);
        }
        __syncthreads(); /* this tile is there, and all have left the one before */
        int next = begin + OTHER;
        if (next >= end && ++head < heads) {
            next = from;
            h.q += p.size, h.dout += p.size, h.lse += p.tokens, h.delta += p.tokens;
        }
        buffer ^= 1;
        if (next < end) fetch_queries<DP, MASK>(pairs + buffer * OTHER * PAIR, p, h, next, starts);
        if (!loaded) load_keys<DP>(w, k + 16 * warp * LD, v + 16 * warp * LD, first + 16 * warp);
        for (int at = 0; w.first < p.tokens && at < OTHER && begin + at < end; at += 16) {
            if (MASK != OPEN && begin + at < w.first) continue;
            if (MASK == DOCUMENTS && *row_start<DP>(tile + at * PAIR) > w.first + 15) break;
            uint32_t ds[4];
            add_queries<DP, MASK>(w, tile + at * PAIR, begin + at, p.tokens, per_score, ds);
        }
        if (next >= end) break;
        begin = next;
    }
    store_keys<DP>(w, k + 16 * warp * LD, p, find_kv_head(p, block_number() / tiles)); /* no other warp's keys */
}

/* The queries of a warp in query_tile. */
template <int DP> struct query_rows {
    static constexpr int LD = DP + ATTENTION_PAD;
    uint32_t q[DP / 16][4], dout[DP / 16][4];
    float dq[DP / 8][4];
    float shift[2], delta[2]; /* of rows g and g + 8; shift = -lse log2(e) */
    int start[2], last_start; /* with documents; the warp's last */
    int first;
};

template <int DP, attention_mask MASK>
__device__ __forceinline__ void load_queries(query_rows<DP> &w, const bf16 *q_tile, const bf16 *dout_tile,
                                             const attention_head<bf16> &h, int tokens, const int *starts)
{
#pragma unroll
    for (int d = 0; d < DP / 16; d++) {
        load_a(w.q[d], q_tile + d * 16, w.LD);
        load_a(w.dout[d], dout_tile + d * 16, w.LD);
    }
#pragma unroll
    for (int n = 0; n < DP / 8; n++)
        for (int i = 0; i < 4; i++) w.dq[n][i] = 0;
    for (int half = 0; half < 2; half++) {
        const int row = w.first + threadIdx.x % 32 / 4 + half * 8;
        w.shift[half] = row < tokens ? -LOG2_E * h.lse[row] : 0;
        w.delta[half] = row < tokens ? h.delta[row] : 0;
        if (MASK == DOCUMENTS) w.start[half] = start_of(starts, row, tokens);
    }
    if (MASK == DOCUMENTS) w.last_start = start_of(starts, w.first + 15, tokens);
}

/* The warp's queries and 16 keys from number `key` on. */
template <int DP, attention_mask MASK>
__device__ __forceinline__ void add_keys(query_rows<DP> &w, const bf16 *k, const bf16 *v, int key, int tokens,
                                         float per_score)
{
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const bool masked = key + 16 > tokens || (MASK != OPEN && key + 15 > w.first) ||
                        (MASK == DOCUMENTS && key < w.last_start);
    float s[2][4] = {}, dp[2][4] = {};
    uint32_t b[4], ds[4];
#pragma unroll
    for (int d = 0; d < DP / 16; d++) {
        load_b_rows_n(b, k + d * 16, w.LD);
        multiply(s[0], w.q[d], b[0], b[1]);
        multiply(s[1], w.q[d], b[2], b[3]);
        load_b_rows_n(b, v + d * 16, w.LD);
        multiply(dp[0], w.dout[d], b[0], b[1]);
        multiply(dp[1], w.dout[d], b[2], b[3]);
    }
#pragma unroll
    for (int n = 0; n < 2; n++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const int at = key + n * 8 + 2 * t + i % 2, row = w.first + g + i / 2 * 8;
            dp[n][i] = fast_exp2(fmaf(s[n][i], per_score, w.shift[i / 2])) * (dp[n][i] - w.delta[i / 2]);
            if (masked && (at >= tokens || (MASK != OPEN && at > row))) dp[n][i] = 0;
            if (MASK == DOCUMENTS && masked && at < w.start[i / 2]) dp[n][i] = 0;
        }
    round_to_a(ds, dp[0], dp[1]);
#pragma unroll
    for (int n = 0; n < DP / 16; n++) {
        load_b_rows_k(b, k + n * 16, w.LD);
        multiply(w.dq[2 * n], ds, b[0], b[1]);
        multiply(w.dq[2 * n + 1], ds, b[2], b[3]);
    }
}

template <int DP, attention_mask MASK>
__global__ void __launch_bounds__(shape<DP>::THREADS, shape<DP>::RESIDENT) query_tile(const attention_problem<bf16> p)
{
    constexpr int LD = shape<DP>::LD, OWN = shape<DP>::OWN, OTHER = shape<DP>::OTHER, THREADS = shape<DP>::THREADS;
    extern __shared__ uint4 memory[];
    bf16 *q = reinterpret_cast<bf16 *>(memory), *dout = q + OWN * LD, *k = dout + OWN * LD, *v = k + 2 * OTHER * LD;
    const int tiles = (p.tokens + OWN - 1) / OWN, turn = blockIdx.x % tiles, warp = threadIdx.x / 32;
    const int first = (MASK != OPEN ? tiles - 1 - turn : turn) * OWN; /* the longest first */
    const attention_head<bf16> h = find_head(p, blockIdx.x / tiles);
    const int last = MASK != OPEN ? min(p.tokens, first + OWN) : p.tokens;
    const int *starts = MASK == DOCUMENTS ? find_starts(p, blockIdx.x / tiles / p.heads) : NULL;
    const int from = MASK == DOCUMENTS ? start_of(starts, first, p.tokens) / OTHER * OTHER : 0;
    auto fetch = [&](int begin) {
        const int buffer = begin / OTHER % 2, thread = opaque(threadIdx.x);
        fetch_rows<DP>(k + buffer * OTHER * LD, h.k, h.wide, begin, OTHER, p.tokens, p.size, thread, THREADS);
        fetch_rows<DP>(v + buffer * OTHER * LD, h.v, h.wide, begin, OTHER, p.tokens, p.size, thread, THREADS);
        close_copies();
    };
    fetch_rows<DP>(q, h.q, h.wide, first, OWN, p.tokens, p.size, threadIdx.x, THREADS);
    fetch_rows<DP>(dout, h.dout, h.narrow, first, OWN, p.tokens, p.size, threadIdx.x, THREADS);
    fetch(from);
    query_rows<DP> w;
    w.first = first + 16 * warp;
    const int seen_from = MASK == DOCUMENTS ? start_of(starts, w.first, p.tokens) / 16 * 16 : 0;
    const int seen = w.first >= p.tokens ? 0 : MASK != OPEN ? min(p.tokens, w.first + 16) : p.tokens;
    const float per_score = p.scale * LOG2_E;
    for (int begin = from; begin < last; begin += OTHER) {
        bf16 *keys = k + begin / OTHER % 2 * OTHER * LD, *values = v + begin / OTHER % 2 * OTHER * LD;
        wait_copies<0>();
        if (MASK != OPEN) clean_rows<DP>(keys, OTHER, THREADS);
        __syncthreads(); /* this tile is there, and all have left the one before */
        if (begin + OTHER < last) fetch(begin + OTHER);
        if (begin == from) load_queries<DP, MASK>(w, q + 16 * warp * LD, dout + 16 * warp * LD, h, p.tokens, starts);
        for (int at = MASK == DOCUMENTS ? max(0, seen_from - begin) : 0; at < OTHER && begin + at < seen; at += 16)
            add_keys<DP, MASK>(w, keys + at * LD, values + at * LD, begin + at, p.tokens, per_score);
    }
    bf16 *dq = find_head(p, block_number() / tiles).dq;
    store_rows<DP>(q + 16 * warp * LD, w.dq, p.scale, p.scale, dq, h.wide, w.first, p.tokens, p.size);
}

/* May a block have that much shared memory on this device? The limits: 163 KB on 8.0, 99 KB on 8.6 and 8.9, 227 KB on
 * 9.0. */
bool shared_fits(size_t bytes)
{
    int device, most;
    return cudaGetDevice(&device) == cudaSuccess &&
           cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, device) == cudaSuccess &&
           bytes <= (size_t)most;
}

template <int DP, attention_mask MASK> dt_status grad_by_tiles(const dt_queue *q, const dt_attention_args *a)
{
    const attention_problem<bf16> p = describe_attention<bf16>(a);
    const int64_t tiles = p.batch * ceil_div<int64_t>(a->tokens, shape<DP>::OWN);
    if (!shared_fits(shape<DP>::SHARED)) return attention_grad_plain(q, DT_BF16, a);
    DT_TRY(attention_delta(q, DT_BF16, a));
    DT_TRY(launch_attention(q, key_tile<DP, MASK>, tiles * p.kv_heads, shape<DP>::THREADS, shape<DP>::SHARED, p));
    return launch_attention(q, query_tile<DP, MASK>, tiles * p.heads, shape<DP>::THREADS, shape<DP>::SHARED, p);
}

template <int DP> dt_status grad_in_tiles(const dt_queue *q, const dt_attention_args *a)
{
    if (a->documents) return grad_by_tiles<document_size(DP), DOCUMENTS>(q, a);
    if constexpr (DP <= MOST_SIZE)
        if (a->kv_heads == a->heads && a->tokens <= 16 * MOST_WARPS &&
            shared_fits(head_shared<DP>(((int)a->tokens + 15) / 16 * 16)))
            return grad_by_head<DP>(q, a);
    return a->causal ? grad_by_tiles<DP, CAUSAL>(q, a) : grad_by_tiles<DP, OPEN>(q, a);
}

}

dt_status dt::attention_grad_own(const dt_queue *q, dt_dtype t, const dt_attention_args *a)
{
    if (a->batch * a->heads * a->tokens * a->size == 0) return DT_OK;
    if (!attention_has_tiles(t, a)) return attention_grad_plain(q, t, a);
    return by_head_size(a->size, [&](auto size) { return grad_in_tiles<decltype(size)::value>(q, a); });
}

/* delta: a float for each row. */
int64_t dt::attention_grad_own_scratch(const dt_attention_args *a)
{
    return a->batch * a->heads * a->tokens * (int64_t)sizeof(float);
}
