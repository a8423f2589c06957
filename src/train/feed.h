/* The way of batches to the device: the loader fills host images, each is copied into one of the session's device
 * slots on the copy stream while the batch before is computed with. */
#ifndef DT_TRAIN_FEED_H
#define DT_TRAIN_FEED_H

#include "train/session.h"

typedef struct dt_feed dt_feed;

/* `id` is the program that reads the batches: pass (training split) or eval. `start` is the data position in samples
 * since the beginning of the run. The data set must outlive the feed; a session has one open batch at a time. */
DT_MUST_USE dt_status dt_feed_create(dt_session *, dt_dataset *, const dt_settings *, dt_program_id id, int64_t start,
                                     dt_log *, dt_feed **out);
void dt_feed_free(dt_feed *); /* NULL is allowed */
/* Starts an evaluation split over. */
DT_MUST_USE dt_status dt_feed_rewind(dt_feed *);

/* Waits for the next batch and opens it; `*wait` grows by the seconds spent waiting. An evaluation split ends with slot
 * -1, and no batch is open. */
DT_MUST_USE dt_status dt_feed_next(dt_feed *, dt_batch *out, double *wait);
char *dt_feed_image(const dt_feed *); /* the open batch's host image, to write step values into */
/* Copies it; `*slot` is its device address for programs run on the compute stream from now on. */
DT_MUST_USE dt_status dt_feed_send(dt_feed *, const char **slot);
/* Closes it, behind the last program that reads it. */
DT_MUST_USE dt_status dt_feed_done(dt_feed *);

#endif
