/* The gradients of every differentiable operator against finite differences in float64, with all passes and without. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ops/cases.h"

/* Fourth-order central differences with this step: exact to about 1e-11 of the largest gradient here. */
static const double STEP = 1e-3, BOUND = 1e-9;
enum { MOST_CHECKED = 96 }; /* elements of one parameter */

static const trial_options plain = {.passes = {.precision = DT_PRECISION_FP64,
                                               .no_fuse = true,
                                               .no_dead_nodes = true,
                                               .no_fuse_accumulation = true,
                                               .no_communicate = true},
                                    .plan = {.no_in_place = true},
                                    .threads = 1};
static const trial_options full = {.passes = {.precision = DT_PRECISION_FP64}, .threads = 1};

static double loss_at(case_run *run, double *at, double value)
{
    *at = value;
    if (case_step(run, false)) fail_msg("%s", dt_error_message());
    return trial_loss(&run->trial);
}

static double difference_quotient(case_run *run, double *at)
{
    double x = *at, far, near;
    near = loss_at(run, at, x + STEP) - loss_at(run, at, x - STEP);
    far = loss_at(run, at, x + 2 * STEP) - loss_at(run, at, x - 2 * STEP);
    *at = x;
    return (8 * near - far) / (12 * STEP);
}

static double *data_of(const case_run *run, const dt_param *param, dt_buffer buffer)
{
    return (double *)dt_store_data(run->trial.store, param->group, buffer) + param->offset;
}

/* A second run that accumulates must add the same gradient once more. */
static void check_accumulation(case_run *run, const dt_param *param, const double *once)
{
    const double *twice = data_of(run, param, DT_BUFFER_GRADIENT);
    for (int64_t i = 0; i < param->count; i++)
        if (!(fabs(twice[i] - 2 * once[i]) <= 1e-12 * (1 + fabs(once[i]))))
            fail_msg("%s: %s: element %lld of the gradient is %g, and %g accumulated twice", run->about->op->name,
                     run->about->name, (long long)i, once[i], twice[i]);
}

static void check_param(case_run *run, const dt_param *param, double *once)
{
    double *value = data_of(run, param, DT_BUFFER_VALUE), most = 0, worst = 0;
    int64_t stride = (param->count + MOST_CHECKED - 1) / MOST_CHECKED;
    for (int64_t i = 0; i < param->count; i++) most = fmax(most, fabs(once[i]));
    for (int64_t i = 0; i < param->count; i += stride) {
        double wrong = fabs(once[i] - difference_quotient(run, &value[i]));
        if (!(wrong <= worst)) worst = wrong;
    }
    if (!(worst <= BOUND * (most > 0 ? most : 1)))
        fail_msg("%s: %s: the gradient of %s is off by %g of its largest value %g", run->about->op->name,
                 run->about->name, param->name, worst, most);
}

static double *copy_gradient(const case_run *run, const dt_param *param)
{
    double *copy = malloc((size_t)param->count * sizeof *copy);
    assert_non_null(copy);
    const double *from = data_of(run, param, DT_BUFFER_GRADIENT);
    for (int64_t i = 0; i < param->count; i++) copy[i] = from[i];
    return copy;
}

static void check_case(const op_case *about, const trial_options *options)
{
    case_run run;
    if (case_open(&run, about, options)) fail_msg("%s: %s: %s", about->op->name, about->name, dt_error_message());
    const dt_store *store = run.trial.store;
    for (int p = 0; p < dt_store_params(store); p++) {
        const dt_param *param = dt_store_param(store, p);
        if (param->frozen) continue;
        if (case_step(&run, false)) fail_msg("%s", dt_error_message());
        double *once = copy_gradient(&run, param);
        if (case_step(&run, true)) fail_msg("%s", dt_error_message());
        check_accumulation(&run, param, once);
        check_param(&run, param, once);
        free(once);
    }
    case_close(&run);
}

static void check_operator(const dt_op *op, const trial_options *options)
{
    for (int i = 0; i < op_case_count; i++)
        if (op_cases[i].op == op) check_case(&op_cases[i], options);
}

static void check_plain(void **state) { check_operator(*state, &plain); }
static void check_full(void **state) { check_operator(*state, &full); }

static struct CMUnitTest test_of(dt_arena *names, const dt_op *op, const char *with, CMUnitTestFunction check)
{
    return (struct CMUnitTest){dt_arena_format(names, "%s %s", op->name, with), check, NULL, NULL, (void *)op};
}

int main(void)
{
    struct CMUnitTest *tests = calloc((size_t)dt_op_count, 2 * sizeof *tests);
    dt_arena *names = NULL;
    size_t count = 0;
    if (!tests || dt_arena_create(&names)) return 1;
    for (int i = 0; i < dt_op_count; i++) {
        if (!dt_ops[i]->grad) continue;
        tests[count++] = test_of(names, dt_ops[i], "as built", check_plain);
        tests[count++] = test_of(names, dt_ops[i], "behind all passes", check_full);
    }
    int failed = _cmocka_run_group_tests("grad", tests, count, NULL, NULL);
    dt_arena_free(names);
    free(tests);
    return failed;
}
