/* Which GPUs the kernels of this build run on. */
#ifndef DT_DEVICE_ARCHS_H
#define DT_DEVICE_ARCHS_H

#include <stdbool.h>

enum { DT_LOWEST_CAPABILITY = 80 }; /* compute capability times ten: the kernels are written for no less */

/* `archs` as in the build option gpu_archs ("80,90a"): machine code for each, and PTX of the first. `capability` is
 * dt_device_info.capability. */
bool dt_archs_run(const char *archs, int capability);

#endif
