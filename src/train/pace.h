/* log.ranks_every_steps: how long each rank's steps took, and which rank keeps the others waiting. */
#ifndef DT_TRAIN_PACE_H
#define DT_TRAIN_PACE_H

#include "base/log.h"
#include "comm/world.h"

enum { DT_PACE_STEPS = 1024 }; /* the newest that count */

typedef struct dt_pace { /* all zero: nothing measured */
    double seconds[DT_PACE_STEPS]; /* on the host, a ring */
    double total, wait;            /* of all steps since the last report; the part of it spent waiting for data */
    int64_t steps;
} dt_pace;

void dt_pace_add(dt_pace *, double seconds, double wait);
/* All ranks call it behind the same step: the first tells its log how they compare, each one its own what it had; then
 * the next window begins. */
DT_MUST_USE dt_status dt_pace_report(dt_pace *, dt_world *, int64_t step, dt_log *);

#endif
