/* How the ranks that write one checkpoint hear of each other: by notes in the temporary folder that all of them write
 * into. Their writing threads must not speak through the world, whose collectives are the main thread's; and a note on
 * the file system where the checkpoint is to lie shows that this file system is the same for all.
 *
 * Each rank but rank 0 leaves one note when it has no more to write: that its files are durable, with their sizes and
 * checksums; that it failed, and why; or that it left off because another has failed. Rank 0, which waits for these,
 * leaves one only when it fails. Notes are replaced whole, so that one that is there can be read. They go before the
 * folder becomes a checkpoint. */
#ifndef DT_TRAIN_CHECKPOINT_NOTES_H
#define DT_TRAIN_CHECKPOINT_NOTES_H

#include <stdatomic.h>
#include <stdbool.h>

#include "base/json.h"

/* `files` as in the manifest. */
DT_MUST_USE dt_status dt_note_done(const char *folder, int rank, const json_t *files);
DT_MUST_USE dt_status dt_note_failed(const char *folder, int rank, const char *why);
DT_MUST_USE dt_status dt_note_left(const char *folder, int rank);

/* Has any rank failed, or is the folder gone, as far as can be seen now? */
bool dt_notes_tell_failure(const char *folder, int ranks);
/* Rank 0: waits until all others have left a note, or failed without one: then another thread sets silent[rank] (NULL:
 * none does). An error: nothing has been heard for `limit` seconds; it names who is missing. */
DT_MUST_USE dt_status dt_notes_wait(const char *folder, int ranks, double limit, const atomic_bool *silent);
/* Then: adds their files to the object `files`, or is the error of a rank that failed. */
DT_MUST_USE dt_status dt_notes_gather(const char *folder, int ranks, json_t *files);
/* Then, where all are done. */
DT_MUST_USE dt_status dt_notes_remove(const char *folder, int ranks);

#endif
