/* One set of weights on the disk, in published names and shapes: a .safetensors file, or several behind an index
 * `<stem>.safetensors.index.json`, as the field writes models of many gigabytes. */
#ifndef DT_TRAIN_WEIGHT_SET_H
#define DT_TRAIN_WEIGHT_SET_H

#include "base/json.h"
#include "train/checkpoint.h"
#include "train/safetensors.h"
#include "train/snapshot.h"

typedef struct dt_weight_set dt_weight_set;

/* A path that ends in .json is an index; its files lie beside it. */
DT_MUST_USE dt_status dt_weight_set_open(const char *path, dt_weight_set **out);
int dt_weight_set_files(const dt_weight_set *);
const char *dt_weight_set_file(const dt_weight_set *, int index); /* its path */
void dt_weight_set_close(dt_weight_set *); /* NULL is allowed */
/* Does the store hold this buffer? */
bool dt_weight_set_has(const dt_store *, dt_buffer);
/* Compares names and shapes with the store's parameters as dt_weights_load says, then fills buffer `to`. What stays at
 * its initial value is told to the log. */
DT_MUST_USE dt_status dt_weight_set_fill(const dt_weight_set *, dt_store *, dt_buffer to, const dt_weights_options *,
                                         dt_log *);

/* Writes parameters first .. first + count - 1 of a buffer into one file, in the type of the store. `metadata` as in
 * dt_safetensors_write; `sum` may be NULL. No file is left behind when that fails. */
DT_MUST_USE dt_status dt_weight_file_write(const char *path, const dt_snapshot *, dt_buffer, int first, int count,
                                           const char *const *metadata, dt_file_sum *sum);
/* Writes <folder>/<stem>.safetensors of all parameters, split where a file would pass
 * `file_bytes` (0: never). Each file written is added to the object `files` (checkpoint_manifest.h). */
DT_MUST_USE dt_status dt_weight_set_write(const char *folder, const char *stem, const dt_snapshot *, dt_buffer,
                                          int64_t file_bytes, json_t *files);

#endif
