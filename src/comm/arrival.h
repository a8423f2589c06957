/* A limit on the start of MPI, which by itself waits for ever for a process that does not come to it.
 *
 * A process that comes leaves a mark on its host: a socket without a file, named after the launcher's job and the local
 * rank. Where MPI has not brought all together in time, the marks tell who of this host is missing. */
#ifndef DT_COMM_ARRIVAL_H
#define DT_COMM_ARRIVAL_H

#include "comm/world.h"

typedef struct dt_arrival dt_arrival;

/* From now on MPI has start_limit seconds. Behind them the options' on_verdict is called on a thread of its own, first
 * on a host that misses somebody, and up to 10 s later on all ranks; where it returns, nothing else happens. */
DT_MUST_USE dt_status dt_arrival_begin(const dt_launch_facts *, const dt_world_options *, dt_arrival **out);
/* MPI has brought all together, or has failed. NULL is allowed. */
void dt_arrival_end(dt_arrival *);

#endif
