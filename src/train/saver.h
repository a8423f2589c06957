/* Saves checkpoints while training goes on: a snapshot is taken between two updates, and a thread writes it. At most
 * one save is under way. All functions are the training thread's; the writing thread never touches the device or the
 * world.
 *
 * The ranks of a world each have a saver and save together (checkpoint_save.h). They then call start, wait and poll at
 * the same steps, and get the same answers: where one fails, its words are told on all. */
#ifndef DT_TRAIN_SAVER_H
#define DT_TRAIN_SAVER_H

#include "comm/world.h"
#include "train/checkpoint.h"

typedef struct dt_saver dt_saver;

/* The store, the text, the folder's name in the options, the world (NULL: a rank alone) and the log must outlive the
 * saver; rank and ranks of the options are the world's. Memory for the snapshot is taken by the first save and kept. */
DT_MUST_USE dt_status dt_saver_create(const dt_store *, const char *settings_yaml, const dt_checkpoint_options *,
                                      dt_world *, dt_log *, dt_saver **out);
/* Waits for a save under way; a failure that nobody has asked for is told to the log. NULL is allowed. */
void dt_saver_free(dt_saver *);
/* Where the run has failed on all ranks, as `failed` and the kept message say, which stay: all wait for a save under
 * way, so that none leaves while another writes. */
DT_MUST_USE dt_status dt_saver_finish(dt_saver *, dt_status failed);
/* Copies the store and begins to write the copy. No save may be under way, and nothing that writes the store. The
 * reference to `numerics`, which nobody else may change, is taken over, also on failure. */
DT_MUST_USE dt_status dt_saver_start(dt_saver *, const dt_progress *, json_t *numerics);
/* How the last save ended, as dt_checkpoint_save tells it; told once, DT_OK afterwards and where there was none. The
 * first waits for a save under way, the second does not: such a save is told of later. */
DT_MUST_USE dt_status dt_saver_wait(dt_saver *);
DT_MUST_USE dt_status dt_saver_poll(dt_saver *);

#endif
