/* Reads the settings of the loop, all at its beginning: a setting that nobody has read by then is inactive. */
#include "train/policy.h"

#include <string.h>

static dt_status read_best_metric(const dt_settings *settings, dt_policy *p)
{
    p->best_metric = dt_setting_text(settings, "checkpoint.best_metric");
    if (strncmp(p->best_metric, "eval_ema.", 9) != 0 || dt_setting_real(settings, "train.ema") > 0) return DT_OK;
    return dt_setting_fail(settings, "checkpoint.best_metric", "%s is of averaged weights, and there are none: set "
                           "train.ema", p->best_metric);
}

static void read_checkpoints(const dt_settings *settings, dt_policy *p)
{
    p->save_every = dt_setting_int(settings, "checkpoint.every_steps");
    p->save_at_end = dt_setting_bool(settings, "checkpoint.at_end");
    p->keep = (int)dt_setting_int(settings, "checkpoint.keep");
    p->compress = dt_setting_bool(settings, "checkpoint.compress");
    p->file_bytes = (int64_t)(dt_setting_real(settings, "checkpoint.file_gib") * (1 << 30));
    p->go_on_unsaved = !strcmp(dt_setting_text(settings, "checkpoint.on_error"), "continue");
}

static void read_evaluations(const dt_settings *settings, const dt_schedule *schedule, dt_policy *p)
{
    p->eval_at_end = dt_setting_bool(settings, "eval.at_end");
    p->eval_every = dt_schedule_length(settings, schedule, "eval.every_steps", "eval.every_epochs");
}

dt_status dt_policy_read(const dt_settings *settings, const dt_schedule *schedule, bool alone, dt_policy *out)
{
    *out = (dt_policy){.log_every = dt_setting_int(settings, "log.every_steps"),
                       .on_nonfinite = (dt_nonfinite)dt_setting_choice(settings, "train.on_nonfinite"),
                       .check_every_tensor = dt_setting_bool(settings, "debug.nonfinite")};
    if (out->on_nonfinite == DT_NONFINITE_ROLLBACK)
        out->rollback_limit = dt_setting_int(settings, "train.rollback_limit");
    if (out->on_nonfinite == DT_NONFINITE_SKIP) out->skip_limit = dt_setting_int(settings, "train.skip_limit");
    if (!alone) {
        out->compare_every = dt_setting_int(settings, "log.ranks_every_steps");
        out->check_ranks_every = dt_setting_int(settings, "debug.check_ranks_every_steps");
    }
    read_evaluations(settings, schedule, out);
    read_checkpoints(settings, out);
    return read_best_metric(settings, out);
}
