/* What the kernel files share: element types, packs of 16 bytes, sums in a fixed order, launching. */
#ifndef DT_KERNELS_CUDA_COMMON_CUH
#define DT_KERNELS_CUDA_COMMON_CUH

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "device/cuda_error.h"
#include "kernels/cuda/kernels.h"

namespace dt {

typedef __nv_bfloat16 bf16;

/* The type of arithmetic on elements of type T: dt_dtype_wide. */
template <typename T> struct wide_of { typedef float type; };
template <> struct wide_of<double> { typedef double type; };
template <typename T> using wide = typename wide_of<T>::type;

__device__ __forceinline__ float widen(float x) { return x; }
__device__ __forceinline__ double widen(double x) { return x; }
__device__ __forceinline__ float widen(bf16 x) { return __bfloat162float(x); }

template <typename T> __device__ __forceinline__ T narrow(wide<T> x) { return x; }
template <> __device__ __forceinline__ bf16 narrow<bf16>(float x) { return __float2bfloat16_rn(x); }

/* Ordinary stores to global memory, in assembly because nvcc cuts an assignment of uint4 into four stores of 4 bytes
 * where its elements were computed one by one. */
__device__ __forceinline__ void store_word(uint8_t *to, uint8_t x) { *to = x; }
__device__ __forceinline__ void store_word(uint16_t *to, uint16_t x) { *to = x; }

__device__ __forceinline__ void store_word(uint32_t *to, uint32_t x)
{
    asm volatile("st.global.u32 [%0], %1;" ::"l"(__cvta_generic_to_global(to)), "r"(x) : "memory");
}

__device__ __forceinline__ void store_word(uint2 *to, uint2 x)
{
    asm volatile("st.global.v2.u32 [%0], {%1, %2};" ::"l"(__cvta_generic_to_global(to)), "r"(x.x), "r"(x.y) : "memory");
}

__device__ __forceinline__ void store_word(uint4 *to, uint4 x)
{
    asm volatile("st.global.v4.u32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(to)), "r"(x.x), "r"(x.y),
                 "r"(x.z), "r"(x.w)
                 : "memory");
}

/* 16 bytes of consecutive elements: what one thread loads and stores at once. */
template <typename T> struct alignas(16) pack {
    static constexpr int size = 16 / sizeof(T);
    T at[size];
};

template <typename T> __device__ __forceinline__ pack<T> load_pack(const T *from)
{
    pack<T> out;
    *reinterpret_cast<uint4 *>(&out) = *reinterpret_cast<const uint4 *>(from);
    return out;
}

/* `to` is in global memory. */
template <typename T> __device__ __forceinline__ void store_pack(T *to, const pack<T> &x)
{
    store_word(reinterpret_cast<uint4 *>(to), *reinterpret_cast<const uint4 *>(&x));
}

/* 2^x and 1/x by the processor's approximations: within 2 and 1 ulp, subnormal results 0. */
__device__ __forceinline__ float fast_exp2(float x)
{
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ float fast_reciprocal(float x)
{
    float y;
    asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/* Over teams of LANES neighbouring lanes, a power of two: each lane of a team gets the same sum, added in the same
 * order. All 32 lanes of the warp take part. */
template <int LANES = 32, typename T> __device__ __forceinline__ T warp_sum(T x)
{
#pragma unroll
    for (int lane = LANES / 2; lane; lane /= 2) x += __shfl_xor_sync(0xffffffffu, x, lane);
    return x;
}

/* The largest number; NaNs are passed over where there is one. */
template <int LANES = 32> __device__ __forceinline__ float warp_max(float x)
{
#pragma unroll
    for (int lane = LANES / 2; lane; lane /= 2) x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, lane));
    return x;
}

/* Every thread gets the sum over the block of THREADS, a multiple of 32; `room` is shared memory for THREADS / 32
 * values and may be used again at once. */
template <int THREADS, typename T> __device__ __forceinline__ T block_sum(T x, T *room)
{
    x = warp_sum(x);
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = x;
    __syncthreads();
    T total = 0;
    for (int warp = 0; warp < THREADS / 32; warp++) total += room[warp];
    __syncthreads();
    return total;
}

/* --- the host's part --- */

static inline cudaStream_t stream_of(const dt_queue *q) { return (cudaStream_t)q->stream; }

template <typename T> static inline T ceil_div(T a, T b) { return (a + b - 1) / b; }

static inline dt_status check(cudaError_t error, const char *what) { return dt_cuda_check(error, what); }

/* Behind a launch. */
static inline dt_status launched(void) { return check(cudaGetLastError(), "launch a kernel"); }

/* What the processor at hand has of something. */
static inline dt_status tell_limit(cudaDeviceAttr of, int *out)
{
    int device = 0;
    DT_TRY(check(cudaGetDevice(&device), "name its device"));
    return check(cudaDeviceGetAttribute(out, of, device), "tell its limits");
}

/* Before a launch with so much dynamic shared memory: as many blocks as possible are to fit, beyond the usual 48 KiB
 * too. */
template <typename... A> static dt_status allow_shared(void (*kernel)(A...), int64_t bytes)
{
    DT_TRY(check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes),
                 "give a kernel its shared memory"));
    return check(cudaFuncSetAttribute(kernel, cudaFuncAttributePreferredSharedMemoryCarveout,
                                      cudaSharedmemCarveoutMaxShared),
                 "give a kernel its shared memory");
}

static inline dt_status no_type(dt_dtype t)
{
    return dt_fail(DT_ERR_USAGE, "CUDA does not compute in %s", dt_dtype_name(t));
}

/* Calls f(T()) for the element type T that `t` names: float or bf16. */
template <typename F> static dt_status by_type(dt_dtype t, F f)
{
    switch (t) {
    case DT_F32: return f(float());
    case DT_BF16: return f(bf16());
    default: return no_type(t);
    }
}

/* Calls f(T(), S()), S being the type of the trunk: T itself, or with `wide_trunk` the type of arithmetic. */
template <typename F> static dt_status by_trunk(dt_dtype t, bool wide_trunk, F f)
{
    if (t == DT_BF16 && wide_trunk) return f(bf16(), float());
    return by_type(t, [=](auto zero) { return f(zero, zero); });
}

/* by_type for operators that keep running sums: float64 as well. */
template <typename F> static dt_status by_type_or_double(dt_dtype t, F f)
{
    return t == DT_F64 ? f(double()) : by_type(t, f);
}

}

#endif
