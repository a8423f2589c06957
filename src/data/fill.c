/* The stream: positions to samples, samples to bytes. */
#include "data/fill.h"

#include <string.h>

#include "base/random.h"
#include "data/token_order.h"

enum { MOST_REPLACEMENTS = 100 };

static int64_t round_up(int64_t value, int64_t step) { return (value + step - 1) / step * step; }

dt_status dt_epoch_positions(const dt_settings *settings, int64_t samples, int64_t *out)
{
    int64_t batch = dt_setting_int(settings, "data.batch");
    *out = dt_setting_bool(settings, "data.drop_last") ? samples / batch * batch : round_up(samples, batch);
    if (*out) return DT_OK;
    return dt_setting_fail(settings, "data.batch", "a batch of %lld is larger than the training set of %lld samples; "
                           "lower it, or pad it with data.drop_last=false", (long long)batch, (long long)samples);
}

dt_status dt_filler_init(dt_filler *filler, dt_dataset *dataset, const dt_settings *settings,
                         const dt_loader_options *options, dt_log *log)
{
    int64_t count = dataset->info.count, batch = dt_setting_int(settings, "data.batch");
    *filler = (dt_filler){.dataset = dataset, .options = *options, .log = log};
    filler->stride = options->batch * options->ranks;
    if (options->split == DT_SPLIT_EVAL) {
        filler->options.start = 0;
        filler->epoch_length = round_up(count, filler->stride);
        filler->batches = filler->epoch_length / filler->stride;
        return DT_OK;
    }
    if (batch % filler->stride)
        return dt_setting_fail(settings, "data.batch", "%lld samples cannot be cut into micro-batches of %lld",
                               (long long)batch, (long long)filler->stride);
    DT_TRY(dt_epoch_positions(settings, count, &filler->epoch_length));
    if (dataset->info.form == DT_FORM_IMAGES) filler->augment = dt_augment_read(settings);
    filler->batches = INT64_MAX;
    return DT_OK;
}

typedef struct place {
    int64_t epoch, index; /* index: position inside the epoch's order */
    bool real;            /* false: padding */
} place;

static place locate(const dt_filler *filler, int64_t position)
{
    place at = {.epoch = position / filler->epoch_length, .index = position % filler->epoch_length};
    at.real = at.index < filler->dataset->info.count;
    return at;
}

/* Position of the first sample of a batch over all ranks. */
static int64_t first_of(const dt_filler *filler, int64_t batch)
{
    return filler->options.start + batch * filler->stride;
}

/* Position of this rank's first sample of a batch. */
static int64_t own_first_of(const dt_filler *filler, int64_t batch)
{
    return first_of(filler, batch) + filler->options.rank * filler->options.batch;
}

dt_batch dt_filler_batch(const dt_filler *filler, int64_t batch)
{
    int64_t first = first_of(filler, batch), own = own_first_of(filler, batch);
    dt_batch out = {.epoch = first / filler->epoch_length, .first = first};
    for (int64_t i = 0; i < filler->options.batch; i++) out.samples += locate(filler, own + i).real;
    return out;
}

/* The data set's number of the sample at a place. */
static int64_t source_of(const dt_filler *filler, place at)
{
    if (filler->options.split == DT_SPLIT_EVAL) return at.index;
    return (int64_t)dt_permute(filler->options.seed, (uint64_t)at.epoch, (uint64_t)filler->dataset->info.count,
                               (uint64_t)at.index);
}

/* What stands in for a damaged sample: a keyed draw. Block 0 of the stream belongs to the augmentation. */
static int64_t draw_replacement(const dt_filler *filler, place at, uint32_t attempt)
{
    dt_random4 random = dt_philox(filler->options.seed, DT_PURPOSE_AUGMENT, (uint64_t)at.epoch, (uint64_t)at.index,
                                  attempt);
    uint64_t word = (uint64_t)random.word[0] << 32 | random.word[1];
    return (int64_t)(word % (uint64_t)filler->dataset->info.count);
}

/* --- one sample --- */

static void *field_at(const dt_filler *filler, dt_field field, void *slot)
{
    int64_t at = filler->options.fields.at[field];
    return at < 0 ? NULL : (char *)slot + at;
}

static int32_t *row_at(const dt_filler *filler, dt_field field, void *slot, int64_t i)
{
    int32_t *rows = field_at(filler, field, slot);
    return rows ? rows + i * filler->dataset->info.context : NULL;
}

static uint8_t *image_at(const dt_filler *filler, void *slot, int64_t i)
{
    return (uint8_t *)field_at(filler, DT_FIELD_IMAGES, slot) + i * dt_image_bytes(&filler->dataset->info);
}

static dt_status write_image(const dt_filler *filler, place at, int64_t index, void *scratch, void *slot, int64_t i)
{
    uint8_t *image = image_at(filler, slot, i);
    int32_t *label = (int32_t *)field_at(filler, DT_FIELD_LABELS, slot) + i;
    if (!filler->augment.flip && !filler->augment.crop_padding)
        return dt_dataset_read(filler->dataset, index, image, label);
    DT_TRY(dt_dataset_read(filler->dataset, index, scratch, label));
    dt_augment_image(&filler->augment, &filler->dataset->info, filler->options.seed, at.epoch, at.index, scratch,
                     image);
    return DT_OK;
}

/* Sample `index` into place `i` of the slot. */
static dt_status write_sample(const dt_filler *filler, place at, int64_t index, void *scratch, void *slot, int64_t i)
{
    if (filler->dataset->info.form == DT_FORM_IMAGES) return write_image(filler, at, index, scratch, slot, i);
    return dt_windows_fill(&filler->dataset->windows, filler->options.seed, at.epoch, index, scratch,
                           row_at(filler, DT_FIELD_TOKENS, slot, i), row_at(filler, DT_FIELD_TARGETS, slot, i),
                           row_at(filler, DT_FIELD_STARTS, slot, i));
}

/* The same, or where it is damaged what takes its place. */
static dt_status write_sound(dt_filler *filler, place at, void *scratch, void *slot, int64_t i)
{
    bool replace = !strcmp(filler->options.damaged, "replace");
    int64_t index = source_of(filler, at);
    for (uint32_t attempt = 1;; attempt++) {
        dt_status status = write_sample(filler, at, index, scratch, slot, i);
        if (!status) return DT_OK;
        bool damaged = status == DT_ERR_DATA || status == DT_ERR_IO;
        if (!damaged || !replace || attempt > MOST_REPLACEMENTS)
            return dt_fail_in(status, "sample %lld", (long long)index);
        long long so_far = atomic_fetch_add(&filler->replaced, 1) + 1;
        dt_log_warn(filler->log, "sample %lld is damaged and replaced by another (%lld so far): %s", (long long)index,
                    so_far, dt_error_message());
        index = draw_replacement(filler, at, attempt);
    }
}

static void write_padding(const dt_filler *filler, void *slot, int64_t i)
{
    const dt_data_info *info = &filler->dataset->info;
    if (info->form == DT_FORM_IMAGES) {
        ((int32_t *)field_at(filler, DT_FIELD_LABELS, slot))[i] = 0;
        memset(image_at(filler, slot, i), 0, (size_t)dt_image_bytes(info));
        return;
    }
    int32_t *tokens = row_at(filler, DT_FIELD_TOKENS, slot, i), *targets = row_at(filler, DT_FIELD_TARGETS, slot, i);
    int32_t *starts = row_at(filler, DT_FIELD_STARTS, slot, i);
    for (int64_t t = 0; t < info->context; t++) {
        if (tokens) tokens[t] = 0;
        if (targets) targets[t] = -1;
        if (starts) starts[t] = 0;
    }
}

/* --- a batch --- */

size_t dt_filler_scratch_bytes(const dt_filler *filler)
{
    const dt_data_info *info = &filler->dataset->info;
    if (info->form == DT_FORM_IMAGES) return (size_t)dt_image_bytes(info);
    int64_t longer = info->context > info->vocabulary ? info->context : info->vocabulary;
    return (size_t)(longer + 1) * sizeof(int32_t);
}

dt_status dt_fill_samples(dt_filler *filler, int64_t batch, int64_t first, int64_t end, void *scratch, void *slot)
{
    int64_t start = own_first_of(filler, batch);
    float *weight = field_at(filler, DT_FIELD_WEIGHT, slot);
    int64_t *sample = field_at(filler, DT_FIELD_SAMPLE, slot);
    for (int64_t i = first; i < end; i++) {
        place at = locate(filler, start + i);
        if (at.real) DT_TRY(write_sound(filler, at, scratch, slot, i));
        else write_padding(filler, slot, i);
        if (weight) weight[i] = at.real ? 1.0f : 0.0f;
        if (sample) sample[i] = at.index;
    }
    return DT_OK;
}

void dt_fill_rest(const dt_filler *filler, void *scratch, void *slot)
{
    int32_t *order = field_at(filler, DT_FIELD_ORDER, slot), *tokens = field_at(filler, DT_FIELD_TOKENS, slot);
    const dt_data_info *info = &filler->dataset->info;
    if (order) dt_token_order(tokens, filler->options.batch * info->context, info->vocabulary, scratch, order);
}
