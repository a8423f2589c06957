/* N consecutive elements of any type in the type of arithmetic: loaded and stored in words of up to 16 bytes, so that
 * arrays of different element types can be walked in step. Addresses are multiples of min(16, N sizeof(E)). */
#ifndef DT_KERNELS_CUDA_WIDE_CUH
#define DT_KERNELS_CUDA_WIDE_CUH

#include "kernels/cuda/group.cuh"

namespace dt {

template <int N, typename E> constexpr int word_elements = N < pack<E>::size ? N : pack<E>::size;

template <int N, typename E> __device__ __forceinline__ void load_wide(const E *from, wide<E> (&to)[N])
{
    constexpr int EACH = word_elements<N, E>;
#pragma unroll
    for (int i = 0; i < N; i += EACH) {
        const group<E, EACH> word = load_group<EACH>(from + i);
#pragma unroll
        for (int e = 0; e < EACH; e++) to[i + e] = widen(word.at[e]);
    }
}

template <int N, typename E> __device__ __forceinline__ void store_wide(E *to, const wide<E> (&from)[N])
{
    constexpr int EACH = word_elements<N, E>;
#pragma unroll
    for (int i = 0; i < N; i += EACH) {
        group<E, EACH> word;
#pragma unroll
        for (int e = 0; e < EACH; e++) word.at[e] = narrow<E>(from[i + e]);
        store_group<EACH>(to + i, word);
    }
}

}

#endif
