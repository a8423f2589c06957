/* Checks of a step that was timed. */
#include "cmd/bench_check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cmd/table.h"

static const double loss_bound = 1e-4, rounded_bound = 3e-2;

/* What float64 takes on the CPU: two samples of a small model in a second or so. Of a larger one, so many blocks and
 * tokens, which have every operator. */
static const double float64_flops = 5e11;
static const int64_t most_parameters = 4000000000; /* that float32 takes: drawing as many takes a core two minutes */
enum { FEW_SAMPLES = 2, FEW_BLOCKS = 2, FEW_TOKENS = 128 };

static dt_status run_step(dt_session *session, dt_bench_outcome *out)
{
    const dt_program *update = dt_session_program(session, "update");
    DT_TRY(dt_session_run_step(session, NULL, NULL));
    DT_TRY(dt_program_read(update, "loss", &out->loss, sizeof out->loss));
    DT_TRY(dt_program_read(update, "norm", &out->norm, sizeof out->norm));
    return dt_device_sync(dt_session_device(session), DT_STREAM_COMPUTE);
}

dt_status dt_bench_first_step(dt_session *session, const dt_settings *settings, dt_bench_outcome *out)
{
    DT_TRY(dt_store_initialise(dt_session_store(session), (uint64_t)dt_setting_int(settings, "seed")));
    DT_TRY(dt_session_load_step(session));
    return run_step(session, out);
}

/* Says whether the bits are the same. */
static dt_status compare_bits(const char *what, const dt_bench_outcome *timed, const dt_bench_outcome *other,
                              bool print)
{
    bool same = other->loss == timed->loss && other->norm == timed->norm;
    if (print) printf("  %-12s %s\n", what, same ? "the same bits" : "OTHER BITS");
    if (same) return DT_OK;
    return dt_fail(DT_ERR_NUMERIC, "%s: loss and gradient norm are %.17g and %.17g, not %.17g and %.17g", what,
                   other->loss, other->norm, timed->loss, timed->norm);
}

/* The learning rate of made-up steps is 0. A pass that ran alone has left its sums, which a step takes away. */
dt_status dt_bench_check_again(dt_session *session, const dt_bench_outcome *first, bool print)
{
    dt_bench_outcome again;
    DT_TRY(run_step(session, &again));
    DT_TRY(run_step(session, &again));
    return compare_bits("run again", first, &again, print);
}

/* --- other sessions --- */

enum { MOST_WORDS = 12, WORD_ROOM = 40 };

typedef struct words { /* settings of another session, over those of the timed one */
    char text[MOST_WORDS][WORD_ROOM];
    const char *word[MOST_WORDS];
    size_t count;
} words;

static void add_word(words *w, const char *text)
{
    snprintf(w->text[w->count], WORD_ROOM, "%s", text);
    w->word[w->count] = w->text[w->count];
    w->count++;
}

/* A number that is at most `most`. */
static void add_most(words *w, const dt_settings *settings, const char *path, int64_t most)
{
    char text[WORD_ROOM];
    if (!dt_setting_has(settings, path) || dt_setting_int(settings, path) <= most) return;
    snprintf(text, sizeof text, "%s=%lld", path, (long long)most);
    add_word(w, text);
}

/* The first step under other settings, with gradients as narrow as the timed ones where the precision is the same; what
 * there is to log was logged for the timed one. */
static dt_status other_step(const dt_bench_timed *timed, words *w, bool same_precision, dt_bench_outcome *out)
{
    dt_settings *other = NULL;
    dt_session *session = NULL;
    dt_session_options options = {.no_update = timed->options.no_update,
                                  .narrow_gradients = same_precision && timed->options.narrow_gradients};
    dt_status status = dt_table_vary(timed->settings, w->word, w->count, &other);
    if (!status) status = dt_session_create(other, &options, NULL, &session);
    if (!status) status = dt_bench_first_step(session, other, out);
    dt_session_free(session);
    dt_settings_free(other);
    return status;
}

static double distance(double a, double b) { return fabs(a - b) / fmax(fabs(b), 1e-30); }

dt_status dt_bench_compare(const char *what, const dt_bench_outcome *timed, const dt_bench_outcome *exact,
                           double bound)
{
    double loss = distance(timed->loss, exact->loss), norm = distance(timed->norm, exact->norm);
    printf("  %-12s loss differs by %.1e, gradient norm by %.1e of itself (allowed: %.0e)\n", what, loss, norm, bound);
    if (loss <= bound && norm <= bound) return DT_OK;
    return dt_fail(DT_ERR_NUMERIC, "in %s loss and gradient norm are %.9g and %.9g, not %.9g and %.9g", what,
                   exact->loss, exact->norm, timed->loss, timed->norm);
}

/* --- on the CPU: the same bits with other threads, and float64 --- */

static dt_status check_threads(const dt_bench_timed *timed)
{
    words w = {.count = 0};
    dt_bench_outcome other;
    add_word(&w, timed->threads == 1 ? "threads=2" : "threads=1");
    DT_TRY(other_step(timed, &w, true, &other));
    return compare_bits(w.word[0], &timed->outcome, &other, true);
}

static dt_status check_float64(const dt_bench_timed *timed)
{
    words w = {.count = 0};
    dt_bench_outcome exact;
    add_word(&w, "precision.mode=fp64");
    DT_TRY(other_step(timed, &w, false, &exact));
    return dt_bench_compare("float64", &timed->outcome, &exact, loss_bound);
}

/* --- on a GPU --- */

/* The whole step in float32, launched node by node, without the search for the fastest algorithms, and with a block's
 * activations at a time, which give the same bits in less memory. Of a model whose weights take long to draw, the step
 * of its first blocks in either precision. */
static dt_status check_float32(const dt_bench_timed *timed, double bound)
{
    words w = {.count = 0};
    dt_bench_outcome narrow = timed->outcome, other;
    bool large = timed->parameters > most_parameters;
    if (large) {
        add_most(&w, timed->settings, "model.depth", FEW_BLOCKS);
        DT_TRY(other_step(timed, &w, true, &narrow));
        printf("  of a smaller model:\n");
    }
    add_word(&w, "precision.mode=fp32");
    add_word(&w, "debug.direct=true");
    add_word(&w, "cuda.tune=false");
    add_word(&w, "train.recompute=block");
    DT_TRY(other_step(timed, &w, false, &other));
    return dt_bench_compare("float32", &narrow, &other, bound);
}

/* Few samples, and where that is still too much for the CPU, a smaller model. Returns what was cut. */
static const char *cut(const dt_bench_timed *timed, words *w)
{
    add_word(w, "data.batch=2");
    add_word(w, "train.micro_batch=null");
    add_word(w, "train.accumulate=1");
    add_word(w, "eval.batch=2");
    if (timed->sample_flops * FEW_SAMPLES <= float64_flops) return "two samples";
    add_most(w, timed->settings, "model.depth", FEW_BLOCKS);
    add_most(w, timed->settings, "data.context", FEW_TOKENS);
    if (dt_setting_has(timed->settings, "model.context")) add_word(w, "model.context=null");
    return "two samples of a smaller model";
}

/* The timed precision against float64 on the CPU. */
static dt_status check_few(const dt_bench_timed *timed, double bound)
{
    words w = {.count = 0};
    dt_bench_outcome few, exact;
    const char *what = cut(timed, &w);
    DT_TRY(other_step(timed, &w, true, &few));
    add_word(&w, "precision.mode=fp64");
    add_word(&w, "device=cpu");
    DT_TRY(other_step(timed, &w, false, &exact));
    printf("  %s:\n", what);
    return dt_bench_compare("float64", &few, &exact, bound);
}

dt_status dt_bench_check(const dt_bench_timed *timed)
{
    bool rounded = strcmp(dt_setting_text(timed->settings, "precision.mode"), "fp32") != 0;
    double bound = rounded ? rounded_bound : loss_bound;
    if (timed->backend == DT_CPU) {
        DT_TRY(check_threads(timed));
        return check_float64(timed);
    }
    DT_TRY(check_float32(timed, bound));
    return check_few(timed, bound);
}
