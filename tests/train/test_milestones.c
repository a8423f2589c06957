/* Evaluations and checkpoints on the way: when they come, which are kept, what a failing one does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "tiny.h"

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { STEPS = 12 };

static void train(const char *name, const char *const *words)
{
    if (tiny_train(name, words, false, NULL)) fail_msg("%s", dt_error_message());
}

/* The values of `member` of the objects `key` in metrics.jsonl, in order; returns how many. */
static int read_evaluations(const char *name, const char *key, const char *member, double *values, int64_t *steps)
{
    char *text = tiny_file(name, "metrics.jsonl");
    int count = 0;
    for (char *line = text, *end; (end = strchr(line, '\n')); line = end + 1) {
        json_t *object = NULL;
        assert_int_equal(dt_json_parse(line, (size_t)(end - line), "metrics", &object), DT_OK);
        const json_t *evaluation = json_object_get(object, key);
        if (evaluation) {
            values[count] = json_number_value(json_object_get(evaluation, member));
            steps[count++] = json_integer_value(json_object_get(object, "step"));
        }
        json_decref(object);
    }
    free(text);
    return count;
}

static void test_best_is_kept(void **state)
{
    double loss[STEPS];
    int64_t step[STEPS];
    train("best", WORDS("eval.every_steps=2", "checkpoint.best_metric=eval_ema.loss", "checkpoint.keep=1",
                        "train.ema=0.5", "optim.lr=0.05"));
    assert_int_equal(read_evaluations("best", "eval_ema", "loss", loss, step), STEPS / 2);
    int best = 0;
    for (int i = 0; i < STEPS / 2; i++) {
        assert_int_equal(step[i], 2 * i + 2);
        if (loss[i] < loss[best]) best = i;
    }
    dt_progress end = tiny_progress(tiny_checkpoint("best", STEPS));
    assert_int_equal(end.best_step, step[best]);
    assert_true(fabs(end.best - loss[best]) <= 1e-12 * loss[best]);
    for (int64_t i = 1; i < STEPS; i++)
        assert_int_equal(dt_file_exists(tiny_checkpoint("best", i)), i == step[best]);
}

/* Where the save of the best fails, the best is the best of the others, and that one is kept. */
static void test_best_not_saved(void **state)
{
    double loss[STEPS];
    int64_t step[STEPS];
    const char *const *words = WORDS("eval.every_steps=2", "checkpoint.best_metric=eval.loss", "checkpoint.keep=1",
                                     "optim.lr=0.05", "checkpoint.on_error=continue");
    train("whole", words);
    int64_t best = tiny_progress(tiny_checkpoint("whole", STEPS)).best_step;
    assert_int_equal(read_evaluations("whole", "eval", "loss", loss, step), STEPS / 2);
    int next = -1;
    for (int i = 0; i < STEPS / 2; i++)
        if (step[i] != best && (next < 0 || loss[i] < loss[next])) next = i;

    char fault[64];
    snprintf(fault, sizeof fault, "write:1+:step-%08lld.tmp", (long long)best);
    dt_fault_arm(fault);
    dt_status status = tiny_train("unsaved", words, false, NULL);
    dt_fault_arm(NULL);
    if (status) fail_msg("%s", dt_error_message());
    assert_int_equal(tiny_progress(tiny_checkpoint("unsaved", STEPS)).best_step, step[next]);
    assert_true(dt_file_exists(tiny_checkpoint("unsaved", step[next])));
}

/* An epoch has 5 steps. */
static void test_epochs(void **state)
{
    double loss[STEPS];
    int64_t step[STEPS];
    train("epochs", WORDS("eval.every_epochs=1", "eval.at_end=false"));
    assert_int_equal(read_evaluations("epochs", "eval", "loss", loss, step), 2);
    assert_int_equal(step[0], 5);
    assert_int_equal(step[1], 10);
}

/* The evaluation in the run is the one of the checkpoint it left. */
static void test_evaluate(void **state)
{
    double top1[STEPS], loss[STEPS];
    int64_t step[STEPS];
    train("end", WORDS("eval.at_end=true", "eval.batch=3"));
    assert_int_equal(read_evaluations("end", "eval", "top1", top1, step), 1);
    assert_int_equal(read_evaluations("end", "eval", "loss", loss, step), 1);

    dt_settings *settings = tiny_settings(WORDS("eval.batch=3"));
    dt_session *session = NULL;
    dt_eval_report result;
    assert_int_equal(dt_session_create(settings, &(dt_session_options){.eval_only = true}, NULL, &session), DT_OK);
    assert_int_equal(dt_weights_load(tiny_checkpoint("end", STEPS), dt_session_store(session), &(dt_weights_options){0},
                                     NULL), DT_OK);
    assert_int_equal(dt_evaluate(session, settings, NULL, &result), DT_OK);
    assert_int_equal(result.samples, 4);
    assert_true(result.top1 == top1[0] && result.loss == loss[0]);
    dt_session_free(session);
    dt_settings_free(settings);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Steps before an evaluation are as fast as the others: medians of the rates in 60 lines, of every second each. */
static void test_rates(void **state)
{
    enum { LINES = 60 };
    double rate[2][LINES / 2];
    train("rates", WORDS("train.steps=60", "log.every_steps=1", "eval.every_steps=2"));
    char *metrics = tiny_file("rates", "metrics.jsonl"), *at = metrics;
    static const char key[] = "\"samples_per_s\":";
    for (int i = 0; i < LINES; i++) {
        at = strstr(at, key);
        assert_non_null(at);
        at += sizeof key - 1;
        rate[i % 2][i / 2] = strtod(at, NULL);
    }
    free(metrics);
    for (int i = 0; i < 2; i++) qsort(rate[i], LINES / 2, sizeof *rate[i], ascending);
    double ratio = rate[1][LINES / 4] / rate[0][LINES / 4];
    if (ratio < 1 / 2.5 || ratio > 2.5) fail_msg("steps before an evaluation are %g times as fast", ratio);
}

/* A limit on the size of files stands for a full disk. */
static dt_status train_on_full_disk(const char *name, rlim_t bytes, const char *const *words)
{
    struct rlimit before, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small = (struct rlimit){bytes, before.rlim_max};
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    dt_status status = tiny_train(name, words, false, NULL);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, handler);
    return status;
}

/* The log fits, the weights do not. */
static void test_unsaved(void **state)
{
    enum { BYTES = 16 << 10 };
    const char *const *stop = WORDS("checkpoint.on_error=stop", "checkpoint.every_steps=5");
    const char *const *go_on = WORDS("checkpoint.on_error=continue", "checkpoint.every_steps=5");
    assert_int_equal(train_on_full_disk("stops", BYTES, stop), DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "step 5 not saved"));
    assert_int_equal(train_on_full_disk("goes", BYTES, go_on), DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "the final weights, those of step 12, are not saved"));
    char *log = tiny_file("goes", "log.txt");
    assert_non_null(strstr(log, "step 5 not saved"));
    assert_non_null(strstr(log, "step 12 not saved"));
    assert_null(strstr(log, "done"));
    free(log);
}

static int count_lines(const char *text)
{
    int count = 0;
    for (; *text; text++) count += *text == '\n';
    return count;
}

/* The weights fit, 600 events and lines of metrics do not. */
static void test_unreported(void **state)
{
    enum { BYTES = 96 << 10 };
    const char *const *stop = WORDS("checkpoint.on_error=stop", "train.steps=600", "log.every_steps=1");
    const char *const *go_on = WORDS("checkpoint.on_error=continue", "train.steps=600", "log.every_steps=1");
    assert_int_equal(train_on_full_disk("goes", BYTES, go_on), DT_OK);
    char *log = tiny_file("goes", "log.txt"), *metrics = tiny_file("goes", "metrics.jsonl");
    assert_non_null(strstr(log, "going on, as checkpoint.on_error says"));
    assert_true(count_lines(metrics) > 100 && count_lines(metrics) < 600);
    assert_int_equal(metrics[strlen(metrics) - 1], '\n');
    free(log);
    free(metrics);

    assert_int_equal(train_on_full_disk("stops", BYTES, stop), DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "is saved: go on with --resume"));
    if (tiny_train("stops", stop, true, NULL)) fail_msg("%s", dt_error_message());
    tiny_assert_same(tiny_checkpoint("goes", 600), tiny_checkpoint("stops", 600));
    metrics = tiny_file("stops", "metrics.jsonl");
    assert_int_equal(count_lines(metrics), 600);
    free(metrics);
}

/* Not even config.yaml fits. */
static void test_unwritable_config(void **state)
{
    const char *const *go_on = WORDS("checkpoint.on_error=continue", "checkpoint.at_end=false");
    assert_int_equal(train_on_full_disk("stops", 1 << 10, NULL), DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "config.yaml"));
    train("stops", NULL);
    assert_int_equal(train_on_full_disk("goes", 1 << 10, go_on), DT_OK);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, tiny_make_folder, tiny_remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {CASE(test_best_is_kept), CASE(test_best_not_saved), CASE(test_epochs),
                                       CASE(test_evaluate),     CASE(test_rates),          CASE(test_unsaved),
                                       CASE(test_unreported),   CASE(test_unwritable_config)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
