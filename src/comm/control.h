/* The control channel at work: its thread, and what the main thread asks of it. Contracts stand in comm/world.h.
 *
 * The thread alone reads and writes the connections. Rank 0 (the hub, control_hub.c) has one to every other rank (the
 * spokes, control_spoke.c). The main thread posts a frame and sleeps until the thread has the answer or the run's
 * end. */
#ifndef DT_COMM_CONTROL_H
#define DT_COMM_CONTROL_H

#include "comm/connection.h"
#include "comm/meeting.h"
#include "comm/world.h"

typedef struct dt_control dt_control;

/* Takes the connections over on success: [size] of rank 0, else the one to rank 0. The members must outlive it. */
DT_MUST_USE dt_status dt_control_start(const dt_world_options *, int rank, int size, const dt_member *,
                                       dt_connection *peers, dt_control **out);
/* No verdict so far, no abort, and rank 0 is there. */
bool dt_control_is_well(dt_control *);
/* Says goodbye and frees. */
void dt_control_stop(dt_control *);

/* One collective; `out` receives `room` bytes of result, neither more nor less. */
DT_MUST_USE dt_status dt_control_meet(dt_control *, const dt_part *, const void *data, void *out, size_t room);
void dt_control_progress(dt_control *, int64_t step, int64_t work);
void dt_control_evaluated(dt_control *);
void dt_control_begin_collective(dt_control *);
dt_watching dt_control_watch(dt_control *, dt_watching);
void dt_control_abort(dt_control *, const char *text);

#endif
