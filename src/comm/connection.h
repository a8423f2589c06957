/* One TCP connection of the control channel: frames in, frames out, never waiting unless told to. */
#ifndef DT_COMM_CONNECTION_H
#define DT_COMM_CONNECTION_H

#include "comm/wire.h"

/* A frame that is sent, over several connections maybe: counted, used by one thread at a time. */
typedef struct dt_parcel dt_parcel;
/* Takes the frame's bytes over, also when it fails. */
DT_MUST_USE dt_status dt_parcel_create(dt_text *frame, dt_parcel **out);
void dt_parcel_drop(dt_parcel *); /* NULL is allowed */

typedef struct dt_connection {
    int fd; /* -1: none */
    dt_wire_reader in;
    struct dt_queued *first, *last; /* to be sent */
    size_t sent;                    /* bytes of the first */
    bool closed;                    /* nothing more comes: the other side closed it, or it broke */
    double opened, heard;           /* when it was opened; when something came last (dt_clock) */
} dt_connection;

/* Of an open socket, which it owns from now on; `limit` as of dt_wire_reader. */
void dt_connection_open(dt_connection *, int fd, size_t limit);
/* What is still to be sent is lost. Allowed on one that is closed, or {.fd = -1}. */
void dt_connection_close(dt_connection *);

/* Queues it and sends what goes without waiting. The caller keeps its own count of the parcel. */
DT_MUST_USE dt_status dt_connection_send(dt_connection *, dt_parcel *);
/* The same for a frame that is no parcel yet: takes its bytes over. */
DT_MUST_USE dt_status dt_connection_send_frame(dt_connection *, dt_text *frame);
/* Sends more of what is queued. One that is broken forgets it: reading finds that out. */
void dt_connection_flush(dt_connection *);
bool dt_connection_is_flushed(const dt_connection *);
/* Flushes those of `count` connections, all, for at most so many seconds. */
void dt_connections_flush(dt_connection *, int count, double seconds);

/* What poll is to wait for. */
short dt_connection_events(const dt_connection *);
/* Takes in what has come, without waiting; sets `closed`. */
DT_MUST_USE dt_status dt_connection_receive(dt_connection *);
/* The next frame that is there, waiting for it up to `seconds`; `*there` false: none came, or it is closed. */
DT_MUST_USE dt_status dt_connection_await(dt_connection *, double seconds, dt_wire_frame *out, bool *there);

#endif
