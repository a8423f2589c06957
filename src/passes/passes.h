/* The rewrites of DESIGN: each takes a graph and leaves a graph that computes the same. The order in which a training
 * program applies them stands in run.c. */
#ifndef DT_PASSES_PASSES_H
#define DT_PASSES_PASSES_H

#include "graph/program.h"
#include "ops/ops.h"

typedef enum dt_precision { DT_PRECISION_FP32, DT_PRECISION_FP64, DT_PRECISION_TF32, DT_PRECISION_BF16 } dt_precision;
typedef enum dt_recompute { DT_RECOMPUTE_NONE, DT_RECOMPUTE_CHEAP, DT_RECOMPUTE_BLOCK } dt_recompute;

typedef struct dt_pass_options {
    dt_precision precision;
    bool wide_residual; /* in bf16: the residual stream stays float32 */
    bool no_fuse, no_dead_nodes, no_fuse_accumulation, no_communicate; /* tests switch passes off one by one */
    dt_recompute recompute;
    dt_dtype wire; /* in which float32 gradients travel between ranks */
} dt_pass_options;

/* Types of the precision mode, with casts at the borders. Before anything else. */
DT_MUST_USE dt_status dt_pass_cast(dt_graph *, dt_precision, bool wide_residual);
/* Residual add + norm, product + GELU, product + residual add, log-softmax + cross-entropy. Before differentiation. */
DT_MUST_USE dt_status dt_pass_fuse(dt_graph *);
/* Nodes from which no output, no effect and no gradient slot follows. */
DT_MUST_USE dt_status dt_pass_dead_nodes(dt_graph *);
/* Backward readers of forward values get recomputed ones. */
DT_MUST_USE dt_status dt_pass_recompute(dt_graph *, dt_recompute);
/* After differentiation: GELU's derivative joins the product before it, what a norm's input gets from later readers the
 * norm's gradient; gradients are made inside their slots. */
DT_MUST_USE dt_status dt_pass_fuse_backward(dt_graph *);
DT_MUST_USE dt_status dt_pass_accumulate(dt_graph *);
/* The sum over the ranks of every bucket's gradients, behind its last contributor; float32 travels as `wire`. */
DT_MUST_USE dt_status dt_pass_communicate(dt_graph *, dt_dtype wire);
/* What programs read of buffers of which ranks keep shards. */
DT_MUST_USE dt_status dt_pass_gather(dt_graph *);
/* What writes a state, assigning or appending, goes behind its last reader. */
DT_MUST_USE dt_status dt_pass_order(dt_graph *);
/* Joins between streams; at the end all are joined to the compute stream. After everything else. */
DT_MUST_USE dt_status dt_pass_streams(dt_graph *);

/* All of the above in order, around differentiation of `loss`, which must be an output of the graph; NULL: a graph
 * without a backward pass. */
DT_MUST_USE dt_status dt_passes_run(dt_graph *, dt_tensor *loss, const dt_pass_options *);

#endif
