/* TensorBoard event files: records of protocol buffers, framed as TFRecords (length, masked CRC-32C of the length, the
 * bytes, their masked CRC-32C). One writer makes one file `events.out.tfevents.SECONDS.HOST.PID` in a folder, named so
 * that it sorts behind those already there: TensorBoard reads a folder's files in that order. */
#ifndef DT_TRAIN_TENSORBOARD_H
#define DT_TRAIN_TENSORBOARD_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct dt_scalar {
    const char *tag; /* "train/loss" */
    double value;    /* stored as float32 */
} dt_scalar;

typedef struct dt_tensorboard dt_tensorboard;
/* Starts a file. `first_step` is the step of the first events to come: what earlier files hold for it and for later
 * steps is then outdated (a run that was resumed), and TensorBoard drops it. */
DT_MUST_USE dt_status dt_tensorboard_create(const char *folder, int64_t first_step, dt_tensorboard **out);
void dt_tensorboard_free(dt_tensorboard *); /* NULL is allowed */
/* The run goes back: what was written for `first_step` and later steps is outdated. */
DT_MUST_USE dt_status dt_tensorboard_restart(dt_tensorboard *, int64_t first_step);
/* One event, written at once. */
DT_MUST_USE dt_status dt_tensorboard_add(dt_tensorboard *, int64_t step, const dt_scalar *, size_t count);
/* Makes what was written durable. */
DT_MUST_USE dt_status dt_tensorboard_sync(dt_tensorboard *);

#endif
