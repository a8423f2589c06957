/* What the settings make of data sets, the synthetic set, and augmentation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "data/augment.h"
#include "data/dataset.h"
#include "scene.h"

static void planning_needs_no_files(void **state)
{
    dt_data_info info;
    dt_dataset *dataset;
    dt_settings *settings = SETTINGS("data.kind=imagenet", "data.mean=[0.5, 0.25, 0.125]", "data.subset=1000");
    assert_int_equal(dt_dataset_describe(settings, DT_SPLIT_TRAIN, &info), DT_OK);
    assert_int_equal(info.count, 1000);
    assert_int_equal(info.channels * 1000000 + info.height * 1000 + info.width, 3224224);
    assert_int_equal(info.classes, 1000);
    assert_true(info.mean[1] == 0.25 && info.std[0] == 0.229);
    assert_int_equal(dt_dataset_describe(settings, DT_SPLIT_EVAL, &info), DT_OK);
    assert_int_equal(info.count, 50000);
    assert_fails(dt_dataset_open(settings, DT_SPLIT_TRAIN, &dataset), DT_ERR_USAGE, "data.kind=synthetic");
    dt_settings_free(settings);
    settings = SETTINGS("data.kind=imagenet");
    assert_int_equal(dt_dataset_describe(settings, DT_SPLIT_TRAIN, &info), DT_OK);
    assert_int_equal(info.count, 1281167);
    dt_settings_free(settings);
}

static void overrides_that_do_not_fit_are_named(void **state)
{
    dt_data_info info;
    dt_settings *settings = SETTINGS("data.kind=cifar10", "data.std=[0.5]");
    assert_fails(dt_dataset_describe(settings, DT_SPLIT_TRAIN, &info), DT_ERR_USAGE,
                 "data.std=[0.5]: one number per channel is needed: 3, not 1");
    dt_settings_free(settings);
    settings = SETTINGS("data.kind=mnist", "data.subset=60001");
    assert_fails(dt_dataset_describe(settings, DT_SPLIT_TRAIN, &info), DT_ERR_USAGE,
                 "data.subset=60001: 60001 is more than the 60000 training samples");
    dt_settings_free(settings);
}

static void every_kind_is_listed(void **state)
{
    dt_text list = {0};
    dt_data_list(&list);
    assert_int_equal(dt_text_status(&list), DT_OK);
    for (int k = 0; dt_dataset_names[k]; k++) assert_non_null(strstr(list.data, dt_dataset_names[k]));
    dt_text_free(&list);
}

enum { SIDE = 20, CHANNELS = 2, AREA = SIDE * SIDE, IMAGE = CHANNELS * AREA, CLASSES = 5, SAMPLES = 100 };

static dt_dataset *open_synthetic(dt_split split)
{
    dt_dataset *dataset;
    dt_settings *settings = SETTINGS("data.kind=synthetic", "data.image=20", "data.channels=2", "data.classes=5",
                                     "data.synthetic_count=1000");
    assert_int_equal(dt_dataset_open(settings, split, &dataset), DT_OK);
    dt_settings_free(settings);
    return dataset;
}

static double distance(const uint8_t *a, const double *b)
{
    double sum = 0;
    for (int i = 0; i < IMAGE; i++) sum += (a[i] - b[i]) * (a[i] - b[i]);
    return sum;
}

/* The means of the classes over training samples find the class of samples for evaluation. */
static void synthetic_classes_can_be_learned(void **state)
{
    static double mean[CLASSES][IMAGE];
    uint8_t image[IMAGE], again[IMAGE];
    int32_t label;
    dt_dataset *train = open_synthetic(DT_SPLIT_TRAIN), *eval = open_synthetic(DT_SPLIT_EVAL);
    assert_int_equal(dt_dataset_info(eval)->count, SAMPLES);
    for (int64_t s = 0; s < SAMPLES; s++) {
        assert_int_equal(dt_dataset_read(train, s, image, &label), DT_OK);
        assert_int_equal(dt_dataset_read(train, s, again, &label), DT_OK);
        assert_memory_equal(image, again, IMAGE);
        for (int i = 0; i < IMAGE; i++) mean[label][i] += image[i] / (double)(SAMPLES / CLASSES);
        assert_int_equal(dt_dataset_read(eval, s, again, &label), DT_OK);
        assert_memory_not_equal(image, again, IMAGE);
    }
    for (int64_t s = 0; s < SAMPLES; s++) {
        assert_int_equal(dt_dataset_read(eval, s, image, &label), DT_OK);
        for (int c = 0; c < CLASSES; c++)
            if (c != label) assert_true(distance(image, mean[label]) < distance(image, mean[c]));
    }
    dt_dataset_close(train);
    dt_dataset_close(eval);
}

/* The pixel that a crop at (down, right) and a mirror bring to (y, x). */
static uint8_t expected_pixel(const uint8_t *image, int c, int y, int x, int down, int right, bool flip)
{
    int from_y = y + down, from_x = (flip ? SIDE - 1 - x : x) + right;
    if (from_y < 0 || from_y >= SIDE || from_x < 0 || from_x >= SIDE) return 0;
    return image[c * AREA + from_y * SIDE + from_x];
}

static bool is_crop(const uint8_t *image, const uint8_t *out, int down, int right, bool flip)
{
    for (int i = 0; i < IMAGE; i++)
        if (out[i] != expected_pixel(image, i / AREA, i % AREA / SIDE, i % SIDE, down, right, flip)) return false;
    return true;
}

/* Which of all crops and mirrors is `out`? They are numbered; -1: none. */
static int find_crop(const uint8_t *image, const uint8_t *out, int padding)
{
    int number = 0;
    for (int down = -padding; down <= padding; down++)
        for (int right = -padding; right <= padding; right++)
            for (int flip = 0; flip < 2; flip++, number++)
                if (is_crop(image, out, down, right, flip)) return number;
    return -1;
}

static void augmentation_draws_every_crop_and_mirror(void **state)
{
    enum { PADDING = 2, CROPS = 5 * 5 * 2, DRAWS = 1000 };
    dt_data_info info = {.channels = CHANNELS, .height = SIDE, .width = SIDE};
    uint8_t image[IMAGE], out[IMAGE];
    int hits[CROPS] = {0};
    dt_augment augment = {.flip = true, .crop_padding = PADDING};
    for (int i = 0; i < IMAGE; i++) image[i] = (uint8_t)(1 + i * 7919 % 251);
    for (int s = 0; s < DRAWS; s++) {
        dt_augment_image(&augment, &info, 1, s / 100, s % 100, image, out);
        int crop = find_crop(image, out, PADDING);
        assert_in_range(crop, 0, CROPS - 1);
        hits[crop]++;
    }
    for (int c = 0; c < CROPS; c++) assert_in_range(hits[c], 5, 45); /* 20 expected, sigma 4.4 */
}

static void padding_beyond_the_image_is_black(void **state)
{
    dt_data_info info = {.channels = 1, .height = 2, .width = 3};
    const uint8_t image[6] = {1, 2, 3, 4, 5, 6};
    dt_augment augment = {.crop_padding = 50};
    int black = 0;
    for (int s = 0; s < 200; s++) {
        uint8_t out[6];
        dt_augment_image(&augment, &info, 1, 0, s, image, out);
        black += !memcmp(out, (uint8_t[6]){0}, 6);
    }
    assert_in_range(black, 190, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planning_needs_no_files),
        cmocka_unit_test(overrides_that_do_not_fit_are_named),
        cmocka_unit_test(every_kind_is_listed),
        cmocka_unit_test(synthetic_classes_can_be_learned),
        cmocka_unit_test(augmentation_draws_every_crop_and_mirror),
        cmocka_unit_test(padding_beyond_the_image_is_black),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
