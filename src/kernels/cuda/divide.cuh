/* Division of indices by a number that is known when a kernel is launched: what turns a flat index into coordinates.
 * For indices below 2^31 a multiplication and a shift (Granlund and Montgomery, "Division by invariant integers using
 * multiplication", 1994): with 2^(s-1) < d <= 2^s and f = ceil(2^(31+s) / d), floor(n f / 2^(31+s)) = floor(n / d) for
 * every n < 2^31, and f has 32 bits. Longer indices divide as C does. */
#ifndef DT_KERNELS_CUDA_DIVIDE_CUH
#define DT_KERNELS_CUDA_DIVIDE_CUH

#include "kernels/cuda/common.cuh"

namespace dt {

template <typename INDEX> struct divider { /* uint64_t */
    INDEX by;

    explicit divider(int64_t divisor) : by((INDEX)divisor) {}
    __device__ __forceinline__ INDEX quotient(INDEX n) const { return n / by; }

    /* Returns n mod `by` and leaves the quotient in n. */
    __device__ __forceinline__ INDEX split(INDEX *n) const
    {
        const INDEX whole = quotient(*n), part = *n - whole * by;
        *n = whole;
        return part;
    }
};

template <> struct divider<uint32_t> {
    uint32_t by, factor;
    int shift;

    explicit divider(int64_t divisor) : by((uint32_t)divisor), shift(31)
    {
        while ((int64_t)1 << (shift - 31) < divisor) shift++;
        factor = (uint32_t)ceil_div<uint64_t>((uint64_t)1 << shift, (uint64_t)divisor);
    }

    __device__ __forceinline__ uint32_t quotient(uint32_t n) const
    {
        return (uint32_t)(((uint64_t)n * factor) >> shift);
    }

    __device__ __forceinline__ uint32_t split(uint32_t *n) const
    {
        const uint32_t whole = quotient(*n), part = *n - whole * by;
        *n = whole;
        return part;
    }
};

/* Calls f(INDEX()) for the index type that counts to `count`. */
template <typename F> static dt_status by_index(int64_t count, F f)
{
    if (count < (int64_t)1 << 31) return f(uint32_t());
    return f(uint64_t());
}

}

#endif
