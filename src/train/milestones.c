/* What a run does between steps: evaluations and checkpoints. Nothing is in flight then. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "train/checkpoint_folder.h"
#include "train/trainer.h"

static bool is_last(const dt_trainer *t) { return t->progress.step == t->schedule.steps; }

static bool is_due(const dt_trainer *t, int64_t every) { return every > 0 && t->progress.step % every == 0; }

static bool evaluation_due(const dt_trainer *t)
{
    if (!t->evaluator) return false;
    return is_due(t, t->policy.eval_every) || (is_last(t) && t->policy.eval_at_end);
}

static bool checkpoint_due(const dt_trainer *t)
{
    if (!t->folder) return false;
    return is_due(t, t->policy.save_every) || (is_last(t) && t->policy.save_at_end);
}

bool dt_trainer_pauses(const dt_trainer *t) { return evaluation_due(t) || checkpoint_due(t) || is_last(t); }

/* --- evaluation --- */

/* Is this result, named as in checkpoint.best_metric, better than all before? Losses fall, hits rise. */
static bool improves(dt_trainer *t, const dt_eval_report *result)
{
    const char *metric = t->policy.best_metric;
    const char *set = strcmp(result->set, "ema") ? "eval." : "eval_ema.";
    size_t length = strlen(set);
    if (strncmp(metric, set, length) != 0) return false;
    bool is_loss = !strcmp(metric + length, "loss");
    double value = is_loss ? result->loss : result->top1;
    if (!isfinite(value) || !isfinite(result->loss)) return false;
    if (isfinite(t->progress.best) && (is_loss ? value >= t->progress.best : value <= t->progress.best)) return false;
    if (dt_trainer_has_best(t)) {
        t->best_before = t->progress.best;
        t->best_step_before = t->progress.best_step;
    }
    t->progress.best = value;
    t->progress.best_step = t->progress.step;
    return true;
}

typedef struct evaluation {
    dt_eval_report sets[2]; /* of the trained weights and of their average */
    int count;
    bool improved;
} evaluation;

/* Of all sets or, where a signal cuts one off, of none. */
static dt_status evaluate(dt_trainer *t, evaluation *out)
{
    *out = (evaluation){0};
    for (int id = DT_PROGRAM_EVAL; id <= DT_PROGRAM_EVAL_EMA; id++) {
        if (!t->session->program[id]) continue;
        out->sets[out->count] = (dt_eval_report){.step = t->progress.step};
        DT_TRY(dt_evaluator_run(t->evaluator, (dt_program_id)id, &out->sets[out->count++]));
    }
    for (int i = 0; i < out->count; i++) out->improved = improves(t, &out->sets[i]) || out->improved;
    return DT_OK;
}

static void report_evaluation(dt_trainer *t, const evaluation *e)
{
    if (t->report) dt_trainer_reported(t, dt_report_eval(t->report, e->sets, e->count));
}

/* Checkpoints are written behind the evaluation of their step, unless a signal cut that off. */
bool dt_trainer_owes_evaluation(const dt_trainer *t)
{
    return t->options->resume && t->progress.step > 0 && evaluation_due(t) && !t->has_eval;
}

/* --- checkpoints --- */

/* The save of `step` failed. A best that is not saved is none: it would let the earlier one go, and keep later ones
 * from being saved. Which are on the disk, the first rank has seen. */
static dt_status forget_save(dt_trainer *t, int64_t step)
{
    t->saved_step = -1;
    if (t->progress.best_step != step) return DT_OK;
    t->progress.best = t->best_before;
    t->progress.best_step = t->best_step_before;
    return dt_world_broadcast(t->world, "the best so far", &t->progress, sizeof t->progress);
}

/* What became of the save of `step`, as far as it is known. */
static dt_status judge(dt_trainer *t, dt_status saved, int64_t step)
{
    char why[DT_MESSAGE_ROOM];
    if (!saved) return DT_OK;
    snprintf(why, sizeof why, "%s", dt_error_message());
    DT_TRY(forget_save(t, step));
    if (!t->policy.go_on_unsaved) return dt_trainer_share(t, dt_fail(saved, "%s", why));
    dt_log_warn(t->log, "%s; going on, as checkpoint.on_error says", why);
    return DT_OK;
}

dt_status dt_trainer_finish_saving(dt_trainer *t) { return judge(t, dt_saver_wait(t->saver), t->saved_step); }

static dt_status make_ready(dt_trainer *t, json_t **numerics)
{
    DT_TRY(dt_run_folder_check(t->folder));
    dt_trainer_flush(t);
    *numerics = dt_session_numerics(t->session);
    int failed = json_object_set_new(*numerics, "samples", json_integer(dt_dataset_info(t->data)->count));
    return failed ? dt_fail_memory(sizeof(json_t), "the numerics record") : DT_OK;
}

static dt_status begin_save(dt_trainer *t)
{
    json_t *numerics = NULL;
    dt_status status = dt_ranks_join(t->world, "getting ready to save", make_ready(t, &numerics));
    if (status) {
        json_decref(numerics);
        return status;
    }
    DT_TRY(dt_saver_start(t->saver, &t->progress, numerics));
    t->saved_step = t->progress.step;
    t->committed = false;
    return DT_OK;
}

static dt_status start_saving(dt_trainer *t) { return judge(t, begin_save(t), t->progress.step); }

dt_status dt_trainer_save(dt_trainer *t)
{
    if (dt_saver_wait(t->saver)) {
        dt_log_warn(t->log, "%s", dt_error_message()); /* what matters now is whether this step is saved */
        DT_TRY(forget_save(t, t->saved_step));
    }
    if (t->saved_step == t->progress.step) return DT_OK;
    DT_TRY(begin_save(t));
    return dt_saver_wait(t->saver);
}

dt_status dt_trainer_check_saved(dt_trainer *t)
{
    if (!checkpoint_due(t) || t->saved_step == t->progress.step) return DT_OK;
    return dt_trainer_share(t, dt_fail(DT_ERR_IO, "the run is trained to its end, but the final weights, those of step "
                                       "%lld, are not saved; --resume goes on from the newest checkpoint in '%s'",
                                       (long long)t->progress.step, dt_run_folder_checkpoints(t->folder)));
}

bool dt_trainer_has_best(const dt_trainer *t)
{
    char *path = NULL;
    bool there = !dt_step_path(dt_run_folder_checkpoints(t->folder), t->progress.best_step, "", &path) &&
                 dt_file_exists(path);
    free(path);
    return there;
}

/* A save of skipped steps alone would only push older checkpoints out. The last step is saved in any case. */
static bool has_news(const dt_trainer *t) { return t->committed || t->saved_step < 0 || is_last(t); }

/* An evaluation must know whether the best so far is saved; what else is under way may be learnt of later. */
static dt_status learn_of_save(dt_trainer *t)
{
    bool is_best = isfinite(t->progress.best) && t->progress.best_step == t->saved_step;
    if (is_best && evaluation_due(t)) return dt_trainer_finish_saving(t);
    return judge(t, dt_saver_poll(t->saver), t->saved_step);
}

dt_status dt_trainer_milestone(dt_trainer *t)
{
    evaluation e = {0};
    DT_TRY(learn_of_save(t));
    if (evaluation_due(t)) {
        DT_TRY(evaluate(t, &e));
        report_evaluation(t, &e);
    }
    if (!e.improved && !(checkpoint_due(t) && has_news(t))) return DT_OK;
    DT_TRY(dt_trainer_finish_saving(t));
    return start_saving(t);
}

/* Lines beyond a checkpoint are taken back, so elsewhere they may come before it. Here the checkpoint is there: with
 * its line this evaluation is no longer owed, so its best must be saved by then. */
dt_status dt_trainer_make_up(dt_trainer *t)
{
    evaluation e;
    DT_TRY(evaluate(t, &e));
    if (e.improved) {
        DT_TRY(start_saving(t));
        DT_TRY(dt_trainer_finish_saving(t));
    }
    report_evaluation(t, &e);
    return DT_OK;
}
