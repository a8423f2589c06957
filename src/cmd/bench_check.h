/* Whether a step that was timed computes what it should: other sessions of the same settings make the same step. */
#ifndef DT_CMD_BENCH_CHECK_H
#define DT_CMD_BENCH_CHECK_H

#include "cmd/bench.h"

/* Loss and gradient norm of a step: they go through every operator of both passes. */
typedef struct dt_bench_outcome {
    double loss, norm;
} dt_bench_outcome;

typedef struct dt_bench_timed {
    const dt_settings *settings;
    dt_bench_step_options options;
    dt_bench_outcome outcome; /* of the first step */
    dt_backend backend;
    int threads;
    double sample_flops; /* of a step, for one sample */
    int64_t parameters;
} dt_bench_timed;

/* Weights as training starts with them, then a step on the made-up batch. */
DT_MUST_USE dt_status dt_bench_first_step(dt_session *, const dt_settings *, dt_bench_outcome *out);
/* A step of weights that have not moved since the first, whatever was run in between, must have its bits. */
DT_MUST_USE dt_status dt_bench_check_again(dt_session *, const dt_bench_outcome *first, bool print);
/* Says how far a step is from what it should be; DT_ERR_NUMERIC: beyond the bound, a share of the latter. */
DT_MUST_USE dt_status dt_bench_compare(const char *what, const dt_bench_outcome *timed, const dt_bench_outcome *exact,
                                       double bound);
/* Against other threads or float32, and float64; says what it finds. The session that was timed is gone: its memory is
 * needed. DT_ERR_NUMERIC: a difference is too large. */
DT_MUST_USE dt_status dt_bench_check(const dt_bench_timed *);

#endif
