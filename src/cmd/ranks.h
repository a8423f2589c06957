/* A command that runs on many ranks: how they meet, who speaks, and how they leave. */
#ifndef DT_CMD_RANKS_H
#define DT_CMD_RANKS_H

#include "base/log.h"
#include "comm/world.h"
#include "config/settings.h"

typedef struct dt_party { /* keep it where it is while the world is open */
    dt_world *world; /* NULL before they have met */
    dt_log *log;     /* outlives the party; may be NULL */
    int rank;
} dt_party;

/* Meets the ranks that the launcher started beside this one, if any, with the limits of the settings (NULL: the
 * defaults). `prepared` is how the command fared by then: a failure of one rank is the failure of all, as dt_ranks_join
 * tells it. From now on the ranks but the first print nothing, and a verdict ends the process. */
DT_MUST_USE dt_status dt_party_meet(dt_party *, const dt_settings *, dt_log *, dt_status prepared);
/* Takes leave of the others and returns `status`, how the command ended; where there are others and it failed, it does
 * not return but ends the process, the first rank having told the message. */
DT_MUST_USE dt_status dt_party_leave(dt_party *, dt_status status);

#endif
