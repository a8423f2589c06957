/* What this machine can do at most, measured now: the roofs that bench and doctor hold speeds against. */
#ifndef DT_CMD_ROOF_H
#define DT_CMD_ROOF_H

#include "kernels/cpu/kernels.h"

typedef struct dt_roof {
    double flops; /* per second: float32 matrix product of 1536 x 1536 by 1536 x 1536 */
    double bytes; /* per second, read and written: copy of 64 MiB */
} dt_roof;

/* The fastest of a few repeats over the pool's threads: a roof is what is possible. Takes about a second. */
DT_MUST_USE dt_status dt_roof_measure(dt_pool *, const dt_kernels *, dt_roof *out);
/* What the roofs of a table of speeds are, for its reader; to standard output. */
void dt_roof_print(const dt_roof *);
/* The median of `count` times; sorts them. */
double dt_median(double *seconds, int count);

#endif
