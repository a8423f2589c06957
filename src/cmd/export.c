/* dyttrain export: weights of a checkpoint as one safetensors file under their published names. */
#include <inttypes.h>
#include <stdio.h>

#include "base/file.h"
#include "cmd/command.h"
#include "cmd/loaded.h"

static dt_status save(const dt_loaded *loaded, const char *to)
{
    char step[32];
    snprintf(step, sizeof step, "%" PRId64, loaded->progress.step);
    const char *const metadata[] = {"format",  "pt", /* what other readers expect of row-major float32 */
                                    "dyttrain", DT_VERSION, "arch", dt_model_arch(dt_session_model(loaded->session)),
                                    "step",    step, "weights", loaded->averaged ? "ema" : "trained", NULL};
    return dt_weights_save(to, dt_session_store(loaded->session), DT_BUFFER_VALUE, metadata);
}

static dt_status export_loaded(const dt_loaded *loaded, const char *to)
{
    int64_t bytes;
    char size[32];
    DT_TRY(save(loaded, to));
    DT_TRY(dt_file_size(to, &bytes));
    printf("%s: %d tensors, %s, from %s\n", to, dt_store_params(dt_session_store(loaded->session)),
           dt_text_bytes(size, (double)bytes), loaded->path);
    return DT_OK;
}

/* Nothing is computed, so the device is the one that every machine has, whatever the run was set to. */
static dt_status export_weights(const dt_arguments *args)
{
    const char *to = args->words[1], *on_cpu = "device=cpu";
    dt_arguments with_device = *args;
    with_device.settings = &on_cpu;
    with_device.setting_count = 1;
    dt_loaded loaded;
    if (dt_file_exists(to)) return dt_fail(DT_ERR_USAGE, "'%s' exists: remove it or choose another name", to);
    DT_TRY(dt_loaded_open(&with_device, &loaded));
    dt_status status = export_loaded(&loaded, to);
    dt_loaded_close(&loaded);
    return status;
}

static const dt_option options[] = {
    {"--ema", NULL, "the averaged weights instead of the trained ones"},
    {0},
};

const dt_command dt_command_export = {
    .name = "export",
    .usage = "export RUN|CHECKPOINT OUT.safetensors",
    .summary = "write a checkpoint's weights under their published names (safetensors)",
    .options = options,
    .least_words = 2,
    .most_words = 2,
    .run = export_weights,
};
