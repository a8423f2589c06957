/* The optimizer's moments, one file per unit, and the saved state tensors of the store in one more: what a run needs
 * beside its weights to go on bit for bit. Each is a safetensors file, optionally compressed as a whole. */
#ifndef DT_TRAIN_CHECKPOINT_STATE_H
#define DT_TRAIN_CHECKPOINT_STATE_H

#include "base/json.h"
#include "train/snapshot.h"

/* Of file number 0 .. dt_state_files(store) - 1 the name, and the bytes of its tensors; 0: there is no such file. */
int dt_state_files(const dt_store *);
DT_MUST_USE dt_status dt_state_file_describe(const dt_store *, int number, bool compress, char name[static 64],
                                             int64_t *bytes);
/* Writes it into `folder` and adds it to the object `files`. The snapshot must hold its tensors. */
DT_MUST_USE dt_status dt_state_file_write(const char *folder, const dt_snapshot *, int number, bool compress,
                                          json_t *files);
/* Is this parameter's moments' place in that file? States that are saved are in the last one. */
bool dt_state_file_holds(int number, const dt_param *);
/* Reads of all of them what this rank keeps. A tensor that only one of store and checkpoint has is an error that names
 * it. */
DT_MUST_USE dt_status dt_state_files_read(const char *folder, const json_t *manifest, dt_store *);

#endif
