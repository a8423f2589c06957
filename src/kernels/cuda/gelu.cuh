/* GELU (Hendrycks and Gimpel, 2016), value and slope, for the element-wise kernels and for epilogues of products:
 *   exact      y = x Phi(x),              y' = Phi(x) + x phi(x)
 *   tanh form  y = x (1 + tanh u) / 2,    u = sqrt(2/pi) (x + 0.044715 x^3)
 * with phi and Phi the density and the distribution function of the standard normal.
 *
 * Argument and result are float; the template argument is the type in which the result is stored. For float32 the
 * formulas are those of kernels/cpu/gelu.h over erff, expf and tanhf. For bfloat16, where they would cost more than the
 * memory they wait for, the functions take two of the processor's approximations and no branch:
 *   Phi(-a) = exp(-a^2/2) (c1 t + c2 t^2 + c3 t^3 + c4 t^4), t = 1 / (1 + 0.49 a), for a = |x|,
 * a weighted minimax fit whose relative error over a <= 9 is 1.7e-4, a twentieth of bfloat16's rounding (2^-8), so that
 * the far tail keeps its digits too; (1 + tanh u) / 2 is the logistic function of 2 u. Both give NaN for NaN, and for
 * infinite x something that is not finite either, or the limit. */
#ifndef DT_KERNELS_CUDA_GELU_CUH
#define DT_KERNELS_CUDA_GELU_CUH

#include "kernels/cuda/common.cuh"

namespace dt {

/* --- exact --- */

__device__ __forceinline__ float normal_distribution(float x) { return 0.5f + 0.5f * erff(x * 0.70710678f); }

/* exp(-a^2/2) and Phi(-a) over it, for a = |x|. */
struct normal_tail {
    float decay, mills;
};

__device__ __forceinline__ normal_tail fast_normal_tail(float x)
{
    const float t = fast_reciprocal(fmaf(0.49f, fabsf(x), 1.0f));
    float mills = fmaf(-0.124745714f, t, 0.257437297f);
    mills = fmaf(mills, t, 0.169631134f);
    mills = fmaf(mills, t, 0.197593951f);
    return {fast_exp2(x * x * -0.72134752f), mills * t}; /* -log2(e) / 2 */
}

template <typename T> __device__ __forceinline__ float gelu_value(float x) { return x * normal_distribution(x); }

template <> __device__ __forceinline__ float gelu_value<bf16>(float x)
{
    const normal_tail tail = fast_normal_tail(x);
    return fmaf(-fabsf(x), tail.decay * tail.mills, fmaxf(x, 0.0f)); /* x - x Phi(-x), or x Phi(x) */
}

template <typename T> __device__ __forceinline__ float gelu_slope(float x)
{
    const float bounded = x < -50 ? -50 : x > 50 ? 50 : x; /* infinity times exp(-infinity) is no number */
    return normal_distribution(x) + bounded * (0.39894228f * expf(bounded * bounded * -0.5f));
}

template <> __device__ __forceinline__ float gelu_slope<bf16>(float x)
{
    const normal_tail tail = fast_normal_tail(x);
    const float left = tail.decay * fmaf(-0.39894228f, fabsf(x), tail.mills); /* the slope at -|x| */
    return x > 0 ? 1.0f - left : left;
}

/* --- tanh form --- */

/* 1 / (1 + exp(-2 u)) */
__device__ __forceinline__ float fast_gelu_gate(float x)
{
    const float v = x * fmaf(-0.10294324f, x * x, -2.3022082f); /* -2 log2(e) u */
    return fast_reciprocal(1.0f + fast_exp2(v));
}

template <typename T> __device__ __forceinline__ float gelu_tanh_value(float x)
{
    return 0.5f * x * (1.0f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
}

template <> __device__ __forceinline__ float gelu_tanh_value<bf16>(float x) { return x * fast_gelu_gate(x); }

template <typename T> __device__ __forceinline__ float gelu_tanh_slope(float x)
{
    const float bounded = x < -50 ? -50 : x > 50 ? 50 : x;
    const float s = bounded * bounded;
    const float t = tanhf(0.79788456f * (bounded + 0.044715f * bounded * s));
    const float inner = 0.79788456f * (1.0f + 3 * 0.044715f * s);
    return 0.5f * (1.0f + t) + 0.5f * bounded * (1.0f - t * t) * inner;
}

template <> __device__ __forceinline__ float gelu_tanh_slope<bf16>(float x)
{
    const float gate = fast_gelu_gate(x), bounded = fminf(fmaxf(x, -50.0f), 50.0f); /* keeps 0 times it a number */
    const float slope_of_2u = fmaf(0.21406445f * bounded, bounded, 1.5957691f);
    return fmaf(bounded * slope_of_2u, fmaf(-gate, gate, gate), gate);
}

/* --- by name: value(x) = act(x), slope(x) = act'(x) --- */

template <dt_activation ACT, typename T> struct activation { /* DT_ACT_NONE */
    static __device__ __forceinline__ float value(float x) { return x; }
    static __device__ __forceinline__ float slope(float) { return 1.0f; }
};

template <typename T> struct activation<DT_ACT_GELU, T> {
    static __device__ __forceinline__ float value(float x) { return gelu_value<T>(x); }
    static __device__ __forceinline__ float slope(float x) { return gelu_slope<T>(x); }
};

template <typename T> struct activation<DT_ACT_GELU_TANH, T> {
    static __device__ __forceinline__ float value(float x) { return gelu_tanh_value<T>(x); }
    static __device__ __forceinline__ float slope(float x) { return gelu_tanh_slope<T>(x); }
};

}

#endif
