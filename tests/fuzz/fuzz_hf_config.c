/* config.json of a Hugging Face folder from foreign bytes: what is taken becomes settings, and these a model or an
 * error. */
#include "fuzz.h"
#include "models/hf.h"
#include "train/train.h"

static dt_status settings_of(const json_t *config, dt_settings **out)
{
    const dt_setting_table tables[] = {dt_nn_settings, dt_model_settings, dt_data_settings, dt_train_settings,
                                       dt_checkpoint_settings};
    dt_text yaml = {0};
    dt_status status = dt_hf_settings(config, "input", &yaml);
    if (!status)
        status = dt_settings_parse(yaml.data, yaml.length, "input", NULL, 0, tables, sizeof tables / sizeof *tables,
                                   out);
    dt_text_free(&yaml);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *config;
    dt_settings *settings = NULL;
    dt_data_info info;
    dt_model *model;
    if (dt_json_parse((const char *)data, size, "input", &config)) return 0;
    dt_status status = settings_of(config, &settings);
    json_decref(config);
    if (status) return 0;
    status = dt_dataset_describe(settings, DT_SPLIT_TRAIN, &info);
    dt_model_input input = {.context = info.context, .vocabulary = info.vocabulary};
    if (!status && !dt_model_create(settings, &input, &model)) dt_model_free(model);
    dt_settings_free(settings);
    return 0;
}
