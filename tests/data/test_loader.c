/* The loader: order, resuming, equality for any number of workers and ranks, padding, damaged samples, ending. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/random.h"
#include "data/dataset.h"
#include "scene.h"

enum { AHEAD = 3, SEED = 7 };

/* A data set, its settings and a loader over it with slots of its own. */
typedef struct rig {
    dt_settings *settings;
    dt_dataset *dataset;
    dt_loader_options options;
    void *slots[AHEAD];
    size_t slot_bytes;
    dt_loader *loader;
} rig;

static dt_status rig_start(rig *r, dt_log *log)
{
    int64_t batch = r->options.batch, images = batch * dt_image_bytes(dt_dataset_info(r->dataset));
    images = (images + 7) / 8 * 8;
    r->slot_bytes = (size_t)(images + 24 * batch);
    for (int s = 0; s < AHEAD; s++) r->slots[s] = malloc(r->slot_bytes);
    r->options.fields = (dt_batch_fields){{[DT_FIELD_LABELS] = images,
                                           [DT_FIELD_TOKENS] = -1,
                                           [DT_FIELD_TARGETS] = -1,
                                           [DT_FIELD_ORDER] = -1,
                                           [DT_FIELD_STARTS] = -1,
                                           [DT_FIELD_WEIGHT] = images + 8 * batch,
                                           [DT_FIELD_SAMPLE] = images + 16 * batch}};
    r->options.slots = r->slots;
    return dt_loader_create(r->dataset, r->settings, &r->options, log, &r->loader);
}

static void rig_open(rig *r, dt_split split, int64_t batch, int workers, dt_settings *settings)
{
    *r = (rig){.settings = settings};
    r->options = (dt_loader_options){.split = split,
                                     .seed = SEED,
                                     .batch = batch,
                                     .ranks = 1,
                                     .workers = workers,
                                     .ahead = AHEAD,
                                     .damaged = "stop"};
    assert_int_equal(dt_dataset_open(settings, split, &r->dataset), DT_OK);
}

static void rig_close(rig *r)
{
    dt_loader_free(r->loader);
    for (int s = 0; s < AHEAD; s++) free(r->slots[s]);
    dt_dataset_close(r->dataset);
    dt_settings_free(r->settings);
}

/* The next batch, copied out of its slot (free with free()). */
static char *take(rig *r, dt_batch *batch)
{
    double wait;
    assert_int_equal(dt_loader_next(r->loader, batch, &wait), DT_OK);
    assert_true(wait >= 0);
    assert_in_range(batch->slot, 0, AHEAD - 1);
    char *copy = malloc(r->slot_bytes);
    memcpy(copy, r->slots[batch->slot], r->slot_bytes);
    memset(r->slots[batch->slot], 0xEE, r->slot_bytes); /* poison: whoever fills it must write everything */
    dt_loader_release(r->loader, batch->slot);
    return copy;
}

static int32_t label_at(const rig *r, const char *copy, int64_t i)
{
    return ((const int32_t *)(copy + r->options.fields.at[DT_FIELD_LABELS]))[i];
}

static float weight_at(const rig *r, const char *copy, int64_t i)
{
    return ((const float *)(copy + r->options.fields.at[DT_FIELD_WEIGHT]))[i];
}

static int64_t sample_at(const rig *r, const char *copy, int64_t i)
{
    return ((const int64_t *)(copy + r->options.fields.at[DT_FIELD_SAMPLE]))[i];
}

#define SMALL "data.kind=synthetic", "data.image=9", "data.channels=1", "data.classes=10", "data.synthetic_count=50", \
              "data.batch=8"
#define AUGMENTED "data.flip=true", "data.crop_padding=2"

/* Is place `i` what the data set holds at `index`? */
static void assert_holds(const rig *r, const char *copy, int64_t i, int64_t index)
{
    size_t bytes = (size_t)dt_image_bytes(dt_dataset_info(r->dataset));
    uint8_t *image = malloc(bytes);
    int32_t label;
    assert_int_equal(dt_dataset_read(r->dataset, index, image, &label), DT_OK);
    assert_memory_equal(copy + (size_t)i * bytes, image, bytes);
    assert_int_equal(label_at(r, copy, i), label);
    free(image);
}

static void training_follows_the_keyed_order(void **state)
{
    rig r;
    dt_batch batch;
    rig_open(&r, DT_SPLIT_TRAIN, 8, 1, SETTINGS(SMALL));
    assert_int_equal(rig_start(&r, NULL), DT_OK);
    for (int64_t b = 0; b < 20; b++) { /* 50 samples: 6 whole batches an epoch */
        char *copy = take(&r, &batch);
        assert_int_equal(batch.first, b * 8);
        assert_int_equal(batch.epoch, b / 6);
        assert_int_equal(batch.samples, 8);
        for (int64_t i = 0; i < 8; i++) {
            int64_t index = b % 6 * 8 + i;
            assert_holds(&r, copy, i, (int64_t)dt_permute(SEED, (uint64_t)(b / 6), 50, (uint64_t)index));
            assert_int_equal(sample_at(&r, copy, i), index);
            assert_true(weight_at(&r, copy, i) == 1.0f);
        }
        free(copy);
    }
    rig_close(&r);
}

static void a_short_last_batch_is_padded(void **state)
{
    rig r;
    dt_batch batch;
    rig_open(&r, DT_SPLIT_TRAIN, 8, 2, SETTINGS(SMALL, AUGMENTED, "data.drop_last=false"));
    assert_int_equal(rig_start(&r, NULL), DT_OK);
    for (int64_t b = 0; b < 14; b++) { /* 7 batches an epoch, the last with 2 samples */
        char *copy = take(&r, &batch);
        int64_t real = b % 7 == 6 ? 2 : 8;
        assert_int_equal(batch.epoch, b / 7);
        assert_int_equal(batch.samples, real);
        for (int64_t i = 0; i < 8; i++) assert_true(weight_at(&r, copy, i) == (i < real ? 1.0f : 0.0f));
        for (int64_t i = real; i < 8; i++) {
            for (int p = 0; p < 81; p++) assert_int_equal(copy[i * 81 + p], 0);
            assert_int_equal(label_at(&r, copy, i), 0);
        }
        free(copy);
    }
    rig_close(&r);
}

/* Every position of `count` batches is the same bytes from the loader of `r` as from `s`, which starts later. */
static void assert_same_stream(rig *r, rig *s, int skipped, int count)
{
    dt_batch a, b;
    assert_int_equal(rig_start(r, NULL), DT_OK);
    assert_int_equal(rig_start(s, NULL), DT_OK);
    for (int k = 0; k < skipped; k++) free(take(r, &a));
    for (int k = 0; k < count; k++) {
        char *x = take(r, &a), *y = take(s, &b);
        assert_int_equal(a.first, b.first);
        assert_int_equal(a.epoch, b.epoch);
        assert_memory_equal(x, y, (size_t)(r->options.fields.at[DT_FIELD_LABELS] + 4 * r->options.batch));
        free(x);
        free(y);
    }
}

static void resuming_continues_the_stream(void **state)
{
    for (int skipped = 1; skipped < 15; skipped += 4) {
        rig r, s;
        rig_open(&r, DT_SPLIT_TRAIN, 8, 1, SETTINGS(SMALL, AUGMENTED));
        rig_open(&s, DT_SPLIT_TRAIN, 8, 2, SETTINGS(SMALL, AUGMENTED));
        s.options.start = skipped * 8;
        assert_same_stream(&r, &s, skipped, 10);
        rig_close(&r);
        rig_close(&s);
    }
}

/* Small images: whole batches for a worker. Large ones: several pieces a batch. */
static void any_number_of_workers_gives_the_same_bytes(void **state)
{
    const char *const sides[] = {"data.image=9", "data.image=70", "data.image=300"};
    for (int size = 0; size < 3; size++) {
        for (int workers = 2; workers <= 5; workers += 3) {
            rig r, s;
            rig_open(&r, DT_SPLIT_TRAIN, 8, 1, SETTINGS(SMALL, AUGMENTED, sides[size]));
            rig_open(&s, DT_SPLIT_TRAIN, 8, workers, SETTINGS(SMALL, AUGMENTED, sides[size]));
            assert_same_stream(&r, &s, 0, 15);
            rig_close(&r);
            rig_close(&s);
        }
    }
}

static void ranks_share_a_batch_in_order(void **state)
{
    rig whole, part[2];
    dt_batch batch;
    rig_open(&whole, DT_SPLIT_TRAIN, 8, 1, SETTINGS(SMALL, AUGMENTED));
    assert_int_equal(rig_start(&whole, NULL), DT_OK);
    for (int k = 0; k < 2; k++) {
        rig_open(&part[k], DT_SPLIT_TRAIN, 4, 1, SETTINGS(SMALL, AUGMENTED));
        part[k].options.rank = k;
        part[k].options.ranks = 2;
        assert_int_equal(rig_start(&part[k], NULL), DT_OK);
    }
    for (int b = 0; b < 10; b++) {
        char *all = take(&whole, &batch);
        for (int k = 0; k < 2; k++) {
            char *own = take(&part[k], &batch);
            assert_memory_equal(own, all + k * 4 * 81, 4 * 81);
            for (int i = 0; i < 4; i++)
                assert_int_equal(sample_at(&part[k], own, i), sample_at(&whole, all, 4 * k + i));
            free(own);
        }
        free(all);
    }
    rig_close(&whole);
    rig_close(&part[0]);
    rig_close(&part[1]);
}

static void evaluation_passes_in_file_order_and_rewinds(void **state)
{
    rig r;
    dt_batch batch;
    double wait;
    rig_open(&r, DT_SPLIT_EVAL, 4, 2, SETTINGS(SMALL, AUGMENTED, "data.synthetic_count=110")); /* 11 to evaluate */
    assert_int_equal(rig_start(&r, NULL), DT_OK);
    for (int pass = 0; pass < 4; pass++) {
        int batches = pass == 1 ? 1 : 3; /* the second pass is broken off */
        for (int64_t b = 0; b < batches; b++) {
            char *copy = take(&r, &batch);
            int64_t real = b == 2 ? 3 : 4;
            assert_int_equal(batch.samples, real);
            assert_int_equal(batch.epoch, 0);
            for (int64_t i = 0; i < 4; i++) assert_true(weight_at(&r, copy, i) == (i < real ? 1.0f : 0.0f));
            for (int64_t i = 0; i < real; i++) assert_holds(&r, copy, i, b * 4 + i); /* and not augmented */
            free(copy);
        }
        for (int again = 0; again < 2 && batches == 3; again++) {
            assert_int_equal(dt_loader_next(r.loader, &batch, &wait), DT_OK);
            assert_int_equal(batch.slot, -1);
            assert_int_equal(batch.samples, 0);
        }
        assert_int_equal(dt_loader_rewind(r.loader), DT_OK);
    }
    rig_close(&r);
}

/* --- damaged samples: a kind whose every fourth sample cannot be read --- */

static dt_status read_damaged(const dt_dataset *dataset, int64_t index, uint8_t *image, int32_t *label)
{
    if (index % 4 == 1) return dt_fail(DT_ERR_DATA, "cannot read 'picture-%lld': bad marker", (long long)index);
    memset(image, (int)index, (size_t)dt_image_bytes(&dataset->info));
    *label = (int32_t)index;
    return DT_OK;
}

static const dt_dataset_kind damaged_kind = {.name = "damaged", .read = read_damaged};

static void open_damaged(rig *r, int workers, const char *policy)
{
    rig_open(r, DT_SPLIT_TRAIN, 8, workers, SETTINGS(SMALL));
    r->dataset->kind = &damaged_kind;
    r->options.damaged = policy;
}

static void a_damaged_sample_stops_the_stream(void **state)
{
    char first[256] = "";
    for (int workers = 1; workers <= 4; workers++) {
        rig r;
        dt_batch batch;
        double wait;
        open_damaged(&r, workers, "stop");
        assert_int_equal(rig_start(&r, NULL), DT_OK);
        for (int again = 0; again < 2; again++) {
            dt_error_clear();
            assert_fails(dt_loader_next(r.loader, &batch, &wait), DT_ERR_DATA, "bad marker");
            if (!*first) snprintf(first, sizeof first, "%s", dt_error_message());
            assert_string_equal(dt_error_message(), first);
        }
        rig_close(&r);
    }
}

static void damaged_samples_are_replaced_alike(void **state)
{
    rig r, s;
    FILE *stream = tmpfile();
    dt_log *log;
    char line[256];
    assert_int_equal(dt_log_create(stream, DT_LOG_WARN, &log), DT_OK);
    open_damaged(&r, 1, "replace");
    open_damaged(&s, 3, "replace");
    assert_same_stream(&r, &s, 0, 12);
    rig_close(&r);
    rig_close(&s);

    dt_batch batch;
    open_damaged(&r, 1, "replace");
    assert_int_equal(rig_start(&r, log), DT_OK);
    char *copy = take(&r, &batch);
    for (int64_t i = 0; i < 8; i++) {
        int32_t label = label_at(&r, copy, i), own = (int32_t)dt_permute(SEED, 0, 50, (uint64_t)i);
        assert_true(label % 4 != 1);
        if (own % 4 != 1) assert_int_equal(label, own);
        assert_int_equal(copy[i * 81], label);
    }
    free(copy);
    rig_close(&r);
    rewind(stream);
    assert_non_null(fgets(line, sizeof line, stream));
    assert_non_null(strstr(line, "is damaged and replaced by another (1 so far): cannot read 'picture-"));
    dt_log_free(log);
    fclose(stream);
}

static void freeing_ends_a_busy_loader(void **state)
{
    for (int round = 0; round < 50; round++) {
        rig r;
        dt_batch batch;
        rig_open(&r, DT_SPLIT_TRAIN, 8, 1 + round % 4, SETTINGS(SMALL, "data.image=64"));
        assert_int_equal(rig_start(&r, NULL), DT_OK);
        for (int b = 0; b < round % 3; b++) free(take(&r, &batch));
        rig_close(&r);
    }
}

static void batches_that_do_not_fit_are_named(void **state)
{
    rig r;
    rig_open(&r, DT_SPLIT_TRAIN, 8, 1, SETTINGS(SMALL, "data.synthetic_count=7"));
    assert_fails(rig_start(&r, NULL), DT_ERR_USAGE,
                 "data.batch=8: a batch of 8 is larger than the training set of 7 samples");
    rig_close(&r);
    rig_open(&r, DT_SPLIT_TRAIN, 3, 1, SETTINGS(SMALL));
    assert_fails(rig_start(&r, NULL), DT_ERR_USAGE, "8 samples cannot be cut into micro-batches of 3");
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(training_follows_the_keyed_order),
        cmocka_unit_test(a_short_last_batch_is_padded),
        cmocka_unit_test(resuming_continues_the_stream),
        cmocka_unit_test(any_number_of_workers_gives_the_same_bytes),
        cmocka_unit_test(ranks_share_a_batch_in_order),
        cmocka_unit_test(evaluation_passes_in_file_order_and_rewinds),
        cmocka_unit_test(a_damaged_sample_stops_the_stream),
        cmocka_unit_test(damaged_samples_are_replaced_alike),
        cmocka_unit_test(freeing_ends_a_busy_loader),
        cmocka_unit_test(batches_that_do_not_fit_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
