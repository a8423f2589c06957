/* The learning-rate schedules: one table of curves, the warmup before them, epochs to steps. */
#include "train/schedule.h"

#include <math.h>

#include "data/data.h"

static double constant(double at) { return 1; }
static double linear(double at) { return 1 - at; }
static double cosine(double at) { return 0.5 * (1 + cos(M_PI * at)); }

const char *const dt_warmup_names[] = {"linear", "eased", NULL};
const char *const dt_schedule_begin_names[] = {"warmup", "start", NULL};
enum { CONSTANT, LINEAR, COSINE, SCHEDULES };
const char *const dt_schedule_names[] = {
    [CONSTANT] = "constant", [LINEAR] = "linear", [COSINE] = "cosine", [SCHEDULES] = NULL};
static const dt_schedule_curve curves[SCHEDULES] = {[CONSTANT] = constant, [LINEAR] = linear, [COSINE] = cosine};

static double warmup_share(const dt_schedule *s, int64_t step)
{
    if (step >= s->warmup) return 1;
    if (!s->eased) return s->warmup > 1 ? (double)step / (double)(s->warmup - 1) : 0;
    double left = 1 - (double)step / (double)s->warmup;
    return 1 - left * left;
}

double dt_schedule_lr(const dt_schedule *s, int64_t step)
{
    double most = s->lr * warmup_share(s, step);
    int64_t from = s->from_start ? 0 : s->warmup;
    if (step < from) return most;
    double at = (double)(step - from) / (double)(s->steps - from);
    return fmin(most, s->min_lr + (s->lr - s->min_lr) * s->curve(at));
}

double dt_schedule_epoch(const dt_schedule *s, int64_t samples) { return (double)samples / (double)s->epoch_samples; }

int64_t dt_schedule_steps(const dt_schedule *s, double epochs)
{
    /* The small term keeps 0.1 epochs of 10 steps from becoming 0.99999 steps. */
    int64_t steps = (int64_t)floor(epochs * (double)s->epoch_samples / (double)s->batch + 1e-6);
    return steps > 0 || epochs == 0 ? steps : 1;
}

int64_t dt_schedule_length(const dt_settings *settings, const dt_schedule *s, const char *steps_path,
                           const char *epochs_path)
{
    if (dt_setting_has(settings, steps_path)) return dt_setting_int(settings, steps_path);
    return dt_schedule_steps(s, dt_setting_real(settings, epochs_path));
}

static dt_status read_steps(const dt_settings *settings, dt_schedule *s)
{
    if (!dt_setting_has(settings, "train.steps") && !dt_setting_has(settings, "train.epochs"))
        return dt_fail(DT_ERR_USAGE, "say how long: neither train.steps nor train.epochs is set");
    s->steps = dt_schedule_length(settings, s, "train.steps", "train.epochs");
    return DT_OK;
}

dt_status dt_schedule_create(const dt_settings *settings, int64_t samples, dt_schedule *out)
{
    dt_schedule s = {.batch = dt_setting_int(settings, "data.batch"),
                     .lr = dt_setting_real(settings, "optim.lr"),
                     .curve = curves[dt_setting_choice(settings, "schedule.kind")]};
    if (s.curve != constant) s.min_lr = dt_setting_real(settings, "schedule.min_lr");
    if (s.min_lr > s.lr)
        return dt_setting_fail(settings, "schedule.min_lr", "%g at the end is above the peak, optim.lr, of %g",
                               s.min_lr, s.lr);
    DT_TRY(dt_epoch_positions(settings, samples, &s.epoch_samples));
    DT_TRY(read_steps(settings, &s));
    s.warmup = dt_schedule_length(settings, &s, "schedule.warmup_steps", "schedule.warmup_epochs");
    /* What is not read is inactive: without a warmup it has no curve, and nothing lies before its end. */
    if (s.warmup) s.eased = dt_setting_choice(settings, "schedule.warmup_kind") == 1;
    if (s.warmup && s.curve != constant) s.from_start = dt_setting_choice(settings, "schedule.begin") == 1;
    *out = s;
    return DT_OK;
}
