/* What test programs of several ranks share: they are started by an MPI launcher or by variables of the environment,
 * every rank runs the same cases, and rank 0 writes the TAP lines. */
#ifndef DT_TESTS_DIST_RANKS_H
#define DT_TESTS_DIST_RANKS_H

#include "comm/comm.h"
#include "comm/open.h"

typedef struct ranks {
    dt_world *world;
    dt_device *device;
    dt_comm *comm; /* of all ranks */
    int rank, size;
    bool any_order; /* the back end adds in an order of its own */
    int cases, failed;
} ranks;

/* The device of the word "cpu" or "cuda". What fails here and in ranks_must is told on standard error, and ends the
 * process. */
ranks ranks_open(const char *device);
void ranks_must(const ranks *, dt_status);
/* Ends a case: it is passed where `good` is true on all ranks. */
void ranks_case(ranks *, bool good, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Returns the process's exit code. */
int ranks_close(ranks *);

#endif
