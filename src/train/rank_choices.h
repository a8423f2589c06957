/* What all ranks must do alike for their weights to stay the same: run the same programs, by the same kernels, with the
 * same algorithms. Alone a process has nothing to do here. */
#ifndef DT_TRAIN_RANK_CHOICES_H
#define DT_TRAIN_RANK_CHOICES_H

#include "train/session.h"

/* Holds the session's programs, and what computes them, against those of the other ranks. The error says which ranks
 * have others. */
DT_MUST_USE dt_status dt_session_agree(const dt_session *);
/* Where algorithms are found by timing the first rank finds them for all, before anything runs, and the others take
 * them over. Weights and states stay as they are; gradients do not. */
DT_MUST_USE dt_status dt_session_share_choices(dt_session *);

#endif
