/* Writing a snapshot as a checkpoint: what dt_checkpoint_save does at once, and the savers' threads beside training.
 *
 * Several ranks write one checkpoint together, each the files that the plan deals to it, into one temporary folder on a
 * file system that all see. Rank 0 makes the folder before any of them writes; it adds the manifest, renames the folder
 * and removes old ones when the notes of all ranks say that their files are durable. A rank that fails says so in a
 * note; the others then leave off, and when all have spoken rank 0 removes what was written. Killing any rank at any
 * moment leaves the old checkpoints and a temporary folder, which the next start removes. */
#ifndef DT_TRAIN_CHECKPOINT_SAVE_H
#define DT_TRAIN_CHECKPOINT_SAVE_H

#include <stdatomic.h>

#include "train/checkpoint_plan.h"

/* What is to be written. Everything is borrowed, and the same on all ranks but for the rank, the plan's snapshot and
 * the log. */
typedef struct dt_checkpoint_work {
    const dt_checkpoint_options *options;
    const dt_checkpoint_plan *plan;
    const dt_snapshot *snapshot;
    const dt_progress *progress;
    const char *settings_yaml;
    const json_t *numerics;    /* NULL: none */
    const atomic_bool *silent; /* rank 0's; another thread sets those of ranks that failed without a note; NULL: none */
    dt_log *log;               /* NULL: none */
} dt_checkpoint_work;

/* Of several ranks, rank 0, before any of them writes, and after all of them have ended the save before: an empty
 * temporary folder. */
DT_MUST_USE dt_status dt_checkpoint_prepare(const dt_checkpoint_options *, int64_t step);
/* The others, then: do they see it? */
DT_MUST_USE dt_status dt_checkpoint_check_prepared(const dt_checkpoint_options *, int64_t step);
/* As dt_checkpoint_save says, on every rank at once. On rank 0 it returns when the checkpoint is there or is not to be,
 * whichever rank is to blame; on another when this rank's part is durable, or another rank has failed, with the error
 * only if it failed itself. */
DT_MUST_USE dt_status dt_checkpoint_write(const dt_checkpoint_work *);

#endif
