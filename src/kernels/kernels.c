/* Which table of kernels a back end has. */
#include "kernels/kernels.h"

#include "kernels/cpu/kernels.h"
#include "kernels/cuda/kernels.h"

const dt_kernels *dt_kernels_of(dt_backend backend)
{
    if (backend == DT_CPU) return dt_cpu_kernels_best();
#ifdef DT_HAVE_CUDA
    return &dt_cuda_kernels;
#else
    return NULL;
#endif
}
