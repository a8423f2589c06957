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
#define DT_BY_TYPE(name, ...) (t == DT_F64 ? name##_f64(__VA_ARGS__) : name##_f32(__VA_ARGS__))

/* Every function of the table, as this set defines it. */
extern const dt_cpu_kernels DT_SET(table);
#define DT_DECLARE(name) extern __typeof__(*((dt_cpu_kernels *)0)->name) DT_SET(name)
DT_DECLARE(matmul);
DT_DECLARE(column_sum);
DT_DECLARE(add);
DT_DECLARE(scale);
DT_DECLARE(copy);
DT_DECLARE(cast);
DT_DECLARE(gelu);
DT_DECLARE(gelu_grad);
DT_DECLARE(row_norm);
DT_DECLARE(row_norm_grad);
DT_DECLARE(point_norm);
DT_DECLARE(point_norm_grad);
DT_DECLARE(attention);
DT_DECLARE(attention_grad);
DT_DECLARE(normalize);
DT_DECLARE(patchify);
DT_DECLARE(unpatchify);
DT_DECLARE(embed_tokens);
DT_DECLARE(embed_tokens_grad);
DT_DECLARE(token_mean);
DT_DECLARE(token_mean_grad);
DT_DECLARE(dropout);
DT_DECLARE(drop_path);
DT_DECLARE(one_hot);
DT_DECLARE(log_softmax);
DT_DECLARE(log_softmax_grad);
DT_DECLARE(cross_entropy);
DT_DECLARE(cross_entropy_grad);
DT_DECLARE(softmax_xent);
DT_DECLARE(softmax_xent_grad);
DT_DECLARE(top_hits);
DT_DECLARE(sum);
DT_DECLARE(square_sum);
DT_DECLARE(adamw);
DT_DECLARE(sgd);
DT_DECLARE(ema);
#undef DT_DECLARE

#endif
