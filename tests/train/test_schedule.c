/* Learning rates at chosen steps, epochs to steps, and lengths that contradict each other. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "tiny.h"
#include "train/schedule.h"

static dt_schedule schedule_of(int64_t samples, const char *const *words)
{
    dt_schedule s;
    dt_settings *settings = tiny_settings(words);
    assert_int_equal(dt_schedule_create(settings, samples, &s), DT_OK);
    dt_settings_free(settings);
    return s;
}

static void assert_refused(int64_t samples, const char *fact, const char *const *words)
{
    dt_schedule s;
    dt_settings *settings = tiny_settings(words);
    assert_int_equal(dt_schedule_create(settings, samples, &s), DT_ERR_USAGE);
    assert_non_null(strstr(dt_error_message(), fact));
    dt_settings_free(settings);
}

static void assert_near(double value, double expected, double tolerance)
{
    if (fabs(value - expected) > tolerance) fail_msg("%.17g instead of %.17g", value, expected);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void test_paper_cosine(void **state)
{
    dt_schedule s = schedule_of(1281167, WORDS("data.batch=4096", "train.epochs=300", "optim.lr=4e-3",
                                               "schedule.warmup_epochs=20", "schedule.min_lr=1e-6"));
    assert_int_equal(s.steps, 93600);
    assert_int_equal(s.warmup, 6240);
    assert_near(dt_schedule_lr(&s, 0), 0, 0);
    assert_near(dt_schedule_lr(&s, 6239), 4e-3, 1e-18);
    assert_near(dt_schedule_lr(&s, 6240), 4e-3, 1e-18);
    assert_near(dt_schedule_lr(&s, 6240 + 87360 / 2), 0.5 * (4e-3 + 1e-6), 1e-15);
    assert_true(dt_schedule_lr(&s, 93599) > 1e-6 && dt_schedule_lr(&s, 93599) < 1.00001e-6);
}

static void test_eased_warmup(void **state)
{
    dt_schedule s = schedule_of(80, WORDS("train.steps=20", "optim.lr=2", "schedule.warmup_steps=10",
                                          "schedule.warmup_kind=eased"));
    assert_near(dt_schedule_lr(&s, 0), 0, 0);
    assert_near(dt_schedule_lr(&s, 5), 2 * 0.75, 1e-15);
    assert_near(dt_schedule_lr(&s, 9), 2 * 0.99, 1e-15);
    assert_near(dt_schedule_lr(&s, 10), 2, 0);
}

/* min(1 - (1 - min(s, w) / w)^2, 0.1 + 0.5 (1 - 0.1) (1 + cos(pi s / n))), as in the authors' code for LLaMA. */
static void test_paper_llama(void **state)
{
    enum { STEPS = 47700, WARMUP = 2000 };
    dt_schedule s = schedule_of(80, WORDS("train.steps=47700", "optim.lr=3e-4", "schedule.min_lr=3e-5",
                                          "schedule.warmup_steps=2000", "schedule.warmup_kind=eased",
                                          "schedule.begin=start"));
    for (int64_t step = 0; step < STEPS; step++) {
        double left = 1 - fmin((double)step, WARMUP) / WARMUP;
        double cosine = 0.1 + 0.5 * (1 - 0.1) * (1 + cos(M_PI * (double)step / STEPS));
        assert_near(dt_schedule_lr(&s, step), 3e-4 * fmin(1 - left * left, cosine), 1e-17);
    }
    assert_true(dt_schedule_lr(&s, WARMUP) < 3e-4); /* the cosine has begun */
}

static void test_linear_and_constant(void **state)
{
    dt_schedule linear = schedule_of(80, WORDS("train.steps=10", "schedule.kind=linear", "schedule.warmup_steps=0",
                                               "optim.lr=2", "schedule.min_lr=1"));
    assert_near(dt_schedule_lr(&linear, 0), 2, 0);
    assert_near(dt_schedule_lr(&linear, 5), 1.5, 1e-15);
    dt_schedule constant = schedule_of(80, WORDS("train.steps=10", "schedule.kind=constant", "schedule.warmup_steps=3",
                                                 "optim.lr=2"));
    assert_near(dt_schedule_lr(&constant, 1), 1, 1e-15);
    assert_near(dt_schedule_lr(&constant, 9), 2, 0);
}

static void test_epochs(void **state)
{
    dt_schedule dropped = schedule_of(43, WORDS("train.epochs=3"));
    assert_int_equal(dropped.epoch_samples, 40);
    assert_int_equal(dropped.steps, 15);
    dt_schedule padded = schedule_of(43, WORDS("train.epochs=0.5", "data.drop_last=false"));
    assert_int_equal(padded.epoch_samples, 48);
    assert_int_equal(padded.steps, 3);
    assert_int_equal(dt_schedule_steps(&padded, 0.001), 1);
    assert_int_equal(dt_schedule_steps(&padded, 0), 0);
}

/* A run cut short is the beginning of the long one. */
static void test_long_warmup(void **state)
{
    dt_schedule s = schedule_of(80, WORDS("train.steps=5", "schedule.warmup_epochs=20", "optim.lr=1"));
    assert_int_equal(s.steps, 5);
    assert_int_equal(s.warmup, 200);
    assert_near(dt_schedule_lr(&s, 4), 4.0 / 199, 1e-15);
}

static void test_refusals(void **state)
{
    assert_refused(40, "say how long", WORDS("train.steps=null"));
    assert_refused(7, "larger than the training set of 7 samples; lower it, or pad it with data.drop_last=false",
                   WORDS("train.steps=1"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_paper_cosine), cmocka_unit_test(test_eased_warmup),
                                       cmocka_unit_test(test_paper_llama), cmocka_unit_test(test_linear_and_constant),
                                       cmocka_unit_test(test_epochs), cmocka_unit_test(test_long_warmup),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
