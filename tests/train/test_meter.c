/* The running figures of the log: which steps and which time they are of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>

#include "train/meter.h"

enum { SAMPLES = 16 };

/* So many seconds later. */
static void pass(dt_meter *m, double seconds)
{
    m->started -= seconds;
    m->timed -= seconds;
}

static dt_step_report add(dt_meter *m, bool finite)
{
    const dt_step_numbers numbers = {.norm = 3, .loss = 2.0 * SAMPLES, .count = SAMPLES, .finite = finite};
    dt_step_report out;
    dt_meter_add(m, &numbers, SAMPLES);
    dt_meter_report(m, &out);
    return out;
}

/* The test itself takes some time, which a loaded machine may draw out. */
static void assert_near(double value, double wanted)
{
    if (!(value <= wanted && value > 0.9 * wanted)) fail_msg("%g is not %g", value, wanted);
}

static void rates_are_of_the_window(void **state)
{
    dt_meter m = {0};
    dt_meter_start(&m);
    pass(&m, 100);
    assert_near(add(&m, true).samples_per_s, SAMPLES / 100.0);
    pass(&m, 300);
    m.wait = 40;
    dt_step_report line = add(&m, false);
    assert_near(line.samples_per_s, 2 * SAMPLES / 400.0);
    assert_near(line.data_wait, 0.1);
    assert_true(line.loss == 2 && line.grad_norm == 3);
    dt_meter_start(&m);
    pass(&m, 50);
    assert_near(add(&m, true).samples_per_s, SAMPLES / 50.0);
}

static void a_pause_does_not_count(void **state)
{
    dt_meter m = {0};
    dt_meter_start(&m);
    pass(&m, 100);
    dt_meter_pause(&m);
    pass(&m, 1000);
    m.paused -= 1000;
    m.wait = 10;
    dt_meter_resume(&m);
    dt_step_report line = add(&m, true);
    assert_near(line.samples_per_s, SAMPLES / 100.0);
    assert_near(line.data_wait, 0.1);
}

/* Neither a step that is not timed nor the time up to its end is in a rate, whatever windows begin between. */
static void untimed_steps_have_no_rate(void **state)
{
    dt_meter m = {.untimed = 3};
    dt_meter_start(&m);
    pass(&m, 100);
    m.wait = 10;
    dt_step_report line = add(&m, true);
    assert_true(isnan(line.samples_per_s) && line.loss == 2);
    assert_near(line.data_wait, 0.1);
    dt_meter_start(&m);
    for (int i = 0; i < 2; i++) {
        pass(&m, 100);
        assert_true(isnan(add(&m, i == 0).samples_per_s));
    }
    pass(&m, 50);
    m.wait = 25;
    line = add(&m, true);
    assert_near(line.samples_per_s, SAMPLES / 50.0);
    assert_near(line.data_wait, 0.1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_are_of_the_window),
        cmocka_unit_test(a_pause_does_not_count),
        cmocka_unit_test(untimed_steps_have_no_rate),
    };
    return cmocka_run_group_tests_name("meter", tests, NULL, NULL);
}
