/* What updates tell the host. The numbers of step s are copied out behind its update and, on a GPU, read while step
 * s + 1 runs, so that the device never waits for the host. */
#ifndef DT_TRAIN_OUTBOX_H
#define DT_TRAIN_OUTBOX_H

#include "train/session.h"

typedef struct dt_step_numbers {
    double norm, loss, count, hits[2]; /* sums over the step's samples; the norm is of the mean gradient */
    double asks[DT_ASKS];              /* so many ranks; 0 where there is only one */
    int32_t finite;                    /* the step was committed */
} dt_step_numbers;

typedef struct dt_outbox dt_outbox;

DT_MUST_USE dt_status dt_outbox_create(dt_session *, dt_outbox **out);
void dt_outbox_free(dt_outbox *); /* NULL is allowed */
/* Queues the copy behind the update that was just launched. At most two may be unread. */
DT_MUST_USE dt_status dt_outbox_send(dt_outbox *);
/* Waits for the oldest unread one. */
DT_MUST_USE dt_status dt_outbox_receive(dt_outbox *, dt_step_numbers *out);

#endif
