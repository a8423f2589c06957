/* Slopes of a model's loss, and its gradients behind one set of passes and another. */
#include "rewrite/whole_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OK(call)                                    \
    do {                                            \
        if (call) fail_msg("%s", dt_error_message()); \
    } while (0)

static void run(trial *t, const whole_model *m) { OK(trial_run(t, m->feed, m->context, false)); }

/* --- gradients --- */

static double loss_with(trial *t, const whole_model *m, const dt_param *param, double *values, int64_t at, double value)
{
    double kept = values[at];
    values[at] = value;
    OK(dt_store_write(t->store, param, DT_BUFFER_VALUE, DT_F64, values));
    values[at] = kept;
    run(t, m);
    return trial_loss(t);
}

/* Fourth order: the error falls with the fourth power of the distance, which may then be large against rounding. */
static double slope(trial *t, const whole_model *m, const dt_param *param, double *values, int64_t at)
{
    const double h = 2e-4;
    double x = values[at];
    double near = loss_with(t, m, param, values, at, x + h) - loss_with(t, m, param, values, at, x - h);
    double far = loss_with(t, m, param, values, at, x + 2 * h) - loss_with(t, m, param, values, at, x - 2 * h);
    return (8 * near - far) / (12 * h);
}

static void check_param(trial *t, const whole_model *m, const dt_param *param)
{
    double *values = malloc((size_t)param->count * sizeof *values);
    double *gradient = malloc((size_t)param->count * sizeof *gradient);
    assert_true(values && gradient);
    OK(dt_store_read(t->store, param, DT_BUFFER_VALUE, DT_F64, values));
    run(t, m);
    OK(dt_store_read(t->store, param, DT_BUFFER_GRADIENT, DT_F64, gradient));
    double most = 0, worst = 0;
    for (int64_t i = 0; i < param->count; i++) most = fmax(most, fabs(gradient[i]));
    int64_t stride = param->count > m->probes ? param->count / m->probes : 1;
    for (int64_t i = 0; i < param->count; i += stride)
        worst = fmax(worst, fabs(slope(t, m, param, values, i) - gradient[i]));
    OK(dt_store_write(t->store, param, DT_BUFFER_VALUE, DT_F64, values));
    if (!(worst <= 1e-6 * most)) fail_msg("%s, %s: gradient is off by %g of %g", m->name, param->name, worst, most);
    free(values);
    free(gradient);
}

void whole_model_check_gradients(const whole_model *m)
{
    trial t;
    OK(trial_open(&t, m->build, m->context, &(trial_options){.passes.precision = DT_PRECISION_FP64}));
    for (int i = 0; i < dt_store_params(t.store); i++) check_param(&t, m, dt_store_param(t.store, i));
    trial_close(&t);
}

/* --- rewrites --- */

static double *gradients(const whole_model *m, const trial_options *options, size_t *bytes)
{
    trial t;
    OK(trial_open(&t, m->build, m->context, options));
    run(&t, m);
    double *out = trial_gradients(&t, bytes);
    assert_non_null(out);
    trial_close(&t);
    return out;
}

static void compare(const whole_model *m, const trial_options *a, const trial_options *b, bool same_bits)
{
    size_t bytes, others;
    double *one = gradients(m, a, &bytes), *other = gradients(m, b, &others);
    assert_int_equal(bytes, others);
    double error = trial_error(one, other, bytes / sizeof *one);
    bool differ = same_bits ? memcmp(one, other, bytes) != 0 : !(error <= 1e-11);
    if (differ) fail_msg("%s: gradients differ by %g", m->name, error);
    free(one);
    free(other);
}

void whole_model_check_rewrites(const whole_model *m)
{
    const trial_options plain = {.passes = {.precision = DT_PRECISION_FP64,
                                            .no_fuse = true,
                                            .no_dead_nodes = true,
                                            .no_fuse_accumulation = true,
                                            .no_communicate = true},
                                 .plan = {.no_in_place = true, .poison = true}};
    const trial_options full = {.passes.precision = DT_PRECISION_FP64, .plan = {.poison = true}};
    trial_options shuffled = full, cheap = full, block = full;
    shuffled.plan.shuffle = 99;
    cheap.passes.recompute = DT_RECOMPUTE_CHEAP;
    block.passes.recompute = DT_RECOMPUTE_BLOCK;
    compare(m, &plain, &full, false);
    compare(m, &full, &shuffled, true);
    compare(m, &full, &cheap, true);
    compare(m, &full, &block, true);
}
