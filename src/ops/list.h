/* The one list of all operators: it declares their table entries here and fills the registry (registry.c). */
#ifndef DT_OPS_LIST_H
#define DT_OPS_LIST_H

#include "graph/op.h"

#define DT_OP_LIST(X)                                                                  \
    X(input) X(reshape) X(cast) X(fill) X(add) X(scale) X(scale_by) X(scale_by_grad)   \
    X(gelu) X(gelu_grad) X(swiglu) X(swiglu_grad)                                      \
    X(accumulate) X(assign)                                                            \
    X(matmul) X(column_sum)                                                            \
    X(row_norm) X(row_norm_grad) X(point_norm) X(point_norm_grad)                      \
    X(attention) X(attention_grad) X(attention_cached) X(cache_append) X(rope)         \
    X(embedding) X(embedding_grad) X(token_loss)                                       \
    X(normalize) X(patchify) X(unpatchify)                                             \
    X(embed_tokens) X(embed_tokens_grad) X(token_mean) X(token_mean_grad)              \
    X(dropout) X(drop_path)                                                            \
    X(one_hot) X(log_softmax) X(log_softmax_grad)                                      \
    X(cross_entropy) X(cross_entropy_grad) X(softmax_xent) X(softmax_xent_grad)        \
    X(top_hits) X(sum)                                                                 \
    X(grad_squares) X(grad_norm) X(adamw) X(sgd) X(ema)                                \
    X(all_reduce) X(reduce_scatter) X(all_gather) X(gather) X(gradient_room) X(join)

#define X(name) extern const dt_op dt_op_##name;
DT_OP_LIST(X)
#undef X

#endif
