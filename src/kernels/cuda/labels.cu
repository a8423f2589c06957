/* Kernels that take class labels: y[b, c] = on where c is labels[b] and else off; and the summed weights of the rows
 * whose label has the best score, or one of the five best.
 *
 * Bytes: one_hot writes 4 an element. top_hits reads every score once, 2 a score in bfloat16, and writes two numbers.
 * It has no scratch, so it is one block, a warp to a row, and bound by what one multiprocessor loads; the scores of 256
 * samples in 1000 classes are half a megabyte.
 *
 * Reached on an H200 in float32 (`bench --profile`): for 256 samples in 1000 classes top_hits takes 33 us and
 * one_hot 14, launches included. */
#include <climits>

#include "kernels/cuda/divide.cuh"
#include "kernels/cuda/group.cuh"

namespace {

using namespace dt;

enum { THREADS = 256, HIT_WARPS = 32 };

/* --- one_hot --- */

template <typename INDEX>
__global__ void __launch_bounds__(THREADS)
    write_one_hot(INDEX count, divider<INDEX> classes, float on, float off, const int32_t *labels, float *y)
{
    const INDEX i = (INDEX)blockIdx.x * THREADS + threadIdx.x;
    if (i >= count) return;
    INDEX row = i;
    const INDEX column = classes.split(&row);
    const int32_t label = labels[row]; /* a negative one is no column */
    y[i] = label >= 0 && (INDEX)label == column ? on : off;
}

/* --- top_hits --- */

/* Does class j stand before the label? With a larger score or NaN, or with the same and a lower number. */
__device__ __forceinline__ bool stands_before(float score, int64_t j, float own, int64_t label)
{
    return !(score <= own) || (score == own && j < label);
}

/* How many classes do; the same on all lanes of the warp. Labels being int32, so are counts of classes. */
template <int N, typename T> __device__ __forceinline__ int rank_of(int64_t classes, const T *score, int64_t label)
{
    const float own = widen(score[label]);
    int before = 0;
#pragma unroll 2
    for (int64_t first = threadIdx.x % 32 * N; first < classes; first += 32 * N) {
        const group<T, N> in = load_group<N>(score + first);
#pragma unroll
        for (int j = 0; j < N; j++) before += stands_before(widen(in.at[j]), first + j, own, label);
    }
    before = warp_sum(before);
    return own == own ? before : INT_MAX;
}

/* Warp w adds up the rows w, w + HIT_WARPS, ... in this order; then the warps are added in theirs. */
template <int N, typename T>
__global__ void __launch_bounds__(32 * HIT_WARPS)
    count_hits(int64_t rows, int64_t classes, const T *scores, const int32_t *labels, const float *weight, float *hits)
{
    __shared__ double room[2][HIT_WARPS];
    const int warp = threadIdx.x / 32;
    double first = 0, five = 0;
    for (int64_t row = warp; row < rows; row += HIT_WARPS) {
        const int64_t label = labels[row];
        if (label < 0 || label >= classes) continue;
        const int rank = rank_of<N>(classes, scores + row * classes, label);
        first += rank < 1 ? (double)weight[row] : 0;
        five += rank < 5 ? (double)weight[row] : 0;
    }
    if (threadIdx.x % 32 == 0) room[0][warp] = first, room[1][warp] = five;
    __syncthreads();
    if (threadIdx.x >= 2) return;
    double total = 0;
    for (int w = 0; w < HIT_WARPS; w++) total += room[threadIdx.x][w];
    hits[threadIdx.x] = (float)total;
}

}

/* Targets have the wide type: t names what the network computes in, y is float32. */
dt_status dt_cuda_one_hot(const dt_queue *q, dt_dtype t, int64_t batch, int64_t classes, double on, double off,
                          const int32_t *labels, void *y)
{
    if (dt_dtype_wide(t) != DT_F32) return no_type(t);
    const int64_t count = batch * classes;
    if (count <= 0) return DT_OK;
    return by_index(count, [=](auto zero) {
        typedef decltype(zero) INDEX;
        const unsigned blocks = (unsigned)ceil_div<int64_t>(count, THREADS);
        write_one_hot<INDEX><<<blocks, THREADS, 0, stream_of(q)>>>((INDEX)count, divider<INDEX>(classes), (float)on,
                                                                   (float)off, labels, (float *)y);
        return launched();
    });
}

dt_status dt_cuda_top_hits(const dt_queue *q, dt_dtype t, int64_t rows, int64_t classes, const void *scores,
                           const int32_t *labels, const void *weight, void *hits)
{
    return by_type(t, [=](auto zero) {
        typedef decltype(zero) T;
        constexpr int N = pack<T>::size;
        const T *of = (const T *)scores;
        const float *by = (const float *)weight;
        if (classes % N == 0)
            count_hits<N, T><<<1, 32 * HIT_WARPS, 0, stream_of(q)>>>(rows, classes, of, labels, by, (float *)hits);
        else
            count_hits<1, T><<<1, 32 * HIT_WARPS, 0, stream_of(q)>>>(rows, classes, of, labels, by, (float *)hits);
        return launched();
    });
}
