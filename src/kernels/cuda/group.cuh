/* N consecutive elements that one thread loads and stores at once: 1, 2, 4, 8 or 16 bytes at a multiple of as many. A
 * pack of common.cuh is the group of 16 bytes; groups let arrays of different element sizes be walked together. */
#ifndef DT_KERNELS_CUDA_GROUP_CUH
#define DT_KERNELS_CUDA_GROUP_CUH

#include "kernels/cuda/common.cuh"

namespace dt {

template <int BYTES> struct word_of;
template <> struct word_of<1> { typedef uint8_t type; };
template <> struct word_of<2> { typedef uint16_t type; };
template <> struct word_of<4> { typedef uint32_t type; };
template <> struct word_of<8> { typedef uint2 type; };
template <> struct word_of<16> { typedef uint4 type; };

template <typename T, int N> struct alignas(N * sizeof(T)) group {
    typedef typename word_of<N * sizeof(T)>::type word;
    T at[N];
};

template <int N, typename T> __device__ __forceinline__ group<T, N> load_group(const T *from)
{
    typedef typename group<T, N>::word word;
    group<T, N> out;
    *reinterpret_cast<word *>(&out) = *reinterpret_cast<const word *>(from);
    return out;
}

/* `to` is in global memory. */
template <int N, typename T> __device__ __forceinline__ void store_group(T *to, const group<T, N> &x)
{
    typedef typename group<T, N>::word word;
    store_word(reinterpret_cast<word *>(to), *reinterpret_cast<const word *>(&x));
}

}

#endif
