/* Whole training steps: speed, and whether the step that was timed computes what it should. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cmd/bench.h"
#include "cmd/table.h"

/* Loss and gradient norm of the first step: they go through every operator of both passes. */
typedef struct outcome {
    double loss, norm;
} outcome;

enum { LEAST_REPEATS = 5, MOST_REPEATS = 500 };
static const double target_seconds = 3, loss_bound = 1e-4, rounded_bound = 3e-2;

/* Weights as training starts with them, then a step. */
static dt_status first_step(dt_session *session, const dt_settings *settings, outcome *out)
{
    dt_store *store = dt_session_store(session);
    const dt_program *update = dt_session_program(session, "update");
    DT_TRY(dt_store_initialise(store, (uint64_t)dt_setting_int(settings, "seed")));
    DT_TRY(dt_session_load_step(session));
    DT_TRY(dt_session_run_step(session, NULL, NULL));
    DT_TRY(dt_program_read(update, "loss", &out->loss, sizeof out->loss));
    DT_TRY(dt_program_read(update, "norm", &out->norm, sizeof out->norm));
    return dt_device_sync(dt_session_device(session), DT_STREAM_COMPUTE);
}

/* The same step under other settings; what there is to log was logged for the first one. */
static dt_status other_step(const dt_settings *settings, const char *const *words, size_t count, outcome *out)
{
    dt_text yaml = {0};
    dt_settings *other = NULL;
    dt_session *session = NULL;
    const dt_arguments args = {.settings = (const char **)words, .setting_count = count};
    dt_settings_print(settings, &yaml);
    dt_status status = dt_text_status(&yaml);
    if (!status) status = dt_table_parse(&args, yaml.data, "the benchmark's settings", &other);
    if (!status) status = dt_session_create(other, &(dt_session_options){0}, NULL, &session);
    if (!status) status = first_step(session, other, out);
    dt_session_free(session);
    dt_settings_free(other);
    dt_text_free(&yaml);
    return status;
}

static double distance(double a, double b) { return fabs(a - b) / fmax(fabs(b), 1e-30); }

static dt_status check_threads(const dt_settings *settings, int threads, const outcome *timed)
{
    const char *const words[] = {threads == 1 ? "threads=2" : "threads=1"};
    outcome other;
    DT_TRY(other_step(settings, words, 1, &other));
    bool same = other.loss == timed->loss && other.norm == timed->norm;
    printf("  %-12s %s\n", words[0], same ? "the same bits" : "OTHER BITS");
    if (same) return DT_OK;
    return dt_fail(DT_ERR_NUMERIC, "with %s loss and gradient norm are %.17g and %.17g, not %.17g and %.17g", words[0],
                   other.loss, other.norm, timed->loss, timed->norm);
}

static dt_status compare(const char *what, const outcome *timed, const outcome *exact, double bound)
{
    double loss = distance(timed->loss, exact->loss), norm = distance(timed->norm, exact->norm);
    printf("  %-12s loss differs by %.1e, gradient norm by %.1e of itself (allowed: %.0e)\n", what, loss, norm, bound);
    if (loss <= bound && norm <= bound) return DT_OK;
    return dt_fail(DT_ERR_NUMERIC, "in %s loss and gradient norm are %.9g and %.9g, not %.9g and %.9g", what,
                   exact->loss, exact->norm, timed->loss, timed->norm);
}

static dt_status check_float64(const dt_settings *settings, const outcome *timed)
{
    const char *const words[] = {"precision.mode=fp64", "device=cpu"};
    outcome exact;
    DT_TRY(other_step(settings, words, 2, &exact));
    return compare("float64", timed, &exact, loss_bound);
}

/* The step that was timed, recorded and perhaps rounded, against float32 launched node by node. Then two samples in the
 * timed precision against float64 on the CPU, which would take minutes for a whole batch. */
static dt_status check_gpu(const dt_settings *settings, const outcome *timed)
{
    const char *const direct[] = {"precision.mode=fp32", "debug.direct=true"};
    const char *const few[] = {"data.batch=2", "train.micro_batch=null", "train.accumulate=1", "precision.mode=fp64",
                               "device=cpu"};
    bool rounded = strcmp(dt_setting_text(settings, "precision.mode"), "fp32") != 0;
    double bound = rounded ? rounded_bound : loss_bound;
    outcome other, exact;
    DT_TRY(other_step(settings, direct, 2, &other));
    DT_TRY(compare("float32", timed, &other, bound));
    DT_TRY(other_step(settings, few, 3, &other));
    DT_TRY(other_step(settings, few, 5, &exact));
    return compare("float64, 2", &other, &exact, bound);
}

static dt_status time_steps(dt_session *session, double seconds[MOST_REPEATS], int *count)
{
    double total = 0;
    for (*count = 0; *count < MOST_REPEATS && (*count < LEAST_REPEATS || total < target_seconds); (*count)++) {
        double start = dt_clock();
        DT_TRY(dt_session_run_step(session, NULL, NULL));
        seconds[*count] = dt_clock() - start;
        total += seconds[*count];
    }
    return DT_OK;
}

static void print_speed(const dt_session *session, const dt_settings *settings, double *seconds, int count,
                        const dt_roof *roof)
{
    char rate[32], most[32], work[32];
    double median = dt_median(seconds, count); /* sorts: the least is the first now */
    double samples = (double)dt_session_micro_batch(session);
    double flops = dt_session_step_flops(session) * samples / (double)dt_setting_int(settings, "data.batch");
    printf("time           %.2f ms, the median of %d (%.2f to %.2f)\n", 1e3 * median, count, 1e3 * seconds[0],
           1e3 * seconds[count - 1]);
    double tokens = samples * (double)dt_model_dims_of(dt_session_model(session)).tokens;
    if (dt_model_reads_tokens(dt_session_model(session))) printf("speed          %.0f tokens/s\n", tokens / median);
    else printf("speed          %.0f images/s\n", samples / median);
    printf("work           %s a step, %s/s", dt_text_count(work, flops, "FLOP"),
           dt_text_count(rate, flops / median, "FLOP"));
    if (isfinite(dt_session_peak_flops(session)))
        printf(": MFU %.1f %%", 100 * flops / median / dt_session_peak_flops(session));
    if (roof)
        printf(": %.0f %% of the %s/s of a large matrix product", 100 * flops / median / roof->flops,
               dt_text_count(most, roof->flops, "FLOP"));
    printf("\n");
}

static void print_head(const dt_session *session)
{
    dt_text model = {0};
    dt_device_info info;
    dt_model_describe(dt_session_model(session), &model);
    printf("model          %s\n", model.data ? model.data : dt_model_arch(dt_session_model(session)));
    if (!dt_device_query(dt_session_device(session), &info))
        printf("device         %s, %d thread%s\n", info.name, info.threads, info.threads == 1 ? "" : "s");
    int64_t samples = dt_session_micro_batch(session);
    printf("step           a pass of %" PRId64 " sample%s and an update\n", samples, samples == 1 ? "" : "s");
    dt_text_free(&model);
}

static dt_status bench(dt_session *session, const dt_settings *settings, outcome *timed)
{
    double seconds[MOST_REPEATS];
    int count;
    dt_roof roof;
    dt_device *device = dt_session_device(session);
    bool cpu = dt_device_backend(device) == DT_CPU;
    print_head(session);
    DT_TRY(first_step(session, settings, timed));
    DT_TRY(time_steps(session, seconds, &count));
    if (cpu) DT_TRY(dt_roof_measure(dt_device_pool(device), dt_cpu_kernels_best(), &roof));
    print_speed(session, settings, seconds, count, cpu ? &roof : NULL);
    return DT_OK;
}

dt_status dt_bench_step(dt_settings *settings, dt_log *log)
{
    dt_session *session;
    outcome timed;
    DT_TRY(dt_session_create(settings, &(dt_session_options){0}, log, &session));
    int threads = dt_pool_threads(dt_device_pool(dt_session_device(session)));
    bool cpu = dt_device_backend(dt_session_device(session)) == DT_CPU;
    dt_status status = bench(session, settings, &timed);
    dt_session_free(session); /* its memory is needed for the checks */
    DT_TRY(status);
    printf("check\n");
    if (!cpu) return check_gpu(settings, &timed);
    DT_TRY(check_threads(settings, threads, &timed));
    return check_float64(settings, &timed);
}
