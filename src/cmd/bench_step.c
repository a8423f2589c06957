/* Whole training steps, or their passes alone: speed, of a step that was checked. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "cmd/bench_check.h"
#include "cmd/bench_time.h"

static const double least_seconds = 3; /* of each that is timed */

static void print_times(const char *label, const dt_bench_times *t)
{
    printf("%-14s %.2f ms, the median of %d (%.2f to %.2f)\n", label, 1e3 * t->median, t->count, 1e3 * t->least,
           1e3 * t->most);
}

/* Of one pass, without the recomputation. */
static double pass_flops(const dt_session *session, const dt_settings *settings)
{
    double samples = (double)dt_session_micro_batch(session);
    return dt_session_step_flops(session) * samples / (double)dt_setting_int(settings, "data.batch");
}

static void print_speed(const dt_session *session, const dt_settings *settings, double seconds, const dt_roof *roof)
{
    char rate[32], most[32], work[32];
    double samples = (double)dt_session_micro_batch(session), flops = pass_flops(session, settings);
    double tokens = samples * (double)dt_model_dims_of(dt_session_model(session)).tokens;
    if (dt_model_reads_tokens(dt_session_model(session))) printf("speed          %.0f tokens/s\n", tokens / seconds);
    else printf("speed          %.0f images/s\n", samples / seconds);
    printf("work           %s a step, %s/s", dt_text_count(work, flops, "FLOP"),
           dt_text_count(rate, flops / seconds, "FLOP"));
    if (isfinite(dt_session_peak_flops(session)))
        printf(": MFU %.1f %%", 100 * flops / seconds / dt_session_peak_flops(session));
    if (roof)
        printf(": %.0f %% of the %s/s of a large matrix product", 100 * flops / seconds / roof->flops,
               dt_text_count(most, roof->flops, "FLOP"));
    printf("\n");
}

static void print_memory(const dt_session *session)
{
    char size[32];
    dt_memory_use use;
    dt_device_memory(dt_session_device(session), &use);
    printf("memory         %s\n", dt_text_bytes(size, (double)use.peak));
}

static void print_head(const dt_session *session, const dt_bench_step_options *options)
{
    dt_text model = {0};
    dt_device_info info;
    dt_model_describe(dt_session_model(session), &model);
    printf("model          %s\n", model.data ? model.data : dt_model_arch(dt_session_model(session)));
    if (!dt_device_query(dt_session_device(session), &info))
        printf("device         %s, %d thread%s\n", info.name, info.threads, info.threads == 1 ? "" : "s");
    int64_t samples = dt_session_micro_batch(session);
    printf("step           a pass of %" PRId64 " sample%s", samples, samples == 1 ? "" : "s");
    if (options->no_update)
        printf(", no update; gradients of matrices in %s\n", options->narrow_gradients ? "bfloat16" : "float32");
    else printf(" and an update\n");
    dt_text_free(&model);
}

/* Prints the times and returns that of the step, or without an update of both passes. */
static dt_status time_all(dt_session *session, const dt_bench_step_options *options, double *seconds)
{
    dt_bench_times t;
    if (options->no_update) {
        DT_TRY(dt_bench_time_program(session, "eval", least_seconds, &t));
        print_times("forward", &t);
    }
    DT_TRY(dt_bench_time_program(session, options->no_update ? "pass" : NULL, least_seconds, &t));
    print_times(options->no_update ? "and backward" : "time", &t);
    *seconds = t.median;
    return DT_OK;
}

static dt_status bench(dt_session *session, dt_bench_timed *timed)
{
    double seconds;
    dt_roof roof;
    dt_device *device = dt_session_device(session);
    bool cpu = dt_device_backend(device) == DT_CPU;
    print_head(session, &timed->options);
    DT_TRY(dt_bench_first_step(session, timed->settings, &timed->outcome));
    DT_TRY(time_all(session, &timed->options, &seconds));
    if (cpu) DT_TRY(dt_roof_measure(dt_device_pool(device), dt_cpu_kernels_best(), &roof));
    print_speed(session, timed->settings, seconds, cpu ? &roof : NULL);
    print_memory(session);
    printf("check\n");
    return dt_bench_check_again(session, &timed->outcome, true);
}

dt_status dt_bench_step(dt_settings *settings, const dt_bench_step_options *options, dt_log *log)
{
    dt_session *session;
    dt_session_options of = {.no_update = options->no_update, .narrow_gradients = options->narrow_gradients};
    dt_bench_timed timed = {.settings = settings, .options = *options};
    DT_TRY(dt_session_create(settings, &of, log, &session));
    timed.backend = dt_device_backend(dt_session_device(session));
    timed.threads = dt_pool_threads(dt_device_pool(dt_session_device(session)));
    timed.sample_flops = pass_flops(session, settings) / (double)dt_session_micro_batch(session);
    timed.parameters = dt_store_trainable(dt_session_store(session));
    dt_status status = bench(session, &timed);
    dt_session_free(session);
    return status ? status : dt_bench_check(&timed);
}
