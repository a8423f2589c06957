/* Every case on CUDA against the CPU in float32: values and gradients, from poisoned memory. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "ops/cases.h"

static const trial_options options[DT_BACKENDS] = {[DT_CPU] = {.backend = DT_CPU}, [DT_CUDA] = {.backend = DT_CUDA}};
static const double BOUND = 2e-5; /* of the largest value of a tensor */

static void open_and_step(case_run *run, const op_case *c, dt_backend backend)
{
    if (case_open(run, c, &options[backend]) || case_step(run, false))
        fail_msg("%s: %s on %s: %s", c->op->name, c->name, dt_backend_name(backend), dt_error_message());
}

static void compare_values(const op_case *c, const case_run *cpu, const case_run *cuda)
{
    int64_t count;
    double *want = case_result(cpu, &count), *have = case_result(cuda, &count);
    assert_non_null(want);
    assert_non_null(have);
    double error = trial_error(want, have, (size_t)count);
    if (!(error <= BOUND)) fail_msg("%s: %s: the values differ by %g of the largest", c->op->name, c->name, error);
    free(want);
    free(have);
}

static void compare_gradient(const op_case *c, const case_run *cpu, const case_run *cuda, int p)
{
    const dt_param *param = dt_store_param(cpu->trial.store, p);
    double *want = malloc((size_t)param->count * sizeof *want), *have = malloc((size_t)param->count * sizeof *have);
    assert_non_null(want);
    assert_non_null(have);
    assert_int_equal(dt_store_read(cpu->trial.store, param, DT_BUFFER_GRADIENT, DT_F64, want), DT_OK);
    assert_int_equal(dt_store_read(cuda->trial.store, dt_store_param(cuda->trial.store, p), DT_BUFFER_GRADIENT, DT_F64,
                                   have), DT_OK);
    double error = trial_error(want, have, (size_t)param->count);
    if (!(error <= BOUND))
        fail_msg("%s: %s: the gradients of %s differ by %g of the largest", c->op->name, c->name, param->name, error);
    free(want);
    free(have);
}

static bool has_loss(const case_run *run) { return dt_graph_output_count(dt_program_graph(run->trial.program)) > 1; }

static void cuda_matches_cpu(void **state)
{
    const op_case *c = *state;
    case_run cpu, cuda;
    open_and_step(&cpu, c, DT_CPU);
    open_and_step(&cuda, c, DT_CUDA);
    compare_values(c, &cpu, &cuda);
    for (int p = 0; has_loss(&cpu) && p < dt_store_params(cpu.trial.store); p++)
        if (!dt_store_param(cpu.trial.store, p)->frozen) compare_gradient(c, &cpu, &cuda, p);
    case_close(&cuda);
    case_close(&cpu);
}

int main(void)
{
    const char *why;
    if (!dt_backend_count(DT_CUDA, &why)) return printf("1..0 # SKIP %s\n", why) < 0;
    struct CMUnitTest *tests = calloc((size_t)op_case_count, sizeof *tests);
    dt_arena *names = NULL;
    if (!tests || dt_arena_create(&names)) return 1;
    for (int i = 0; i < op_case_count; i++) {
        const op_case *c = &op_cases[i];
        char *name = dt_arena_format(names, "%s: %s", c->op->name, c->name);
        tests[i] = (struct CMUnitTest){name, cuda_matches_cpu, NULL, NULL, (void *)c};
    }
    int failed = _cmocka_run_group_tests("kernel", tests, (size_t)op_case_count, NULL, NULL);
    dt_arena_free(names);
    free(tests);
    return failed;
}
