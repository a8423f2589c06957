/* A foreign file read as a stream of plain bytes, whether it is stored plain, as gzip or as zstd. */
#ifndef DT_DATA_UNPACK_H
#define DT_DATA_UNPACK_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

typedef struct dt_unpack dt_unpack;

/* `path` is kept, not copied; - is standard input. */
DT_MUST_USE dt_status dt_unpack_open(const char *path, dt_unpack **out);
/* Standard input, of which reading, and this, end with DT_ERR_STOPPED when the signal is not 0 (NULL: never). */
DT_MUST_USE dt_status dt_unpack_open_input(volatile const int *signal, dt_unpack **out);
void dt_unpack_close(dt_unpack *); /* NULL is allowed */
/* The bytes that the file begins with as it is stored, up to 64 KiB: all that it has, or so many. Only before anything
 * else is asked for. */
const uint8_t *dt_unpack_start(const dt_unpack *, size_t *count);
/* Exactly `bytes` bytes; fewer is DT_ERR_DATA. */
DT_MUST_USE dt_status dt_unpack_read(dt_unpack *, void *out, size_t bytes);
/* Exactly `bytes` bytes into fresh memory (free with free()), which grows with what really comes: a file that claims
 * more than it holds costs at most twice what it holds. */
DT_MUST_USE dt_status dt_unpack_read_new(dt_unpack *, int64_t bytes, uint8_t **out);
/* Up to `room` bytes; *got is 0 only at the sound end of the file. */
DT_MUST_USE dt_status dt_unpack_some(dt_unpack *, void *out, size_t room, size_t *got);
/* Everything from here to the end, behind the *count bytes of *bytes (from malloc; NULL with 0), which grows. What is
 * there stays the caller's when it fails. */
DT_MUST_USE dt_status dt_unpack_append(dt_unpack *, uint8_t **bytes, int64_t *count);
/* DT_ERR_DATA unless the stream ends here, with a good checksum, and the file with it. */
DT_MUST_USE dt_status dt_unpack_end(dt_unpack *);

#endif
