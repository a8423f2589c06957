/* Parameter updates over the spans of a flat buffer: AdamW (Loshchilov and Hutter, 2019), SGD with momentum, and the
 * exponential moving average. With g = scale grad, decay = lr weight_decay span.decay and lr scaled by the span:
 *   adamw: m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g²,
 *          value = (1 - decay) value - lr / correction1 m / (sqrt(v) / sqrt(correction2) + epsilon)
 *   sgd:   g += weight_decay span.decay value,  m = momentum m + g,  value -= lr (nesterov ? g + momentum m : m)
 *   ema:   average += (1 - decay) (value - average)
 * Nothing is written where *finite is 0.
 * Bytes per element: adamw 28, sgd 20, and 2 more with the bfloat16 working copy; ema 3 times the element's size.
 *
 * One pass: a thread updates the 4 elements whose 16 bytes it loads at once. While a block's loads are under way its
 * second warp looks for the span that the block starts in and its first thread makes the scalars that hold for all
 * spans, in float64; what a span adds to them each thread makes for itself. Four elements that are not all of one span
 * are updated one by one.
 *
 * Reached on an H200 in bfloat16 (`bench kernels`): AdamW with the bfloat16 copy 98 % of the bandwidth of a copy of as
 * many bytes. */
#include "kernels/cuda/common.cuh"

namespace {

using namespace dt;

enum { THREADS = 256, SIZE = pack<float>::size, BLOCK_ELEMENTS = THREADS * SIZE };

/* What a rule reads and writes of one element. */
struct element {
    float value, grad, moment1, moment2;
};

struct adamw_rule {
    static constexpr bool has_moment2 = true;

    /* Of the whole step, in shared memory. */
    struct step {
        double lr, lr_corrected;
        float scale, root, beta1, rest1, beta2, rest2, epsilon;
    };
    /* Of a span. */
    struct span {
        float keep, rate;
    };

    static __device__ step begin(const dt_update_args &u)
    {
        return {*u.lr,          *u.lr / *u.correction1, (float)*u.scale,      (float)sqrt(*u.correction2),
                (float)u.beta1, (float)(1 - u.beta1),   (float)u.beta2, (float)(1 - u.beta2),
                (float)u.epsilon};
    }

    static __device__ span enter(const dt_update_args &u, const step &s, const dt_segment_span &at)
    {
        return {(float)(1 - s.lr * at.lr_scale * u.weight_decay * at.decay), (float)(s.lr_corrected * at.lr_scale)};
    }

    static __device__ __forceinline__ void update(const step &s, const span &at, element &x)
    {
        const float g = x.grad * s.scale;
        const float m = s.beta1 * x.moment1 + s.rest1 * g, v = s.beta2 * x.moment2 + s.rest2 * g * g;
        x.value = x.value * at.keep - at.rate * m / (sqrtf(v) / s.root + s.epsilon);
        x.moment1 = m;
        x.moment2 = v;
    }
};

struct sgd_rule {
    static constexpr bool has_moment2 = false;

    struct step {
        double lr;
        float scale, momentum;
        bool nesterov;
    };
    struct span {
        float rate, decay;
    };

    static __device__ step begin(const dt_update_args &u)
    {
        return {*u.lr, (float)*u.scale, (float)u.beta1, u.nesterov};
    }

    static __device__ span enter(const dt_update_args &u, const step &s, const dt_segment_span &at)
    {
        return {(float)(s.lr * at.lr_scale), (float)(u.weight_decay * at.decay)};
    }

    static __device__ __forceinline__ void update(const step &s, const span &at, element &x)
    {
        const float g = x.grad * s.scale + at.decay * x.value, m = s.momentum * x.moment1 + g;
        x.value -= at.rate * (s.nesterov ? g + s.momentum * m : m);
        x.moment1 = m;
    }
};

/* The first span that ends after `begin`, sought by one warp: each round narrows [low, high) by 32. */
__device__ int64_t first_span(const dt_segment_span *spans, int64_t count, int64_t begin)
{
    int64_t low = 0, high = count;
    while (low < high) {
        const int64_t stride = (high - low + 31) / 32, at = low + threadIdx.x % 32 * stride;
        const bool before = at < high && spans[at].offset + spans[at].count <= begin;
        const int passed = __popc(__ballot_sync(0xffffffffu, before)); /* the first `passed` lanes are before */
        if (passed == 0) return low;
        high = min(low + passed * stride, high);
        low += (passed - 1) * stride + 1;
    }
    return low;
}

/* Elements first .. first + 3 of all arrays; those at or past `count` are not touched. */
struct quad {
    pack<float> value, grad, moment1, moment2;
};

template <typename RULE> __device__ __forceinline__ void load_quad(const dt_update_args &u, int64_t first, quad &x)
{
    if (first + SIZE > u.count) return;
    x.value = load_pack((const float *)u.value + first);
    x.grad = load_pack((const float *)u.grad + first);
    x.moment1 = load_pack((const float *)u.moment1 + first);
    if (RULE::has_moment2) x.moment2 = load_pack((const float *)u.moment2 + first);
}

/* Four at once, all of one span. */
template <typename RULE>
__device__ __forceinline__ void update_quad(const dt_update_args &u, const typename RULE::step &step,
                                            const dt_segment_span &span, int64_t first, quad &x)
{
    const typename RULE::span scalars = RULE::enter(u, step, span);
    alignas(8) bf16 rounded[SIZE];
#pragma unroll
    for (int e = 0; e < SIZE; e++) {
        element one = {x.value.at[e], x.grad.at[e], x.moment1.at[e], RULE::has_moment2 ? x.moment2.at[e] : 0};
        RULE::update(step, scalars, one);
        x.value.at[e] = one.value;
        x.moment1.at[e] = one.moment1;
        if (RULE::has_moment2) x.moment2.at[e] = one.moment2;
        rounded[e] = narrow<bf16>(one.value);
    }
    store_pack((float *)u.value + first, x.value);
    store_pack((float *)u.moment1 + first, x.moment1);
    if (RULE::has_moment2) store_pack((float *)u.moment2 + first, x.moment2);
    if (u.working) *(uint2 *)((bf16 *)u.working + first) = *(const uint2 *)rounded;
}

/* One element, wherever its neighbours belong. */
template <typename RULE>
__device__ void update_one(const dt_update_args &u, const typename RULE::step &step, const dt_segment_span &span,
                           int64_t i)
{
    float *value = (float *)u.value, *moment1 = (float *)u.moment1, *moment2 = (float *)u.moment2;
    element x = {value[i], ((const float *)u.grad)[i], moment1[i], RULE::has_moment2 ? moment2[i] : 0};
    RULE::update(step, RULE::enter(u, step, span), x);
    value[i] = x.value;
    moment1[i] = x.moment1;
    if (RULE::has_moment2) moment2[i] = x.moment2;
    if (u.working) ((bf16 *)u.working)[i] = narrow<bf16>(x.value);
}

__device__ __forceinline__ int64_t end_of(const dt_segment_span &span) { return span.offset + span.count; }

/* Elements first .. first + 3 where no one span has them all: the spans from the `at`-th on. */
template <typename RULE>
__device__ __noinline__ void update_edge(const dt_update_args &u, const typename RULE::step &step, int64_t at,
                                         int64_t first)
{
    const int64_t last = min(first + SIZE, u.count);
    for (; at < u.span_count && u.spans[at].offset < last; at++) {
        const dt_segment_span span = u.spans[at];
        const int64_t end = min(last, end_of(span));
        for (int64_t i = max(first, span.offset); i < end && !span.frozen; i++) update_one<RULE>(u, step, span, i);
    }
}

template <typename RULE>
__global__ void __launch_bounds__(THREADS) update_spans(const __grid_constant__ dt_update_args u)
{
    __shared__ typename RULE::step step;
    __shared__ int64_t span;
    const int64_t begin = (int64_t)blockIdx.x * BLOCK_ELEMENTS, first = begin + threadIdx.x * SIZE;
    const bool commits = *u.finite;
    quad x;
    load_quad<RULE>(u, first, x);
    if (threadIdx.x / 32 == 1) {
        const int64_t found = first_span(u.spans, u.span_count, begin);
        if (threadIdx.x == 32) span = found;
    }
    if (threadIdx.x == 0) step = RULE::begin(u);
    __syncthreads();
    if (!commits) return;
    int64_t at = span;
    while (at < u.span_count && end_of(u.spans[at]) <= first) at++;
    if (at == u.span_count || u.spans[at].offset >= first + SIZE) return;
    const dt_segment_span mine = u.spans[at];
    if (mine.offset > first || end_of(mine) < first + SIZE)
        update_edge<RULE>(u, step, at, first);
    else if (!mine.frozen)
        update_quad<RULE>(u, step, mine, first, x);
}

template <typename RULE> dt_status update(const dt_queue *q, dt_dtype t, const dt_update_args *u)
{
    if (t != DT_F32) return no_type(t);
    const int64_t blocks = ceil_div<int64_t>(u->count, BLOCK_ELEMENTS);
    if (blocks && u->span_count) update_spans<RULE><<<(unsigned)blocks, THREADS, 0, stream_of(q)>>>(*u);
    return launched();
}

/* One pack per thread; the elements behind the last pack are the last thread's. */
template <typename T>
__global__ void __launch_bounds__(THREADS) average_values(int64_t n, T rest, const int32_t *finite, const T *value,
                                                          T *average)
{
    constexpr int EACH = pack<T>::size;
    const int64_t first = ((int64_t)blockIdx.x * THREADS + threadIdx.x) * EACH;
    const bool commits = *finite;
    if (first + EACH <= n) {
        const pack<T> v = load_pack(value + first);
        pack<T> a = load_pack(average + first);
        for (int e = 0; e < EACH; e++) a.at[e] += rest * (v.at[e] - a.at[e]);
        if (commits) store_pack(average + first, a);
    } else {
        for (int64_t i = first; i < n && commits; i++) average[i] += rest * (value[i] - average[i]);
    }
}

template <typename T>
dt_status average(const dt_queue *q, int64_t n, double decay, const int32_t *finite, const void *value, void *to)
{
    const int64_t blocks = ceil_div<int64_t>(n, THREADS * pack<T>::size);
    if (blocks)
        average_values<<<(unsigned)blocks, THREADS, 0, stream_of(q)>>>(n, (T)(1 - decay), finite, (const T *)value,
                                                                       (T *)to);
    return launched();
}

}

dt_status dt_cuda_adamw(const dt_queue *q, dt_dtype t, const dt_update_args *u) { return update<adamw_rule>(q, t, u); }
dt_status dt_cuda_sgd(const dt_queue *q, dt_dtype t, const dt_update_args *u) { return update<sgd_rule>(q, t, u); }

dt_status dt_cuda_ema(const dt_queue *q, dt_dtype t, int64_t n, double decay, const int32_t *finite, const void *value,
                      void *to)
{
    switch (t) {
    case DT_F32: return average<float>(q, n, decay, finite, value, to);
    case DT_F64: return average<double>(q, n, decay, finite, value, to);
    default: return dt::no_type(t);
    }
}
