/* Scaled dot-product attention, forward: out = softmax(scale q k') v for every head, lse the log of each row's sum of
 * exponentials (FlashAttention-2, Dao, 2023). 4 tokens^2 size FLOPs per head; reads qkv once, and k and v again for
 * every further tile of queries from the second-level cache, writes out and lse.
 *
 * bf16: a block takes a tile of queries of one head, a warp 16 or 32 rows of it, whose queries and output stay in
 * registers. Tiles of 64 keys and values come in the background, two buffers in turn. Scores are made 32 keys at a
 * time, as C fragments, become probabilities 2^(s - m) relative to the row's maximum m and are the A fragments of the
 * product with v. Any m will do that keeps 2^(s - m) and its sums in range: m, and with it output and sums, is brought
 * to the maximum only when some score passes it by 2^SLACK, which after the first keys is rare. Only the 16-key pieces
 * that a warp's rows can see are computed.
 *
 * A masked score is replaced by minus infinity and a masked value must not be multiplied by its weight of 0, which
 * would spread a NaN: pieces on the diagonal, or in front of a document, whose values are not all finite take a way of
 * their own. What lies in front of the documents of all rows of a block or a warp is passed over.
 *
 * Everything else, and float32: attention_plain.cu.
 *
 * Reached on an H200 in bfloat16 (`bench kernels`): of what a large matrix product reaches 37 % at 197 tokens and
 * heads of 64, 28 % at 4096 causal ones and heads of 128, where cuDNN is three times as fast and
 * taken if it is there. */
#include "kernels/cuda/attention.cuh"

namespace {

using namespace dt;

/* KEYS to a tile, of which STEP at a time. With 32 rows to a warp each k and v read from shared memory serves two
 * products; beyond a head size of 64 they do not fit in registers. */
enum { WARPS = 4, THREADS = 32 * WARPS, KEYS = 64, STEP = 32 };
constexpr float SLACK = 8;

template <int DP> struct shape {
    static constexpr int PARTS = DP <= 64 ? 2 : 1; /* of 16 rows, per warp */
    static constexpr int ROWS = 16 * PARTS * WARPS;
    static constexpr int LD = DP + ATTENTION_PAD;
    static constexpr int RESIDENT = DP <= 64 ? 3 : 2; /* blocks per multiprocessor that registers must allow */
    static constexpr size_t SHARED = (ROWS + 4 * KEYS) * LD * sizeof(bf16);
};

/* What a warp keeps of its rows: g and g + 8 of each part for lane 4 g + t. */
template <int DP> struct rows {
    static constexpr int PARTS = shape<DP>::PARTS;
    uint32_t q[PARTS][DP / 16][4];
    float out[PARTS][DP / 8][4];
    float top[PARTS][2], total[PARTS][2]; /* total: of this lane's columns only */
    float per_score;                      /* |scale| log2(e): the sign of scale is in q */
    int first;                            /* row 0 */
};

template <int DP, attention_mask MASK>
__device__ __forceinline__ void load_queries(rows<DP> &w, const bf16 *tile, float scale)
{
    const uint32_t flip = scale < 0 ? 0x80008000u : 0;
#pragma unroll
    for (int part = 0; part < w.PARTS; part++) {
#pragma unroll
        for (int k = 0; k < DP / 16; k++) {
            load_a(w.q[part][k], tile + part * 16 * shape<DP>::LD + k * 16, shape<DP>::LD);
            for (int i = 0; i < 4; i++) w.q[part][k][i] ^= flip;
        }
#pragma unroll
        for (int n = 0; n < DP / 8; n++)
            for (int i = 0; i < 4; i++) w.out[part][n][i] = 0;
        for (int i = 0; i < 2; i++) w.top[part][i] = MASK == DOCUMENTS ? NO_SCORE : -INFINITY, w.total[part][i] = 0;
    }
    w.per_score = fabsf(scale) * LOG2_E;
}

/* q k' for the keys of PIECES x 16 rows at k. */
template <int DP, int PIECES>
__device__ __forceinline__ void make_scores(const rows<DP> &w, const bf16 *k,
                                            float (&s)[shape<DP>::PARTS][2 * PIECES][4])
{
#pragma unroll
    for (int part = 0; part < w.PARTS; part++)
#pragma unroll
        for (int n = 0; n < 2 * PIECES; n++)
            for (int i = 0; i < 4; i++) s[part][n][i] = 0;
#pragma unroll
    for (int d = 0; d < DP / 16; d++)
#pragma unroll
        for (int piece = 0; piece < PIECES; piece++) {
            uint32_t b[4];
            load_b_rows_n(b, k + piece * 16 * shape<DP>::LD + d * 16, shape<DP>::LD);
#pragma unroll
            for (int part = 0; part < w.PARTS; part++) {
                multiply(s[part][2 * piece], w.q[part][d], b[0], b[1]);
                multiply(s[part][2 * piece + 1], w.q[part][d], b[2], b[3]);
            }
        }
}

/* Where the document of a row begins lies behind its queries. */
template <int DP> __device__ __forceinline__ int *row_start(bf16 *query) { return reinterpret_cast<int *>(query + DP); }

/* The scores of keys begin .. that a row does not see become minus infinity. */
template <int DP, attention_mask MASK, int PIECES>
__device__ __forceinline__ void mask_scores(const rows<DP> &w, float (&s)[shape<DP>::PARTS][2 * PIECES][4], int begin,
                                            int tokens, bf16 *own)
{
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
    for (int part = 0; part < w.PARTS; part++) {
        int start[2];
        for (int half = 0; half < 2; half++)
            start[half] = MASK == DOCUMENTS ? *row_start<DP>(own + (part * 16 + g + half * 8) * shape<DP>::LD) : 0;
#pragma unroll
        for (int n = 0; n < 2 * PIECES; n++)
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int row = w.first + part * 16 + g + i / 2 * 8, key = begin + n * 8 + 2 * t + i % 2;
                if (key >= tokens || (MASK != OPEN && key > row)) s[part][n][i] = -INFINITY;
                if (MASK == DOCUMENTS && key < start[i / 2]) s[part][n][i] = -INFINITY;
            }
    }
}

/* Moves each row's m up to its maximum where some score passes it by more than the slack. */
template <int DP, int PIECES>
__device__ __forceinline__ void raise_tops(rows<DP> &w, const float (&s)[shape<DP>::PARTS][2 * PIECES][4], bool first)
{
    const float slack = SLACK / w.per_score;
    float most[shape<DP>::PARTS][2];
    bool passed = first;
#pragma unroll
    for (int part = 0; part < w.PARTS; part++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float x = -INFINITY;
#pragma unroll
            for (int n = 0; n < 2 * PIECES; n++) x = fmaxf(x, fmaxf(s[part][n][2 * half], s[part][n][2 * half + 1]));
            most[part][half] = x;
            passed |= x > w.top[part][half] + slack;
        }
    if (!__any_sync(0xffffffffu, passed)) return;
#pragma unroll
    for (int part = 0; part < w.PARTS; part++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float x = fmaxf(most[part][half], w.top[part][half]);
            x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
            x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
            const float shrink = first ? 0 : fast_exp2((w.top[part][half] - x) * w.per_score);
            w.top[part][half] = x;
            w.total[part][half] *= shrink;
#pragma unroll
            for (int n = 0; n < DP / 8; n++) w.out[part][n][2 * half] *= shrink, w.out[part][n][2 * half + 1] *= shrink;
        }
}

/* Scores become probabilities, and their sums are added up. */
template <int DP, int PIECES>
__device__ __forceinline__ void exponentiate(rows<DP> &w, float (&s)[shape<DP>::PARTS][2 * PIECES][4])
{
#pragma unroll
    for (int part = 0; part < w.PARTS; part++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const float shift = -w.top[part][half] * w.per_score;
            float sum = 0;
#pragma unroll
            for (int n = 0; n < 2 * PIECES; n++)
#pragma unroll
                for (int i = 2 * half; i < 2 * half + 2; i++) {
                    s[part][n][i] = fast_exp2(fmaf(s[part][n][i], w.per_score, shift));
                    sum += s[part][n][i];
                }
            w.total[part][half] += sum;
        }
}

/* Adds the 16 values at v, weighted by p. */
template <int DP>
__device__ __forceinline__ void add_values(rows<DP> &w, const uint32_t (&p)[shape<DP>::PARTS][4], const bf16 *v)
{
#pragma unroll
    for (int n = 0; n < DP / 16; n++) {
        uint32_t b[4];
        load_b_rows_k(b, v + n * 16, shape<DP>::LD);
#pragma unroll
        for (int part = 0; part < w.PARTS; part++) {
            multiply(w.out[part][2 * n], p[part], b[0], b[1]);
            multiply(w.out[part][2 * n + 1], p[part], b[2], b[3]);
        }
    }
}

/* Is one of the 16 values at v not finite? The same for the whole warp. */
template <int DP> __device__ __forceinline__ bool has_bad_value(const bf16 *v)
{
    uint32_t bad = 0;
#pragma unroll
    for (int i = threadIdx.x % 32; i < 16 * (DP / 8); i += 32) {
        const uint4 x = *reinterpret_cast<const uint4 *>(v + i / (DP / 8) * shape<DP>::LD + i % (DP / 8) * 8);
        bad |= not_finite(x.x) | not_finite(x.y) | not_finite(x.z) | not_finite(x.w);
    }
    return __any_sync(0xffffffffu, bad != 0);
}

/* The same sum where some values are not finite and some weights masked: the finite values are added as above, and a
 * second product counts for each output the others that its row sees; one is enough to make it NaN. */
template <int DP, attention_mask MASK>
__device__ __forceinline__ void count_bad(float (&count)[2][4], const bf16 *v, int first, int begin, bf16 *own)
{
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    constexpr uint32_t ONE = 0x3f80;
    uint32_t seen[4], b[4];
    for (int i = 0; i < 4; i++) {
        const int row = first + g + i % 2 * 8, key = begin + 2 * t + i / 2 * 8;
        seen[i] = (key <= row ? ONE : 0) | (key + 1 <= row ? ONE << 16 : 0);
        if (MASK == DOCUMENTS) {
            const int start = *row_start<DP>(own + (g + i % 2 * 8) * shape<DP>::LD);
            seen[i] &= (key >= start ? 0xffffu : 0) | (key + 1 >= start ? 0xffff0000u : 0);
        }
    }
    load_b_rows_k(b, v, shape<DP>::LD);
    for (int i = 0; i < 4; i++) b[i] = not_finite(b[i]) & (ONE | ONE << 16);
    for (int n = 0; n < 2; n++) {
        for (int i = 0; i < 4; i++) count[n][i] = 0;
        multiply(count[n], seen, b[2 * n], b[2 * n + 1]);
    }
}

template <int DP, attention_mask MASK>
__device__ __forceinline__ void add_bad_values(rows<DP> &w, const uint32_t (&p)[shape<DP>::PARTS][4], const bf16 *v,
                                               int begin, bf16 *own)
{
#pragma unroll
    for (int n = 0; n < DP / 16; n++) {
        uint32_t b[4];
        load_b_rows_k(b, v + n * 16, shape<DP>::LD);
        for (int i = 0; i < 4; i++) b[i] &= ~not_finite(b[i]);
#pragma unroll
        for (int part = 0; part < w.PARTS; part++) {
            float count[2][4];
            count_bad<DP, MASK>(count, v + n * 16, w.first + part * 16, begin, own + part * 16 * shape<DP>::LD);
#pragma unroll
            for (int m = 0; m < 2; m++) {
                multiply(w.out[part][2 * n + m], p[part], b[2 * m], b[2 * m + 1]);
                for (int i = 0; i < 4; i++)
                    if (count[m][i] > 0) w.out[part][2 * n + m][i] = NAN;
            }
        }
    }
}

/* PIECES x 16 keys from number `begin` on, which lie at k and v; at `own` the warp's queries. */
template <int DP, attention_mask MASK, int PIECES>
__device__ __forceinline__ void attend(rows<DP> &w, const bf16 *k, const bf16 *v, int begin, int tokens,
                                       bf16 *own, bool first)
{
    /* In front of the document of the last row, and so perhaps of others. */
    const auto is_early = [&](int key) {
        return MASK == DOCUMENTS && key < *row_start<DP>(own + (16 * shape<DP>::PARTS - 1) * shape<DP>::LD);
    };
    float s[shape<DP>::PARTS][2 * PIECES][4];
    make_scores<DP, PIECES>(w, k, s);
    if (begin + 16 * PIECES > (MASK != OPEN ? min(tokens, w.first + 1) : tokens) || is_early(begin))
        mask_scores<DP, MASK, PIECES>(w, s, begin, tokens, own);
    raise_tops<DP, PIECES>(w, s, first);
    exponentiate<DP, PIECES>(w, s);
#pragma unroll
    for (int piece = 0; piece < PIECES; piece++) {
        uint32_t p[shape<DP>::PARTS][4];
#pragma unroll
        for (int part = 0; part < w.PARTS; part++) round_to_a(p[part], s[part][2 * piece], s[part][2 * piece + 1]);
        const bf16 *values = v + piece * 16 * shape<DP>::LD;
        const int key = begin + 16 * piece;
        if (MASK != OPEN && (key + 15 > w.first || is_early(key)) && has_bad_value<DP>(values))
            add_bad_values<DP, MASK>(w, p, values, key, own);
        else
            add_values<DP>(w, p, values);
    }
}

template <int DP>
__device__ __forceinline__ void store_result(rows<DP> &w, bf16 *room, const attention_problem<bf16> &p,
                                             const attention_head<bf16> &h)
{
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int part = 0; part < w.PARTS; part++) {
        float inverse[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            float total = w.total[part][half];
            total += __shfl_xor_sync(0xffffffffu, total, 1);
            total += __shfl_xor_sync(0xffffffffu, total, 2);
            inverse[half] = 1 / total;
            const int row = w.first + part * 16 + lane / 4 + half * 8;
            if (lane % 4 == 0 && row < p.tokens) h.lse[row] = w.top[part][half] * fabsf(p.scale) + logf(total);
        }
        store_rows<DP>(room + part * 16 * shape<DP>::LD, w.out[part], inverse[0], inverse[1], h.out, h.narrow,
                       w.first + part * 16, p.tokens, p.size);
    }
}

template <int DP, attention_mask MASK>
__global__ void __launch_bounds__(THREADS, shape<DP>::RESIDENT) attend_tile(const attention_problem<bf16> p)
{
    constexpr int LD = shape<DP>::LD, ROWS = shape<DP>::ROWS, TILE = KEYS * LD;
    extern __shared__ uint4 memory[];
    bf16 *queries = reinterpret_cast<bf16 *>(memory), *keys = queries + ROWS * LD, *values = keys + 2 * TILE;
    const int tiles = (p.tokens + ROWS - 1) / ROWS, turn = blockIdx.x % tiles;
    const int first = (MASK != OPEN ? tiles - 1 - turn : turn) * ROWS; /* the longest first */
    const attention_head<bf16> h = find_head(p, blockIdx.x / tiles);
    const int last = MASK != OPEN ? min(p.tokens, first + ROWS) : p.tokens;
    const int *starts = MASK == DOCUMENTS ? find_starts(p, blockIdx.x / tiles / p.heads) : NULL;
    const int from = MASK == DOCUMENTS ? start_of(starts, first, p.tokens) / KEYS * KEYS : 0;
    auto fetch = [&](int begin) {
        const int buffer = begin / KEYS % 2, thread = opaque(threadIdx.x);
        fetch_rows<DP>(keys + buffer * TILE, h.k, h.wide, begin, KEYS, p.tokens, p.size, thread, THREADS);
        fetch_rows<DP>(values + buffer * TILE, h.v, h.wide, begin, KEYS, p.tokens, p.size, thread, THREADS);
        close_copies();
    };
    fetch_rows<DP>(queries, h.q, h.wide, first, ROWS, p.tokens, p.size, opaque(threadIdx.x), THREADS);
    fetch(from);
    if (MASK == DOCUMENTS && threadIdx.x < ROWS)
        *row_start<DP>(queries + threadIdx.x * LD) = start_of(starts, first + threadIdx.x, p.tokens);
    rows<DP> w;
    w.first = first + threadIdx.x / 32 * (16 * w.PARTS);
    const int seen_from = MASK == DOCUMENTS ? start_of(starts, w.first, p.tokens) / STEP * STEP : 0;
    const auto own = [&] { return queries + (w.first - first) * LD; };
    const int seen = w.first >= p.tokens ? 0 : MASK != OPEN ? min(p.tokens, w.first + 16 * w.PARTS) : p.tokens;
    for (int begin = from; begin < last; begin += KEYS) {
        wait_copies<0>();
        __syncthreads(); /* this tile is there, and all have left the one before */
        if (begin + KEYS < last) fetch(begin + KEYS);
        if (begin == from) load_queries<DP, MASK>(w, own(), p.scale);
        const int end = min(seen, begin + KEYS);
#pragma unroll 1
        for (int at = MASK == DOCUMENTS ? max(begin, seen_from) : begin; at < end; at += STEP) {
            at = opaque(at);
            const bf16 *k = keys + at % (2 * KEYS) * LD, *v = k + 2 * TILE;
            if (seen - at > 16)
                attend<DP, MASK, 2>(w, k, v, at, p.tokens, own(), at == seen_from);
            else
                attend<DP, MASK, 1>(w, k, v, at, p.tokens, own(), at == seen_from);
        }
    }
    if (seen) store_result<DP>(w, own(), p, find_head(p, block_number() / tiles));
}

template <int DP, attention_mask MASK> dt_status attend_tiles(const dt_queue *q, const dt_attention_args *a)
{
    const attention_problem<bf16> p = describe_attention<bf16>(a);
    const int64_t tiles = ceil_div<int64_t>(a->tokens, shape<DP>::ROWS);
    return launch_attention(q, attend_tile<DP, MASK>, p.batch * p.heads * tiles, THREADS, shape<DP>::SHARED, p);
}

template <int DP> dt_status attend_masked(const dt_queue *q, const dt_attention_args *a)
{
    if (a->documents) return attend_tiles<document_size(DP), DOCUMENTS>(q, a);
    return a->causal ? attend_tiles<DP, CAUSAL>(q, a) : attend_tiles<DP, OPEN>(q, a);
}

}

dt_status dt::attention_own(const dt_queue *q, dt_dtype t, const dt_attention_args *a)
{
    if (a->batch * a->heads * a->tokens * a->size == 0) return DT_OK;
    if (!attention_has_tiles(t, a)) return attention_plain(q, t, a);
    return by_head_size(a->size, [&](auto size) { return attend_masked<decltype(size)::value>(q, a); });
}
