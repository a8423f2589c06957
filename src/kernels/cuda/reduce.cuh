/* Sums in two stages, for reduce.cu and the losses of softmax.cu: one float64 per piece of the work, then the pieces in
 * a fixed order. The split depends on the number of items alone. */
#ifndef DT_KERNELS_CUDA_REDUCE_CUH
#define DT_KERNELS_CUDA_REDUCE_CUH

#include <algorithm>

#include "kernels/cuda/common.cuh"

namespace dt {

enum { MOST_PIECES = 4096 };

/* `count` pieces of `size` consecutive items each, the last one shorter. */
struct pieces {
    int64_t items, size, count;
};

/* Pieces of at least `least` items, a multiple of it. No items: no pieces. */
static inline pieces cut(int64_t items, int64_t least)
{
    const int64_t size = ceil_div(std::max<int64_t>(ceil_div<int64_t>(items, MOST_PIECES), 1), least) * least;
    return {items, size, ceil_div(items, size)};
}

/* to[0] (+)= the sum of partial[count], by one block: thread i adds every THREADS-th from the i-th on. */
template <int THREADS, typename T>
__global__ void __launch_bounds__(THREADS) add_pieces(int64_t count, const double *partial, T *to, bool accumulate)
{
    __shared__ double room[THREADS / 32];
    double sum = 0;
    for (int64_t i = threadIdx.x; i < count; i += THREADS) sum += partial[i];
    sum = block_sum<THREADS>(sum, room);
    if (threadIdx.x == 0) *to = (T)(accumulate ? *to + sum : sum);
}

template <typename T>
static dt_status finish_pieces(const dt_queue *q, int64_t count, const double *partial, T *to, bool accumulate)
{
    add_pieces<256><<<1, 256, 0, stream_of(q)>>>(count, partial, to, accumulate);
    return launched();
}

}

#endif
