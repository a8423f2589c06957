/* A training step of all ranks together, beside each rank by itself. Every rank has the same made-up samples, so that
 * the loss and the gradient norm are those of one rank. By themselves all ranks step at the same time, for two GPUs of
 * one kind are not equally fast, and together they are as fast as the slowest. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "cmd/bench_check.h"
#include "cmd/bench_time.h"
#include "cmd/table.h"
#include "train/rank_choices.h"
#include "train/ranks.h"

enum { UNCOUNTED = 3, LEAST_REPEATS = 5, MOST_REPEATS = 500 };
static const double least_seconds = 3, exact_bound = 1e-4, rounded_bound = 3e-2;

typedef struct together {
    dt_settings *settings;
    dt_world *world;
    int ranks;
    int64_t samples; /* of one rank's pass */
    double flops;    /* of all ranks' passes */
    double peak;     /* FLOP/s of all ranks' GPUs; NAN: not known */
    int64_t bytes;   /* of memory, on the rank that has most */
    int zero;
    dt_bench_outcome outcome;
    dt_bench_times times;
} together;

/* --- of all ranks --- */

/* The same number of repeats on all ranks: as the first finds it. */
static dt_status count_repeats(dt_session *session, dt_world *world, int *out)
{
    double start = 0;
    for (int i = 0; i < UNCOUNTED; i++) {
        start = dt_clock();
        DT_TRY(dt_session_run_step(session, NULL, NULL));
        dt_world_progress(world, i + 1, 0);
    }
    int64_t count = (int64_t)(least_seconds / (dt_clock() - start)) + 1;
    count = count < LEAST_REPEATS ? LEAST_REPEATS : count > MOST_REPEATS ? MOST_REPEATS : count;
    DT_TRY(dt_world_broadcast(world, "the number of steps", &count, sizeof count));
    *out = (int)count;
    return DT_OK;
}

static dt_status time_steps(dt_session *session, together *t)
{
    double seconds[MOST_REPEATS];
    int count;
    DT_TRY(count_repeats(session, t->world, &count));
    for (int i = 0; i < count; i++) {
        double start = dt_clock();
        DT_TRY(dt_session_run_step(session, NULL, NULL));
        seconds[i] = dt_clock() - start;
        dt_world_progress(t->world, UNCOUNTED + i + 1, 0);
    }
    double median = dt_median(seconds, count); /* sorts them */
    t->times = (dt_bench_times){median, seconds[0], seconds[count - 1], count};
    return DT_OK;
}

/* A step, and then many that are timed: here a rank may hang, as in training. */
static dt_status step_together(dt_session *session, together *t)
{
    dt_world_watch(t->world, DT_WATCH_STEPS);
    dt_status status = dt_bench_first_step(session, t->settings, &t->outcome);
    if (!status) status = time_steps(session, t);
    dt_world_watch(t->world, DT_WATCH_NOTHING);
    return status;
}

/* The allocator's high-water mark of the rank that has most. */
static dt_status measure_memory(const dt_session *session, together *t)
{
    dt_memory_use use;
    int64_t *all;
    dt_device_memory(dt_session_device(session), &use);
    DT_TRY(dt_ranks_gather(t->world, "memory", &use.peak, sizeof use.peak, (void **)&all));
    for (int r = 0; r < t->ranks; r++)
        if (all[r] > t->bytes) t->bytes = all[r];
    free(all);
    return DT_OK;
}

static dt_status run(dt_session *session, together *t)
{
    t->samples = dt_session_micro_batch(session);
    double batch = (double)dt_setting_int(t->settings, "data.batch");
    t->flops = dt_session_step_flops(session) * (double)(t->samples * t->ranks) / batch;
    t->peak = dt_session_peak_flops(session);
    t->zero = (int)dt_setting_int(t->settings, "parallel.zero");
    DT_TRY(dt_session_share_choices(session));
    DT_TRY(step_together(session, t));
    DT_TRY(measure_memory(session, t));
    if (dt_ranks_leads(t->world)) printf("check\n");
    DT_TRY(dt_bench_check_again(session, &t->outcome, dt_ranks_leads(t->world)));
    return dt_world_agree(t->world, "loss and gradient norm", dt_hash_bytes(&t->outcome, sizeof t->outcome, 0), NULL);
}

/* A failure may be one rank's own, and ends all before anything is released: the device may wait for what others never
 * send. */
static dt_status run_or_end(dt_session *session, together *t)
{
    dt_status status = run(session, t);
    if (status && status != DT_ERR_USAGE) dt_world_abort(t->world, dt_error_message());
    return status;
}

static dt_status run_together(together *t, dt_log *log)
{
    dt_session *session = NULL;
    dt_status status = dt_session_create(t->settings, &(dt_session_options){.world = t->world}, log, &session);
    status = dt_ranks_join(t->world, "the session", status);
    if (!status) status = run_or_end(session, t);
    dt_session_free(session);
    return status;
}

/* --- of each rank by itself --- */

static dt_status run_alone(const together *t, dt_session *session, const dt_settings *settings, double *seconds)
{
    dt_bench_outcome alone;
    dt_bench_times times;
    DT_TRY(dt_bench_first_step(session, settings, &alone));
    DT_TRY(dt_bench_time_program(session, NULL, least_seconds, &times));
    alone.loss *= t->ranks;
    *seconds = times.median;
    if (!dt_ranks_leads(t->world)) return DT_OK;
    bool rounded = dt_setting_choice(settings, "precision.mode") != 0;
    return dt_bench_compare("one rank", &t->outcome, &alone, rounded ? rounded_bound : exact_bound);
}

/* Where a GPU has not the memory, there is nothing to compare with: *seconds is NAN. */
static dt_status time_alone(const together *t, double *seconds)
{
    char batch[40];
    const char *words[] = {batch, "train.micro_batch=null", "train.accumulate=1", "parallel.zero=0"};
    dt_settings *settings = NULL;
    dt_session *session = NULL;
    snprintf(batch, sizeof batch, "data.batch=%" PRId64, t->samples);
    *seconds = NAN;
    dt_status status = dt_table_vary(t->settings, words, sizeof words / sizeof *words, &settings);
    dt_session_options options = {.world = t->world, .alone = true};
    if (!status) status = dt_session_create(settings, &options, NULL, &session);
    if (status == DT_ERR_MEMORY) status = DT_OK;
    else if (!status) status = run_alone(t, session, settings, seconds);
    dt_session_free(session);
    dt_settings_free(settings);
    return status;
}

/* --- both --- */

typedef struct alone_times {
    double first, most; /* seconds, of the first rank and of the slowest */
} alone_times;

static void print(const together *t, const alone_times *alone)
{
    char work[32], rate[32], size[32];
    double all = (double)(t->samples * t->ranks), seconds = t->times.median;
    printf("ranks          %d, parallel.zero=%d; a pass of %" PRId64 " samples on each, and an update\n", t->ranks,
           t->zero, t->samples);
    printf("time           %.2f ms, the median of %d (%.2f to %.2f)\n", 1e3 * seconds, t->times.count,
           1e3 * t->times.least, 1e3 * t->times.most);
    printf("speed          %.1f samples/s, %.1f of each rank\n", all / seconds, all / seconds / t->ranks);
    printf("work           %s a step, %s/s", dt_text_count(work, t->flops, "FLOP"),
           dt_text_count(rate, t->flops / seconds, "FLOP"));
    if (isfinite(t->peak)) printf(": MFU %.1f %%", 100 * t->flops / seconds / t->peak);
    printf("\nmemory         %s on a rank\n", dt_text_bytes(size, (double)t->bytes));
    if (!isfinite(alone->most)) {
        printf("one rank       has not the memory for the step by itself\n");
        return;
    }
    printf("one rank       by itself %.2f ms, the slowest %.2f: %.1f %% of its speed are kept, %.1f of that one's\n",
           1e3 * alone->first, 1e3 * alone->most, 100 * alone->first / seconds, 100 * alone->most / seconds);
}

/* Of all ranks; NAN where one has not the memory. */
static dt_status gather_alone(dt_world *world, double mine, alone_times *out)
{
    double *all;
    DT_TRY(dt_ranks_gather(world, "times", &mine, sizeof mine, (void **)&all));
    *out = (alone_times){all[0], all[0]};
    for (int r = 1; r < dt_world_size(world); r++)
        if (!(all[r] <= out->most)) out->most = all[r];
    free(all);
    return DT_OK;
}

dt_status dt_bench_ranks(dt_settings *settings, dt_world *world, dt_log *log)
{
    double mine = NAN;
    alone_times alone;
    together t = {.settings = settings, .world = world, .ranks = dt_world_size(world)};
    DT_TRY(run_together(&t, log));
    DT_TRY(dt_ranks_join(world, "one rank by itself", time_alone(&t, &mine)));
    DT_TRY(gather_alone(world, mine, &alone));
    if (dt_ranks_leads(world)) print(&t, &alone);
    return DT_OK;
}
