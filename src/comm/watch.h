/* When is a rank lost, when does it hang? The judgement alone, on what heartbeats told and a clock that is given: no
 * sockets, no threads. Times are seconds of one clock. */
#ifndef DT_COMM_WATCH_H
#define DT_COMM_WATCH_H

#include "comm/hello.h"
#include "comm/world.h"

typedef struct dt_beat {
    int64_t step, work;   /* dt_world_progress; of work everything */
    int64_t first;        /* step behind which it began to watch steps; INT64_MAX: it did not yet */
    int64_t batches;      /* dt_world_evaluated */
    dt_watching watching; /* dt_world_watch */
} dt_beat;

typedef struct dt_watch_limits {
    double start; /* for the first step, the first batch of an evaluation, a communicator */
    double hang;  /* least for the others */
    double wait;  /* where a rank watches nothing that others wait for */
    double lost;
} dt_watch_limits;

enum { DT_WATCH_LAPS = 31 }; /* of which the median is taken */

/* How long the steps, or the batches, of the rank that is behind take. */
typedef struct dt_laps {
    double seconds[DT_WATCH_LAPS]; /* the last ones: a ring */
    int64_t count;                 /* how many were put in */
    int64_t lowest;                /* step or batches of the rank that is behind, */
    double since;                  /* and since when */
    bool watched;                  /* did all ranks watch these when last looked at? */
} dt_laps;

typedef struct dt_watched {
    dt_beat beat;
    double heard, moved; /* when there last was a sign of life; when the beat last was another */
    bool left;           /* in order: nothing is expected any more */
} dt_watched;

typedef struct dt_watch {
    dt_watch_limits limits;
    int size;
    dt_watched *ranks;      /* [size], the owner's */
    dt_laps steps, batches;
    bool all_watch;         /* something, when last looked at, */
    double all_since;       /* and since when */
} dt_watch;

/* All ranks are alive and start now. */
void dt_watch_start(dt_watch *, dt_watch_limits, int size, dt_watched *ranks, double now);
void dt_watch_hear(dt_watch *, int rank, double now);
void dt_watch_beat(dt_watch *, int rank, dt_beat, double now);
void dt_watch_leave(dt_watch *, int rank);
/* The one who judges did nothing for so long (it was stopped): nobody is blamed for that. */
void dt_watch_forgive(dt_watch *, double seconds);

/* Whether the run has to end: the line that says why, and the rank (-1: not one). Called about once a second. */
bool dt_watch_judge(dt_watch *, const dt_member *, double now, dt_text *line, int *rank);

#endif
