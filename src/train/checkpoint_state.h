/* The optimizer's moments, one file per unit, and the saved state tensors of the store in one more: what a run needs
 * beside its weights to go on bit for bit. Each is a safetensors file, optionally compressed as a whole. */
#ifndef DT_TRAIN_CHECKPOINT_STATE_H
#define DT_TRAIN_CHECKPOINT_STATE_H

#include "base/json.h"
#include "train/snapshot.h"

/* Writes the files that the snapshot's store needs into `folder` and adds them to the object `files`. */
DT_MUST_USE dt_status dt_state_files_write(const char *folder, const dt_snapshot *, bool compress, json_t *files);
/* Reads them back. A tensor that only one of the store and the checkpoint has is an error that names it. */
DT_MUST_USE dt_status dt_state_files_read(const char *folder, const json_t *manifest, dt_store *);

#endif
