/* Column sums: y[j] = sum over i of x[i, j], float32 (bias gradients). It reads x once, rows * n elements; what it
 * writes, one partial row per slice (see columns.cuh) and y, is small beside that when there are many rows.
 *
 * Two stages in a fixed order: a thread adds its columns over the rows of its slice in registers, a
 * group of rows in flight at a time, its block's lanes are added in shared memory, and add_partials adds the slices.
 *
 * Reached on an H200 in bfloat16 (`bench kernels`): 97 % of the bandwidth of a copy of as many bytes. */
#include "kernels/cuda/columns.cuh"

using namespace dt;

namespace {

enum { BLOCKS = 528 }; /* four for each of 132 multiprocessors */

column_tiling tiling_of(dt_dtype t, int64_t rows, int64_t n)
{
    const int size = t == DT_BF16 ? pack<bf16>::size : pack<float>::size;
    return tile_columns(rows, n, n % size ? 1 : size, BLOCKS);
}

template <int V, typename T>
__device__ __forceinline__ void add_rows(float (&sum)[V], const T *x, const column_tiling &t, int64_t row)
{
    const int left = rows_left(t, row);
    x += row * t.channels;
    run<T, V> loaded[GROUP_ROWS];
#pragma unroll
    for (int u = 0; u < GROUP_ROWS; u++)
        if (u * t.lanes < left) loaded[u] = load_run<V>(x + u * t.lanes * t.channels);
#pragma unroll
    for (int u = 0; u < GROUP_ROWS; u++)
        if (u * t.lanes < left) {
            float wide[V];
            widen_run(loaded[u], wide);
#pragma unroll
            for (int i = 0; i < V; i++) sum[i] += wide[i];
        }
}

template <typename T, int V>
__global__ void __launch_bounds__(COLUMN_THREADS) sum_slices(const column_tiling t, const T *x, float *partial)
{
    __shared__ float room[COLUMN_THREADS * V];
    const column_place place = place_in<V>(t);
    float sum[V] = {};
    if (place.inside)
        for (int64_t group = place.slice; group < t.groups; group += t.slices)
            add_rows(sum, x + place.column, t, first_row(t, place, group));
    store_partial(sum, t, place, partial, room);
}

template <typename T>
dt_status sum_columns(const dt_queue *q, const column_tiling &t, const T *x, float *partial)
{
    const unsigned blocks = (unsigned)(t.tiles * t.slices);
    if (in_packs<T>(t.channels))
        sum_slices<T, pack<T>::size><<<blocks, (unsigned)t.threads, 0, stream_of(q)>>>(t, x, partial);
    else
        sum_slices<T, 1><<<blocks, (unsigned)t.threads, 0, stream_of(q)>>>(t, x, partial);
    return launched();
}

}

dt_status dt_cuda_column_sum(const dt_queue *q, dt_dtype type, int64_t rows, int64_t n, const void *x, void *y,
                             bool accumulate, void *scratch)
{
    if (n == 0) return DT_OK;
    float *partial = static_cast<float *>(scratch);
    const column_tiling t = tiling_of(type, rows, n);
    if (rows > 0)
        DT_TRY(by_type(type, [&](auto zero) {
            return sum_columns(q, t, static_cast<const decltype(zero) *>(x), partial);
        }));
    column_jobs jobs = {};
    add_column_job(&jobs, partial, y, t.slices, n, accumulate);
    return run_column_jobs(q, jobs);
}

int64_t dt_cuda_column_sum_scratch(const dt_device_info *, dt_dtype type, int64_t rows, int64_t n)
{
    return n > 0 ? tiling_of(type, rows, n).slices * n * (int64_t)sizeof(float) : 0;
}
