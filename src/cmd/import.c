/* dyttrain import: published weights become a run folder that eval, inspect and init.from take. */
#include <math.h>
#include <stdio.h>

#include "base/file.h"
#include "base/text.h"
#include "cmd/command.h"
#include "cmd/table.h"
#include "train/train.h"

/* OUT/config.yaml and OUT/checkpoints/step-00000000. */
static dt_status write_run(const dt_session *session, const dt_settings *settings, const char *out)
{
    dt_status status;
    dt_text yaml = {0}, config = {0}, folder = {0};
    json_t *numerics = dt_session_numerics(session);
    dt_settings_print(settings, &yaml);
    dt_text_add(&config, "%s/config.yaml", out);
    dt_text_add(&folder, "%s/checkpoints", out);
    DT_TRY_GOTO(dt_text_status(&yaml), done);
    DT_TRY_GOTO(dt_text_status(&config), done);
    DT_TRY_GOTO(dt_text_status(&folder), done);
    DT_TRY_GOTO(dt_folder_make(folder.data), done);
    DT_TRY_GOTO(dt_file_replace(config.data, yaml.data, yaml.length), done);
    dt_progress start = {.best = NAN};
    dt_checkpoint_options options = {.folder = folder.data, .file_bytes = INT64_MAX};
    status = dt_checkpoint_save(dt_session_store(session), &start, yaml.data, numerics, &options, NULL);
done:
    json_decref(numerics);
    dt_text_free(&folder);
    dt_text_free(&config);
    dt_text_free(&yaml);
    return status;
}

static dt_status import_weights(const dt_arguments *args)
{
    const char *from = args->words[0], *config = args->words[1], *out = args->words[2];
    dt_status status;
    dt_log *log = NULL;
    dt_settings *settings = NULL;
    dt_session *session = NULL;
    if (!*out) return dt_fail(DT_ERR_USAGE, "OUT is empty: it names the run folder to make");
    if (dt_file_exists(out)) return dt_fail(DT_ERR_USAGE, "'%s' exists: remove it or choose another name", out);
    DT_TRY_GOTO(dt_arguments_log(args, &log), done);
    DT_TRY_GOTO(dt_table_load(args, config, &settings), done);
    if (dt_arguments_has(args, "--print-config")) {
        DT_TRY_GOTO(dt_table_print_config(settings, log), done);
        goto done;
    }
    DT_TRY_GOTO(dt_session_create(settings, &(dt_session_options){.eval_only = true}, log, &session), done);
    dt_store *store = dt_session_store(session);
    DT_TRY_GOTO(dt_weights_load(from, store, &(dt_weights_options){0}, log), done);
    status = write_run(session, settings, out);
    if (status) {
        status = dt_folder_discard(out, status); /* half a run is none */
        goto done;
    }
    printf("%s: %d tensors from %s; see 'dyttrain inspect %s', or train from it with init.from=%s\n", out,
           dt_store_params(store), from, out, out);
done:
    dt_session_free(session);
    dt_settings_free(settings);
    dt_log_free(log);
    return status;
}

const dt_command dt_command_import = {
    .name = "import",
    .usage = "import FILE.safetensors CONFIG.yaml OUT [path=value ...]",
    .summary = "make a run folder of published weights (safetensors)",
    .help = "Reads weights under their published names (timm's for ViT) into the model that the config describes, and\n"
            "writes the run folder OUT with one checkpoint of step 0, for eval, inspect, export and init.from. Names\n"
            "or shapes that differ are an error that lists them.",
    .settings = true,
    .least_words = 3,
    .most_words = 3,
    .run = import_weights,
};
