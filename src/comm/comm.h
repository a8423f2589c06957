/* Ranks and collectives on raw pointers and a stream. A world of one takes the same calls; what is to be added up or
 * gathered is already there.
 *
 * All ranks of a communicator call the same collectives in the same order with the same type and count. They are queued
 * on the stream; on the CPU they are done when the call returns. Their bits repeat: with the same ranks on the same
 * machines, the same numbers give the same sums. */
#ifndef DT_COMM_COMM_H
#define DT_COMM_COMM_H

#include <stdint.h>

#include "base/dtype.h"
#include "comm/mpi_plugin.h"
#include "device/device.h"

typedef struct dt_comm dt_comm;

DT_MUST_USE dt_status dt_comm_create_single(dt_device *, dt_comm **out);
/* The ranks of MPI's world, on the CPU's memory (comm/mpi_plugin.h, started). */
DT_MUST_USE dt_status dt_comm_create_mpi(const dt_mpi_calls *, dt_comm **out);
/* The ranks of `comm` that give the same colour (0 or higher), in the same order. All ranks of `comm` call it. What was
 * split off is freed before `comm` is. */
DT_MUST_USE dt_status dt_comm_split(dt_comm *, int colour, dt_comm **out);
/* For plans: rank 0 of so many, of which no collective can be called. */
DT_MUST_USE dt_status dt_comm_create_planned(int ranks, dt_comm **out);
/* Behind all recordings that hold its collectives. Where something is still under way, which happens behind a failure,
 * it is given up. NULL is allowed. */
void dt_comm_free(dt_comm *);
/* Has anything failed that was queued? For the main thread, once a step. Of this communicator alone. */
DT_MUST_USE dt_status dt_comm_check(dt_comm *);
int dt_comm_rank(const dt_comm *);
int dt_comm_size(const dt_comm *);

/* Sum over all ranks, in place. */
DT_MUST_USE dt_status dt_comm_all_reduce(dt_comm *, dt_stream, dt_dtype, int64_t count, void *data);
/* `data` holds a piece of `count` elements for each rank; `out` [count] receives this rank's piece of the sum over all
 * ranks. `out` may be that piece's place in `data`; the other pieces stay as they are. */
DT_MUST_USE dt_status dt_comm_reduce_scatter(dt_comm *, dt_stream, dt_dtype, int64_t count, const void *data,
                                             void *out);
/* `out` receives the piece of `count` elements of every rank, in rank order. `data` may be this rank's place there. */
DT_MUST_USE dt_status dt_comm_all_gather(dt_comm *, dt_stream, dt_dtype, int64_t count, const void *data, void *out);
/* From rank `root` to all others. */
DT_MUST_USE dt_status dt_comm_broadcast(dt_comm *, dt_stream, dt_dtype, int64_t count, void *data, int root);
/* Two ranks, of which each names the other as `peer`, send each other what `data` [count] holds. */
DT_MUST_USE dt_status dt_comm_swap(dt_comm *, dt_stream, dt_dtype, int64_t count, const void *data, void *out,
                                   int peer);

#endif
