/* dyttrain import: published weights become a run folder that eval, inspect and init.from take. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "cmd/command.h"
#include "cmd/form.h"
#include "cmd/table.h"
#include "data/tokenizer.h"
#include "train/hf_folder.h"
#include "train/train.h"

/* OUT/config.yaml and OUT/checkpoints/step-00000000. */
static dt_status write_run(const dt_session *session, const char *yaml, const char *out)
{
    dt_status status;
    dt_text config = {0}, folder = {0};
    json_t *numerics = dt_session_numerics(session);
    dt_text_add(&config, "%s/config.yaml", out);
    dt_text_add(&folder, "%s/checkpoints", out);
    DT_TRY_GOTO(dt_text_status(&config), done);
    DT_TRY_GOTO(dt_text_status(&folder), done);
    DT_TRY_GOTO(dt_folder_make(folder.data), done);
    DT_TRY_GOTO(dt_file_replace(config.data, yaml, strlen(yaml)), done);
    dt_progress start = {.best = NAN};
    dt_checkpoint_options options = {.folder = folder.data, .file_bytes = INT64_MAX};
    status = dt_checkpoint_save(dt_session_store(session), &start, yaml, numerics, &options, NULL);
done:
    json_decref(numerics);
    dt_text_free(&folder);
    dt_text_free(&config);
    return status;
}

/* From a file of weights and a config, or from a folder of transformers, which has both. */
static dt_status load_settings(const dt_arguments *args, dt_settings **out)
{
    dt_text yaml = {0}, name = {0};
    if (!dt_form_is_hf(args)) return dt_table_load(args, args->words[1], out);
    dt_status status = dt_hf_folder_settings(args->words[0], &yaml);
    if (!status) dt_text_add(&name, "settings from '%s/config.json'", args->words[0]);
    if (!status) status = dt_text_status(&name);
    if (!status) status = dt_table_parse(args, yaml.data, name.data, out);
    dt_text_free(&name);
    dt_text_free(&yaml);
    return status;
}

/* A copy in OUT/tokenizer, for generate and eval --tasks. The model is imported without one, too. */
static dt_status keep_tokenizer(const char *from, const char *out, dt_log *log)
{
    dt_tokenizer *tokenizer;
    if (dt_tokenizer_open(from, &tokenizer)) {
        dt_log_info(log, "no tokenizer is kept with the model: %s", dt_error_message());
        dt_error_clear();
        return DT_OK;
    }
    dt_tokenizer_close(tokenizer);
    return dt_tokenizer_copy(from, out);
}

static dt_status import_from(const dt_arguments *args, dt_settings *settings, dt_log *log, const char *out)
{
    dt_status status;
    dt_text yaml = {0};
    dt_session *session = NULL;
    const char *from = args->words[0];
    bool hf = dt_form_is_hf(args);
    const dt_weights_options weights = {.place = hf ? DT_WEIGHTS_FOLDER : DT_WEIGHTS_ANYWHERE,
                                        .unread = hf ? dt_hf_unread : NULL,
                                        .twins = hf ? dt_hf_twins : NULL};
    const dt_session_options options = {.eval_only = true, .weights_only = true};
    /* As a base of other configs it lacks what follows from settings that they change: the model's context, say. */
    if (hf) dt_settings_print(settings, &yaml);
    DT_TRY_GOTO(dt_session_create(settings, &options, log, &session), done);
    if (!hf) dt_settings_print(settings, &yaml);
    DT_TRY_GOTO(dt_text_status(&yaml), done);
    dt_store *store = dt_session_store(session);
    DT_TRY_GOTO(dt_weights_load(from, store, &weights, log), done);
    status = write_run(session, yaml.data, out);
    if (!status && hf) status = keep_tokenizer(from, out, log);
    if (status) {
        status = dt_folder_discard(out, status); /* half a run is none */
        goto done;
    }
    printf("%s: %d tensors from %s; see 'dyttrain inspect %s', or train from it with init.from=%s\n", out,
           dt_store_params(store), from, out, out);
done:
    dt_session_free(session);
    dt_text_free(&yaml);
    return status;
}

static dt_status import_weights(const dt_arguments *args)
{
    const char *out = args->words[args->word_count - 1];
    dt_status status;
    dt_log *log = NULL;
    dt_settings *settings = NULL;
    if (args->word_count != (dt_form_is_hf(args) ? 2 : 3))
        return dt_fail(DT_ERR_USAGE, "import takes %s; usage: dyttrain %s", dt_form_is_hf(args)
                       ? "a folder and OUT with --format hf" : "a file, a config and OUT", args->command->usage);
    if (!*out) return dt_fail(DT_ERR_USAGE, "OUT is empty: it names the run folder to make");
    if (dt_file_exists(out)) return dt_fail(DT_ERR_USAGE, "'%s' exists: remove it or choose another name", out);
    DT_TRY_GOTO(dt_arguments_log(args, &log), done);
    DT_TRY_GOTO(load_settings(args, &settings), done);
    status = dt_arguments_has(args, "--print-config") ? dt_table_print_config(settings, log)
                                                      : import_from(args, settings, log, out);
done:
    dt_settings_free(settings);
    dt_log_free(log);
    return status;
}

static const dt_option options[] = {DT_FORM_OPTION, {0}};

const dt_command dt_command_import = {
    .name = "import",
    .usage = "import FILE.safetensors CONFIG.yaml OUT [path=value ...], or import --format hf FOLDER OUT [...]",
    .summary = "make a run folder of published weights (safetensors, or a folder of transformers)",
    .help = "Reads weights under their published names (timm's for ViT) into the model that the config describes, and\n"
            "writes the run folder OUT with one checkpoint of step 0, for eval, inspect, export and init.from. Names\n"
            "or shapes that differ are an error that lists them.\n\n"
            "With --format hf, FOLDER is a LLaMA as Hugging Face's transformers has it, config.json and safetensors,\n"
            "or what export --format hf wrote. OUT/config.yaml then describes the model, for a config that has it as\n"
            "its base: and sets data.* and init.from; OUT/tokenizer is a copy of FOLDER's tokenizer where that can be\n"
            "read. What this program would compute otherwise is refused by name.",
    .options = options,
    .settings = true,
    .least_words = 2,
    .most_words = 3,
    .run = import_weights,
};
