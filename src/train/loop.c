/* The training loop.
 *
 * On a GPU a step is launched without waiting for it; its numbers are read while the next one runs. Evaluations,
 * checkpoints and the end of the run first wait until nothing is in flight.
 *
 * Ranks do the same steps without asking each other: what each would decide by itself (a signal, a failed report) goes
 * along with a step as a number, and all act on its sum once they read that step's numbers. */
#include <math.h>
#include <stdio.h>

#include "train/rank_check.h"
#include "train/trainer.h"

static bool has_signal(const dt_trainer *t) { return t->options->signal && *t->options->signal; }

/* Is it time to leave? Alone a process knows at once. */
static bool stopped(const dt_trainer *t)
{
    return dt_ranks_alone(t->world) ? has_signal(t) : t->asked[DT_ASK_SIGNAL];
}

static bool failed(const dt_trainer *t)
{
    return dt_ranks_alone(t->world) ? t->told : t->asked[DT_ASK_FAILED];
}

/* Where no step is under way that would carry them. */
static dt_status hear_asks(dt_trainer *t)
{
    DT_TRY(dt_ranks_any(t->world, "a signal", has_signal(t), &t->asked[DT_ASK_SIGNAL]));
    return dt_ranks_any(t->world, "a failed report", t->told, &t->asked[DT_ASK_FAILED]);
}

/* --- launching --- */

static dt_status run_pass(const dt_trainer *t, const dt_run *run)
{
    dt_program *pass = t->session->program[DT_PROGRAM_PASS];
    return t->policy.check_every_tensor ? dt_program_check_finite(pass, run) : dt_program_run(pass, run);
}

/* Forward and backward of one micro-batch; behind the last of a step, the update. */
static dt_status launch_micro_batch(dt_trainer *t, int64_t micro, dt_batch *batch)
{
    const dt_session *s = t->session;
    const char *slot = NULL;
    int64_t step = t->progress.step;
    const double asks[DT_ASKS] = {[DT_ASK_SIGNAL] = has_signal(t), [DT_ASK_FAILED] = t->told != DT_OK};
    DT_TRY(dt_feed_next(t->feed, batch, &t->meter.wait));
    dt_session_write_step(s, dt_feed_image(t->feed), step, dt_schedule_lr(&t->schedule, step), asks);
    DT_TRY(dt_feed_send(t->feed, &slot));
    bool last = micro + 1 == s->recipe.accumulate;
    DT_TRY(run_pass(t, &(dt_run){slot, .accumulate = micro > 0, .last = last}));
    if (last) DT_TRY(dt_program_run(s->program[DT_PROGRAM_UPDATE], &(dt_run){slot + s->update_offset, .last = true}));
    dt_world_progress(t->world, step, ++t->work);
    return dt_feed_done(t->feed);
}

static dt_status launch_step(dt_trainer *t)
{
    dt_batch batch = {0};
    dt_flight *flight = &t->flight[t->in_flight];
    for (int64_t micro = 0; micro < t->session->recipe.accumulate; micro++) {
        DT_TRY(launch_micro_batch(t, micro, &batch));
        if (micro == 0) *flight = (dt_flight){t->progress.step, batch.first, batch.epoch};
    }
    DT_TRY(dt_outbox_send(t->outbox));
    t->in_flight++;
    t->progress.step++;
    t->progress.samples += t->session->recipe.batch;
    return DT_OK;
}

/* --- learning what a step did --- */

void dt_trainer_reported(dt_trainer *t, dt_status status)
{
    bool news = status && !t->unreported;
    t->unreported = status;
    if (!news || t->told) return;
    if (t->policy.go_on_unsaved) {
        dt_log_warn(t->log, "%s; going on, as checkpoint.on_error says", dt_error_message());
        return;
    }
    t->told = status;
    snprintf(t->why, sizeof t->why, "%s", dt_error_message());
}

/* That a flush works says nothing about the next write. */
void dt_trainer_flush(dt_trainer *t)
{
    dt_status status = t->report ? dt_report_flush(t->report) : DT_OK;
    if (status) dt_trainer_reported(t, status);
}

static bool log_due(const dt_trainer *t, int64_t step)
{
    return step % t->policy.log_every == 0 || step == t->schedule.steps;
}

static void report(dt_trainer *t, const dt_flight *flight)
{
    const dt_session *s = t->session;
    int64_t step = flight->step + 1;
    dt_memory_use memory;
    dt_device_memory(s->device, &memory);
    dt_step_report line = {.step = step,
                           .epoch = dt_schedule_epoch(&t->schedule, flight->first + s->recipe.batch),
                           .lr = dt_schedule_lr(&t->schedule, flight->step),
                           .memory_gib = (double)memory.peak / (1 << 30),
                           .skipped = t->progress.skipped,
                           .unit = s->info.form == DT_FORM_IMAGES ? "images" : "sequences"};
    dt_meter_report(&t->meter, &line);
    line.mfu = dt_session_step_flops(s) * line.samples_per_s / (double)s->recipe.batch / dt_session_peak_flops(s);
    line.tokens_per_s = line.samples_per_s * (double)dt_model_dims_of(s->model).tokens;
    dt_report_progress(t->report, &line);
    if (log_due(t, step)) dt_trainer_reported(t, dt_report_step(t->report, &line));
}

static dt_status learn_oldest(dt_trainer *t)
{
    dt_step_numbers numbers;
    dt_flight flight = t->flight[0];
    DT_TRY(dt_outbox_receive(t->outbox, &numbers));
    t->flight[0] = t->flight[1];
    t->in_flight--;
    for (int i = 0; i < DT_ASKS; i++) t->asked[i] = t->asked[i] || numbers.asks[i] > 0;
    dt_meter_add(&t->meter, &numbers, t->session->recipe.batch);
    if (!numbers.finite) {
        DT_TRY(dt_trainer_recover(t, &flight, &numbers));
        if (t->policy.on_nonfinite == DT_NONFINITE_ROLLBACK) return DT_OK; /* the step comes again */
    } else {
        t->committed = true;
        t->skipped_in_row = 0;
    }
    if (t->report) report(t, &flight);
    if (log_due(t, flight.step + 1)) dt_meter_start(&t->meter);
    return DT_OK;
}

/* Reads numbers until at most `left` steps are in flight. */
static dt_status learn(dt_trainer *t, int left)
{
    while (t->in_flight > left) DT_TRY(learn_oldest(t));
    return DT_OK;
}

/* --- the loop --- */

dt_status dt_trainer_seek(dt_trainer *t, int64_t samples)
{
    dt_feed_free(t->feed);
    t->feed = NULL;
    return dt_feed_create(t->session, t->data, t->settings, DT_PROGRAM_PASS, samples, t->log, &t->feed);
}

static dt_status leave_on_signal(dt_trainer *t)
{
    DT_TRY(learn(t, 0));
    dt_world_watch(t->world, DT_WATCH_NOTHING);
    dt_status saved = dt_trainer_save(t);
    if (saved) saved = dt_fail_in(saved, "stopped by a signal, and the weights of step %lld are not saved",
                                  (long long)t->progress.step);
    else saved = dt_fail(DT_ERR_STOPPED, "stopped by a signal after step %lld of %lld, which is saved: go on with "
                         "--resume", (long long)t->progress.step, (long long)t->schedule.steps);
    return dt_trainer_share(t, saved);
}

/* What cannot be reported can perhaps be saved. Why it cannot, the first rank alone knows. */
static dt_status leave_unreported(dt_trainer *t)
{
    DT_TRY(learn(t, 0));
    dt_world_watch(t->world, DT_WATCH_NOTHING);
    dt_status told = t->told ? t->told : DT_ERR_IO;
    if (!t->told) snprintf(t->why, sizeof t->why, "rank 0 cannot write what is to be reported");
    if (dt_trainer_save(t)) told = dt_fail_in(told, "%s", t->why);
    else told = dt_fail(told, "%s; step %lld of %lld is saved: go on with --resume", t->why,
                        (long long)t->progress.step, (long long)t->schedule.steps);
    return dt_trainer_share(t, told);
}

/* Evaluations and checkpoints do not count as training time. What of them has a limit is watched where it is done. */
static dt_status pause_for(dt_trainer *t, dt_status (*what)(dt_trainer *))
{
    dt_meter_pause(&t->meter);
    dt_world_watch(t->world, DT_WATCH_NOTHING);
    dt_status status = what(t);
    dt_world_watch(t->world, DT_WATCH_STEPS);
    dt_meter_resume(&t->meter);
    return status == DT_ERR_STOPPED ? leave_on_signal(t) : status;
}

static bool due(const dt_trainer *t, int64_t every) { return every > 0 && t->progress.step % every == 0; }

/* Steps that may be in flight after a launch. The CPU computes in the call that launches, so its numbers are there:
 * read behind the next step, they would come at the wrong time, and two at once before a milestone. */
static int flight_after_launch(const dt_trainer *t)
{
    bool waits = dt_trainer_pauses(t) || due(t, t->policy.check_ranks_every);
    return waits || dt_device_backend(t->session->device) == DT_CPU ? 0 : 1;
}

static dt_status check_ranks(dt_trainer *t)
{
    return dt_trainer_share(t, dt_session_check_ranks(t->session, t->progress.step));
}

static dt_status check_communicators(const dt_session *s)
{
    DT_TRY(dt_comm_check(s->comm));
    if (s->sharers) DT_TRY(dt_comm_check(s->sharers));
    return s->replicas ? dt_comm_check(s->replicas) : DT_OK;
}

/* What several ranks compare behind a step. */
static dt_status compare_ranks(dt_trainer *t)
{
    if (dt_ranks_alone(t->world)) return DT_OK;
    DT_TRY(check_communicators(t->session));
    if (due(t, t->policy.check_ranks_every)) DT_TRY(check_ranks(t));
    if (!due(t, t->policy.compare_every)) return DT_OK;
    return dt_pace_report(&t->pace, t->world, t->progress.step, t->log);
}

/* A step, and the numbers of those before it. */
static dt_status step_on(dt_trainer *t)
{
    double start = dt_clock(), waited = t->meter.wait;
    DT_TRY(launch_step(t));
    waited = t->meter.wait - waited;
    DT_TRY(learn(t, flight_after_launch(t)));
    dt_pace_add(&t->pace, dt_clock() - start, waited);
    return DT_OK;
}

static dt_status run_steps(dt_trainer *t)
{
    if (dt_trainer_owes_evaluation(t)) DT_TRY(pause_for(t, dt_trainer_make_up));
    DT_TRY(hear_asks(t));
    if (t->policy.check_ranks_every) DT_TRY(check_ranks(t));
    while (t->progress.step < t->schedule.steps) {
        if (stopped(t)) return leave_on_signal(t);
        if (failed(t)) return leave_unreported(t);
        int64_t step = t->progress.step + 1;
        DT_TRY(step_on(t));
        if (t->progress.step != step) continue; /* rolled back */
        DT_TRY(compare_ranks(t));
        if (dt_trainer_pauses(t)) DT_TRY(pause_for(t, dt_trainer_milestone));
    }
    DT_TRY(hear_asks(t));
    return failed(t) ? leave_unreported(t) : DT_OK;
}

/* The first steps on a GPU launch their programs directly, then record them, for each slot (graph/replay.h). The host
 * may take longer over that than the device over a step, and learn late that the one before has ended: a rate up to
 * there would be too low, and one from there on too high. */
static int untimed_steps(const dt_trainer *t) { return dt_device_records(t->session->device) ? 2 * DT_SLOTS : 0; }

dt_status dt_trainer_loop(dt_trainer *t)
{
    t->meter.untimed = untimed_steps(t);
    dt_meter_start(&t->meter);
    dt_world_progress(t->world, t->progress.step, t->work); /* of a resumed run, these are no steps of its own */
    dt_world_watch(t->world, DT_WATCH_STEPS);
    dt_status status = run_steps(t);
    dt_world_watch(t->world, DT_WATCH_NOTHING);
    return status;
}

/* "16 samples", and of text "16 samples with 2048 targets", over which the loss is the mean. */
static void tell_count(const dt_trainer *t, double count, char out[96])
{
    bool tokens = t->session->info.form == DT_FORM_TOKENS;
    double samples = tokens ? (double)t->session->recipe.batch : count;
    int length = snprintf(out, 96, "%.0f sample%s", samples, samples == 1 ? "" : "s");
    if (tokens) snprintf(out + length, (size_t)(96 - length), " with %.0f targets", count);
}

dt_status dt_trainer_dry_run(dt_trainer *t)
{
    dt_step_numbers n;
    dt_text folder = {0};
    char count[96];
    dt_world_watch(t->world, DT_WATCH_STEPS);
    DT_TRY(launch_step(t));
    DT_TRY(dt_outbox_receive(t->outbox, &n));
    dt_world_watch(t->world, DT_WATCH_NOTHING);
    DT_TRY(dt_run_folder_name(t->settings, &folder));
    tell_count(t, n.count, count);
    dt_log_info(t->log, "dry run: one step of %s: loss %.4f, gradient norm %.4g; nothing was written to %s", count,
                n.loss / n.count, n.norm, folder.data);
    dt_text_free(&folder);
    if (n.finite) return DT_OK;
    return dt_fail(DT_ERR_NUMERIC, "the gradient of the first step is not finite; debug.nonfinite=true names the "
                   "operator");
}
