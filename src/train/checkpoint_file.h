/* The files of a checkpoint as bytes: written with a checksum as they go, compressed or not; checked; read back. */
#ifndef DT_TRAIN_CHECKPOINT_FILE_H
#define DT_TRAIN_CHECKPOINT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct dt_file_sum { /* of a file as it lies on the disk */
    int64_t bytes;
    uint64_t xxh3;
} dt_file_sum;

/* A new file (an existing one is emptied). One of finish and abort ends it; both free it. */
typedef struct dt_outfile dt_outfile;
DT_MUST_USE dt_status dt_outfile_create(const char *path, bool compress, dt_outfile **out);
DT_MUST_USE dt_status dt_outfile_add(dt_outfile *, const void *bytes, size_t count);
/* Syncs and closes. `sum` may be NULL. The file is removed when that fails. */
DT_MUST_USE dt_status dt_outfile_finish(dt_outfile *, dt_file_sum *sum);
void dt_outfile_abort(dt_outfile *); /* closes and removes the file; NULL is allowed */

/* All of that for bytes that are at hand. */
DT_MUST_USE dt_status dt_outfile_write(const char *path, const void *bytes, size_t count, dt_file_sum *sum);

DT_MUST_USE dt_status dt_file_sum_read(const char *path, dt_file_sum *out);
/* Decompresses a whole zstd file whose content has at most `limit` bytes; `*out` is freed with free(). */
DT_MUST_USE dt_status dt_zstd_read(const char *path, size_t limit, char **out, size_t *size);

/* Is there certainly nothing of that name? What cannot be looked at may be there. */
bool dt_path_missing(const char *path);
/* The same of the name itself: a link has it, wherever it leads. */
bool dt_name_missing(const char *path);
/* "<folder>/<name>", freed with free(). */
DT_MUST_USE dt_status dt_path_join(const char *folder, const char *name, char **out);
/* Renames over `to`, and makes that durable. */
DT_MUST_USE dt_status dt_path_move(const char *from, const char *to);

#endif
