/* Arrays [rows, channels] in which whole columns share factors or are summed: how blocks cover them, so that a thread
 * meets the same columns in all its rows, and the second stage of sums over rows.
 *
 * A thread owns a run of columns: 16 bytes where the channels divide into such, else one element. A tile is as many
 * runs as a block has threads for, at most a row; what is left of the threads takes further rows of it (lanes). Rows go
 * in groups of GROUP_ROWS per lane, which a thread loads at once; the blocks of a tile (slices) take groups in turn.
 * Nothing here depends on the GPU, so neither does the order of sums. */
#ifndef DT_KERNELS_CUDA_COLUMNS_CUH
#define DT_KERNELS_CUDA_COLUMNS_CUH

#include <algorithm>
#include <type_traits>

#include "kernels/cuda/common.cuh"

namespace dt {

/* --- runs of elements --- */

/* V consecutive elements as they lie in memory: one load, one store. V is pack<T>::size or 1, or 4 of bfloat16 that is
 * walked beside float32. They stay packed until they are used: as elements of their own, bfloat16 would fill twice as
 * many registers. */
template <typename T, int V> struct run { typedef uint4 word; word words; };
template <> struct run<bf16, 4> { typedef uint2 word; word words; };
template <typename T> struct run<T, 1> { T only; };

template <int V, typename T> __device__ __forceinline__ run<T, V> load_run(const T *from)
{
    if constexpr (V == 1)
        return {*from};
    else
        return {*reinterpret_cast<const typename run<T, V>::word *>(from)};
}

template <typename T, int V> __device__ __forceinline__ void store_run(T *to, const run<T, V> &x)
{
    if constexpr (V == 1)
        *to = x.only;
    else
        store_word(reinterpret_cast<typename run<T, V>::word *>(to), x.words);
}

/* A bfloat16 is the upper half of a float32. */
__device__ __forceinline__ void widen_pair(unsigned pair, float *to)
{
    to[0] = __uint_as_float(pair << 16);
    to[1] = __uint_as_float(pair & 0xffff0000u);
}

template <typename T, int V> __device__ __forceinline__ void widen_run(const run<T, V> &x, float (&to)[V])
{
    if constexpr (V == 1) {
        to[0] = widen(x.only);
    } else if constexpr (std::is_same<T, bf16>::value) {
        widen_pair(x.words.x, to), widen_pair(x.words.y, to + 2);
        if constexpr (V == 8) widen_pair(x.words.z, to + 4), widen_pair(x.words.w, to + 6);
    } else {
        to[0] = __uint_as_float(x.words.x), to[1] = __uint_as_float(x.words.y);
        to[2] = __uint_as_float(x.words.z), to[3] = __uint_as_float(x.words.w);
    }
}

__device__ __forceinline__ unsigned narrow_pair(const float *x)
{
    const __nv_bfloat162 pair = __floats2bfloat162_rn(x[0], x[1]);
    return *reinterpret_cast<const unsigned *>(&pair);
}

template <typename T, int V> __device__ __forceinline__ run<T, V> narrow_run(const float (&x)[V])
{
    if constexpr (V == 1)
        return {narrow<T>(x[0])};
    else if constexpr (std::is_same<T, bf16>::value && V == 4)
        return {make_uint2(narrow_pair(x), narrow_pair(x + 2))};
    else if constexpr (std::is_same<T, bf16>::value)
        return {make_uint4(narrow_pair(x), narrow_pair(x + 2), narrow_pair(x + 4), narrow_pair(x + 6))};
    else
        return {make_uint4(__float_as_uint(x[0]), __float_as_uint(x[1]), __float_as_uint(x[2]),
                           __float_as_uint(x[3]))};
}

/* a + b as it is stored, in a's type. */
template <typename S, typename T, int V>
__device__ __forceinline__ run<S, V> add_runs(const run<S, V> &a, const run<T, V> &b)
{
    float sum[V], other[V];
    widen_run(a, sum), widen_run(b, other);
#pragma unroll
    for (int i = 0; i < V; i++) sum[i] += other[i];
    return narrow_run<S>(sum);
}

template <int V> __device__ __forceinline__ void load_floats(float (&to)[V], const float *from)
{
    if constexpr (V == 1) {
        to[0] = *from;
    } else {
#pragma unroll
        for (int i = 0; i < V; i += 4) {
            const float4 four = *reinterpret_cast<const float4 *>(from + i);
            to[i] = four.x, to[i + 1] = four.y, to[i + 2] = four.z, to[i + 3] = four.w;
        }
    }
}

template <int V> __device__ __forceinline__ void store_floats(float *to, const float (&x)[V])
{
    if constexpr (V == 1) {
        *to = x[0];
    } else {
#pragma unroll
        for (int i = 0; i < V; i += 4)
            *reinterpret_cast<float4 *>(to + i) = make_float4(x[i], x[i + 1], x[i + 2], x[i + 3]);
    }
}

/* gamma or beta from `column` on; `otherwise` where there is none. */
template <int V>
__device__ __forceinline__ void load_factors(float (&to)[V], const float *from, int64_t column, float otherwise)
{
    if (from) {
        load_floats(to, from + column);
    } else {
#pragma unroll
        for (int i = 0; i < V; i++) to[i] = otherwise;
    }
}

/* --- covering the array --- */

enum { COLUMN_THREADS = 256, GROUP_ROWS = 4 };

struct column_tiling {
    int64_t rows, channels;
    int width, lanes;       /* runs of a tile, and rows of it that a block takes at once */
    int threads;            /* of a block: width * lanes in whole warps */
    int64_t tiles, slices;  /* blocks: tiles * slices, the tiles of a slice side by side */
    int64_t groups;         /* of GROUP_ROWS * lanes rows */
};

/* `blocks`: how many are wanted at most, unless the tiles alone are more. */
static inline column_tiling tile_columns(int64_t rows, int64_t channels, int run_size, int64_t blocks)
{
    column_tiling t = {};
    const int64_t runs = channels / run_size;
    t.rows = rows;
    t.channels = channels;
    t.tiles = ceil_div<int64_t>(runs, COLUMN_THREADS);
    t.width = (int)ceil_div(runs, t.tiles);
    t.lanes = COLUMN_THREADS / t.width;
    t.threads = ceil_div(t.width * t.lanes, 32) * 32;
    t.groups = ceil_div<int64_t>(rows, t.lanes * GROUP_ROWS);
    const int64_t steps = ceil_div(t.groups, std::max<int64_t>(blocks / t.tiles, 1));
    t.slices = steps ? ceil_div(t.groups, steps) : 0; /* as even as whole groups can be */
    return t;
}

/* Do rows of so many channels divide into packs, and so all start at multiples of 16 bytes? */
template <typename T> static inline bool in_packs(int64_t channels) { return channels % pack<T>::size == 0; }

/* A thread's place in the tiling. */
struct column_place {
    int64_t column, slice;
    int lane;
    bool inside; /* else the thread has no column */
};

template <int V> __device__ __forceinline__ column_place place_in(const column_tiling &t)
{
    const unsigned tiles = (unsigned)t.tiles, tile = blockIdx.x % tiles;
    const int lane = (int)threadIdx.x / t.width, at = (int)threadIdx.x % t.width;
    column_place place;
    place.column = ((int64_t)tile * t.width + at) * V;
    place.slice = blockIdx.x / tiles;
    place.lane = lane;
    place.inside = lane < t.lanes && place.column < t.channels;
    return place;
}

/* The first row of a lane in a group; the others follow at distances of t.lanes. */
__device__ __forceinline__ int64_t first_row(const column_tiling &t, const column_place &place, int64_t group)
{
    return group * GROUP_ROWS * t.lanes + place.lane;
}

/* How far behind `row` the array ends, or that no row of its group is missing: row + u t.lanes exists where u t.lanes
 * is below. In 32 bits, which saves registers. */
__device__ __forceinline__ int rows_left(const column_tiling &t, int64_t row)
{
    const int64_t left = t.rows - row;
    return left < COLUMN_THREADS * GROUP_ROWS ? (int)left : COLUMN_THREADS * GROUP_ROWS;
}

/* --- sums over rows --- */

/* Adds the sums of a block's lanes, by halves, and writes them as the slice's row of partial[slices, channels]. `room`
 * is shared memory for COLUMN_THREADS * V floats. The whole block calls it. */
template <int V>
__device__ __forceinline__ void store_partial(float (&sum)[V], const column_tiling &t, const column_place &place,
                                              float *partial, float *room)
{
    for (int left = t.lanes; left > 1;) {
        const int half = (left + 1) / 2, at = (int)threadIdx.x;
        if (place.lane >= half && place.lane < left)
#pragma unroll
            for (int i = 0; i < V; i++) room[i * COLUMN_THREADS + at] = sum[i];
        __syncthreads();
        if (place.lane < left - half)
#pragma unroll
            for (int i = 0; i < V; i++) sum[i] += room[i * COLUMN_THREADS + at + half * t.width];
        __syncthreads();
        left = half;
    }
    if (place.lane == 0 && place.inside) store_floats(partial + place.slice * t.channels + place.column, sum);
}

/* y[width] (+)= the sum over partial[pieces, width]. */
struct column_job {
    const float *partial;
    float *y;
    int64_t pieces, width;
    bool accumulate;
};

enum { MOST_COLUMN_JOBS = 4 };
struct column_jobs {
    column_job at[MOST_COLUMN_JOBS];
    int count;
};

/* A warp adds every 32nd piece of 32 columns, then the first warp adds the warps. In float64, which costs nothing here
 * and leaves the rounding of the first stage as the only one. */
static __global__ void __launch_bounds__(1024) add_partials(const column_jobs jobs)
{
    __shared__ double room[32][32];
    const column_job job = jobs.at[blockIdx.y];
    const int64_t column = (int64_t)blockIdx.x * 32 + threadIdx.x;
    if ((int64_t)blockIdx.x * 32 >= job.width) return;
    double total = 0;
    if (column < job.width) {
#pragma unroll 8
        for (int64_t piece = threadIdx.y; piece < job.pieces; piece += 32)
            total += job.partial[piece * job.width + column];
    }
    room[threadIdx.y][threadIdx.x] = total;
    __syncthreads();
    if (threadIdx.y || column >= job.width) return;
    for (int warp = 1; warp < 32; warp++) total += room[warp][threadIdx.x];
    job.y[column] = (float)(job.accumulate ? job.y[column] + total : total);
}

/* Adds a job for y, which may be NULL: not wanted. */
static inline void add_column_job(column_jobs *jobs, const float *partial, void *y, int64_t pieces, int64_t width,
                                  bool accumulate)
{
    if (y) jobs->at[jobs->count++] = {partial, static_cast<float *>(y), pieces, width, accumulate};
}

static inline dt_status run_column_jobs(const dt_queue *q, const column_jobs &jobs)
{
    int64_t width = 0;
    for (int i = 0; i < jobs.count; i++) width = std::max(width, jobs.at[i].width);
    if (width == 0) return DT_OK;
    const dim3 grid((unsigned)ceil_div<int64_t>(width, 32), (unsigned)jobs.count);
    add_partials<<<grid, dim3(32, 32), 0, stream_of(q)>>>(jobs);
    return launched();
}

}

#endif
