/* What the loop does beside stepping, as the settings say: when it reports, evaluates and saves, and what it does about
 * a step that is not finite. */
#ifndef DT_TRAIN_POLICY_H
#define DT_TRAIN_POLICY_H

#include "train/schedule.h"

typedef enum dt_nonfinite { DT_NONFINITE_STOP, DT_NONFINITE_SKIP, DT_NONFINITE_ROLLBACK } dt_nonfinite;

typedef struct dt_policy { /* periods in steps; 0: never */
    int64_t log_every, eval_every, save_every;
    bool eval_at_end, save_at_end;
    int keep;
    bool compress, go_on_unsaved;
    int64_t file_bytes;
    const char *best_metric; /* of checkpoint.best_metric; borrowed from the settings */
    dt_nonfinite on_nonfinite;
    int64_t rollback_limit, skip_limit;
    bool check_every_tensor;
    int64_t compare_every, check_ranks_every; /* of several ranks: their times, their weights */
} dt_policy;

/* `alone`: there is one rank, and what is for several is not read. */
DT_MUST_USE dt_status dt_policy_read(const dt_settings *, const dt_schedule *, bool alone, dt_policy *out);

#endif
