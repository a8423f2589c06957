/* The registry of data sets: the table, opening by settings, and what the kinds share. */
#include "data/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"

#define X(name) &dt_dataset_##name,
static const dt_dataset_kind *const kinds[] = {DT_DATASET_KINDS(X)};
#undef X

const char *const dt_field_names[DT_FIELDS] = {
    [DT_FIELD_IMAGES] = "images",   [DT_FIELD_LABELS] = "labels", [DT_FIELD_TOKENS] = "tokens",
    [DT_FIELD_TARGETS] = "targets", [DT_FIELD_ORDER] = "order",   [DT_FIELD_STARTS] = "starts",
    [DT_FIELD_WEIGHT] = "weight",   [DT_FIELD_SAMPLE] = "sample",
};

static dt_status find_kind(const dt_settings *settings, const dt_dataset_kind **out)
{
    if (dt_setting_has(settings, "data.kind")) {
        *out = kinds[dt_setting_choice(settings, "data.kind")];
        return DT_OK;
    }
    dt_text names = {0};
    for (int k = 0; dt_dataset_names[k]; k++) dt_text_add(&names, "%s%s", k ? ", " : "", dt_dataset_names[k]);
    dt_status status = dt_text_status(&names);
    if (!status) status = dt_fail(DT_ERR_USAGE, "data.kind is not set: it is one of %s", names.data);
    dt_text_free(&names);
    return status;
}

static dt_status override_channels(const dt_settings *settings, const char *path, int64_t channels, double *values)
{
    if (!dt_setting_has(settings, path)) return DT_OK;
    double given[16];
    size_t count = dt_setting_reals(settings, path, given, 16);
    if ((int64_t)count != channels)
        return dt_setting_fail(settings, path, "one number per channel is needed: %lld, not %zu", (long long)channels,
                               count);
    memcpy(values, given, count * sizeof *values);
    return DT_OK;
}

/* What the settings change about a set whose size is known. */
static dt_status apply_settings(const dt_settings *settings, dt_split split, dt_data_info *info)
{
    int64_t subset = split == DT_SPLIT_TRAIN ? dt_setting_int(settings, "data.subset") : 0;
    bool known = info->count || info->form == DT_FORM_IMAGES;
    if (known && subset > info->count)
        return dt_setting_fail(settings, "data.subset", "%lld is more than the %lld training samples",
                               (long long)subset, (long long)info->count);
    if (subset) info->count = subset;
    if (info->form == DT_FORM_TOKENS) return DT_OK;
    DT_TRY(override_channels(settings, "data.mean", info->channels, info->mean));
    return override_channels(settings, "data.std", info->channels, info->std);
}

static void describe_published(const dt_dataset_kind *kind, const dt_settings *settings, dt_split split,
                               dt_data_info *out)
{
    *out = kind->info;
    if (split == DT_SPLIT_EVAL) out->count = kind->eval_count;
    if (kind->describe) kind->describe(settings, split, out);
}

dt_status dt_dataset_describe(const dt_settings *settings, dt_split split, dt_data_info *out)
{
    const dt_dataset_kind *kind;
    DT_TRY(find_kind(settings, &kind));
    describe_published(kind, settings, split, out);
    return apply_settings(settings, split, out);
}

dt_status dt_dataset_memory(const dt_settings *settings, int64_t *out)
{
    const dt_dataset_kind *kind;
    DT_TRY(find_kind(settings, &kind));
    bool kept = kind->read == dt_dataset_read_memory;
    *out = kept ? (kind->info.count + kind->eval_count) * (dt_image_bytes(&kind->info) + 1) : kind->info.bytes;
    return DT_OK;
}

/* *out stays NULL for a kind that needs no files. */
static dt_status find_folder(const dt_settings *settings, const dt_dataset_kind *kind, const char **out)
{
    *out = NULL;
    if (!kind->remedy) return DT_OK;
    *out = dt_setting_has(settings, "data.path") ? dt_setting_text(settings, "data.path") : kind->folder;
    if (!*out) return dt_setting_fail(settings, "data.kind", "%s needs data.path: %s", kind->name, kind->remedy);
    if (!dt_file_exists(*out)) return dt_fail(DT_ERR_IO, "cannot find '%s': %s", *out, kind->remedy);
    return DT_OK;
}

dt_status dt_dataset_open(const dt_settings *settings, dt_split split, dt_dataset **out)
{
    const dt_dataset_kind *kind;
    const char *folder;
    DT_TRY(find_kind(settings, &kind));
    if (!kind->open)
        return dt_setting_fail(settings, "data.kind", "%s can be planned but not yet read: %s", kind->name,
                               kind->remedy);
    DT_TRY(find_folder(settings, kind, &folder));
    dt_dataset *dataset = calloc(1, sizeof *dataset);
    if (!dataset) return dt_fail_memory(sizeof *dataset, "a data set");
    *dataset = (dt_dataset){.kind = kind, .split = split};
    describe_published(kind, settings, split, &dataset->info);
    dt_status status;
    DT_TRY_GOTO(kind->open(dataset, settings, folder), failed);
    DT_TRY_GOTO(apply_settings(settings, split, &dataset->info), failed);
    *out = dataset;
    return DT_OK;
failed:
    dt_dataset_close(dataset);
    return status;
}

void dt_dataset_close(dt_dataset *dataset)
{
    if (!dataset) return;
    free(dataset->images);
    free(dataset->labels);
    dt_windows_free(&dataset->windows);
    free(dataset);
}

const dt_data_info *dt_dataset_info(const dt_dataset *dataset) { return &dataset->info; }

const char *dt_dataset_without_bytes(const dt_dataset *dataset)
{
    return dataset->windows.without_bytes.length ? dataset->windows.without_bytes.data : NULL;
}

int64_t dt_image_bytes(const dt_data_info *info) { return info->channels * info->height * info->width; }

int64_t dt_sample_bytes(const dt_data_info *info)
{
    return info->form == DT_FORM_IMAGES ? dt_image_bytes(info) : 2 * info->context * (int64_t)sizeof(int32_t);
}

dt_status dt_dataset_read(const dt_dataset *dataset, int64_t index, uint8_t *image, int32_t *label)
{
    return dataset->kind->read(dataset, index, image, label);
}

dt_status dt_dataset_read_memory(const dt_dataset *dataset, int64_t index, uint8_t *image, int32_t *label)
{
    size_t bytes = (size_t)dt_image_bytes(&dataset->info);
    memcpy(image, dataset->images + (size_t)index * bytes, bytes);
    *label = dataset->labels[index];
    return DT_OK;
}

dt_status dt_dataset_check_labels(const char *path, const uint8_t *labels, int64_t count, int64_t step,
                                  int64_t classes)
{
    for (int64_t i = 0; i < count; i++)
        if (labels[i * step] >= classes)
            return dt_fail(DT_ERR_DATA, "'%s': sample %lld has label %d, but there are only %lld classes", path,
                           (long long)i, labels[i * step], (long long)classes);
    return DT_OK;
}

void dt_data_list(dt_text *out)
{
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        const dt_dataset_kind *kind = kinds[k];
        dt_text_add(out, "%-14s %s", kind->name, kind->what);
        if (kind->folder)
            dt_text_add(out, "; %s %s", dt_file_exists(kind->folder) ? "found in" : "not in", kind->folder);
        dt_text_add(out, "\n");
    }
}
