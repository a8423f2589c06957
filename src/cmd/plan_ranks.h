/* plan --ranks: what each of several GPUs would hold at every level of sharding (parallel.zero), and which level
 * fits. */
#ifndef DT_CMD_PLAN_RANKS_H
#define DT_CMD_PLAN_RANKS_H

#include "train/train.h"

enum { DT_MOST_RANKS = 1 << 16 };

/* `memory`: bytes of one GPU. Every rank runs passes of the session's size. */
void dt_plan_ranks_print(const dt_session *, int ranks, int64_t memory);

#endif
