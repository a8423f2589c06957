/* The folders of a run's checkpoints: step-00001000, with the suffix .tmp while one is written or removed. */
#ifndef DT_TRAIN_CHECKPOINT_FOLDER_H
#define DT_TRAIN_CHECKPOINT_FOLDER_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* "<folder>/step-00001000<suffix>", freed with free(). */
DT_MUST_USE dt_status dt_step_path(const char *folder, int64_t step, const char *suffix, char **out);
/* The steps that have a folder, ascending; `*steps` is freed with free(). */
DT_MUST_USE dt_status dt_step_list(const char *folder, int64_t **steps, size_t *count);
/* The suffix of a folder that stepped aside for a newer one of its step. */
#define DT_STEP_ASIDE ".old.tmp"
/* Removes what an interrupted write or removal left behind; a folder that stepped aside for none is put back.
 * One that cannot go does not keep the others. */
DT_MUST_USE dt_status dt_step_clean(const char *folder);

#endif
