/* The table of one instruction set. */
#include "kernels/cpu/set.h"

#define NAME_OF(set) NAME_EXPAND(set)
#define NAME_EXPAND(set) NAME_OF_##set
#define NAME_OF_baseline "baseline"
#define NAME_OF_v3 "x86-64-v3"
#define NAME_OF_v4 "x86-64-v4"

const dt_cpu_kernels DT_SET(table) = {
    .name = NAME_OF(DT_SET_NAME),
    .matmul = DT_SET(matmul),
    .column_sum = DT_SET(column_sum),
    .add = DT_SET(add),
    .scale = DT_SET(scale),
    .copy = DT_SET(copy),
    .cast = DT_SET(cast),
    .gelu = DT_SET(gelu),
    .gelu_grad = DT_SET(gelu_grad),
    .row_norm = DT_SET(row_norm),
    .row_norm_grad = DT_SET(row_norm_grad),
    .point_norm = DT_SET(point_norm),
    .point_norm_grad = DT_SET(point_norm_grad),
    .attention = DT_SET(attention),
    .attention_grad = DT_SET(attention_grad),
    .normalize = DT_SET(normalize),
    .patchify = DT_SET(patchify),
    .unpatchify = DT_SET(unpatchify),
    .embed_tokens = DT_SET(embed_tokens),
    .embed_tokens_grad = DT_SET(embed_tokens_grad),
    .token_mean = DT_SET(token_mean),
    .token_mean_grad = DT_SET(token_mean_grad),
    .dropout = DT_SET(dropout),
    .drop_path = DT_SET(drop_path),
    .one_hot = DT_SET(one_hot),
    .log_softmax = DT_SET(log_softmax),
    .log_softmax_grad = DT_SET(log_softmax_grad),
    .cross_entropy = DT_SET(cross_entropy),
    .cross_entropy_grad = DT_SET(cross_entropy_grad),
    .softmax_xent = DT_SET(softmax_xent),
    .softmax_xent_grad = DT_SET(softmax_xent_grad),
    .top_hits = DT_SET(top_hits),
    .sum = DT_SET(sum),
    .square_sum = DT_SET(square_sum),
    .adamw = DT_SET(adamw),
    .sgd = DT_SET(sgd),
    .ema = DT_SET(ema),
};
