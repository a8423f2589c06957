/* The learning-rate schedules: one table of curves, the warmup before them, epochs to steps. */
#include "train/schedule.h"

#include <math.h>

static double constant(double at) { return 1; }
static double linear(double at) { return 1 - at; }
static double cosine(double at) { return 0.5 * (1 + cos(M_PI * at)); }

enum { CONSTANT, LINEAR, COSINE, SCHEDULES };
const char *const dt_schedule_names[] = {
    [CONSTANT] = "constant", [LINEAR] = "linear", [COSINE] = "cosine", [SCHEDULES] = NULL};
static const dt_schedule_curve curves[SCHEDULES] = {[CONSTANT] = constant, [LINEAR] = linear, [COSINE] = cosine};

double dt_schedule_lr(const dt_schedule *s, int64_t step)
{
    if (step < s->warmup) return s->warmup > 1 ? s->lr * (double)step / (double)(s->warmup - 1) : 0;
    double at = (double)(step - s->warmup) / (double)(s->steps - s->warmup);
    return s->min_lr + (s->lr - s->min_lr) * s->curve(at);
}

double dt_schedule_epoch(const dt_schedule *s, int64_t samples) { return (double)samples / (double)s->epoch_samples; }

int64_t dt_schedule_steps(const dt_schedule *s, double epochs)
{
    /* The small term keeps 0.1 epochs of 10 steps from becoming 0.99999 steps. */
    int64_t steps = (int64_t)floor(epochs * (double)s->epoch_samples / (double)s->batch + 1e-6);
    return steps > 0 || epochs == 0 ? steps : 1;
}

/* `steps_path` and `epochs_path` say the same thing in two units: at most one of them is not 0. */
static dt_status read_length(const dt_settings *settings, const dt_schedule *s, const char *steps_path,
                             const char *epochs_path, int64_t *out)
{
    int64_t steps = dt_setting_int(settings, steps_path);
    double epochs = dt_setting_real(settings, epochs_path);
    if (steps && epochs != 0)
        return dt_setting_fail(settings, steps_path, "%s is set too, to %g: set one of the two to 0", epochs_path,
                               epochs);
    *out = steps ? steps : dt_schedule_steps(s, epochs);
    return DT_OK;
}

static dt_status read_epoch(const dt_settings *settings, int64_t samples, dt_schedule *s)
{
    s->batch = dt_setting_int(settings, "data.batch");
    int64_t surplus = samples % s->batch;
    s->epoch_samples = samples - surplus;
    if (surplus && !dt_setting_bool(settings, "data.drop_last")) s->epoch_samples += s->batch;
    if (s->epoch_samples > 0) return DT_OK;
    return dt_setting_fail(settings, "data.batch", "a batch of %lld is larger than the training set of %lld samples",
                           (long long)s->batch, (long long)samples);
}

static dt_status check_warmup(const dt_settings *settings, const dt_schedule *s)
{
    bool in_steps = dt_setting_int(settings, "schedule.warmup_steps") > 0;
    if (s->warmup <= s->steps) return DT_OK;
    return dt_setting_fail(settings, in_steps ? "schedule.warmup_steps" : "schedule.warmup_epochs",
                           "a warmup of %lld steps is longer than the whole run of %lld", (long long)s->warmup,
                           (long long)s->steps);
}

dt_status dt_schedule_create(const dt_settings *settings, int64_t samples, dt_schedule *out)
{
    dt_schedule s = {.lr = dt_setting_real(settings, "optim.lr"),
                     .curve = curves[dt_setting_choice(settings, "schedule.kind")]};
    if (s.curve != constant) s.min_lr = dt_setting_real(settings, "schedule.min_lr");
    DT_TRY(read_epoch(settings, samples, &s));
    DT_TRY(read_length(settings, &s, "train.steps", "train.epochs", &s.steps));
    DT_TRY(read_length(settings, &s, "schedule.warmup_steps", "schedule.warmup_epochs", &s.warmup));
    if (s.steps == 0) return dt_setting_fail(settings, "train.steps", "say how long: train.steps or train.epochs");
    *out = s;
    return check_warmup(settings, &s);
}
