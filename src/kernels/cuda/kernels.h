/* The CUDA kernels: the functions of the table in kernels/kernels.h, in builds with DT_HAVE_CUDA. What goes wrong while
 * a kernel runs is reported by the next synchronisation. */
#ifndef DT_KERNELS_CUDA_KERNELS_H
#define DT_KERNELS_CUDA_KERNELS_H

#include "kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

extern const dt_kernels dt_cuda_kernels;

/* The functions of the table. */
#define X(name) extern __typeof__(*((dt_kernels *)0)->name) dt_cuda_##name;
DT_KERNEL_LIST(X)
DT_KERNEL_SCRATCH_LIST(X)
#undef X

#ifdef __cplusplus
}
#endif

#endif
