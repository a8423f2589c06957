/* Checkpoints: <run>/checkpoints/step-00001000/ with model.safetensors (float32 masters under published names and
 * shapes; float64 where the run works in it), ema.safetensors if used, one state file per unit, and manifest.json,
 * written last. A folder without a valid manifest whose sizes and checksums hold is not a checkpoint. Written to a
 * temporary folder, synced, renamed. */
#ifndef DT_TRAIN_CHECKPOINT_H
#define DT_TRAIN_CHECKPOINT_H

#include "base/json.h"
#include "base/log.h"
#include "comm/world.h"
#include "config/settings.h"
#include "graph/store.h"

/* What a run needs beside the store to go on. */
typedef struct dt_progress {
    int64_t step;            /* updates done (skipped ones included) */
    int64_t samples;         /* training samples consumed: the data position */
    int64_t skipped;         /* steps that did not commit */
    int64_t rollbacks;
    double best;             /* best value of checkpoint.best_metric so far; NaN: none yet */
    int64_t best_step;
} dt_progress;

typedef struct dt_checkpoint_options {
    const char *folder;      /* <run>/checkpoints */
    int keep;                /* newest to keep; 0: all. The best one is kept besides */
    bool compress;           /* zstd for the state files */
    int64_t file_bytes;      /* model.safetensors is split above this, with an index file */
    int rank, ranks;         /* which of how many write together; 0 and 0: alone */
    double wait_limit;       /* seconds that rank 0 waits for the others' files behind its own; 0: 1800 */
} dt_checkpoint_options;

/* Saves step-%08d, alone; then removes what `keep` does not cover. On failure the temporary folder is removed, older
 * checkpoints stay, and the error says so. Steps beyond the one saved (damaged, or from before a rollback) are removed.
 * What should go and cannot is told to the log (may be NULL).
 * `settings_yaml` and `numerics` go into the manifest; numerics is borrowed and may be NULL. */
DT_MUST_USE dt_status dt_checkpoint_save(const dt_store *, const dt_progress *, const char *settings_yaml,
                                         const json_t *numerics, const dt_checkpoint_options *, dt_log *);
/* Removes what a save that was killed left to remove: half-written folders, and checkpoints up to the step of the
 * progress that `keep` does not cover. Rank 0 does it for all, before any save. */
DT_MUST_USE dt_status dt_checkpoint_tidy(const dt_progress *, const dt_checkpoint_options *);

/* --- what follows all ranks of the world call together (NULL: a rank alone), and each gets the same answer. Each
 * verifies a share of the files; where one finds damage or cannot read, that holds for all. --- */

/* The newest valid one below `folder` (damaged ones are reported to the log and passed over; where a run that trains
 * removes one meanwhile, they are listed anew); DT_ERR_DATA when there is none, DT_ERR_IO when there are some but none
 * is valid, or one cannot be read. `*path` is freed with free(), its `*manifest` (may be NULL) released with
 * json_decref. */
DT_MUST_USE dt_status dt_checkpoint_find(const char *folder, dt_world *, dt_log *, char **path, json_t **manifest);
/* Has the checkpoint, which was there, been removed since? As rank 0 sees it. */
DT_MUST_USE dt_status dt_checkpoint_gone(const char *path, dt_world *, bool *gone);
/* For a failure to read it: the same status, its message kept, which says so where the checkpoint was removed. */
DT_MUST_USE dt_status dt_checkpoint_tell_gone(const char *path, dt_world *, dt_status failed, bool *gone);
/* Full verification of sizes and checksums; `*manifest` likewise. */
DT_MUST_USE dt_status dt_checkpoint_verify(const char *path, dt_world *, json_t **manifest);
/* Fills the store (layout done, buffers allocated) and *progress; what the store and the checkpoint do not share is an
 * error that names it. The manifest is the one that finding or verifying gave: checksums are not looked at again. */
DT_MUST_USE dt_status dt_checkpoint_load(const char *path, const json_t *manifest, dt_world *, dt_store *,
                                         dt_progress *);

/* --- these, any rank by itself --- */

/* The manifest alone, verified in form. */
DT_MUST_USE dt_status dt_checkpoint_manifest(const char *path, json_t **out);
/* Weights only: for init.from, eval and import. */
typedef enum dt_weights_place {
    DT_WEIGHTS_ANYWHERE,   /* in options: where dt_weights_look finds them */
    DT_WEIGHTS_FILE,       /* a .safetensors file or an index; what is missing counts as one */
    DT_WEIGHTS_FOLDER,     /* model.safetensors or its index in a folder, as the field publishes them */
    DT_WEIGHTS_CHECKPOINT, /* a folder with a manifest.json, which must be whole */
    DT_WEIGHTS_RUN,        /* a folder with 'checkpoints', whatever else is in it: its newest valid checkpoint */
} dt_weights_place;
DT_MUST_USE dt_status dt_weights_look(const char *path, dt_weights_place *out);

/* With `new_head`, parameters whose names begin with `head_prefix` that are missing or of another shape keep their
 * initial values; all other differences are errors that list the first few names. `use_ema`: from ema.safetensors of a
 * checkpoint. They go into the value buffer, and into the EMA buffer where the store has one. */
typedef struct dt_weights_options {
    bool use_ema, new_head;
    dt_weights_place place;
    const char *head_prefix;
    dt_world *world;           /* whose ranks all load them; NULL: one rank alone */
    const char *const *unread; /* ends of names that files may have beyond the parameters; NULL-terminated, or NULL */
    const char *const *twins;  /* the first of these two, where no parameter has its name, may stand in files with the
                                  values of the second; NULL: none may */
} dt_weights_options;
DT_MUST_USE dt_status dt_weights_load(const char *path, dt_store *, const dt_weights_options *, dt_log *);
/* The same in two steps. What is open can be read when its name is gone; where a run that trains removes a checkpoint
 * before it is open, the run's newer one is opened. Opening is for all ranks together, and gives each the same answer;
 * *out is all zero where it fails. */
typedef struct dt_weight_set dt_weight_set;
typedef struct dt_weights {
    dt_weight_set *files;
    char *checkpoint; /* the folder of the checkpoint that they are of, or NULL */
    json_t *manifest; /* its manifest, or NULL */
} dt_weights;
DT_MUST_USE dt_status dt_weights_open(const char *path, const dt_weights_options *, dt_log *, dt_weights *out);
DT_MUST_USE dt_status dt_weights_fill(const dt_weights *, dt_store *, const dt_weights_options *, dt_log *);
void dt_weights_close(dt_weights *); /* and makes it all zero, which is allowed, too */
/* One safetensors file (the store's type, published names and shapes) from a buffer of the store, with __metadata__ of
 * these key-value pairs (NULL-terminated, may be NULL). An existing file is replaced durably. */
DT_MUST_USE dt_status dt_weights_save(const char *path, const dt_store *, dt_buffer, const char *const *metadata);

extern const dt_setting_table dt_checkpoint_settings; /* checkpoint.*, init.from, init.new_head */

#endif
