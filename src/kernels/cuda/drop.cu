/* Dropout (Srivastava et al., 2014) and drop path (Huang et al., 2016): y = x / (1 - rate) where an element, or a whole
 * sample, is kept, and 0 where it is dropped, whatever x is there.
 *
 * Bytes: x is read and y written once, 4 n for n elements of bfloat16; drop path does not read what it drops. Masks are
 * not stored: they are Philox draws of (seed, purpose, step and site, sample), of which a backward pass repeats the
 * same. One draw of ten rounds makes four uniforms, some 20 instructions an element: in bfloat16 that is near what a
 * processor can issue in the time of a copy.
 *
 * Blocks belong to one sample each. A thread of dropout takes the elements of 16 bytes, one or two draws; a thread of
 * drop path draws once for several packs. Samples whose size is no multiple of a pack go element by element.
 *
 * Reached on an H200 in float32 (`bench --profile`): drop path of ViT-B's blocks moves 3.6 to 3.7 TB/s, where a
 * copy moves 4.2. */
#include "kernels/cuda/group.cuh"
#include "kernels/cuda/philox.cuh"

namespace {

using namespace dt;

enum { THREADS = 256, PACKS = 4 }; /* PACKS: of a thread of drop path */

template <typename T> struct drop_job {
    int64_t per_sample;
    unsigned blocks; /* of a sample */
    uint64_t seed;
    uint32_t site;
    float rate, keep; /* keep: what is kept is multiplied by it */
    const int64_t *step, *sample;
    const T *x;
    T *y;
};

template <typename T> drop_job<T> make_job(const dt_drop_args *p, int64_t per_block)
{
    return {p->per_sample, (unsigned)ceil_div(p->per_sample, per_block), p->seed, p->site, (float)p->rate,
            (float)(1 / (1 - p->rate)), p->step, p->sample, (const T *)p->x, (T *)p->y};
}

/* --- dropout --- */

/* WHOLE: a sample is a whole number of packs, so that packs are aligned. */
template <bool WHOLE, typename T> __global__ void __launch_bounds__(THREADS) drop_elements(drop_job<T> job)
{
    constexpr int N = pack<T>::size;
    const int64_t sample = blockIdx.x / job.blocks;
    const int64_t first = ((int64_t)(blockIdx.x % job.blocks) * THREADS + threadIdx.x) * N;
    if (first >= job.per_sample) return;
    const int64_t at = sample * job.per_sample + first, left = job.per_sample - first;
    group<T, N> x = {};
    if (WHOLE) {
        x = load_group<N>(job.x + at);
    } else {
#pragma unroll
        for (int j = 0; j < N; j++)
            if (j < left) x.at[j] = job.x[at + j];
    }
    const mask_stream stream =
        make_mask_stream(job.seed, DT_PURPOSE_DROPOUT, job.step, job.site, job.sample[sample]);
    float uniform[N];
#pragma unroll
    for (int j = 0; j < N; j += 4) draw_uniforms(stream, (uint32_t)((first + j) / 4), uniform + j);
#pragma unroll
    for (int j = 0; j < N; j++) x.at[j] = narrow<T>(uniform[j] < job.rate ? 0.0f : widen(x.at[j]) * job.keep);
    if (WHOLE) {
        store_group<N>(job.y + at, x);
    } else {
#pragma unroll
        for (int j = 0; j < N; j++)
            if (j < left) job.y[at + j] = x.at[j];
    }
}

/* --- drop path --- */

/* Groups of N elements move; `groups` of them are a sample. */
template <int N, typename T>
__global__ void __launch_bounds__(THREADS) drop_samples(drop_job<T> job, int64_t groups)
{
    const int64_t sample = blockIdx.x / job.blocks, front = sample * job.per_sample;
    const int64_t first = (int64_t)(blockIdx.x % job.blocks) * (THREADS * PACKS) + threadIdx.x;
    float uniform[4];
    draw_uniforms(make_mask_stream(job.seed, DT_PURPOSE_DROP_PATH, job.step, job.site, job.sample[sample]), 0, uniform);
    const bool dropped = uniform[0] < job.rate;
    const float keep = dropped ? 0.0f : job.keep;
    group<T, N> x[PACKS] = {}; /* what is not read is 0 */
#pragma unroll
    for (int k = 0; k < PACKS; k++)
        if (!dropped && first + k * THREADS < groups) x[k] = load_group<N>(job.x + front + (first + k * THREADS) * N);
#pragma unroll
    for (int k = 0; k < PACKS; k++) {
#pragma unroll
        for (int j = 0; j < N; j++) x[k].at[j] = narrow<T>(widen(x[k].at[j]) * keep);
        if (first + k * THREADS < groups) store_group<N>(job.y + front + (first + k * THREADS) * N, x[k]);
    }
}

template <int N, typename T> dt_status drop_by(const dt_queue *q, const dt_drop_args *p)
{
    const drop_job<T> job = make_job<T>(p, THREADS * PACKS * N);
    drop_samples<N, T><<<(unsigned)(p->samples * job.blocks), THREADS, 0, stream_of(q)>>>(job, p->per_sample / N);
    return launched();
}

}

dt_status dt_cuda_dropout(const dt_queue *q, dt_dtype t, const dt_drop_args *p)
{
    if (p->samples <= 0 || p->per_sample <= 0) return DT_OK;
    return by_type(t, [=](auto zero) {
        typedef decltype(zero) T;
        const drop_job<T> job = make_job<T>(p, THREADS * pack<T>::size);
        const unsigned blocks = (unsigned)(p->samples * job.blocks);
        if (p->per_sample % pack<T>::size == 0)
            drop_elements<true, T><<<blocks, THREADS, 0, stream_of(q)>>>(job);
        else
            drop_elements<false, T><<<blocks, THREADS, 0, stream_of(q)>>>(job);
        return launched();
    });
}

dt_status dt_cuda_drop_path(const dt_queue *q, dt_dtype t, const dt_drop_args *p)
{
    if (p->samples <= 0 || p->per_sample <= 0) return DT_OK;
    return by_type(t, [=](auto zero) {
        typedef decltype(zero) T;
        constexpr int N = pack<T>::size;
        return p->per_sample % N == 0 ? drop_by<N, T>(q, p) : drop_by<1, T>(q, p);
    });
}
