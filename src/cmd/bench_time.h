/* How often something is run to be timed, and what comes of it. */
#ifndef DT_CMD_BENCH_TIME_H
#define DT_CMD_BENCH_TIME_H

#include "train/train.h"

typedef struct dt_bench_times {
    double median, least, most; /* seconds */
    int count;
} dt_bench_times;

/* Runs it until the runs have taken `seconds`, and some times at least; `run` waits for its end. The first two, which
 * load and record, do not count. */
DT_MUST_USE dt_status dt_bench_time(dt_status (*run)(void *context), void *context, double seconds,
                                    dt_bench_times *out);
/* One of the programs "pass" and "eval", or with NULL a step. */
DT_MUST_USE dt_status dt_bench_time_program(dt_session *, const char *program, double seconds, dt_bench_times *out);

#endif
