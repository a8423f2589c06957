/* The state of a run in training, and the parts of the loop that stand in files of their own. */
#ifndef DT_TRAIN_TRAINER_H
#define DT_TRAIN_TRAINER_H

#include "train/evaluate.h"
#include "train/feed.h"
#include "train/meter.h"
#include "train/outbox.h"
#include "train/pace.h"
#include "train/policy.h"
#include "train/ranks.h"
#include "train/run_folder.h"
#include "train/saver.h"
#include "train/schedule.h"

typedef struct dt_flight { /* a step that was launched and whose numbers are not read yet */
    int64_t step;  /* updates before it */
    int64_t first; /* data position of its first sample */
    int64_t epoch; /* of that sample */
} dt_flight;

typedef struct dt_trainer {
    const dt_train_options *options;
    dt_world *world;         /* options->world */
    dt_settings *settings;
    dt_log *log;
    dt_session *session;
    dt_schedule schedule;
    dt_policy policy;
    dt_dataset *data;
    dt_evaluator *evaluator; /* NULL where nothing is evaluated */
    dt_run_folder *folder;   /* NULL in a dry run, as is the report, which the first rank alone has */
    dt_report *report;
    bool has_eval;           /* an earlier process reported an evaluation of the step that the run was resumed at */
    dt_saver *saver;         /* NULL in a dry run, and before the loop */
    bool unreported;         /* the newest line, event or flush failed */
    dt_status told;          /* what ends the run where that is to end it, and why */
    char why[DT_MESSAGE_ROOM];
    bool asked[DT_ASKS];     /* of any rank, by the newest step whose numbers are read */
    bool shared;             /* the failure that ends the run is all ranks': nobody has to be told */
    bool begun;              /* the start is over: the run folder stays, whatever follows */
    dt_text yaml;            /* the resolved settings */
    dt_feed *feed;
    dt_outbox *outbox;
    dt_progress progress;    /* counts launched steps; agrees with the weights when none is in flight */
    int64_t saved_step;      /* of the newest checkpoint, written or under way; -1: none, or it failed */
    bool committed;          /* a step since the newest save began */
    double best_before;      /* progress.best before the newest improvement, and its step, if that is on the disk */
    int64_t best_step_before;
    int64_t skipped_in_row;  /* newest steps that did not commit */
    dt_flight flight[2];     /* oldest first */
    int in_flight;
    int64_t work;            /* passes launched: what the heartbeats tell beside the step */
    dt_meter meter;
    dt_pace pace;
} dt_trainer;

/* How all ranks fared (dt_ranks_join). A failure is then all ranks'. */
DT_MUST_USE dt_status dt_trainer_join(dt_trainer *, const char *what, dt_status mine);
/* The same where nobody needs to be asked: all ranks come to this failure by themselves. */
DT_MUST_USE dt_status dt_trainer_share(dt_trainer *, dt_status);

/* start.c: fills the store and the progress, from a checkpoint when resuming. */
DT_MUST_USE dt_status dt_trainer_start(dt_trainer *);
/* Does a new run draw weights, as model.init says, or does init.from have all of them? */
bool dt_trainer_draws(const dt_trainer *);
/* The newest valid checkpoint of the run, as all ranks find it, freed with free(), and its manifest, released with
 * json_decref; NULL both: there is none. */
DT_MUST_USE dt_status dt_trainer_find(dt_trainer *, char **path, json_t **manifest);
/* The store and the progress from a checkpoint. What has changed since is told to the log; where it keeps the
 * checkpoint from being loaded, the error is DT_ERR_USAGE and names it. */
DT_MUST_USE dt_status dt_trainer_load(dt_trainer *, const char *path, const json_t *manifest);

/* loop.c: from progress.step to the end, or to a signal (DT_ERR_STOPPED, after saving). */
DT_MUST_USE dt_status dt_trainer_loop(dt_trainer *);
/* One step on real data, its numbers in the log. */
DT_MUST_USE dt_status dt_trainer_dry_run(dt_trainer *);

/* The feed from the data position on. */
DT_MUST_USE dt_status dt_trainer_seek(dt_trainer *, int64_t samples);

/* Takes in how a write of metrics, events or config.yaml ended. As checkpoint.on_error says, a failure is a warning,
 * one until writes work again, or ends the run behind the running step, which is saved first. */
void dt_trainer_reported(dt_trainer *, dt_status);
void dt_trainer_flush(dt_trainer *); /* dt_report_flush, taken in likewise */

/* milestones.c: what is due after update number progress.step. */
bool dt_trainer_pauses(const dt_trainer *); /* is anything? */
/* DT_ERR_STOPPED: a signal cut the evaluation off; nothing of it is reported, and a resumed run owes it. */
DT_MUST_USE dt_status dt_trainer_milestone(dt_trainer *);
bool dt_trainer_owes_evaluation(const dt_trainer *); /* of the step that the run was resumed at */
DT_MUST_USE dt_status dt_trainer_make_up(dt_trainer *); /* evaluates it; DT_ERR_STOPPED as above */
/* Saves this step unless it is saved already, and returns once that is durable. */
DT_MUST_USE dt_status dt_trainer_save(dt_trainer *);
/* Waits for a checkpoint under way. That it failed is an error or a warning, as checkpoint.on_error says. */
DT_MUST_USE dt_status dt_trainer_finish_saving(dt_trainer *);

/* An error where the end of the run was to be saved and is not. */
DT_MUST_USE dt_status dt_trainer_check_saved(dt_trainer *);
bool dt_trainer_has_best(const dt_trainer *); /* is there a checkpoint of progress.best_step? */

/* recover.c: the step did not commit; does what train.on_nonfinite says. A rollback empties the flight. */
DT_MUST_USE dt_status dt_trainer_recover(dt_trainer *, const dt_flight *bad, const dt_step_numbers *);

#endif
