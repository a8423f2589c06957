/* debug.check_ranks_every_steps: do all ranks still have the same weights? */
#ifndef DT_TRAIN_RANK_CHECK_H
#define DT_TRAIN_RANK_CHECK_H

#include "train/session.h"

/* Compares them and their averages bit for bit: what each rank keeps whole, and the pieces that several groups keep. No
 * step may be in flight. The failure, DT_ERR_DEVICE, is all ranks', and names the rank that differs and the first
 * parameter in which it does. */
DT_MUST_USE dt_status dt_session_check_ranks(const dt_session *, int64_t step);

#endif
