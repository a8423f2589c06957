/* Which files a checkpoint of a store has, in the order of its manifest, and which rank writes each. A function of the
 * store, the options and the number of ranks alone: all ranks come to the same. */
#ifndef DT_TRAIN_CHECKPOINT_PLAN_H
#define DT_TRAIN_CHECKPOINT_PLAN_H

#include "train/checkpoint.h"
#include "train/snapshot.h"

/* What of a store a checkpoint holds, as a bit set over dt_buffer. */
enum {
    DT_CHECKPOINT_BUFFERS =
        1 << DT_BUFFER_VALUE | 1 << DT_BUFFER_MOMENT1 | 1 << DT_BUFFER_MOMENT2 | 1 << DT_BUFFER_EMA
};

typedef struct dt_checkpoint_plan dt_checkpoint_plan;

/* The files are dealt to options->ranks ranks by their bytes. Several ranks split weights finer than
 * options->file_bytes where a file would be more than one's share, so that none waits long for another. */
DT_MUST_USE dt_status dt_checkpoint_plan_create(const dt_store *, const dt_checkpoint_options *,
                                                dt_checkpoint_plan **out);
void dt_checkpoint_plan_free(dt_checkpoint_plan *); /* NULL is allowed */
int dt_checkpoint_plan_files(const dt_checkpoint_plan *);
const char *dt_checkpoint_plan_name(const dt_checkpoint_plan *, int file);
int dt_checkpoint_plan_rank(const dt_checkpoint_plan *, int file);

/* Host memory for what the files of options->rank are made of. */
DT_MUST_USE dt_status dt_checkpoint_plan_snapshot(const dt_checkpoint_plan *, dt_snapshot **out);
/* Writes one of them into `folder` and adds it to the object `files`. */
DT_MUST_USE dt_status dt_checkpoint_plan_write(const dt_checkpoint_plan *, int file, const char *folder,
                                               const dt_snapshot *, json_t *files);

#endif
