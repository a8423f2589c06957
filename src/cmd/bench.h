/* The three kinds of `dyttrain bench`; each prints to standard output. Speed is told beside what this machine can do at
 * most, measured in the same call, and every result is checked before its speed is told. */
#ifndef DT_CMD_BENCH_H
#define DT_CMD_BENCH_H

#include "cmd/roof.h"
#include "train/train.h"

/* A whole training step on made-up input. A loss that another number of threads or float64 does not confirm is
 * DT_ERR_NUMERIC. */
DT_MUST_USE dt_status dt_bench_step(dt_settings *, dt_log *);
/* The step's operators, each timed alone, summed by operator and place in the model. */
DT_MUST_USE dt_status dt_bench_profile(dt_settings *, dt_log *);

typedef struct dt_bench_shapes { /* letters as in graph/graph.h */
    int64_t batch, tokens, channels, heads, hidden, classes;
} dt_bench_shapes;
/* The CPU kernels at these shapes in float32, each checked against itself in float64. */
DT_MUST_USE dt_status dt_bench_kernels(const dt_bench_shapes *, int threads);

#endif
