/* Runs that a signal stops: promptly, saved, and with the same results once they went on.
 *
 * Usage: test-train-signal [SETTING...], for all runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "tiny.h"

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { STEPS = 12 };

static const volatile int there_from_the_start = 1;

static void train(const char *name, const char *const *words, bool resume)
{
    if (tiny_train(name, words, resume, NULL)) fail_msg("%s", dt_error_message());
}

static void test_before_the_first_step(void **state)
{
    train("whole", NULL, false);
    for (int resumed = 0; resumed < 2; resumed++) {
        assert_int_equal(tiny_train("stopped", NULL, resumed, &there_from_the_start), DT_ERR_STOPPED);
        assert_non_null(strstr(dt_error_message(), "after step 0 of 12"));
        assert_non_null(strstr(dt_error_message(), "--resume"));
        assert_true(dt_file_exists(tiny_checkpoint("stopped", 0)));
        assert_false(dt_file_exists(tiny_checkpoint("stopped", 1)));
    }
    train("stopped", NULL, true);
    tiny_assert_same(tiny_checkpoint("whole", STEPS), tiny_checkpoint("stopped", STEPS));
}

static bool has_evaluation(const char *name)
{
    char *metrics = tiny_file(name, "metrics.jsonl");
    bool found = strstr(metrics, "\"eval\"");
    free(metrics);
    return found;
}

/* The evaluation at the end is cut off each time that the signal is there, and made up for when it is not. */
static void test_in_an_evaluation(void **state)
{
    const char *const *words = WORDS("eval.at_end=true", "checkpoint.best_metric=eval.loss");
    train("cut", NULL, false);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tiny_train("cut", words, true, &there_from_the_start), DT_ERR_STOPPED);
        assert_false(has_evaluation("cut"));
        assert_int_equal(tiny_progress(tiny_checkpoint("cut", STEPS)).best_step, 0);
    }
    train("cut", words, true);
    assert_true(has_evaluation("cut"));
    assert_int_equal(tiny_progress(tiny_checkpoint("cut", STEPS)).best_step, STEPS);
}

/* A kill between such an evaluation and the save of its best: here that save fails. */
static void test_best_of_an_evaluation_made_up(void **state)
{
    const char *const *words = WORDS("eval.at_end=true", "checkpoint.best_metric=eval.loss");
    train("cut", NULL, false);
    dt_fault_arm("write:1+:checkpoints");
    dt_status status = tiny_train("cut", words, true, NULL);
    dt_fault_arm(NULL);
    assert_int_equal(status, DT_ERR_IO);
    assert_false(has_evaluation("cut"));
    train("cut", words, true);
    assert_true(has_evaluation("cut"));
    assert_int_equal(tiny_progress(tiny_checkpoint("cut", STEPS)).best_step, STEPS);
}

static volatile sig_atomic_t rung;
static void ring(int number) { rung = number; }

static void set_alarm(int milliseconds)
{
    struct itimerval timer = {.it_value = {milliseconds / 1000, milliseconds % 1000 * 1000}};
    rung = 0;
    assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

/* The lines of evaluations in metrics.jsonl, one behind the other; freed with free(). */
static char *evaluations(const char *name)
{
    char *metrics = tiny_file(name, "metrics.jsonl"), *to = metrics;
    for (char *line = metrics, *end; (end = strchr(line, '\n')); line = end + 1) {
        size_t length = (size_t)(end + 1 - line);
        *end = 0;
        bool wanted = strstr(line, "\"eval");
        *end = '\n';
        if (wanted) to = (char *)memmove(to, line, length) + length;
    }
    *to = 0;
    return metrics;
}

/* Most of this run's time goes into evaluations, so most alarms fall into one. Alarms come later and later until one
 * comes too late, in steps that reach that in some forty runs where starting takes long. */
static void test_at_any_instant(void **state)
{
    const char *const *words = WORDS("data.synthetic_count=400", "eval.batch=1", "eval.every_steps=2", "train.ema=0.5",
                                     "checkpoint.best_metric=eval_ema.loss", "optim.lr=0.05");
    struct sigaction action = {.sa_handler = ring, .sa_flags = SA_RESTART};
    assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
    double start = dt_clock();
    train("whole", words, false);
    int longer = 5 + (int)(1000 * (dt_clock() - start) / 40);
    dt_status status = DT_ERR_STOPPED;
    for (int ms = 10; status == DT_ERR_STOPPED; ms += longer) {
        set_alarm(ms);
        status = tiny_train("stopped", words, true, &rung);
    }
    set_alarm(0);
    if (status) fail_msg("%s", dt_error_message());
    tiny_assert_same(tiny_checkpoint("whole", STEPS), tiny_checkpoint("stopped", STEPS));
    char *whole = evaluations("whole"), *stopped = evaluations("stopped");
    assert_string_equal(whole, stopped);
    free(whole);
    free(stopped);
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, tiny_make_folder, tiny_remove_folder)

int main(int count, char **args)
{
    if (!tiny_begin(count, args)) return 0;
    const struct CMUnitTest tests[] = {CASE(test_before_the_first_step), CASE(test_in_an_evaluation),
                                       CASE(test_best_of_an_evaluation_made_up),
                                       CASE(test_at_any_instant)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
