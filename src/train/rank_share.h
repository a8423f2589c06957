/* What of its host's processors a rank takes where several ranks share them. */
#ifndef DT_TRAIN_RANK_SHARE_H
#define DT_TRAIN_RANK_SHARE_H

#include "comm/world.h"

/* This rank's share of the processors that it may use, at least 1; what a launcher has bound to one rank is its own.
 * 0, which is all, where it is alone. All ranks call it. */
DT_MUST_USE dt_status dt_rank_threads(dt_world *, int *threads);

#endif
