/* A batch without a data set, for benchmarks and for holding a plan against the memory that a step uses. */
#include <stdlib.h>
#include <string.h>

#include "data/dataset.h"
#include "data/token_order.h"

static void *field_at(const dt_batch_fields *fields, dt_field field, void *slot)
{
    return fields->at[field] < 0 ? NULL : (char *)slot + fields->at[field];
}

/* Grey ramps, label 0. */
static void make_images(const dt_data_info *info, const dt_batch_fields *fields, int64_t batch, void *slot)
{
    uint8_t *images = field_at(fields, DT_FIELD_IMAGES, slot);
    int32_t *labels = field_at(fields, DT_FIELD_LABELS, slot);
    if (images)
        for (int64_t i = 0; i < batch * dt_image_bytes(info); i++) images[i] = (uint8_t)(i % 251);
    if (labels) memset(labels, 0, (size_t)batch * sizeof *labels);
}

/* Spread over the vocabulary by a multiplicative hash; the next token is the target. */
static int32_t token_of(const dt_data_info *info, int64_t position)
{
    uint64_t hash = (uint64_t)position * 0x9E3779B97F4A7C15u >> 32;
    return (int32_t)(hash * (uint64_t)info->vocabulary >> 32);
}

static dt_status make_order(const dt_data_info *info, int64_t count, int32_t *order)
{
    size_t places = (size_t)info->vocabulary + 1;
    int32_t *memory = malloc((places + (size_t)count) * sizeof *memory);
    if (!memory) return dt_fail_memory((places + (size_t)count) * sizeof *memory, "the order of tokens");
    int32_t *tokens = memory + places;
    for (int64_t i = 0; i < count; i++) tokens[i] = token_of(info, i);
    dt_token_order(tokens, count, info->vocabulary, memory, order);
    free(memory);
    return DT_OK;
}

static dt_status make_tokens(const dt_data_info *info, const dt_batch_fields *fields, int64_t batch, void *slot)
{
    int64_t count = batch * info->context;
    int32_t *tokens = field_at(fields, DT_FIELD_TOKENS, slot), *targets = field_at(fields, DT_FIELD_TARGETS, slot);
    int32_t *order = field_at(fields, DT_FIELD_ORDER, slot), *starts = field_at(fields, DT_FIELD_STARTS, slot);
    for (int64_t i = 0; i < count; i++) {
        if (tokens) tokens[i] = token_of(info, i);
        if (targets) targets[i] = token_of(info, i + 1);
        if (starts) starts[i] = 0;
    }
    return order ? make_order(info, count, order) : DT_OK;
}

dt_status dt_batch_make_up(const dt_data_info *info, const dt_batch_fields *fields, int64_t batch, void *slot)
{
    float *weight = field_at(fields, DT_FIELD_WEIGHT, slot);
    int64_t *sample = field_at(fields, DT_FIELD_SAMPLE, slot);
    for (int64_t i = 0; i < batch; i++) {
        if (weight) weight[i] = 1;
        if (sample) sample[i] = i;
    }
    if (info->form == DT_FORM_TOKENS) return make_tokens(info, fields, batch, slot);
    make_images(info, fields, batch, slot);
    return DT_OK;
}
