/* Rotary position embedding: (a, b) becomes (a cos - b sin, b cos + a sin), a in the first half of a head and b in the
 * second, by the angle place times frequency.
 *
 * Bytes: 2 elements for each rotated one, and for the others where the result goes to another place. A block takes one
 * token, whose angles it makes once for all heads: in float64, less whole turns, since place times frequency in float32
 * is off by up to 1e-4 at place 4096. */
#include "kernels/cuda/wide.cuh"

namespace {

using namespace dt;

enum { THREADS = 128 };

struct turns { /* from one token to the next, of each pair of a head */
    double at[DT_ROPE_MOST / 2];
};

template <typename T, int N>
__global__ void __launch_bounds__(THREADS) rotate(int64_t tokens, int heads, int rotated, int size,
                                                  const __grid_constant__ turns per_token, const int32_t *position,
                                                  const T *x, T *y)
{
    __shared__ float cosine[DT_ROPE_MOST / 2], sine[DT_ROPE_MOST / 2];
    const int half = size / 2, packs = half / N;
    const int64_t width = (int64_t)heads * size, from = (int64_t)blockIdx.x * width;
    const int64_t place = blockIdx.x % tokens + (position ? position[blockIdx.x / tokens] : 0);
    for (int i = threadIdx.x; i < half; i += THREADS) {
        const double turn = (double)place * per_token.at[i];
        sincospif((float)(2 * (turn - rint(turn))), &sine[i], &cosine[i]);
    }
    __syncthreads();
    for (int job = threadIdx.x; job < rotated * packs; job += THREADS) {
        const int pair = job % packs * N;
        const int64_t at = from + (int64_t)(job / packs) * size + pair;
        float a[N], b[N];
        load_wide(x + at, a);
        load_wide(x + at + half, b);
#pragma unroll
        for (int e = 0; e < N; e++) {
            const float c = cosine[pair + e], s = sine[pair + e], first = a[e];
            a[e] = first * c - b[e] * s;
            b[e] = b[e] * c + first * s;
        }
        store_wide(y + at, a);
        store_wide(y + at + half, b);
    }
    if (x == y) return;
    for (int64_t i = (int64_t)rotated * size + threadIdx.x; i < width; i += THREADS) y[from + i] = x[from + i];
}

}

dt_status dt_cuda_rope(const dt_queue *q, dt_dtype t, const dt_rope_args *p)
{
    const int64_t blocks = p->batch * p->tokens;
    if (blocks == 0) return DT_OK;
    if (blocks > INT32_MAX)
        return dt_fail(DT_ERR_USAGE, "rope: %lld tokens are too many for one launch", (long long)blocks);
    turns per_token = {};
    for (int i = 0; i < p->size / 2; i++) per_token.at[i] = p->frequency[i] * 0.15915494309189533577; /* 1/(2 pi) */
    return by_type(t, [&](auto zero) {
        typedef decltype(zero) T;
        const auto kernel = p->size / 2 % pack<T>::size == 0 ? rotate<T, pack<T>::size> : rotate<T, 1>;
        kernel<<<(unsigned)blocks, THREADS, 0, stream_of(q)>>>(p->tokens, (int)p->heads, (int)p->rotated, (int)p->size,
                                                               per_token, p->position, (const T *)p->x, (T *)p->y);
        return launched();
    });
}
