/* The CPU kernels: the tables of kernels/kernels.h for instruction sets of this processor.
 *
 * The sources of this folder are compiled once per instruction set (baseline, x86-64-v3, x86-64-v4); each build exports
 * one constant table and dt_cpu_kernels_best() returns the best one that this processor runs. All are plain C; sets may
 * differ in the last bits, so the name of the set stands in the numerics record. Work is cut into tasks of a size that
 * depends on the shapes alone, so results do not depend on the number of threads. No function fails. */
#ifndef DT_KERNELS_CPU_KERNELS_H
#define DT_KERNELS_CPU_KERNELS_H

#include "kernels/kernels.h"

const dt_kernels *dt_cpu_kernels_best(void);
/* By name, for the tests, which try every set; NULL when unknown or not runnable here. */
const dt_kernels *dt_cpu_kernels_named(const char *name);

/* Bytes of scratch, the same for all sets; of the device, only the threads count, and those for attention only. */
#define X(name) extern __typeof__(*((dt_kernels *)0)->name) dt_cpu_##name;
DT_KERNEL_SCRATCH_LIST(X)
#undef X

#endif
