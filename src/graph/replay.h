/* Recorded runs of a program, one for each combination of slot and place in the step. */
#ifndef DT_GRAPH_REPLAY_H
#define DT_GRAPH_REPLAY_H

#include "graph/internal.h"
#include "graph/program.h"

typedef struct dt_replays {
    dt_list entries;
} dt_replays;

/* Runs `launch(context)` on the device, recorded or not: the first run of a combination launches directly, which loads
 * what libraries load lazily; the second records, and it and all later ones replay. */
DT_MUST_USE dt_status dt_replays_run(dt_replays *, dt_device *, const dt_run *, dt_status (*launch)(void *context),
                                     void *context);
void dt_replays_free(dt_replays *, dt_device *); /* before the device is closed */

#endif
