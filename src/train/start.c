/* Where a run begins: with new weights, with those of init.from, or where a checkpoint left off. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "train/changes.h"
#include "train/trainer.h"

static dt_status start_new(dt_trainer *t)
{
    dt_store *store = t->session->store;
    t->progress = (dt_progress){.best = NAN};
    DT_TRY(dt_store_initialise(store, (uint64_t)dt_setting_int(t->settings, "seed")));
    if (!dt_setting_has(t->settings, "init.from")) return DT_OK;
    dt_weights_options options = {.new_head = dt_setting_bool(t->settings, "init.new_head"), .head_prefix = "head."};
    return dt_weights_load(dt_setting_text(t->settings, "init.from"), store, &options, t->log);
}

/* Same settings and same numerics give the same bits; everything else is named. */
static dt_status warn_of_changes(const dt_trainer *t, const char *path, const json_t *numerics)
{
    json_t *manifest = NULL;
    dt_text changes = {0};
    DT_TRY(dt_checkpoint_manifest(path, &manifest));
    json_t *now = dt_session_numerics(t->session);
    const char *before = json_string_value(json_object_get(manifest, "settings"));
    if (before) dt_settings_changes(before, t->yaml.data, &changes);
    if (changes.length) dt_log_warn(t->log, "settings changed since the checkpoint: %s", changes.data);
    const char *key;
    json_t *value;
    json_object_foreach(now, key, value)
        if (strcmp(key, "threads") && !json_equal(value, json_object_get(numerics, key)))
            dt_log_warn(t->log, "%s is not that of the checkpoint: the last bits may differ", key);
    json_decref(now);
    json_decref(manifest);
    dt_text_free(&changes);
    return DT_OK;
}

static dt_status load_checkpoint(dt_trainer *t, const char *path)
{
    json_t *numerics = NULL;
    DT_TRY(dt_checkpoint_load(path, t->session->store, &t->progress, &numerics));
    dt_status status = warn_of_changes(t, path, numerics);
    json_decref(numerics);
    if (status) return status;
    t->saved_step = t->progress.step;
    dt_log_info(t->log, "resuming from %s: step %lld of %lld, sample %lld", path, (long long)t->progress.step,
                (long long)t->schedule.steps, (long long)t->progress.samples);
    return DT_OK;
}

/* A run that was killed before its first checkpoint resumes at its beginning; one whose checkpoints are all damaged
 * does not. */
static dt_status resume(dt_trainer *t)
{
    char *path = NULL;
    dt_status status = dt_checkpoint_find(dt_run_folder_checkpoints(t->folder), t->log, &path);
    if (status == DT_ERR_DATA) {
        dt_log_info(t->log, "no checkpoint yet: starting at step 0");
        dt_error_clear();
        return start_new(t);
    }
    if (status) return status;
    status = load_checkpoint(t, path);
    free(path);
    return status;
}

dt_status dt_trainer_start(dt_trainer *t)
{
    return t->options->resume && t->folder ? resume(t) : start_new(t);
}
