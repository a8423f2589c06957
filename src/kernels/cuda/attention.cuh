/* What the attention kernels share: where a head lies, copies to shared memory in the background, and the tensor-core
 * product of a warp.
 *
 * The product is mma.sync.m16n8k16, bf16 in and float32 out (PTX ISA, "Matrix Fragments for mma.m16n8k16"). With
 * g = lane / 4 and t = lane % 4 a lane holds, two neighbours of a row to a register,
 *   A[16 m, 16 k]: (g, 2t), (g + 8, 2t), (g, 2t + 8), (g + 8, 2t + 8)
 *   B[16 k, 8 n]:  (2t, g), (2t + 8, g), where the neighbours follow each other along k
 *   C[16 m, 8 n]:  (g, 2t), (g, 2t + 1), (g + 8, 2t), (g + 8, 2t + 1), one float each
 * so that two C side by side, rounded, are one A: scores become the left side of the next product in registers.
 *
 * A tile in shared memory has rows of DP + 8 elements, DP the head size rounded up to 16: the 16-byte pieces of
 * eight consecutive rows lie in different banks, which is what ldmatrix reads at once. */
#ifndef DT_KERNELS_CUDA_ATTENTION_CUH
#define DT_KERNELS_CUDA_ATTENTION_CUH

#include "kernels/cuda/common.cuh"

namespace dt {

constexpr float LOG2_E = 1.4426950408889634f;
constexpr int ATTENTION_PAD = 8; /* elements behind each row of a tile of bf16 */

/* Which keys a row sees: all; those up to its own; of these, those of its document. Instantiations of DOCUMENTS are
 * rounded up to few head sizes, whose zeros cost less than more kernels would. */
enum attention_mask { OPEN, CAUSAL, DOCUMENTS };
constexpr int document_size(int size) { return (size + 31) / 32 * 32; }

/* The maximum of a row that has seen no key of its document yet: below all scores, and finite. */
constexpr float NO_SCORE = -1e30f;

/* One attention as the kernels take it. */
template <typename T> struct attention_problem {
    int tokens, heads, kv_heads, size;
    int64_t batch;
    bool causal;
    float scale;
    const T *qkv, *dout;
    T *out, *dqkv;
    float *lse, *delta; /* delta: row sums of dout x out */
    const int *starts;  /* NULL without documents */
};

/* Where the documents of a sample's rows begin, and a row's, beyond the last row too. */
template <typename T> __device__ __forceinline__ const int *find_starts(const attention_problem<T> &p, unsigned sample)
{
    return p.starts + (int64_t)sample * p.tokens;
}

__device__ __forceinline__ int start_of(const int *starts, int row, int tokens)
{
    return __ldg(starts + min(row, tokens - 1));
}

/* Behind the last row that sees `key`, from row `low` on. */
__device__ __forceinline__ int find_document_end(const int *starts, int low, int tokens, int key)
{
    for (int high = tokens; low < high;) {
        const int middle = (low + high) / 2;
        if (__ldg(starts + middle) <= key) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* blockIdx.x, and so what is computed from it, made anew: where a kernel stores its results it finds its head again
 * instead of keeping the addresses in registers. */
__device__ __forceinline__ unsigned block_number(void)
{
    unsigned x;
    asm volatile("mov.u32 %0, %%ctaid.x;" : "=r"(x));
    return x;
}

/* x, of which the compiler does not know that it is: what depends on it is computed where it is used instead of held in
 * registers, which are short in these kernels. */
__device__ __forceinline__ int opaque(int x)
{
    asm volatile("" : "+r"(x));
    return x;
}

/* Row 0 of a head and of the head of keys and values that it reads; rows of qkv and dqkv are `wide` elements apart,
 * those of out and dout `narrow`. */
template <typename T> struct attention_head {
    const T *q, *k, *v, *dout;
    T *out, *dq, *dk, *dv;
    float *lse, *delta;
    int wide, narrow;
};

template <typename T>
__device__ __forceinline__ attention_head<T> find_head(const attention_problem<T> &p, unsigned number)
{
    const unsigned sample = number / (unsigned)p.heads, head = number % (unsigned)p.heads;
    const unsigned kv_head = head / (unsigned)(p.heads / p.kv_heads);
    attention_head<T> h;
    h.wide = (p.heads + 2 * p.kv_heads) * p.size, h.narrow = p.heads * p.size;
    const int64_t from = (int64_t)sample * p.tokens, at = from * h.wide, out_at = from * h.narrow + head * p.size;
    const int64_t q = at + head * p.size, k = at + (p.heads + kv_head) * p.size, v = k + p.kv_heads * p.size;
    h.q = p.qkv + q, h.k = p.qkv + k, h.v = p.qkv + v;
    h.dq = p.dqkv + q, h.dk = p.dqkv + k, h.dv = p.dqkv + v;
    h.out = p.out + out_at, h.dout = p.dout + out_at;
    h.lse = p.lse + (int64_t)number * p.tokens, h.delta = p.delta + (int64_t)number * p.tokens;
    return h;
}

/* The first of the heads that share number `number` of the heads of keys and values; the next follow it, `size`
 * elements and `tokens` sums further on. */
template <typename T>
__device__ __forceinline__ attention_head<T> find_kv_head(const attention_problem<T> &p, unsigned number)
{
    return find_head(p, number * (unsigned)(p.heads / p.kv_heads));
}

template <typename T> static attention_problem<T> describe_attention(const dt_attention_args *a)
{
    return {(int)a->tokens, (int)a->heads, (int)a->kv_heads, (int)a->size, a->batch, a->causal, (float)a->scale,
            (const T *)a->qkv, (const T *)a->dout, (T *)a->out, (T *)a->dqkv, (float *)a->lse, (float *)a->scratch,
            a->documents ? a->starts : NULL};
}

/* Is there a tensor-core kernel for it? */
static inline bool attention_has_tiles(dt_dtype t, const dt_attention_args *a)
{
    return t == DT_BF16 && a->size >= 8 && a->size <= 128 && a->size % 8 == 0;
}

/* In attention_plain.cu: every head size up to 256, float32 arithmetic throughout. */
dt_status attention_plain(const dt_queue *q, dt_dtype t, const dt_attention_args *a);
dt_status attention_grad_plain(const dt_queue *q, dt_dtype t, const dt_attention_args *a);
/* scratch[batch, heads, tokens] = row sums of dout x out in float32 */
dt_status attention_delta(const dt_queue *q, dt_dtype t, const dt_attention_args *a);

/* Launches `kernel` with that much dynamic shared memory. */
template <typename P>
static dt_status launch_attention(const dt_queue *q, void (*kernel)(P), int64_t blocks, int threads, size_t shared,
                                  const P &problem)
{
    if (blocks > INT32_MAX)
        return dt_fail(DT_ERR_USAGE, "attention: %lld tiles are too many for one launch", (long long)blocks);
    if (shared > 48 * 1024)
        DT_TRY(check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared),
                     "give attention its shared memory"));
    kernel<<<(unsigned)blocks, (unsigned)threads, shared, stream_of(q)>>>(problem);
    return launched();
}

/* Calls f with the head size rounded up to 16, as a constant: 16, 32 ... 128. */
template <int N> struct constant { static constexpr int value = N; };
template <typename F> static dt_status by_head_size(int64_t size, F f)
{
    switch ((size + 15) / 16) {
    case 1: return f(constant<16>());
    case 2: return f(constant<32>());
    case 3: return f(constant<48>());
    case 4: return f(constant<64>());
    case 5: return f(constant<80>());
    case 6: return f(constant<96>());
    case 7: return f(constant<112>());
    default: return f(constant<128>());
    }
}

/* --- a warp's instructions --- */

__device__ __forceinline__ uint32_t shared_address(const void *p) { return (uint32_t)__cvta_generic_to_shared(p); }

/* 16 bytes in the background, or zeros. */
__device__ __forceinline__ void copy_later(void *to, const void *from, bool wanted)
{
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(wanted ? 16 : 0) : "memory");
}

__device__ __forceinline__ void close_copies(void) { asm volatile("cp.async.commit_group;" ::: "memory"); }

/* Waits for the copies of this thread but for the newest PENDING groups. */
template <int PENDING> __device__ __forceinline__ void wait_copies(void)
{
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

__device__ __forceinline__ void load_matrices(uint32_t (&r)[4], const bf16 *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}

__device__ __forceinline__ void load_transposed(uint32_t (&r)[4], const bf16 *row)
{
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(shared_address(row)) : "memory");
}

/* c += a b */
__device__ __forceinline__ void multiply(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
                 "{%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

/* The loads below take a 16 x 16 piece at `tile`, whose rows are `stride` elements apart. As rows of A, and as two B
 * side by side (r[0], r[1] and r[2], r[3]) from rows along n or from rows along k; A from rows along k. */
__device__ __forceinline__ void load_a(uint32_t (&r)[4], const bf16 *tile, int stride)
{
    const int lane = threadIdx.x % 32;
    load_matrices(r, tile + lane % 16 * stride + lane / 16 * 8);
}

__device__ __forceinline__ void load_b_rows_n(uint32_t (&r)[4], const bf16 *tile, int stride)
{
    const int lane = threadIdx.x % 32;
    load_matrices(r, tile + (lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8);
}

__device__ __forceinline__ void load_b_rows_k(uint32_t (&r)[4], const bf16 *tile, int stride)
{
    const int lane = threadIdx.x % 32;
    load_transposed(r, tile + lane % 16 * stride + lane / 16 * 8);
}

__device__ __forceinline__ void load_a_rows_k(uint32_t (&r)[4], const bf16 *tile, int stride)
{
    const int lane = threadIdx.x % 32;
    load_transposed(r, tile + (lane / 16 * 8 + lane % 8) * stride + lane / 8 % 2 * 8);
}

/* Two floats as bf16, the first in the low half. */
__device__ __forceinline__ uint32_t round_two(float low, float high)
{
    uint32_t r;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(r) : "f"(high), "f"(low));
    return r;
}

/* Two C side by side as one A. */
__device__ __forceinline__ void round_to_a(uint32_t (&a)[4], const float (&left)[4], const float (&right)[4])
{
    a[0] = round_two(left[0], left[1]), a[1] = round_two(left[2], left[3]);
    a[2] = round_two(right[0], right[1]), a[3] = round_two(right[2], right[3]);
}

/* Which halves of two bf16 are NaN or infinite: 0xffff there, 0 elsewhere. */
__device__ __forceinline__ uint32_t not_finite(uint32_t two) { return __vcmpeq2(two & 0x7f807f80u, 0x7f807f80u); }

/* --- a block's tiles --- */

/* Rows first .. first + rows - 1 of a head into a tile with rows of LD, zeros beyond `tokens` and `size`: in the
 * background, the same pieces always by the same one of `threads` threads. */
template <int DP, int LD = DP + ATTENTION_PAD>
__device__ __forceinline__ void fetch_rows(bf16 *tile, const bf16 *from, int64_t stride, int first, int rows,
                                           int tokens, int size, int thread, int threads)
{
    constexpr int PIECES = DP / 8;
    for (int i = thread; i < rows * PIECES; i += threads) {
        const int row = i / PIECES, at = i % PIECES * 8;
        const bool wanted = first + row < tokens && at < size;
        copy_later(tile + row * LD + at, wanted ? from + (first + row) * stride + at : from, wanted);
    }
}

/* Writes 0 for what is not finite among the pieces that this thread fetched. */
template <int DP, int LD = DP + ATTENTION_PAD>
__device__ __forceinline__ void clean_rows(bf16 *tile, int rows, int threads)
{
    constexpr int PIECES = DP / 8;
    for (int i = threadIdx.x; i < rows * PIECES; i += threads) {
        uint4 *piece = reinterpret_cast<uint4 *>(tile + i / PIECES * LD + i % PIECES * 8);
        uint4 x = *piece;
        const uint4 bad = {not_finite(x.x), not_finite(x.y), not_finite(x.z), not_finite(x.w)};
        if (!(bad.x | bad.y | bad.z | bad.w)) continue;
        x.x &= ~bad.x, x.y &= ~bad.y, x.z &= ~bad.z, x.w &= ~bad.w;
        *piece = x;
    }
}

/* A warp's 16 rows of C, times `by`, to rows first .. of a head, through 16 rows of a tile that it has to itself. */
template <int DP>
__device__ __forceinline__ void store_rows(bf16 *room, const float (&c)[DP / 8][4], float by_low, float by_high,
                                           bf16 *to, int64_t stride, int first, int tokens, int size)
{
    constexpr int PIECES = DP / 8, LD = DP + ATTENTION_PAD;
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    __syncwarp();
#pragma unroll
    for (int n = 0; n < DP / 8; n++) {
        *reinterpret_cast<uint32_t *>(room + g * LD + n * 8 + 2 * t) = round_two(c[n][0] * by_low, c[n][1] * by_low);
        *reinterpret_cast<uint32_t *>(room + (g + 8) * LD + n * 8 + 2 * t) =
            round_two(c[n][2] * by_high, c[n][3] * by_high);
    }
    __syncwarp();
#pragma unroll
    for (int i = lane; i < 16 * PIECES; i += 32) {
        const int row = i / PIECES, at = i % PIECES * 8;
        if (first + row < tokens && at < size)
            *reinterpret_cast<uint4 *>(to + (first + row) * stride + at) =
                *reinterpret_cast<const uint4 *>(room + row * LD + at);
    }
}

/* Our own kernels, forward and backward, for any shape (attention.cu, attention_grad.cu). */
dt_status attention_own(const dt_queue *, dt_dtype t, const dt_attention_args *);
dt_status attention_grad_own(const dt_queue *, dt_dtype t, const dt_attention_args *);
int64_t attention_grad_own_scratch(const dt_attention_args *);

}

#endif
