/* A training run from its settings to its last line: opens everything, starts or resumes, trains, sums up. */
#include <math.h>
#include <string.h>

#include "train/inactive.h"
#include "train/rank_choices.h"
#include "train/trainer.h"

dt_status dt_trainer_share(dt_trainer *t, dt_status status)
{
    t->shared = t->shared || status;
    return status;
}

dt_status dt_trainer_join(dt_trainer *t, const char *what, dt_status mine)
{
    return dt_trainer_share(t, dt_ranks_join(t->world, what, mine));
}

/* --- opening --- */

/* The resolved settings, once everything that derives some is open. */
static dt_status print_settings(dt_trainer *t)
{
    dt_settings_print(t->settings, &t->yaml);
    return dt_text_status(&t->yaml);
}

static dt_status open_data(dt_trainer *t)
{
    DT_TRY(dt_session_open_data(t->session, t->settings, DT_SPLIT_TRAIN, &t->data));
    DT_TRY(dt_session_keep_tokenizer(t->settings, dt_dataset_info(t->data)));
    DT_TRY(dt_schedule_create(t->settings, dt_dataset_info(t->data)->count, &t->schedule));
    DT_TRY(dt_policy_read(t->settings, &t->schedule, dt_ranks_alone(t->world), &t->policy));
    if (t->options->dry_run || (!t->policy.eval_every && !t->policy.eval_at_end)) return DT_OK;
    return dt_evaluator_create(t->session, t->settings, t->options->signal, t->log, &t->evaluator);
}

/* Checkpoints are written together. */
static dt_status check_folder(const dt_trainer *t)
{
    const dt_policy *p = &t->policy;
    bool saves_best = t->evaluator && strcmp(p->best_metric, "none") != 0;
    bool saves = p->save_every || p->save_at_end || saves_best || p->on_nonfinite == DT_NONFINITE_ROLLBACK;
    if (!saves || dt_run_folder_is_shared(t->folder)) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "the run folder '%s' that rank 0 has made is not seen here: to save checkpoints, "
                   "run.dir must be on a file system that all ranks share", dt_run_folder_path(t->folder));
}

/* The first rank makes it, before the others look for it. */
static dt_status open_folder(dt_trainer *t)
{
    dt_status status = DT_OK;
    if (t->options->dry_run) return DT_OK;
    if (dt_ranks_leads(t->world))
        status = dt_run_folder_open(t->settings, t->options->resume, t->log, &t->folder);
    DT_TRY(dt_trainer_join(t, "the run folder", status));
    if (!dt_ranks_leads(t->world))
        status = dt_run_folder_follow(t->settings, dt_world_rank(t->world), t->log, &t->folder);
    if (!status) status = check_folder(t);
    return dt_trainer_join(t, "logs in the run folder", status);
}

static const char *plural(int64_t count) { return count == 1 ? "" : "s"; }

static void log_start(const dt_trainer *t)
{
    const dt_session *s = t->session;
    dt_text model = {0};
    char parameters[32], flops[32], memory[32];
    int64_t bytes = 0;
    dt_model_describe(s->model, &model);
    for (int m = 0; m < DT_MEMORY_CATEGORIES; m++) bytes += dt_session_memory(s, (dt_memory)m);
    dt_log_info(t->log, "%s", model.data ? model.data : dt_model_arch(s->model));
    dt_log_info(t->log, "%s parameters, %s a step, %s of memory; %s, %d thread%s",
                dt_text_count(parameters, (double)dt_store_trainable(s->store), ""),
                dt_text_count(flops, dt_session_step_flops(s), "FLOP"), dt_text_bytes(memory, (double)bytes),
                s->device_info.name, s->device_info.threads, plural(s->device_info.threads));
    dt_log_info(t->log, "%lld samples, %lld step%s of %lld (%.4g epochs)", (long long)dt_dataset_info(t->data)->count,
                (long long)t->schedule.steps, plural(t->schedule.steps), (long long)t->schedule.batch,
                dt_schedule_epoch(&t->schedule, t->schedule.steps * t->schedule.batch));
    if (t->schedule.warmup > t->schedule.steps)
        dt_log_warn(t->log, "the warmup of %lld steps is longer than the run of %lld: the learning rate ends at %.3g",
                    (long long)t->schedule.warmup, (long long)t->schedule.steps,
                    dt_schedule_lr(&t->schedule, t->schedule.steps - 1));
    dt_model_warn(s->model, dt_trainer_draws(t), t->log);
    dt_text_free(&model);
}

/* --- running --- */

static dt_status create_report(dt_trainer *t)
{
    if (!dt_ranks_leads(t->world)) return DT_OK;
    dt_trainer_reported(t, dt_run_folder_write_config(t->folder, &t->yaml));
    if (t->told) return t->told;
    int64_t resume_step = t->options->resume ? t->progress.step : -1;
    DT_TRY(dt_report_create(dt_run_folder_path(t->folder), resume_step, t->schedule.steps, t->log, &t->report));
    t->has_eval = dt_report_has_eval(t->report);
    return DT_OK;
}

static dt_status open_report(dt_trainer *t)
{
    DT_TRY(dt_trainer_join(t, "the reports", create_report(t)));
    return dt_world_broadcast(t->world, "an evaluation that is reported", &t->has_eval, sizeof t->has_eval);
}

static dt_status open_saver(dt_trainer *t)
{
    dt_checkpoint_options options = {.folder = dt_run_folder_checkpoints(t->folder),
                                     .keep = t->policy.keep,
                                     .compress = t->policy.compress,
                                     .file_bytes = t->policy.file_bytes};
    if (!dt_ranks_alone(t->world)) options.wait_limit = dt_world_options_of(t->settings).wait_limit;
    if (dt_ranks_leads(t->world) && dt_checkpoint_tidy(&t->progress, &options))
        dt_log_warn(t->log, "an old checkpoint is not removed: %s", dt_error_message());
    return dt_saver_create(t->session->store, t->yaml.data, &options, t->world, t->log, &t->saver);
}

static void log_end(const dt_trainer *t, double seconds)
{
    char duration[32];
    dt_log_info(t->log, "done: %lld step%s, %.4g epochs, %s; everything is in %s", (long long)t->progress.step,
                plural(t->progress.step), dt_schedule_epoch(&t->schedule, t->progress.samples),
                dt_text_duration(duration, seconds), dt_run_folder_path(t->folder));
    if (t->progress.skipped || t->progress.rollbacks)
        dt_log_warn(t->log, "%lld steps were skipped, %lld rolled back", (long long)t->progress.skipped,
                    (long long)t->progress.rollbacks);
    if (isfinite(t->progress.best))
        dt_log_info(t->log, "best %s: %.6g at step %lld%s", t->policy.best_metric, t->progress.best,
                    (long long)t->progress.best_step, dt_trainer_has_best(t) ? "" : ", which is not saved");
}

/* A rollback needs somewhere to go from the first step on. */
static bool needs_first_checkpoint(const dt_trainer *t)
{
    return t->saved_step < 0 && t->policy.on_nonfinite == DT_NONFINITE_ROLLBACK;
}

static dt_status run(dt_trainer *t)
{
    double begin = dt_clock();
    dt_inactive_log(t->settings, &(dt_inactive_options){0}, "run", t->log);
    DT_TRY(open_report(t));
    DT_TRY(open_saver(t));
    if (needs_first_checkpoint(t)) DT_TRY(dt_trainer_share(t, dt_trainer_save(t)));
    t->begun = true;
    DT_TRY(dt_trainer_loop(t));
    DT_TRY(dt_trainer_finish_saving(t));
    DT_TRY(dt_trainer_check_saved(t));
    dt_trainer_flush(t);
    DT_TRY(dt_trainer_join(t, "the last reports", t->told));
    log_end(t, dt_clock() - begin);
    return DT_OK;
}

/* What is done here can fail on one rank alone, and then ends all. */
static dt_status open_all(dt_trainer *t)
{
    const dt_session_options options = {.world = t->world, .bind_later = true};
    DT_TRY(dt_trainer_join(t, "the session", dt_session_create(t->settings, &options, t->log, &t->session)));
    /* Missing data is said before memory is taken or found too small. */
    DT_TRY(dt_trainer_join(t, "the data", open_data(t)));
    DT_TRY(dt_trainer_join(t, "device memory", dt_session_bind(t->session)));
    DT_TRY(open_folder(t));
    DT_TRY(print_settings(t));
    log_start(t);
    DT_TRY(dt_trainer_join(t, "the weights", dt_trainer_start(t)));
    DT_TRY(dt_session_share_choices(t->session));
    DT_TRY(dt_outbox_create(t->session, &t->outbox));
    return dt_trainer_seek(t, t->progress.samples);
}

static dt_status train(dt_trainer *t)
{
    DT_TRY(dt_trainer_share(t, dt_ranks_agree_settings(t->world, t->settings)));
    DT_TRY(open_all(t));
    if (!t->options->dry_run) return run(t);
    DT_TRY(dt_trainer_dry_run(t));
    dt_inactive_log(t->settings, &(dt_inactive_options){0}, "run", t->log);
    return DT_OK;
}

static void release(dt_trainer *t)
{
    dt_saver_free(t->saver);
    dt_feed_free(t->feed);
    dt_outbox_free(t->outbox);
    dt_report_free(t->report);
    dt_evaluator_free(t->evaluator);
    dt_dataset_close(t->data);
    dt_session_free(t->session);
    dt_run_folder_free(t->folder);
    dt_text_free(&t->yaml);
}

dt_status dt_train_run(dt_settings *settings, const dt_train_options *options, dt_log *log)
{
    dt_trainer t = {.options = options, .world = options->world, .settings = settings, .log = log, .saved_step = -1,
                    .best_before = NAN};
    dt_status status = train(&t);
    status = dt_session_explain(t.session, status);
    if (status && !t.shared && !dt_ranks_alone(t.world)) {
        dt_world_abort(t.world, dt_error_message());
        return status; /* nothing is released: the device may wait for what the others never send */
    }
    if (status && t.saver) status = dt_saver_finish(t.saver, status);
    if (status && t.folder && !t.begun) status = dt_run_folder_discard(t.folder, status);
    release(&t);
    return status;
}
