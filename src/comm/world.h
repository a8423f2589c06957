/* Who this process is among the ranks of a run, and the control channel between them.
 *
 * The channel is one TCP connection from each rank to rank 0, kept for the whole run, also under MPI. Over it go the
 * hello of each rank, small collectives on host memory, and once a second a heartbeat with the rank's progress. Rank
 * 0's heartbeat thread decides when the run is over because of a failure, and every rank learns it as a *verdict*: one
 * line that names the rank, its host and the cause.
 *
 *   a connection closed without goodbye         the process was killed or crashed; known at once
 *   no sign of life for lost_limit (15 s)       the host or the network is gone, or the process is stopped
 *   no progress for max(hang_limit (60 s), 5 x median step or batch) where all ranks watch, else for wait_limit
 *                                               the rank that is furthest behind hangs
 *   no first step, no first batch of an evaluation within start_limit
 *                                               the same, while the first ones compile and measure
 *   no communicator within start_limit          the same: NCCL and MPI wait without end
 *   a collective that not all ranks come to within wait_limit, or to which they come with different things
 *   dt_world_abort                              that rank's own words
 *
 * When rank 0 itself is gone, every other rank finds that out and says so. The thread touches no CUDA, MPI or NCCL and
 * blocks all signals. After a verdict every call fails with its text.
 *
 * A world of one has no socket and no thread, and costs nothing; NULL as world is a world of one, too.
 *
 * Unless said otherwise calls are for the main thread alone, and a collective is called by all ranks, in one order.
 * Errors are DT_ERR_DEVICE, and DT_ERR_USAGE for what the launch got wrong. */
#ifndef DT_COMM_WORLD_H
#define DT_COMM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/log.h"
#include "base/status.h"
#include "comm/launch.h"
#include "comm/mpi_plugin.h"
#include "config/settings.h"

typedef struct dt_world dt_world;

typedef struct dt_verdict {
    const char *text; /* one line: "rank 3 on b (process 4711): ..." */
    int rank;         /* who failed; -1 where it is not one rank */
    bool told;        /* rank 0 has the line, too, and shows it: the others need only keep it in their logs */
} dt_verdict;

typedef struct dt_world_options {
    double start_limit; /* seconds that ranks wait for each other at the start, in making communicators, and for a run's
                           first step; 0: 300 */
    double wait_limit;  /* seconds that ranks wait for each other in a collective of the channel; 0: 1800 */
    double hang_limit;  /* least seconds without progress that are a hang; 0: 60 */
    double lost_limit;  /* seconds without a sign of life after which a rank is lost; 0: 15 */
    /* Called at most once, from the heartbeat thread; cmd/ prints the text and leaves by _exit(1). Where it returns,
     * the calls of the main thread fail with the text. Not called on a rank that called dt_world_abort. NULL: none. */
    void (*on_verdict)(void *context, const dt_verdict *);
    void *context;
} dt_world_options;

/* parallel.start_limit, parallel.wait_limit, parallel.hang_limit, parallel.lost_limit; and the options they make. */
extern const dt_setting_table dt_world_settings;
dt_world_options dt_world_options_of(const dt_settings *);

/* Finds out how this process was started (comm/launch.h) and meets the other ranks: under MPI at an address that rank 0
 * broadcasts, else at MASTER_ADDR:MASTER_PORT, where rank 0 listens until all have come. The error names who is missing
 * after how long, a taken port, a name that does not resolve, ranks whose world sizes, versions or binaries differ, two
 * processes of one rank. The log is kept; NULL is allowed. */
DT_MUST_USE dt_status dt_world_open(const dt_world_options *, dt_log *, dt_world **out);
/* Ends MPI behind a last barrier of all ranks, unless there was a verdict or an abort, and says goodbye. NULL is
 * allowed. */
void dt_world_close(dt_world *);

dt_launch dt_world_launch(const dt_world *);
int dt_world_rank(const dt_world *);
int dt_world_size(const dt_world *);
int dt_world_local_rank(const dt_world *); /* among the ranks of this host, from 0 on: which GPU to take */
int dt_world_local_size(const dt_world *);
/* The plug-in, started; NULL unless MPI launched the process. */
const dt_mpi_calls *dt_world_mpi(const dt_world *);

typedef struct dt_world_peer {
    const char *host; /* as the host names itself */
    int node;         /* hosts are numbered from 0 on, as they first come in the order of ranks */
    int local_rank;
    int64_t pid;
} dt_world_peer;
/* Any rank's, this one's included. Belongs to the world. */
const dt_world_peer *dt_world_peer_of(const dt_world *, int rank);

/* --- collectives on host memory; `what` (up to 63 bytes) names it in messages, the same on all ranks --- */

enum { DT_WORLD_MOST_BYTES = 64 << 20 }; /* of one rank's part, and of what a gather brings together */

DT_MUST_USE dt_status dt_world_barrier(dt_world *, const char *what);
/* From rank 0 to all, the same count everywhere. */
DT_MUST_USE dt_status dt_world_broadcast(dt_world *, const char *what, void *data, size_t bytes);
/* `all` receives the part of every rank, in rank order, on all ranks. */
DT_MUST_USE dt_status dt_world_gather(dt_world *, const char *what, const void *mine, size_t bytes, void *all);
/* This rank has failed, and comes to the next collective to say so. Where the others are at another one, or do not come
 * within 20 s, these words become the verdict. */
void dt_world_tell_failure(dt_world *, const char *why);
/* Have all ranks the same hash? Else every rank gets the error that names who differs, and each one's `value`: a few
 * words (up to 127 bytes) that stand for the hash, as "CUDA 13.0"; NULL: its digits. */
DT_MUST_USE dt_status dt_world_agree(dt_world *, const char *what, uint64_t hash, const char *value);

/* --- progress, which heartbeats carry; any one thread --- */

/* Steps done, and anything that goes up as the rank gets on within one. */
void dt_world_progress(dt_world *, int64_t step, int64_t work);
/* One batch more of an evaluation is done, which counts as work, too. */
void dt_world_evaluated(dt_world *);
/* One collective more is begun, which counts as work, too: the rank that has begun fewer than the others is the one
 * that they wait for. A communicator of the world calls it. */
void dt_world_begin_collective(dt_world *);
/* What lack of progress is a hang of. Nothing at first, and while a rank waits for what has no limit of its own: while
 * data is opened, programs are made, checkpoints are loaded, files are written. A hang is declared while any rank
 * watches something, behind the longest of all ranks' limits. */
typedef enum dt_watching {
    DT_WATCH_NOTHING,    /* wait_limit, for those who wait for this rank */
    DT_WATCH_STEPS,      /* max(hang_limit, 5 x the median step) */
    DT_WATCH_EVALUATION, /* max(hang_limit, 5 x the median batch) */
    DT_WATCH_SAVING,     /* hang_limit: copying what is saved, or asking each other whether it is written */
    DT_WATCH_JOINING,    /* start_limit: making a communicator, for which NCCL and MPI wait without end */
    DT_WATCHINGS
} dt_watching;
/* Returns what was watched before. */
dt_watching dt_world_watch(dt_world *, dt_watching);

/* This rank has failed: its words become the verdict of all others. Returns when rank 0 has them, or after 3 s. To be
 * called before the process leaves; any thread but the heartbeat's. */
void dt_world_abort(dt_world *, const char *text);

#endif
