/* The stream: positions to samples, samples to bytes. */
#include "data/fill.h"

#include <string.h>

#include "base/random.h"

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
    filler->augment = dt_augment_read(settings);
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

static dt_status read_sample(dt_filler *filler, place at, uint8_t *image, int32_t *label)
{
    bool replace = !strcmp(filler->options.damaged, "replace");
    int64_t index = source_of(filler, at);
    for (uint32_t attempt = 1;; attempt++) {
        dt_status status = dt_dataset_read(filler->dataset, index, image, label);
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

static dt_status fill_image(dt_filler *filler, place at, uint8_t *scratch, uint8_t *image, int32_t *label)
{
    const dt_data_info *info = &filler->dataset->info;
    if (!at.real) {
        *label = 0;
        memset(image, 0, (size_t)dt_image_bytes(info));
        return DT_OK;
    }
    if (!filler->augment.flip && !filler->augment.crop_padding) return read_sample(filler, at, image, label);
    DT_TRY(read_sample(filler, at, scratch, label));
    dt_augment_image(&filler->augment, info, filler->options.seed, at.epoch, at.index, scratch, image);
    return DT_OK;
}

dt_status dt_fill_samples(dt_filler *filler, int64_t batch, int64_t first, int64_t end, uint8_t *scratch, void *slot)
{
    const dt_batch_fields *fields = &filler->options.fields;
    int64_t bytes = dt_image_bytes(&filler->dataset->info), start = own_first_of(filler, batch);
    uint8_t *images = (uint8_t *)slot + fields->at[DT_FIELD_IMAGES];
    int32_t *labels = (int32_t *)((char *)slot + fields->at[DT_FIELD_LABELS]);
    float *weight = (float *)((char *)slot + fields->at[DT_FIELD_WEIGHT]);
    int64_t *sample = (int64_t *)((char *)slot + fields->at[DT_FIELD_SAMPLE]);
    for (int64_t i = first; i < end; i++) {
        place at = locate(filler, start + i);
        DT_TRY(fill_image(filler, at, scratch, images + i * bytes, &labels[i]));
        weight[i] = at.real ? 1.0f : 0.0f;
        sample[i] = at.index;
    }
    return DT_OK;
}
