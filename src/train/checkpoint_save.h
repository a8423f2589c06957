/* Writing a snapshot as a checkpoint: what dt_checkpoint_save does at once, and a saver's thread beside training. */
#ifndef DT_TRAIN_CHECKPOINT_SAVE_H
#define DT_TRAIN_CHECKPOINT_SAVE_H

#include "train/checkpoint.h"
#include "train/snapshot.h"

/* What of a store a checkpoint holds, as a bit set over dt_buffer. */
enum {
    DT_CHECKPOINT_BUFFERS =
        1 << DT_BUFFER_VALUE | 1 << DT_BUFFER_MOMENT1 | 1 << DT_BUFFER_MOMENT2 | 1 << DT_BUFFER_EMA
};

/* As dt_checkpoint_save says. */
DT_MUST_USE dt_status dt_checkpoint_write(const dt_snapshot *, const dt_progress *, const char *settings_yaml,
                                          const json_t *numerics, const dt_checkpoint_options *, dt_log *);

#endif
