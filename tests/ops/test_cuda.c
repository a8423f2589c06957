/* Every case on CUDA, in float32 and in bfloat16, against the CPU in float32: values and gradients, from poisoned
 * memory; and the same bits when it runs again, recorded and replayed. What the residual stream passes through also in
 * bfloat16 with that in float32, and matrix products in TF32. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/cases.h"

typedef struct mode {
    const char *name;
    trial_options options;
    double bound; /* of the largest value of a tensor */
} mode;

/* bfloat16 has 8 bits and TF32 11; what is compared went through several roundings and sums of rounded terms. */
static const mode modes[] = {
    {"f32", {.backend = DT_CUDA}, 2e-5},
    {"tf32", {.backend = DT_CUDA, .passes.precision = DT_PRECISION_TF32}, 4e-3},
    {"bf16", {.backend = DT_CUDA, .passes.precision = DT_PRECISION_BF16}, 4e-2},
    {"bf16 beside f32", {.backend = DT_CUDA, .passes = {DT_PRECISION_BF16, .wide_residual = true}}, 4e-2},
    {"bf16 by cuDNN", {.backend = DT_CUDA, .passes.precision = DT_PRECISION_BF16, .cudnn = true}, 4e-2},
};
enum { MODES = sizeof modes / sizeof *modes };
static const trial_options on_cpu = {.backend = DT_CPU};

typedef struct job {
    const op_case *about;
    const mode *mode;
} job;

static void step(case_run *run, const job *j)
{
    if (case_step(run, false))
        fail_msg("%s: %s in %s: %s", j->about->op->name, j->about->name, j->mode->name, dt_error_message());
}

static void open_and_step(case_run *run, const job *j, const trial_options *options)
{
    if (case_open(run, j->about, options))
        fail_msg("%s: %s in %s: %s", j->about->op->name, j->about->name, j->mode->name, dt_error_message());
    step(run, j);
}

static void compare(const job *j, const char *what, const double *want, const double *have, int64_t count)
{
    double error = trial_error(want, have, (size_t)count);
    if (!(error <= j->mode->bound))
        fail_msg("%s: %s in %s: %s differ by %g of the largest", j->about->op->name, j->about->name, j->mode->name,
                 what, error);
}

static double *values(const case_run *run, int64_t *count)
{
    double *result = case_result(run, count);
    assert_non_null(result);
    return result;
}

static void compare_values(const job *j, const case_run *cpu, const case_run *cuda)
{
    int64_t count;
    double *want = values(cpu, &count), *have = values(cuda, &count);
    compare(j, "the values", want, have, count);
    free(want);
    free(have);
}

static double *gradient(const case_run *run, int p)
{
    const dt_param *param = dt_store_param(run->trial.store, p);
    double *out = malloc((size_t)param->count * sizeof *out);
    assert_non_null(out);
    assert_int_equal(dt_store_read(run->trial.store, param, DT_BUFFER_GRADIENT, DT_F64, out), DT_OK);
    return out;
}

static bool has_loss(const case_run *run) { return dt_graph_output_count(dt_program_graph(run->trial.program)) > 1; }

static void compare_gradients(const job *j, const case_run *cpu, const case_run *cuda)
{
    for (int p = 0; has_loss(cpu) && p < dt_store_params(cpu->trial.store); p++) {
        const dt_param *param = dt_store_param(cpu->trial.store, p);
        if (param->frozen) continue;
        double *want = gradient(cpu, p), *have = gradient(cuda, p);
        compare(j, param->name, want, have, param->count);
        free(want);
        free(have);
    }
}

/* The first run was launched directly, the second records, the third replays. */
static void compare_repetitions(const job *j, case_run *cuda)
{
    int64_t count;
    size_t bytes, again;
    double *first = values(cuda, &count);
    void *gradients = trial_gradients(&cuda->trial, &bytes);
    for (int repetition = 0; repetition < 2; repetition++) {
        step(cuda, j);
        double *next = values(cuda, &count);
        void *others = trial_gradients(&cuda->trial, &again);
        assert_memory_equal(first, next, (size_t)count * sizeof *first);
        if (has_loss(cuda)) assert_memory_equal(gradients, others, bytes);
        free(next);
        free(others);
    }
    free(first);
    free(gradients);
}

static void cuda_matches_cpu(void **state)
{
    const job *j = *state;
    case_run cpu, cuda;
    open_and_step(&cpu, j, &on_cpu);
    open_and_step(&cuda, j, &j->mode->options);
    compare_values(j, &cpu, &cuda);
    compare_gradients(j, &cpu, &cuda);
    if (!(j->about->op->flags & DT_OP_EFFECT)) compare_repetitions(j, &cuda);
    case_close(&cuda);
    case_close(&cpu);
}

static bool has_cudnn(void)
{
    dt_device *device;
    if (dt_device_open(DT_CUDA, 0, 1, &device)) return false;
    bool found = !dt_device_use_cudnn(device, true);
    if (!found) printf("# attention by cuDNN is not tested: %s\n", dt_error_message());
    dt_device_close(device);
    return found;
}

static bool applies(const mode *m, const dt_op *op, bool cudnn)
{
    if (m->options.cudnn) return cudnn && op == &dt_op_attention;
    if (m->options.passes.precision == DT_PRECISION_TF32) return op == &dt_op_matmul;
    return !m->options.passes.wide_residual || op->trunk_inputs || op->trunk_outputs;
}

/* The tests of one operator, or with NULL of all. Returns how many. */
static int make_tests(const char *op, struct CMUnitTest *tests, job *jobs, dt_arena *names)
{
    const bool cudnn = has_cudnn();
    int count = 0;
    for (int i = 0; i < op_case_count * MODES; i++) {
        const op_case *c = &op_cases[i / MODES];
        if ((op && strcmp(op, c->op->name)) || !applies(&modes[i % MODES], c->op, cudnn)) continue;
        jobs[count] = (job){c, &modes[i % MODES]};
        char *name = dt_arena_format(names, "%s: %s in %s", c->op->name, c->name, modes[i % MODES].name);
        tests[count] = (struct CMUnitTest){name, cuda_matches_cpu, NULL, NULL, &jobs[count]};
        count++;
    }
    return count;
}

/* usage: test-ops-cuda [OPERATOR] */
int main(int argc, char **argv)
{
    if (dt_backend_check(DT_CUDA, 0)) return printf("1..0 # SKIP %s\n", dt_error_message()) < 0;
    dt_arena *names = NULL;
    job *jobs = calloc((size_t)op_case_count * MODES, sizeof *jobs);
    struct CMUnitTest *tests = calloc((size_t)op_case_count * MODES, sizeof *tests);
    if (!jobs || !tests || dt_arena_create(&names)) return 1;
    int count = make_tests(argc > 1 ? argv[1] : NULL, tests, jobs, names);
    int failed = _cmocka_run_group_tests("kernel", tests, (size_t)count, NULL, NULL);
    dt_arena_free(names);
    free(tests);
    free(jobs);
    return failed;
}
