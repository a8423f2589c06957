/* What builds the graphs of the cases. What the numbers of `dim` and `kind` mean stands at each builder. */
#ifndef DT_TESTS_OPS_BUILDERS_H
#define DT_TESTS_OPS_BUILDERS_H

#include "ops/cases.h"

op_case_builder build_input, build_reshape, build_cast, build_cast_float, build_fill, build_add, build_add_twice,
    build_scale, build_scale_by, build_swiglu, build_gelu, build_assign, build_accumulate, build_all_reduce,
    build_join, build_matmul, build_linear, build_matmul_rows, build_mlp, build_column_sum, build_sum, build_row_norm,
    build_point_norm, build_attention, build_attention_cached, build_cache_append, build_rope, build_embedding,
    build_token_loss, build_normalize, build_patchify, build_unpatchify, build_embed_tokens, build_token_mean,
    build_drop, build_one_hot, build_log_softmax, build_cross_entropy, build_softmax_xent, build_top_hits,
    build_grad_norm, build_grad_squares, build_reduce_scatter, build_all_gather, build_gather, build_gradient_room,
    build_update, build_ema;

#endif
