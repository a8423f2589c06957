/* A collective of the control channel as rank 0 sees it: parts come, each from another rank, and when all are there, so
 * is the result. No sockets, no threads. */
#ifndef DT_COMM_MEETING_H
#define DT_COMM_MEETING_H

#include "comm/hello.h"

typedef enum dt_gathering { DT_BARRIER, DT_BROADCAST, DT_GATHER, DT_GATHERINGS } dt_gathering;

enum { DT_MEETING_WHAT = 64, DT_MEETING_WHY = 1024 };

typedef struct dt_part {
    dt_gathering kind;
    int64_t bytes; /* that each rank gives (of a broadcast: that rank 0 gives) */
    char what[DT_MEETING_WHAT];
    char why[DT_MEETING_WHY]; /* the rank has failed, and comes to say so; empty: it has not */
} dt_part;

typedef struct dt_meeting {
    int size, came;
    dt_part part;  /* that of the first who came: all must agree with it */
    int first;     /* that rank */
    int failed;    /* the first that came with a failure; -1: none */
    char why[DT_MEETING_WHY]; /* its words */
    double since;  /* when it came */
    bool *here;    /* [size] */
    dt_text *data; /* [size] */
} dt_meeting;

DT_MUST_USE dt_status dt_meeting_create(int size, dt_meeting *out);
void dt_meeting_free(dt_meeting *);

/* Appends a whole frame: a rank's part, with its data (NULL: none goes along). */
DT_MUST_USE dt_status dt_part_pack(const dt_part *, const void *data, dt_text *frame);

/* A rank's part, from the payload of its frame, at `now`. `*blamed` (-1: nobody): the meeting failed for all, and the
 * line says why: the rank came to something else than the first, or one of them had failed before. */
DT_MUST_USE dt_status dt_meeting_join(dt_meeting *, const dt_member *, int rank, dt_wire_cursor, double now,
                                      dt_text *line, int *blamed);
/* When all are there: appends the frame of the result, and the next meeting may begin. */
bool dt_meeting_is_full(const dt_meeting *);
DT_MUST_USE dt_status dt_meeting_end(dt_meeting *, dt_text *frame);
/* Appends "ranks 2, 5-7 (on b) did not come to 'what' within N s, where the others wait"; sets the rank (-1:
 * several). */
void dt_meeting_blame(const dt_meeting *, const dt_member *, double waited, dt_text *line, int *rank);

#endif
