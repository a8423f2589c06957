/* Which of several ways to do one thing is the fastest that repeats its bits, found by doing it: a product by the
 * algorithms of a library, attention by our kernel or by a library. And what was found before, where it still can be
 * had.
 *
 * Each way is taken TUNE_REPEATS + 1 times and the fastest twice more, whose results are then compared by a sum over
 * all elements in integers, which no order of adding changes. */
#ifndef DT_KERNELS_CUDA_TUNE_CUH
#define DT_KERNELS_CUDA_TUNE_CUH

#include <algorithm>
#include <cinttypes>
#include <cmath>

#include "kernels/cuda/common.cuh"

namespace dt {

enum { TUNE_MOST = 8, TUNE_REPEATS = 3, DIGEST_BLOCKS = 512, DIGEST_THREADS = 256, DIGEST_BYTES = 8 };

/* Of the time of the first way: another one must be worth it. Differences below are noise, with which two
 * runs would choose differently. */
constexpr float TUNE_WORTH = 0.97f;

/* splitmix64's last step: a bijection in which every bit of x moves half of the others. */
__device__ __forceinline__ unsigned long long mix_bits(unsigned long long x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

/* *digest += sum over i of mix(i, x[i]), x in pieces of 2 bytes. */
static __global__ void __launch_bounds__(DIGEST_THREADS) add_digest(int64_t count, const uint16_t *x,
                                                                    unsigned long long *digest)
{
    const int64_t stride = (int64_t)gridDim.x * DIGEST_THREADS;
    unsigned long long sum = 0;
    for (int64_t i = (int64_t)blockIdx.x * DIGEST_THREADS + threadIdx.x; i < count; i += stride)
        sum += mix_bits((unsigned long long)i << 16 | x[i]);
    sum = warp_sum(sum);
    if (threadIdx.x % 32 == 0) atomicAdd(digest, sum);
}

/* Of what a way makes, one array or two. */
enum { TUNE_RESULTS = 2 };
struct tune_result {
    const void *at;
    int64_t bytes;
};

/* `room` is device memory for DIGEST_BYTES. Waits for the stream. */
static inline dt_status take_digest(const dt_queue *q, const tune_result (&results)[TUNE_RESULTS], void *room,
                                    unsigned long long *out)
{
    DT_TRY(check(cudaMemsetAsync(room, 0, DIGEST_BYTES, stream_of(q)), "clear memory"));
    for (const tune_result &r : results) {
        if (!r.bytes) continue;
        add_digest<<<DIGEST_BLOCKS, DIGEST_THREADS, 0, stream_of(q)>>>(r.bytes / 2, (const uint16_t *)r.at,
                                                                     (unsigned long long *)room);
        DT_TRY(launched());
    }
    DT_TRY(check(cudaMemcpyAsync(out, room, DIGEST_BYTES, cudaMemcpyDeviceToHost, stream_of(q)), "copy"));
    return check(cudaStreamSynchronize(stream_of(q)), "finish the work of a stream");
}

/* What is being recorded cannot be waited for. */
static inline bool is_recording(const dt_queue *q)
{
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    return cudaStreamIsCapturing(stream_of(q), &status) != cudaSuccess || status != cudaStreamCaptureStatusNone;
}

/* What the table says of `work`, which is none where is_accepted() refuses what it puts into *algorithm. Where choices
 * are kept, none is said only once it is this run's turn to decide. dt_choices_release must follow. */
template <typename F>
static dt_choice find_choice(const dt_queue *q, const char *work, void *algorithm, const F &is_accepted)
{
    dt_choice found = dt_choices_find(q->choices, work, algorithm);
    if (found == DT_CHOICE_NOTED && !is_accepted()) found = DT_CHOICE_NONE;
    if (found != DT_CHOICE_NONE || !dt_choices_kept(q->choices)) return found;
    found = dt_choices_claim(q->choices, work, algorithm);
    return found == DT_CHOICE_NOTED && !is_accepted() ? DT_CHOICE_NONE : found;
}

struct stopwatch {
    cudaEvent_t begin = NULL, end = NULL;

    stopwatch() = default;
    stopwatch(const stopwatch &) = delete;
    ~stopwatch()
    {
        for (cudaEvent_t event : {begin, end})
            if (event) cudaEventDestroy(event);
    }
    dt_status open()
    {
        DT_TRY(check(cudaEventCreate(&begin), "create an event"));
        return check(cudaEventCreate(&end), "create an event");
    }
};

/* What is to be tuned. `run(i)` queues the work in way i of `count` and is false where that is refused; it may be
 * repeated: nothing that it reads is in its result. */
template <typename F> struct contest {
    const dt_queue *q;
    int count;
    F run;
    tune_result results[TUNE_RESULTS]; /* no bytes: none */
    void *room; /* DIGEST_BYTES, free between runs */
};

/* Once without counting, as the first run loads the kernel. What is refused takes forever. */
template <typename F> static dt_status time_run(const contest<F> &c, int i, const stopwatch &w, float *milliseconds)
{
    bool refused = !c.run(i);
    DT_TRY(check(cudaEventRecord(w.begin, stream_of(c.q)), "record an event"));
    for (int repeat = 0; repeat < TUNE_REPEATS && !refused; repeat++)
        refused = !c.run(i);
    DT_TRY(check(cudaEventRecord(w.end, stream_of(c.q)), "record an event"));
    DT_TRY(check(cudaEventSynchronize(w.end), "finish what is timed"));
    DT_TRY(check(cudaEventElapsedTime(milliseconds, w.begin, w.end), "time a kernel"));
    if (!refused) return DT_OK;
    cudaGetLastError(); /* an answer, not a fault */
    *milliseconds = INFINITY;
    return DT_OK;
}

template <typename F> static dt_status repeats_bits(const contest<F> &c, int i, bool *same)
{
    unsigned long long digest[2];
    *same = false;
    for (unsigned long long &d : digest) {
        if (!c.run(i)) return DT_OK;
        DT_TRY(take_digest(c.q, c.results, c.room, &d));
    }
    *same = digest[0] == digest[1];
    return DT_OK;
}

/* The first unless another is worth it. */
static inline int best_of(const float *milliseconds, int count)
{
    const int fastest = (int)(std::min_element(milliseconds, milliseconds + count) - milliseconds);
    return milliseconds[fastest] < TUNE_WORTH * milliseconds[0] ? fastest : 0;
}

/* *winner is -1 where none repeats its bits. */
template <typename F> static dt_status find_fastest(const contest<F> &c, int *winner)
{
    float milliseconds[TUNE_MOST];
    stopwatch w;
    bool same = false;
    DT_TRY(w.open());
    for (int i = 0; i < c.count; i++) DT_TRY(time_run(c, i, w, &milliseconds[i]));
    for (*winner = -1; !same;) {
        const int best = best_of(milliseconds, c.count);
        if (std::isinf(milliseconds[best])) return DT_OK;
        DT_TRY(repeats_bits(c, best, &same));
        if (same) *winner = best;
        else milliseconds[best] = INFINITY;
    }
    return DT_OK;
}

}

#endif
