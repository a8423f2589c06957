/* From the world of ranks to the communicator of all of them: which device each takes, and over what they talk. */
#ifndef DT_COMM_OPEN_H
#define DT_COMM_OPEN_H

#include "comm/comm.h"
#include "comm/world.h"

/* Which device of the back end this rank takes. On a host of several ranks each takes a GPU of its own, in the order of
 * ranks: DT_ERR_USAGE names those that would share one. All ranks call it, before any opens a device. */
DT_MUST_USE dt_status dt_comm_place(dt_world *, dt_backend, int *index);
/* A world of one talks to nobody; ranks on GPUs talk over NCCL, ranks on CPUs over MPI. All ranks call it; it waits for
 * all. DT_ERR_USAGE where ranks on CPUs were not started by MPI; DT_ERR_DEVICE where NCCL cannot be used, or where its
 * versions or CUDA's differ between ranks. The world outlives the communicator. */
DT_MUST_USE dt_status dt_comm_open(dt_world *, dt_device *, dt_comm **out);

#endif
