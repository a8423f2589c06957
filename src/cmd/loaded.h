/* A trained model from a run or a checkpoint: what eval, export and generate start from. */
#ifndef DT_CMD_LOADED_H
#define DT_CMD_LOADED_H

#include "base/json.h"
#include "cmd/arguments.h"
#include "train/train.h"

typedef struct dt_loaded {
    dt_log *log;           /* of the command */
    bool lent;             /* the log is not freed with this */
    bool averaged;         /* --ema: the weights of ema.safetensors */
    dt_weights weights;    /* of a checkpoint that was found whole; their files are open until they are read */
    dt_progress progress;  /* when it was saved */
    dt_settings *settings; /* as the manifest keeps them, under the command line's path=value words */
    dt_session *session;   /* for forward passes only, with the weights in its value buffer */
} dt_loaded;

/* The model that the first word names, a checkpoint folder or a run folder with its newest valid one, on all ranks of a
 * world (NULL: one), with a log that stays the caller's. */
DT_MUST_USE dt_status dt_loaded_open(const dt_arguments *, dt_world *, dt_log *, dt_loaded *out);
/* The log, and that model to go on with texts, so many or as many as generate.batch side by side. */
DT_MUST_USE dt_status dt_loaded_open_texts(const dt_arguments *, int64_t texts, dt_loaded *out);
/* The same to score texts. */
DT_MUST_USE dt_status dt_loaded_open_scores(const dt_arguments *, dt_loaded *out);
/* The same for weights that are only to be written: nothing can be computed with them. */
DT_MUST_USE dt_status dt_loaded_open_weights(const dt_arguments *, dt_loaded *out);
void dt_loaded_close(dt_loaded *); /* one that is all zero is allowed */

#endif
