/* From a word to weights in memory, by way of the manifest's own settings. */
#include "cmd/loaded.h"

#include "base/file.h"
#include "cmd/table.h"
#include "train/checkpoint_manifest.h"
#include "train/ranks.h"
#include "train/weight_set.h"

static dt_status look_at(const char *word, dt_weights_place *place)
{
    bool exists;
    DT_TRY(dt_file_look(word, &exists));
    if (!exists) return dt_fail(DT_ERR_USAGE, "there is no run or checkpoint '%s'", word);
    DT_TRY(dt_weights_look(word, place));
    if (*place == DT_WEIGHTS_CHECKPOINT || *place == DT_WEIGHTS_RUN) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "'%s' is neither a run nor a checkpoint: it has no 'checkpoints' and no "
                   "'manifest.json'", word);
}

static dt_status load_settings(const dt_arguments *args, dt_loaded *loaded)
{
    const char *yaml;
    dt_text name = {0};
    dt_text_add(&name, "%s/manifest.json, settings", loaded->weights.checkpoint);
    dt_status status = dt_text_status(&name);
    if (!status) status = dt_json_text(loaded->weights.manifest, "settings", loaded->weights.checkpoint, &yaml);
    if (!status) status = dt_manifest_progress(loaded->weights.manifest, loaded->weights.checkpoint, &loaded->progress);
    if (!status) status = dt_table_parse(args, yaml, name.data, &loaded->settings);
    dt_text_free(&name);
    return status;
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The weights are open before the session is made: a run that trains may remove the checkpoint from now on. */
static dt_status find_together(const dt_arguments *args, dt_world *world, dt_loaded *loaded)
{
    const char *word = args->words[0];
    dt_weights_options options = {.use_ema = loaded->averaged, .world = world};
    DT_TRY(dt_ranks_join(world, "finding a checkpoint", look_at(word, &options.place)));
    DT_TRY(dt_weights_open(word, &options, loaded->log, &loaded->weights));
    return dt_ranks_join(world, "settings of a checkpoint", load_settings(args, loaded));
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
    const dt_weights_options weights = {.use_ema = loaded->averaged, .world = options.world};
    status = dt_weights_fill(&loaded->weights, dt_session_store(loaded->session), &weights, loaded->log);
    dt_weight_set_close(loaded->weights.files);
    loaded->weights.files = NULL;
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
    dt_weights_close(&loaded->weights);
    *loaded = (dt_loaded){0};
}
