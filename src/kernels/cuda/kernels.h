/* The CUDA kernels' launchers: arithmetic on raw device pointers, launched on a stream, nothing allocated. They exist
 * in builds with DT_HAVE_CUDA. `stream` is what dt_device_stream() gives. A launcher returns when the kernel is queued;
 * what goes wrong while it runs is reported by the next synchronisation. */
#ifndef DT_KERNELS_CUDA_KERNELS_H
#define DT_KERNELS_CUDA_KERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "base/status.h"

/* copy.cu: `to` and `from` are aligned to 16 bytes and do not overlap. */
DT_MUST_USE dt_status dt_cuda_copy(void *stream, void *to, const void *from, int64_t bytes);
/* The roofline of everything that memory bounds: *seconds gets the median time of one copy of `bytes` (which moves
 * twice as many) over `repeats` copies, after one that is not counted. At most 64 repeats. Waits for the stream. */
DT_MUST_USE dt_status dt_cuda_time_copy(void *stream, void *to, const void *from, int64_t bytes, int repeats,
                                        double *seconds);

#ifdef __cplusplus
}
#endif

#endif
