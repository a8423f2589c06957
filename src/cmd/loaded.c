/* From a word to weights in memory, by way of the manifest's own settings. */
#include "cmd/loaded.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cmd/table.h"
#include "train/checkpoint_manifest.h"
#include "train/ranks.h"
#include "train/weight_set.h"

static bool has(const char *folder, const char *name)
{
    dt_text path = {0};
    dt_text_add(&path, "%s/%s", folder, name);
    bool found = !path.failed && dt_file_exists(path.data);
    dt_text_free(&path);
    return found;
}

/* What `word` names: `*run` becomes the folder of a run's checkpoints, freed with free(), or stays NULL where it is a
 * checkpoint itself. */
static dt_status look_at(const char *word, char **run)
{
    if (!dt_file_exists(word)) return dt_fail(DT_ERR_USAGE, "there is no run or checkpoint '%s'", word);
    if (has(word, "manifest.json")) return DT_OK;
    if (has(word, "checkpoints")) return dt_path_join(word, "checkpoints", run);
    return dt_fail(DT_ERR_USAGE, "'%s' is neither a run nor a checkpoint: it has no 'checkpoints' and no "
                   "'manifest.json'", word);
}

/* The checkpoint that it is, or the newest valid one of the run, verified once for all that follows: what a run that
 * goes on puts in its place until its weights are read is whole, too. */
static dt_status find(const char *word, const char *run, dt_world *world, dt_loaded *loaded)
{
    if (run) return dt_checkpoint_find(run, world, loaded->log, &loaded->path, &loaded->manifest);
    loaded->path = strdup(word);
    if (!loaded->path) return dt_fail_memory(strlen(word) + 1, "a path");
    return dt_checkpoint_verify(word, world, &loaded->manifest);
}

static dt_weights_options weights_options(const dt_loaded *loaded, dt_world *world)
{
    return (dt_weights_options){.use_ema = loaded->averaged, .manifest = loaded->manifest, .world = world};
}

/* Finds it and opens its weights: what is open can be read, though a run that trains may remove it from now on. `*gone`
 * where it did so on the way. */
static dt_status find_and_open(const char *word, const char *run, dt_world *world, dt_loaded *loaded, bool *gone)
{
    *gone = false;
    dt_status status = find(word, run, world, loaded);
    const dt_weights_options options = weights_options(loaded, world);
    if (!status) {
        status = dt_weights_open(loaded->path, &options, loaded->log, &loaded->files);
        status = dt_ranks_join(world, "opening weights", status);
    }
    if (!status || !loaded->path) return status;
    DT_TRY(dt_checkpoint_gone(loaded->path, world, gone));
    if (!*gone) return status;
    return dt_fail_in(status, "the checkpoint '%s' was removed while it was read, as a run that trains does unless it "
                      "keeps more (checkpoint.keep)", loaded->path);
}

static void forget_checkpoint(dt_loaded *loaded)
{
    dt_weight_set_close(loaded->files);
    json_decref(loaded->manifest);
    free(loaded->path);
    loaded->files = NULL;
    loaded->manifest = NULL;
    loaded->path = NULL;
}

/* A run that has removed one has a newer one. */
static dt_status find_until_open(const char *word, const char *run, dt_world *world, dt_loaded *loaded)
{
    enum { TRIES = 10 };
    bool gone;
    dt_status status = find_and_open(word, run, world, loaded, &gone);
    for (int i = 1; i < TRIES && run && gone; i++) {
        forget_checkpoint(loaded);
        status = find_and_open(word, run, world, loaded, &gone);
    }
    return status;
}

static dt_status load_settings(const dt_arguments *args, dt_loaded *loaded)
{
    const char *yaml;
    dt_text name = {0};
    dt_text_add(&name, "%s/manifest.json, settings", loaded->path);
    dt_status status = dt_text_status(&name);
    if (!status) status = dt_json_text(loaded->manifest, "settings", loaded->path, &yaml);
    if (!status) status = dt_manifest_progress(loaded->manifest, loaded->path, &loaded->progress);
    if (!status) status = dt_table_parse(args, yaml, name.data, &loaded->settings);
    dt_text_free(&name);
    return status;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static dt_status find_together(const dt_arguments *args, dt_world *world, dt_loaded *loaded)
{
    const char *word = args->words[0];
    char *run = NULL;
    dt_status status = dt_ranks_join(world, "finding a checkpoint", look_at(word, &run));
    if (!status) status = dt_ranks_share_text(world, "the folder of checkpoints", &run);
    if (!status) status = find_until_open(word, run, world, loaded);
    if (!status) status = dt_ranks_join(world, "settings of a checkpoint", load_settings(args, loaded));
    free(run);
    return status;
}

/* Of options.sequences, no more are made than the settings say. */
static dt_status open_loaded(const dt_arguments *args, dt_session_options options, dt_loaded *loaded)
{
    loaded->averaged = dt_arguments_has(args, "--ema");
    if (!loaded->log) DT_TRY(dt_arguments_log(args, &loaded->log));
    DT_TRY(find_together(args, options.world, loaded));
    if (options.sequences)
        options.sequences = least(options.sequences, dt_setting_int(loaded->settings, "generate.batch"));
    options.eval_only = true;
    options.eval_ema = loaded->averaged;
    dt_status status = dt_session_create(loaded->settings, &options, loaded->log, &loaded->session);
    DT_TRY(dt_ranks_join(options.world, "the session", status));
    const dt_weights_options weights = weights_options(loaded, options.world);
    status = dt_weights_fill(loaded->files, dt_session_store(loaded->session), &weights, loaded->log);
    dt_weight_set_close(loaded->files);
    loaded->files = NULL;
    return dt_ranks_join(options.world, "the weights", status);
}

static dt_status open_or_close(const dt_arguments *args, dt_session_options options, dt_log *log, dt_loaded *out)
{
    *out = (dt_loaded){.log = log, .lent = log != NULL};
    dt_status status = open_loaded(args, options, out);
    if (status) dt_loaded_close(out);
    return status;
}

dt_status dt_loaded_open(const dt_arguments *args, dt_world *world, dt_log *log, dt_loaded *out)
{
    return open_or_close(args, (dt_session_options){.world = world}, log, out);
}

dt_status dt_loaded_open_texts(const dt_arguments *args, int64_t texts, dt_loaded *out)
{
    return open_or_close(args, (dt_session_options){.sequences = texts}, NULL, out);
}

dt_status dt_loaded_open_scores(const dt_arguments *args, dt_loaded *out)
{
    return open_or_close(args, (dt_session_options){.scores = true}, NULL, out);
}

dt_status dt_loaded_open_weights(const dt_arguments *args, dt_loaded *out)
{
    return open_or_close(args, (dt_session_options){.weights_only = true}, NULL, out);
}

void dt_loaded_close(dt_loaded *loaded)
{
    dt_session_free(loaded->session);
    dt_settings_free(loaded->settings);
    if (!loaded->lent) dt_log_free(loaded->log);
    forget_checkpoint(loaded);
    *loaded = (dt_loaded){0};
}
