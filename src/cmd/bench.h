/* The kinds of `dyttrain bench`; each prints to standard output. Speed is told beside what this machine can do at
 * most, measured in the same call, and every result is checked before its speed is told. */
#ifndef DT_CMD_BENCH_H
#define DT_CMD_BENCH_H

#include "cmd/roof.h"
#include "comm/world.h"
#include "train/train.h"

typedef struct dt_bench_step_options {
    bool no_update;        /* forward alone, and forward and backward, without an optimizer and what it keeps */
    bool narrow_gradients; /* then: the gradients of matrices are bfloat16 */
} dt_bench_step_options;
/* A whole training step on made-up input. A loss or a gradient norm that does not come again, or that float32, other
 * threads or float64 do not confirm, is DT_ERR_NUMERIC. */
DT_MUST_USE dt_status dt_bench_step(dt_settings *, const dt_bench_step_options *, dt_log *);
/* The same on all ranks of a world, each on the same samples, beside each by itself, which makes the same loss and
 * gradient norm. The first rank prints. */
DT_MUST_USE dt_status dt_bench_ranks(dt_settings *, dt_world *, dt_log *);
/* The step's operators, each timed alone, summed by operator and place in the model. */
DT_MUST_USE dt_status dt_bench_profile(dt_settings *, dt_log *);

/* Norms of several kinds at the sites of a model: the time of their operators alone and of the whole model, forward and
 * with the backward pass, whose gradients of matrices may be bfloat16. Speed alone: the others check what operators
 * compute. */
DT_MUST_USE dt_status dt_bench_norms(const dt_settings *, bool narrow_gradients);

/* What shapes are of: bits, as a kernel may serve several. Heads: causal attention alone. */
enum { DT_BENCH_ROWS = 1, DT_BENCH_IMAGES = 2, DT_BENCH_TEXT = 4, DT_BENCH_HEADS = 8 };

typedef struct dt_bench_shapes { /* letters as in graph/graph.h */
    unsigned of; /* one of these */
    int64_t batch, tokens, channels, heads, kv_heads, hidden, classes; /* rows: batch, tokens and channels alone */
    int64_t parameters;                                      /* that AdamW updates */
} dt_bench_shapes;
/* The kernels of a back end at these shapes, or with NULL at usual ones, each checked against the CPU's in float64:
 * on the CPU in float32, on CUDA in float32 and in bfloat16. */
DT_MUST_USE dt_status dt_bench_kernels(dt_backend, const dt_bench_shapes *, int threads);

#endif
