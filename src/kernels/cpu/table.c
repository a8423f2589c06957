/* The table of one instruction set. */
#include "kernels/cpu/set.h"

#define NAME_OF(set) NAME_EXPAND(set)
#define NAME_EXPAND(set) NAME_OF_##set
#define NAME_OF_baseline "baseline"
#define NAME_OF_v3 "x86-64-v3"
#define NAME_OF_v4 "x86-64-v4"

const dt_kernels DT_SET(table) = {
    .name = NAME_OF(DT_SET_NAME),
#define X(function) .function = DT_SET(function),
    DT_KERNEL_LIST(X)
#undef X
#define X(function) .function = dt_cpu_##function,
    DT_KERNEL_SCRATCH_LIST(X)
#undef X
};
