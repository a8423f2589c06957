/* dyttrain export: weights of a checkpoint under their published names, as one safetensors file or as a folder for
 * transformers. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "cmd/command.h"
#include "cmd/form.h"
#include "cmd/loaded.h"
#include "train/hf_folder.h"

static dt_status save(const dt_loaded *loaded, const char *to)
{
    char step[32];
    snprintf(step, sizeof step, "%" PRId64, loaded->progress.step);
    const char *const metadata[] = {"format",  "pt", /* what other readers expect of row-major float32 */
                                    "dyttrain", DT_VERSION, "arch", dt_model_arch(dt_session_model(loaded->session)),
                                    "step",    step, "weights", loaded->averaged ? "ema" : "trained", NULL};
    return dt_weights_save(to, dt_session_store(loaded->session), DT_BUFFER_VALUE, metadata);
}

static dt_status export_file(const dt_loaded *loaded, const char *to)
{
    int64_t bytes;
    char size[32];
    DT_TRY(save(loaded, to));
    DT_TRY(dt_file_size(to, &bytes));
    printf("%s: %d tensors, %s, from %s\n", to, dt_store_params(dt_session_store(loaded->session)),
           dt_text_bytes(size, (double)bytes), loaded->weights.checkpoint);
    return DT_OK;
}

static dt_status export_folder(const dt_loaded *loaded, const char *to)
{
    const dt_hf_kind *kind;
    const dt_store *store = dt_session_store(loaded->session);
    int64_t file_bytes = (int64_t)(dt_setting_real(loaded->settings, "checkpoint.file_gib") * (1 << 30));
    DT_TRY(dt_hf_folder_write(to, dt_session_model(loaded->session), loaded->settings, store, file_bytes, &kind));
    printf("%s: %d tensors of %s%s, from %s\n", to, dt_store_params(store), kind->architecture,
           kind->module ? ", to be opened with trust_remote_code=True" : "", loaded->weights.checkpoint);
    return DT_OK;
}

static dt_status export_weights(const dt_arguments *args)
{
    const char *to = args->words[1];
    dt_loaded loaded;
    if (!*to) return dt_fail(DT_ERR_USAGE, "OUT is empty: it names what to write");
    if (dt_file_exists(to)) return dt_fail(DT_ERR_USAGE, "'%s' exists: remove it or choose another name", to);
    DT_TRY(dt_loaded_open_weights(args, &loaded));
    dt_status status = dt_form_is_hf(args) ? export_folder(&loaded, to) : export_file(&loaded, to);
    dt_loaded_close(&loaded);
    return status;
}

static const dt_option options[] = {
    {"--ema", NULL, "the averaged weights instead of the trained ones"},
    DT_FORM_OPTION,
    {0},
};

const dt_command dt_command_export = {
    .name = "export",
    .usage = "export RUN|CHECKPOINT OUT.safetensors, or export --format hf RUN|CHECKPOINT OUT",
    .summary = "write a checkpoint's weights under their published names (safetensors, or for transformers)",
    .help = "Writes a checkpoint's weights under their published names, on any machine, as one safetensors file.\n\n"
            "With --format hf, OUT is a folder for Hugging Face's transformers: config.json and safetensors, which\n"
            "AutoModelForCausalLM.from_pretrained opens; a model that is not quite LLaMA (DyT, say) comes with the\n"
            "Python that computes it, for trust_remote_code=True. Files are split at the run's checkpoint.file_gib.",
    .options = options,
    .least_words = 2,
    .most_words = 2,
    .run = export_weights,
};
