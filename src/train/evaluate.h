/* Evaluation: one pass over the eval split, by the trained weights or by their average. */
#ifndef DT_TRAIN_EVALUATE_H
#define DT_TRAIN_EVALUATE_H

#include "train/session.h"

typedef struct dt_evaluator dt_evaluator;

/* Opens the eval split; its loader starts with the first evaluation. `signal` may be NULL: once it is not 0,
 * evaluations stop before their next batch. */
DT_MUST_USE dt_status dt_evaluator_create(dt_session *, const dt_settings *, volatile const int *signal, dt_log *,
                                          dt_evaluator **out);
void dt_evaluator_free(dt_evaluator *); /* NULL is allowed */
/* `id` is eval or eval_ema. No step may be in flight. Fills all of *out but the step.
 * DT_ERR_STOPPED: a signal cut it off. */
DT_MUST_USE dt_status dt_evaluator_run(dt_evaluator *, dt_program_id id, dt_eval_report *out);
/* The running sums "eval.*" of the session's eval programs back to zero. */
DT_MUST_USE dt_status dt_eval_clear(const dt_session *);

#endif
