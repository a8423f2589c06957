/* Dealing pieces of work, by their size, to the ranks of a run. */
#ifndef DT_TRAIN_DEAL_H
#define DT_TRAIN_DEAL_H

#include <stdint.h>

#include "base/status.h"

/* rank_of[i] receives the rank that gets piece i of bytes[i]: the largest piece first, each to the rank that has least
 * so far. A function of the arguments alone, so that all ranks come to the same. No rank gets more than the mean and
 * one largest piece. */
DT_MUST_USE dt_status dt_deal(const int64_t *bytes, int count, int ranks, int *rank_of);

#endif
