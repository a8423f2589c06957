/* The CUDA kernels: the functions of the table in kernels/kernels.h, in builds with DT_HAVE_CUDA. What goes wrong while
 * a kernel runs is reported by the next synchronisation. */
#ifndef DT_KERNELS_CUDA_KERNELS_H
#define DT_KERNELS_CUDA_KERNELS_H

#include "kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const dt_kernels dt_cuda_kernels;

/* The roofline of everything that memory bounds: *seconds gets the median time of one copy of `bytes` (which moves
 * twice as many) over `repeats` copies, after one that is not counted. At most 64 repeats. Waits for the stream. */
DT_MUST_USE dt_status dt_cuda_time_copy(const dt_queue *, void *to, const void *from, int64_t bytes, int repeats,
                                        double *seconds);

/* The functions of the table. */
#define X(name) extern __typeof__(*((dt_kernels *)0)->name) dt_cuda_##name;
DT_KERNEL_LIST(X)
DT_KERNEL_SCRATCH_LIST(X)
#undef X

#ifdef __cplusplus
}
#endif

#endif
