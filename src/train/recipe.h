/* What the settings ask of the programs of a run, as plain checked numbers. */
#ifndef DT_TRAIN_RECIPE_H
#define DT_TRAIN_RECIPE_H

#include "base/log.h"
#include "config/settings.h"
#include "passes/passes.h"

typedef struct dt_recipe {
    int64_t batch;      /* samples of one update over all ranks */
    int64_t accumulate; /* micro-batches that make them */
    int64_t micro;      /* samples of one pass on one rank */
    int64_t eval_batch; /* samples of one evaluated batch on one rank */
    int ranks;
    double smoothing, clip, ema;
    dt_dtype type; /* of the parameters */
    bool working;  /* products read bfloat16 copies of the matrices */
    bool widened;  /* computes in float32 what was to be rounded further */
    bool direct;   /* programs are launched node by node */
    int zero;             /* what ranks share; see dt_share */
    int sharers;          /* ranks that share with each other; 1: none do, at any level */
    int64_t bucket_bytes; /* of gradients sent together */
    dt_pass_options passes;
} dt_recipe;

bool dt_recipe_needs_gpu(const dt_settings *); /* the CPU has not the precision mode that is asked for */
/* Checks what belongs together and derives eval.batch. `forward`: nothing is trained, so a mode that the back end has
 * not is computed in float32 instead of refused, as evaluations of a GPU's run on the CPU are, and data.batch need not
 * divide into micro-batches. */
DT_MUST_USE dt_status dt_recipe_read(dt_settings *, dt_backend, bool forward, int ranks, dt_recipe *out);
/* Says where train.micro_batch cuts the batch into far more passes than its size asks for, and where there is nothing
 * that debug.check_ranks_every_steps could compare. */
void dt_recipe_warn(const dt_recipe *, const dt_settings *, int ranks, dt_log *);

#endif
