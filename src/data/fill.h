/* Which samples stand at which positions of the stream, and writing them into a slot image. What is written is a pure
 * function of the options and the position; several threads may fill at once. */
#ifndef DT_DATA_FILL_H
#define DT_DATA_FILL_H

#include <stdatomic.h>

#include "data/augment.h"
#include "data/dataset.h"

typedef struct dt_filler {
    dt_dataset *dataset;
    dt_loader_options options;
    dt_augment augment; /* does nothing for the eval split */
    dt_log *log;
    int64_t epoch_length;     /* positions of one epoch, padding included */
    int64_t stride;           /* positions of a micro-batch over all ranks */
    int64_t batches;          /* of the stream; INT64_MAX when endless */
    _Atomic int64_t replaced; /* damaged samples */
} dt_filler;

/* DT_ERR_USAGE when batches cannot be cut as the settings say. */
DT_MUST_USE dt_status dt_filler_init(dt_filler *, dt_dataset *, const dt_settings *, const dt_loader_options *,
                                     dt_log *);
/* What a worker needs for itself, and passes on as `scratch`. */
size_t dt_filler_scratch_bytes(const dt_filler *);
/* Fills places first .. end-1 of this rank's part of `batch` in the slot image. */
DT_MUST_USE dt_status dt_fill_samples(dt_filler *, int64_t batch, int64_t first, int64_t end, void *scratch,
                                      void *slot);
/* What follows from all samples of a batch, once they are there: the order of its tokens. */
void dt_fill_rest(const dt_filler *, void *scratch, void *slot);
/* Epoch, position and number of samples of `batch`. */
dt_batch dt_filler_batch(const dt_filler *, int64_t batch);

#endif
