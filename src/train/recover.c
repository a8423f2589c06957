/* What follows a step whose gradient is not finite. Nothing of it was committed: the update kernels saw the flag. */
#include <math.h>
#include <stdlib.h>

#include "train/trainer.h"

static void log_bad(const dt_trainer *t, const dt_flight *bad, const dt_step_numbers *numbers, const char *then)
{
    int64_t last = bad->first + t->session->recipe.batch - 1;
    double loss = fabs(numbers->loss / numbers->count), norm = fabs(numbers->norm); /* both may be -nan */
    dt_log_warn(t->log, "step %lld did not commit: loss %g, gradient norm %g; its batch is samples %lld to %lld of the "
                "run, in epoch %lld; %s", (long long)bad->step + 1, loss, norm, (long long)bad->first, (long long)last,
                (long long)bad->epoch + 1, then);
}

/* --- rollback --- */

static dt_status reload(dt_trainer *t)
{
    char *path = NULL;
    json_t *manifest;
    DT_TRY(dt_trainer_finish_saving(t));
    DT_TRY(dt_trainer_join(t, "the run folder", dt_run_folder_check(t->folder)));
    DT_TRY(dt_trainer_find(t, &path, &manifest));
    if (!path)
        return dt_trainer_share(t, dt_fail(DT_ERR_DATA, "there is no checkpoint in '%s' to roll back to",
                                           dt_run_folder_checkpoints(t->folder)));
    dt_status status = dt_device_sync(t->session->device, DT_STREAM_COMPUTE);
    if (!status) status = dt_trainer_load(t, path, manifest);
    json_decref(manifest);
    free(path);
    return dt_trainer_join(t, "loading a checkpoint", status);
}

/* A step in flight behind the bad one is forgotten: its weights are gone, and its batch comes again. */
static dt_status forget_flight(dt_trainer *t)
{
    dt_step_numbers unread;
    for (; t->in_flight; t->in_flight--) DT_TRY(dt_outbox_receive(t->outbox, &unread));
    return DT_OK;
}

/* Back to the newest checkpoint, with the data position behind the bad batch, wherever the flight had come. */
static dt_status roll_back(dt_trainer *t, const dt_flight *bad)
{
    dt_progress before = t->progress;
    if (before.rollbacks >= t->policy.rollback_limit)
        return dt_trainer_share(t, dt_fail(DT_ERR_NUMERIC, "the gradient of step %lld is not finite, after as many "
                                           "rollbacks as train.rollback_limit allows (%lld)", (long long)bad->step + 1,
                                           (long long)before.rollbacks));
    DT_TRY(forget_flight(t));
    dt_world_watch(t->world, DT_WATCH_NOTHING);
    DT_TRY(reload(t));
    dt_world_watch(t->world, DT_WATCH_STEPS);
    t->progress.samples = bad->first + t->session->recipe.batch;
    t->progress.rollbacks = before.rollbacks + 1;
    t->progress.skipped = before.skipped;
    t->saved_step = -1;
    dt_log_warn(t->log, "rolled back to step %lld; the data goes on at sample %lld", (long long)t->progress.step,
                (long long)t->progress.samples);
    if (t->report) dt_trainer_reported(t, dt_report_rewind(t->report, t->progress.step));
    DT_TRY(dt_trainer_seek(t, t->progress.samples));
    dt_meter_start(&t->meter);
    return DT_OK;
}

static dt_status skip(dt_trainer *t, const dt_flight *bad)
{
    t->progress.skipped++;
    if (++t->skipped_in_row < t->policy.skip_limit) return DT_OK;
    dt_status lost = dt_fail(DT_ERR_NUMERIC, "the gradients of %lld steps in a row, up to step %lld, are not finite, "
                             "as many as train.skip_limit allows: the weights are probably lost; go on from a "
                             "checkpoint before them with a lower optim.lr or train.clip_norm, or use "
                             "train.on_nonfinite=rollback",
                             (long long)t->skipped_in_row, (long long)bad->step + 1);
    return dt_trainer_share(t, lost);
}

dt_status dt_trainer_recover(dt_trainer *t, const dt_flight *bad, const dt_step_numbers *numbers)
{
    switch (t->policy.on_nonfinite) {
    case DT_NONFINITE_SKIP:
        log_bad(t, bad, numbers, "skipped");
        return skip(t, bad);
    case DT_NONFINITE_ROLLBACK:
        log_bad(t, bad, numbers, "rolling back");
        return roll_back(t, bad);
    case DT_NONFINITE_STOP: log_bad(t, bad, numbers, "stopping"); break;
    }
    dt_status stop = dt_fail(DT_ERR_NUMERIC, "the gradient of step %lld is not finite: a lower optim.lr, a warmup or "
                             "train.clip_norm may help; debug.nonfinite=true names the operator, "
                             "train.on_nonfinite=skip or rollback goes on", (long long)bad->step + 1);
    return dt_trainer_share(t, stop);
}
