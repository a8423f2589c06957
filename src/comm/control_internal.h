/* What the files of the control channel share. */
#ifndef DT_COMM_CONTROL_INTERNAL_H
#define DT_COMM_CONTROL_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "comm/control.h"
#include "comm/watch.h"

enum { DT_CONTROL_LINE = 2048 };

struct dt_control {
    dt_world_options options; /* without zeros */
    int rank, size;
    const dt_member *members;
    pthread_t thread;
    int wake; /* eventfd: the main thread wants something */

    /* of the main thread, for heartbeats */
    _Atomic int64_t step, first, work, batches, meetings, collectives; /* see dt_beat */
    _Atomic dt_watching watching;

    /* between the two threads */
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    dt_text posted;   /* a frame of a part, empty when taken */
    dt_text result;   /* payload of what came of it */
    bool has_result;
    bool stop;        /* say goodbye */
    bool aborting;    /* abort_text is to be said */
    char abort_text[DT_CONTROL_LINE];
    bool ended;       /* the thread is through, */
    char last_words[DT_CONTROL_LINE]; /* and why calls fail */

    /* of the thread */
    dt_connection *peers; /* of the hub [size], peers[0] none; of a spoke [1] */
    int peer_count;
    struct pollfd *polled; /* [1 + peer_count] */
    double now, next_beat;
    bool abort_said;
    bool over; /* leave the loop */
    dt_watch watch;        /* hub */
    double absent;         /* hub: seconds that this process was stopped, long enough for others to give it up; */
    double back;           /* and since when it goes on */
    dt_watched *watched;   /* hub [size] */
    dt_meeting meeting;    /* hub */
    double rank0_heard;    /* spoke */
};

/* --- for hub and spoke, on the thread --- */

dt_beat dt_control_own_beat(dt_control *);
/* Gives the main thread the payload of a result. */
void dt_control_answer(dt_control *, dt_wire_cursor payload);
/* The run is over: tells the callback (not on a rank that aborts) and the main thread. */
void dt_control_end(dt_control *, const char *text, int rank, bool told);
/* The others left in order. */
void dt_control_part(dt_control *, const char *text);
/* Appends a frame of kind DT_WIRE_HEARTBEAT, of a kind with a text. */
DT_MUST_USE dt_status dt_control_beat_frame(const dt_beat *, dt_text *frame);
DT_MUST_USE dt_status dt_control_text_frame(dt_wire_kind, int rank, const char *text, dt_text *frame);

/* --- the two roles; DT_OK also when they ended the run --- */

typedef struct dt_control_role {
    DT_MUST_USE dt_status (*serve)(dt_control *);                     /* what has come */
    DT_MUST_USE dt_status (*post)(dt_control *, dt_text *frame);      /* a part of the main thread's; takes it over */
    DT_MUST_USE dt_status (*abort)(dt_control *, const char *text);
    DT_MUST_USE dt_status (*beat)(dt_control *);                      /* a heartbeat is due */
    DT_MUST_USE dt_status (*judge)(dt_control *);                     /* and the others' are looked at */
    void (*forgive)(dt_control *, double seconds);                    /* this process was stopped for so long */
} dt_control_role;

extern const dt_control_role dt_control_hub, dt_control_spoke;

#endif
