/* plan --ranks: what each of several GPUs would hold and send at every level of sharing (parallel.zero), and which
 * level fits. */
#ifndef DT_CMD_PLAN_RANKS_H
#define DT_CMD_PLAN_RANKS_H

#include "train/train.h"

enum {
    DT_MOST_RANKS = 1 << 16,
    DT_PLAN_OUTSIDE = 3 << 29, /* bytes of a GPU's memory that no plan knows: CUDA context and libraries */
};

typedef struct dt_plan_world {
    const dt_settings *settings; /* as they were loaded: no session has made anything of them */
    int ranks;
    int64_t memory; /* bytes of one GPU */
} dt_plan_world;

/* Plans every level, and where none fits other numbers of ranks. */
DT_MUST_USE dt_status dt_plan_ranks_print(const dt_plan_world *);

#endif
