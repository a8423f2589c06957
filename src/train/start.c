/* Where a run begins: with new weights, with those of init.from, or where a checkpoint left off. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/changes.h"
#include "train/checkpoint_folder.h"
#include "train/trainer.h"

/* Where there is no head, nothing reads the setting. */
static bool may_have_new_head(const dt_trainer *t)
{
    return dt_model_head(t->session->model) && dt_setting_bool(t->settings, "init.new_head");
}

bool dt_trainer_draws(const dt_trainer *t)
{
    return !dt_setting_has(t->settings, "init.from") || may_have_new_head(t);
}

static dt_status start_new(dt_trainer *t)
{
    dt_store *store = t->session->store;
    t->progress = (dt_progress){.best = NAN};
    DT_TRY(dt_store_initialise(store, (uint64_t)dt_setting_int(t->settings, "seed")));
    if (!dt_setting_has(t->settings, "init.from")) return DT_OK;
    dt_weights_options options = {.new_head = may_have_new_head(t),
                                  .head_prefix = dt_model_head(t->session->model),
                                  .world = t->world};
    dt_status status = dt_weights_load(dt_setting_text(t->settings, "init.from"), store, &options, t->log);
    return status ? dt_fail_in(status, "init.from") : DT_OK;
}

/* --- resuming --- */

/* An algorithm's bytes mean the same to the same library on the same GPU only. */
static bool same_machine(const json_t *a, const json_t *b)
{
    static const char *const keys[] = {"dyttrain", "device", "gpu", "libraries"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (!json_equal(json_object_get(a, keys[i]), json_object_get(b, keys[i]))) return false;
    return true;
}

/* Does an entry of the record say another thing than then, so that bits may differ? Older ones do not tell of ranks. */
static bool is_other(const char *key, const json_t *now, const json_t *then)
{
    if (!strcmp(key, "threads") || !strcmp(key, "products")) return false;
    return !json_equal(now, then) && (then || strcmp(key, "rank_count") != 0);
}

/* The settings may be those of before, and the files others. Older records do not tell. */
static void compare_samples(const dt_trainer *t, const json_t *before)
{
    long long now = dt_dataset_info(t->data)->count, then = json_integer_value(json_object_get(before, "samples"));
    if (then && now != then)
        dt_log_warn(t->log, "the training set has %lld samples, and had %lld at the checkpoint: the order of samples "
                    "and what is counted in epochs are others", now, then);
}

/* Same settings and same numerics give the same bits. The algorithms of products are taken up; of the rest, what
 * differs is named. */
static dt_status take_up_numerics(const dt_trainer *t, const json_t *before)
{
    json_t *now = dt_session_numerics(t->session), *value;
    const char *key;
    dt_status status = DT_OK;
    if (same_machine(now, before))
        status = dt_choices_recall(dt_device_choices(t->session->device), json_object_get(before, "products"));
    json_object_foreach(now, key, value)
        if (is_other(key, value, json_object_get(before, key)))
            dt_log_warn(t->log, "%s is not that of the checkpoint: the last bits may differ", key);
    compare_samples(t, before);
    json_decref(now);
    return status;
}

/* The best value so far is one of the metric that was set then. */
static void forget_other_best(dt_trainer *t, const char *before)
{
    if (!isfinite(t->progress.best) || dt_settings_agree(before, t->yaml.data, "checkpoint.best_metric")) return;
    dt_log_warn(t->log, "checkpoint.best_metric is another than that of the checkpoint: the best value so far, %.6g at "
                "step %lld, does not count", t->progress.best, (long long)t->progress.best_step);
    t->progress.best = NAN;
    t->progress.best_step = 0;
}

/* Tokens of another tokenizer would pass for the run's. */
static dt_status check_tokens(const dt_trainer *t, const char *before)
{
    static const char path[] = "data.token_hash";
    const char *now = t->yaml.data;
    bool told = !dt_settings_agree(before, "", path) && !dt_settings_agree(now, "", path);
    if (!told || dt_settings_agree(before, now, path)) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "cannot resume with tokens of another tokenizer than the checkpoint's "
                   "(data.token_hash)");
}

static dt_status load_with_changes(dt_trainer *t, const char *path, const json_t *manifest, const char *before,
                                   const char *changes)
{
    DT_TRY(check_tokens(t, before));
    dt_status status = dt_checkpoint_load(path, manifest, t->world, t->session->store, &t->progress);
    if (status == DT_ERR_DATA && changes)
        return dt_fail_in(DT_ERR_USAGE, "cannot resume with other settings than those of the checkpoint (%s)", changes);
    if (status) return status;
    if (changes) dt_log_warn(t->log, "settings changed since the checkpoint: %s", changes);
    forget_other_best(t, before);
    return DT_OK;
}

dt_status dt_trainer_load(dt_trainer *t, const char *path, const json_t *manifest)
{
    const char *before;
    dt_text changes = {0};
    dt_status status = dt_json_text(manifest, "settings", path, &before);
    if (!status) dt_settings_changes(before, t->yaml.data, t->settings, &changes);
    if (!status) status = dt_text_status(&changes);
    if (!status) status = load_with_changes(t, path, manifest, before, changes.data);
    if (!status) status = take_up_numerics(t, json_object_get(manifest, "numerics"));
    dt_text_free(&changes);
    return status;
}

static dt_status load_checkpoint(dt_trainer *t, const char *path, const json_t *manifest)
{
    DT_TRY(dt_trainer_load(t, path, manifest));
    long long step = t->progress.step, steps = t->schedule.steps;
    if (step > steps)
        return dt_fail(DT_ERR_USAGE, "the checkpoint '%s' is of step %lld, this run is to have %lld: there is nothing "
                       "to resume (train.steps, train.epochs)", path, step, steps);
    t->saved_step = t->progress.step;
    dt_log_info(t->log, "resuming from %s: step %lld of %lld, sample %lld", path, step, steps,
                (long long)t->progress.samples);
    return DT_OK;
}

dt_status dt_trainer_find(dt_trainer *t, char **path, json_t **manifest)
{
    dt_status status = dt_checkpoint_find(dt_run_folder_checkpoints(t->folder), t->world, t->log, path, manifest);
    if (status != DT_ERR_DATA) return dt_trainer_share(t, status);
    dt_error_clear(); /* there is none */
    return DT_OK;
}

static void clean(const dt_trainer *t)
{
    if (dt_ranks_leads(t->world) && dt_step_clean(dt_run_folder_checkpoints(t->folder)))
        dt_log_warn(t->log, "what a killed save left stays there: %s", dt_error_message());
}

/* A run that was killed before its first checkpoint resumes at its beginning; one whose checkpoints are all damaged
 * does not. */
static dt_status resume(dt_trainer *t)
{
    char *path;
    json_t *manifest;
    clean(t);
    DT_TRY(dt_trainer_find(t, &path, &manifest));
    if (!path) {
        dt_log_info(t->log, "no checkpoint yet: starting at step 0");
        return start_new(t);
    }
    dt_status status = load_checkpoint(t, path, manifest);
    json_decref(manifest);
    free(path);
    return status;
}

dt_status dt_trainer_start(dt_trainer *t)
{
    return t->options->resume && t->folder ? resume(t) : start_new(t);
}
