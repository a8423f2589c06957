/* How fast the ranks of a world talk to each other, with results checked. */
#ifndef DT_CMD_RANKS_SPEED_H
#define DT_CMD_RANKS_SPEED_H

#include "comm/open.h"

typedef enum dt_collective { DT_ALL_REDUCE, DT_REDUCE_SCATTER, DT_ALL_GATHER, DT_COLLECTIVES } dt_collective;
const char *dt_collective_name(dt_collective);
/* Bytes on the slowest wire in a second, as nccl-tests define bus bandwidth: of an array of `bytes` (all-gather and
 * reduce-scatter: of all ranks' pieces together) in `seconds`. */
double dt_bus_bandwidth(dt_collective, int ranks, double bytes, double seconds);

/* Arrays of float32 that collectives run on, and what fills and checks them. */
typedef struct dt_ranks_speed {
    dt_world *world;
    dt_device *device;
    dt_comm *comm;
    int rank, size;
    int64_t most;             /* bytes of each of the two arrays */
    void *data, *out, *block; /* `block`: of the host */
} dt_ranks_speed;

/* Makes room for arrays of up to `most` bytes. All functions are called by all ranks, with the same arguments. */
DT_MUST_USE dt_status dt_ranks_speed_open(dt_world *, dt_device *, dt_comm *, int64_t most, dt_ranks_speed *out);
void dt_ranks_speed_close(dt_ranks_speed *);
/* Runs it once on numbers whose result is known, and then some times: the median, of the slowest rank. `bytes` becomes
 * what was measured: a multiple of the ranks. DT_ERR_DEVICE names the ranks on which the result was wrong. */
DT_MUST_USE dt_status dt_ranks_speed_run(dt_ranks_speed *, dt_collective, int64_t *bytes, double *seconds);

typedef struct dt_link_speed {
    int a, b; /* ranks */
    double bandwidth; /* bytes in a second, each way, both at once */
} dt_link_speed;

/* Pairs of ranks, all of a round at once, `bytes` each way; up to 64 rounds, in which every rank meets another: every
 * pair, up to 64 ranks. Gives the slowest pair, and the median and the number of all. Of at least two ranks. */
DT_MUST_USE dt_status dt_ranks_speed_links(dt_ranks_speed *, int64_t bytes, dt_link_speed *slowest, double *median,
                                           int *pairs);

#endif
