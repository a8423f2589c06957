/* How ranks find each other at the start. Rank 0 is the host: it listens while the others come, and only then. The
 * others visit it, again and again until it is there. While they await the rest, it and they tell each other that they
 * live.
 *
 * A visitor says hello and is told at once that rank 0 accepted it, so it knows whom it has found; when all have come
 * it is told who all are (DT_WIRE_WELCOME), or why the run does not start. What connects and is no rank of this run is
 * sent away and logged. */
#ifndef DT_COMM_JOIN_H
#define DT_COMM_JOIN_H

#include "base/log.h"
#include "comm/connection.h"
#include "comm/hello.h"

typedef struct dt_join_limits {
    double come; /* seconds for all to come, */
    double lost; /* and without a sign of life of one that has */
} dt_join_limits;

/* Waits on the socket, which stays the caller's, until ranks 1 .. size-1 have come: fills hellos[size], the host's own
 * first, and peers[size], of which the host's own is none. An error is told to all who came before it is returned:
 * ranks that did not come in time, or left again; others' worlds, versions, binaries. `where` names in
 * messages what they should have come to. The log may be NULL. */
DT_MUST_USE dt_status dt_join_host(int listener, const dt_hello *self, const char *where, dt_join_limits, dt_log *,
                                   dt_hello *hellos, dt_connection *peers);
/* Tells the visitors who all are; waits until that is sent. */
DT_MUST_USE dt_status dt_join_welcome(const dt_member *, int size, dt_connection *peers);

/* Where rank 0 may be: names or addresses, one a line, tried in turn. */
typedef struct dt_join_places {
    const char *names;
    int port;
    const char *variable; /* that the name is from, for messages; NULL: names are addresses that rank 0 gave */
} dt_join_places;

/* Fills members[self->size] and the connection to rank 0. The first limit is for reaching rank 0, and again for the
 * others to come. */
DT_MUST_USE dt_status dt_join_visit(const dt_join_places *, const dt_hello *self, dt_join_limits, dt_log *,
                                    dt_member *members, dt_connection *out);

/* Most bytes of a message before all ranks have come; of the welcome to so many ranks. */
enum { DT_JOIN_MESSAGE = 4096 };

#endif
