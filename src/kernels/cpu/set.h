/* One instruction set: the name that its symbols carry and the shape of its vectors and matrix tiles.
 *
 * Meson compiles the kernel sources once per set with -DDT_SET_NAME=v4 (or v3, baseline), so that DT_SET(add) is
 * dt_cpu_v4_add. Everything else in these sources is static. */
#ifndef DT_KERNELS_CPU_SET_H
#define DT_KERNELS_CPU_SET_H

#include "kernels/cpu/kernels.h"

#define DT_SET_PASTE(set, name) dt_cpu_##set##_##name
#define DT_SET_EXPAND(set, name) DT_SET_PASTE(set, name)
#define DT_SET(name) DT_SET_EXPAND(DT_SET_NAME, name)

/* DT_TILE_ROWS x DT_TILE_VECTORS accumulators, DT_TILE_VECTORS loaded vectors and one broadcast must fit into the
 * vector registers: 32 of AVX-512, 16 of the others. */
#if defined(__AVX512F__)
#define DT_VECTOR_BYTES 64
#define DT_TILE_ROWS 8
#define DT_TILE_VECTORS 2
#elif defined(__AVX2__)
#define DT_VECTOR_BYTES 32
#define DT_TILE_ROWS 6
#define DT_TILE_VECTORS 2
#else
#define DT_VECTOR_BYTES 16
#define DT_TILE_ROWS 4
#define DT_TILE_VECTORS 2
#endif

/* Calls name_f64 or name_f32; needs a dt_dtype `t` in scope. */
#define DT_PICK(name, ...) (t == DT_F64 ? name##_f64(__VA_ARGS__) : name##_f32(__VA_ARGS__))
/* The same as a whole function of the table, none of which fails. */
#define DT_BY_TYPE(name, ...) (DT_PICK(name, __VA_ARGS__), DT_OK)

/* Every function of the table, as this set defines it. */
extern const dt_kernels DT_SET(table);
#define X(name) extern __typeof__(*((dt_kernels *)0)->name) DT_SET(name);
DT_KERNEL_LIST(X)
#undef X

#endif
