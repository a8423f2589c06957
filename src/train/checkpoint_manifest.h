/* manifest.json: what makes a folder a checkpoint. It lists every other file with size and checksum, carries the
 * progress, the settings and the numerics record, and a checksum over all of its own members. */
#ifndef DT_TRAIN_CHECKPOINT_MANIFEST_H
#define DT_TRAIN_CHECKPOINT_MANIFEST_H

#include "base/json.h"
#include "train/checkpoint.h"
#include "train/checkpoint_file.h"

/* Adds a file to the object `files`. */
DT_MUST_USE dt_status dt_manifest_add(json_t *files, const char *name, const dt_file_sum *);
/* Are the names in such an object names of files, each with a size and a checksum? */
DT_MUST_USE dt_status dt_manifest_check_entries(json_t *files, const char *where);
/* Was `name` listed? What is not, was not verified and must not be read. */
bool dt_manifest_lists(const json_t *manifest, const char *name);
/* The path of <stem>.safetensors in the checkpoint's folder, or of its index; NULL when neither is listed. Freed with
 * free(). */
DT_MUST_USE dt_status dt_manifest_weights(const json_t *manifest, const char *folder, const char *stem, char **out);

/* Writes <folder>/manifest.json, synced. Takes over the reference to `files`, also on failure. `type`: the store's. */
DT_MUST_USE dt_status dt_manifest_write(const char *folder, json_t *files, dt_dtype type, const dt_progress *,
                                        const char *settings_yaml, const json_t *numerics);
/* Checks `bytes` (`where` names them in messages): version, types and ranges of all members, the checksum. */
DT_MUST_USE dt_status dt_manifest_parse(const char *bytes, size_t size, const char *where, json_t **out);
DT_MUST_USE dt_status dt_manifest_progress(const json_t *manifest, const char *where, dt_progress *out);
/* Sizes and checksums of the files of a verified manifest: of those that are dealt by their bytes to this rank of so
 * many. DT_ERR_DATA: they do not hold, or a file is missing; other errors leave that open. */
DT_MUST_USE dt_status dt_manifest_check_files(const json_t *manifest, const char *folder, int rank, int ranks);

#endif
