/* Choosing a model, and the settings that describe the dimensions of models. */
#include "models/model.h"

#include <stdlib.h>

#define X(name) &dt_model_##name,
static const dt_model_entry *const models[] = {DT_MODELS(X)};
#undef X
#define X(name) #name,
static const char *const archs[] = {DT_MODELS(X) NULL};
#undef X

static const char *const sizes[] = {"S", "B", "L", NULL};
static const char *const pools[] = {"mean", "class", NULL};
static const char *const activations[] = {"gelu", "gelu_tanh", NULL};

static const dt_setting_row rows[] = {
    {"model.arch", DT_SETTING_CHOICE, "vit", .choices = archs, .help = "the network"},
    {"model.size", DT_SETTING_CHOICE, NULL, .choices = sizes,
     .help = "a published size; gives model.width, model.depth and model.heads where they are not set"},
    {"model.width", DT_SETTING_INT, NULL, 1, 1 << 16, .help = "channels of a token"},
    {"model.depth", DT_SETTING_INT, NULL, 1, 1 << 12, .help = "number of blocks"},
    {"model.heads", DT_SETTING_INT, NULL, 1, 1 << 12, .help = "attention heads; they divide the width"},
    {"model.mlp_ratio", DT_SETTING_REAL, "4", 0.001, 64, .help = "hidden width of a block's MLP over model.width"},
    {"model.patch", DT_SETTING_INT, "16", 1, 1 << 12, .help = "side of a patch in pixels; it divides the image"},
    {"model.image", DT_SETTING_INT, NULL, 1, 8192, .help = "side of the image in pixels; follows from the data set"},
    {"model.classes", DT_SETTING_INT, NULL, 1, 1 << 24, .help = "outputs of the head; follows from the data set"},
    {"model.class_token", DT_SETTING_BOOL, "true", .help = "a learned token in front of the patches"},
    {"model.pool", DT_SETTING_CHOICE, "mean", .choices = pools,
     .help = "what the head reads: the mean of the patch tokens, or the class token"},
    {"model.qkv_bias", DT_SETTING_BOOL, "true", .help = "do the query, key and value products have a bias?"},
    {"model.activation", DT_SETTING_CHOICE, "gelu", .choices = activations,
     .help = "of the MLP: exact GELU or its tanh approximation"},
    {"model.kv_heads", DT_SETTING_INT, NULL, 1, 1 << 12,
     .help = "llama: heads of keys and values, which model.heads share; as many when not set"},
    {"model.ffn", DT_SETTING_INT, NULL, 1, 1 << 20,
     .help = "llama: width of the gated MLP; 8/3 of the width, rounded up to a multiple of 64, when not set"},
    {"model.vocabulary", DT_SETTING_INT, NULL, 1, 1 << 24,
     .help = "llama: tokens that there are; follows from the data set; of data.kind=tokens this or data.vocabulary "
             "must be set"},
    {"model.context", DT_SETTING_INT, NULL, 1, 1 << 24, .help = "llama: tokens of a sample; follows from data.context"},
    {"model.rope_theta", DT_SETTING_REAL, "10000", 1, 1e12, .help = "llama: base of the rotary position embedding"},
    {"model.rope_factor", DT_SETTING_REAL, "0", 0, 1e6,
     .help = "llama: Llama 3's scaling of the rotations beyond model.rope_context by this factor; 0: none"},
    {"model.rope_low", DT_SETTING_REAL, "1", 0, 1e6,
     .help = "llama: rotations that make fewer turns than this in model.rope_context are scaled in full"},
    {"model.rope_high", DT_SETTING_REAL, "4", 0, 1e6,
     .help = "llama: those that make more than this are not scaled"},
    {"model.rope_context", DT_SETTING_INT, "8192", 1, 1 << 24,
     .help = "llama: tokens of a sample before the context was lengthened"},
    {"model.tied", DT_SETTING_BOOL, "false", .help = "llama: the head's weights are those of the embedding"},
    {"model.embedding_scale", DT_SETTING_BOOL, "false",
     .help = "llama: embeddings times a learned number that starts at the root of the width; DyT needs it"},
    {"model.mask_documents", DT_SETTING_BOOL, "false",
     .help = "llama: tokens see none of the documents in front of theirs in a sample; the data set must tell where "
             "documents begin"},
};
const dt_setting_table dt_model_settings = {rows, sizeof rows / sizeof *rows};

static const dt_model_entry *entry_of(const dt_settings *settings)
{
    return models[dt_setting_choice(settings, "model.arch")];
}

dt_status dt_model_create(dt_settings *settings, const dt_model_input *input, dt_model **out)
{
    dt_nn nn;
    int sites = 0;
    const dt_model_entry *entry = entry_of(settings);
    while (entry->sites[sites]) sites++;
    if (entry->reads_tokens != (input->context > 0))
        return dt_setting_fail(settings, "model.arch", "%s is trained on %s, and the data set has %s", entry->name,
                               entry->reads_tokens ? "text" : "images", input->context ? "text" : "images");
    DT_TRY(dt_nn_create(settings, entry->sites, sites, &nn));
    DT_TRY(entry->create(settings, input, out));
    (*out)->entry = entry;
    (*out)->nn = nn;
    return DT_OK;
}

void dt_model_free(dt_model *model) { free(model); }

dt_status dt_model_derive(dt_settings *settings, const char *path, int64_t value)
{
    return dt_setting_has(settings, path) ? DT_OK : dt_setting_derive_int(settings, path, value);
}

dt_tensor *dt_model_build(const dt_model *model, dt_graph *graph, const dt_model_feed *feed)
{
    dt_nn_graph ng = {.nn = &model->nn, .graph = graph, .sample = feed->sample, .step = feed->step,
                      .starts = feed->starts, .position = feed->position, .capacity = feed->capacity};
    return model->entry->build(model, &ng, feed);
}

void dt_model_warn(const dt_model *model, bool drawn, dt_log *log) { model->entry->warn(model, drawn, log); }
dt_model_dims dt_model_dims_of(const dt_model *model) { return model->entry->dims(model); }
const char *dt_model_arch(const dt_model *model) { return model->entry->name; }
bool dt_model_reads_tokens(const dt_model *model) { return model->entry->reads_tokens; }
bool dt_model_arch_reads_tokens(const dt_settings *settings) { return entry_of(settings)->reads_tokens; }
const char *dt_model_head(const dt_model *model) { return model->head; }
bool dt_model_masks_documents(const dt_model *model) { return model->masks_documents; }
void dt_model_describe(const dt_model *model, dt_text *out) { model->entry->describe(model, out); }
