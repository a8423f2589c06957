/* Runs the eval programs over the eval split. */
#include "train/evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/feed.h"
#include "train/ranks.h"

enum { BATCHES_BETWEEN_QUESTIONS = 16 };

struct dt_evaluator {
    dt_session *session;
    const dt_settings *settings;
    volatile const int *signal; /* may be NULL */
    dt_log *log;
    dt_dataset *data;
    dt_feed *feed;
};

/* Windows with gaps between them would leave tokens out. */
static void warn_of_stride(const dt_session *s, const dt_settings *settings, dt_log *log)
{
    if (s->info.form != DT_FORM_TOKENS || !dt_setting_has(settings, "data.eval_stride")) return;
    int64_t stride = dt_setting_int(settings, "data.eval_stride"), context = dt_setting_int(settings, "data.context");
    if (stride > context)
        dt_log_warn(log, "data.eval_stride=%lld is above data.context=%lld, which is taken instead: every token is a "
                    "target", (long long)stride, (long long)context);
}

static void warn_of_bytes(const dt_dataset *data, dt_log *log)
{
    const char *why = dt_dataset_without_bytes(data);
    if (why) dt_log_warn(log, "there will be no bits per byte: %s; set data.tokenizer to the tokenizer that the shards "
                         "were made with, or put it beside them again", why);
}

dt_status dt_evaluator_create(dt_session *session, const dt_settings *settings, volatile const int *signal, dt_log *log,
                              dt_evaluator **out)
{
    dt_evaluator *e = calloc(1, sizeof *e);
    if (!e) return dt_fail_memory(sizeof *e, "the evaluation");
    *e = (dt_evaluator){.session = session, .settings = settings, .signal = signal, .log = log};
    dt_status status = dt_session_open_data(session, settings, DT_SPLIT_EVAL, &e->data);
    if (status) {
        dt_evaluator_free(e);
        return status;
    }
    warn_of_stride(session, settings, log);
    warn_of_bytes(e->data, log);
    *out = e;
    return DT_OK;
}

void dt_evaluator_free(dt_evaluator *e)
{
    if (!e) return;
    dt_feed_free(e->feed);
    dt_dataset_close(e->data);
    free(e);
}

static dt_status rewind_feed(dt_evaluator *e)
{
    if (e->feed) return dt_feed_rewind(e->feed);
    return dt_feed_create(e->session, e->data, e->settings, DT_PROGRAM_EVAL, 0, e->log, &e->feed);
}

dt_status dt_eval_clear(const dt_session *s)
{
    for (int i = 0; i < dt_store_states(s->store); i++) {
        const dt_state *state = dt_store_state(s->store, i);
        size_t bytes = (size_t)dt_shape_count(&state->shape) * dt_dtype_size(state->dtype);
        if (!strncmp(state->name, "eval.", 5))
            DT_TRY(dt_device_clear(s->device, DT_STREAM_COMPUTE, state->data, bytes));
    }
    return DT_OK;
}

/* Ranks ask each other only now and then: all have the same number of batches, and stop before the same one. */
static dt_status check_signal(const dt_evaluator *e, int64_t batch)
{
    bool stop = e->signal && *e->signal;
    if (!dt_ranks_alone(e->session->options.world)) {
        if (batch % BATCHES_BETWEEN_QUESTIONS) return DT_OK;
        DT_TRY(dt_ranks_any(e->session->options.world, "a signal in an evaluation", stop, &stop));
    }
    return stop ? dt_fail(DT_ERR_STOPPED, "the evaluation is stopped by a signal") : DT_OK;
}

static dt_status run_batches(dt_evaluator *e, dt_program *program)
{
    for (int64_t i = 0;; i++) {
        dt_batch batch;
        double wait = 0;
        const char *slot = NULL;
        DT_TRY(check_signal(e, i));
        DT_TRY(dt_feed_next(e->feed, &batch, &wait));
        if (batch.slot < 0) return DT_OK;
        DT_TRY(dt_feed_send(e->feed, &slot));
        DT_TRY(dt_program_run(program, &(dt_run){slot, .last = true}));
        DT_TRY(dt_feed_done(e->feed));
        dt_world_evaluated(e->session->options.world);
    }
}

static const dt_state *find_state(const dt_store *store, const char *name)
{
    for (int i = 0; i < dt_store_states(store); i++)
        if (!strcmp(dt_store_state(store, i)->name, name)) return dt_store_state(store, i);
    return NULL;
}

/* The running sum `name`, float64, of all ranks; what is not there leaves `out` alone. */
static dt_status read_sum(const dt_session *s, const char *name, double *out)
{
    const dt_state *state = find_state(s->store, name);
    if (!state) return DT_OK;
    int64_t count = dt_shape_count(&state->shape);
    DT_TRY(dt_comm_all_reduce(s->comm, DT_STREAM_COMPUTE, state->dtype, count, state->data));
    return dt_device_download(s->device, DT_STREAM_COMPUTE, out, state->data, (size_t)count * sizeof *out);
}

static dt_status read_sums(const dt_session *s, dt_eval_report *out)
{
    double loss = 0, count = 0, hits[2] = {NAN, NAN};
    DT_TRY(read_sum(s, "eval.loss", &loss));
    DT_TRY(read_sum(s, "eval.count", &count));
    DT_TRY(read_sum(s, "eval.hits", hits));
    DT_TRY(dt_device_sync(s->device, DT_STREAM_COMPUTE));
    out->loss = isnan(loss) ? NAN : loss / count; /* the sign of a NaN says nothing and would be printed */
    out->top1 = 100 * hits[0] / count;
    out->top5 = 100 * hits[1] / count;
    out->samples = (int64_t)count;
    return DT_OK;
}

/* Of what `data` tells of its text, and the loss: NaN where it does not tell. */
static void measure_text(const dt_data_info *data, dt_eval_report *out)
{
    out->perplexity = out->bits_per_byte = NAN;
    if (data->form != DT_FORM_TOKENS) return;
    out->perplexity = exp(out->loss);
    if (data->bytes) out->bits_per_byte = out->loss / M_LN2 * (double)data->tokens / (double)data->bytes;
}

static dt_status measure(dt_evaluator *e, dt_program *program, dt_eval_report *out)
{
    DT_TRY(dt_eval_clear(e->session));
    DT_TRY(run_batches(e, program));
    return read_sums(e->session, out);
}

dt_status dt_evaluator_run(dt_evaluator *e, dt_program_id id, dt_eval_report *out)
{
    dt_world *world = e->session->options.world;
    double start = dt_clock();
    DT_TRY(rewind_feed(e));
    dt_watching before = dt_world_watch(world, DT_WATCH_EVALUATION);
    dt_status status = measure(e, e->session->program[id], out);
    dt_world_watch(world, before);
    if (status) return status;
    measure_text(dt_dataset_info(e->data), out);
    out->set = id == DT_PROGRAM_EVAL_EMA ? "ema" : "eval";
    out->seconds = dt_clock() - start;
    return DT_OK;
}

static dt_status run_shared(dt_evaluator *e, dt_eval_report *out)
{
    dt_session *s = e->session;
    dt_status status = dt_session_explain(s, dt_evaluator_run(e, DT_PROGRAM_EVAL, out));
    if (status) dt_world_abort(s->options.world, dt_error_message());
    return status;
}

dt_status dt_evaluate(dt_session *session, dt_settings *settings, dt_log *log, dt_eval_report *out)
{
    dt_evaluator *e = NULL;
    *out = (dt_eval_report){.step = -1};
    if (session->recipe.widened)
        dt_log_info(log, "computing in float32: precision.mode=%s needs a GPU",
                    dt_setting_text(settings, "precision.mode"));
    dt_status status = dt_evaluator_create(session, settings, NULL, log, &e);
    status = dt_ranks_join(session->options.world, "the data", status);
    if (!status) status = run_shared(e, out);
    dt_evaluator_free(e);
    return status;
}
