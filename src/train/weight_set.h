/* One set of weights on the disk, in published names and shapes: a .safetensors file, or several behind an index
 * `<stem>.safetensors.index.json`, as the field writes models of many gigabytes. */
#ifndef DT_TRAIN_WEIGHT_SET_H
#define DT_TRAIN_WEIGHT_SET_H

#include "base/json.h"
#include "train/checkpoint.h"
#include "train/safetensors.h"
#include "train/snapshot.h"

/* A path that ends in .json is an index; its files lie beside it. */
DT_MUST_USE dt_status dt_weight_set_open(const char *path, dt_weight_set **out);
int dt_weight_set_files(const dt_weight_set *);
const char *dt_weight_set_file(const dt_weight_set *, int index); /* its path */
void dt_weight_set_close(dt_weight_set *); /* NULL is allowed */
/* Does the store hold this buffer? */
bool dt_weight_set_has(const dt_store *, dt_buffer);
/* Compares names and shapes with the store's parameters as dt_weights_load says, then fills buffer `to`, and reads of
 * the files what this rank keeps of it. What stays at its initial value is told to the log. */
DT_MUST_USE dt_status dt_weight_set_fill(const dt_weight_set *, dt_store *, dt_buffer to, const dt_weights_options *,
                                         dt_log *);

/* Parameters first .. first + count - 1: what one file of a set holds. */
typedef struct dt_weight_part {
    char file[64]; /* <stem>.safetensors, or <stem>-00001-of-00003.safetensors */
    int first, count;
    int64_t bytes;
} dt_weight_part;

/* The files of the set of all parameters, split where one would pass `file_bytes` (0: never); freed with free(). */
DT_MUST_USE dt_status dt_weight_set_split(const dt_store *, const char *stem, int64_t file_bytes, dt_weight_part **out,
                                          int *count);
/* Writes one of these files, of a buffer that the snapshot has for its parameters, or the index, which sets of several
 * files need, and adds it to the object `files` (checkpoint_manifest.h). */
DT_MUST_USE dt_status dt_weight_part_write(const char *folder, const dt_weight_part *, const dt_snapshot *, dt_buffer,
                                           json_t *files);
DT_MUST_USE dt_status dt_weight_index_write(const char *folder, const char *name, const dt_weight_part *, int parts,
                                            const dt_store *, json_t *files);
/* "<stem>.safetensors.index.json" */
void dt_weight_index_name(const char *stem, char out[static 64]);
/* Splits and writes all of a set, as of "<folder>/model.safetensors" with the stem "model". */
DT_MUST_USE dt_status dt_weight_set_write(const char *folder, const char *stem, const dt_snapshot *, dt_buffer,
                                          int64_t file_bytes);
/* Writes all parameters of a buffer into one file, in the type of the store. `metadata` as in dt_safetensors_write. No
 * file is left behind when that fails. */
DT_MUST_USE dt_status dt_weight_file_write(const char *path, const dt_snapshot *, dt_buffer,
                                           const char *const *metadata);

#endif
