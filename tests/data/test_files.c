/* The readers of IDX and CIFAR files: good ones, and every way in which one can be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "data/dataset.h"
#include "data/idx.h"
#include "scene.h"

enum { COUNT = 20, PIXELS = 28 * 28 };
static const char *const train_images = "train-images-idx3-ubyte", *const train_labels = "train-labels-idx1-ubyte";

static void fill_bytes(uint8_t *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) bytes[i] = (uint8_t)(i * 37 + i / PIXELS);
}

/* A sound small set in the working folder; `suffix` ".gz" or "". */
static void write_mnist(const char *suffix)
{
    uint8_t images[COUNT * PIXELS], labels[COUNT];
    char path[64];
    fill_bytes(images, sizeof images);
    for (int i = 0; i < COUNT; i++) labels[i] = (uint8_t)(i % 10);
    snprintf(path, sizeof path, "%s%s", train_images, suffix);
    scene_write_idx(path, 3, (uint32_t[]){COUNT, 28, 28}, images, sizeof images, *suffix);
    snprintf(path, sizeof path, "%s%s", train_labels, suffix);
    scene_write_idx(path, 1, (uint32_t[]){COUNT}, labels, sizeof labels, *suffix);
}

static dt_status open_set(const char *kind, dt_split split, dt_dataset **out)
{
    char choice[64];
    snprintf(choice, sizeof choice, "data.kind=%s", kind);
    dt_settings *settings = SETTINGS(choice, "data.path=.");
    *out = NULL;
    dt_status status = dt_dataset_open(settings, split, out);
    dt_settings_free(settings);
    return status;
}

static void assert_open_fails(const char *kind, dt_status wanted, const char *part)
{
    dt_dataset *dataset;
    assert_fails(open_set(kind, DT_SPLIT_TRAIN, &dataset), wanted, part);
    assert_null(dataset);
}

static void check_mnist(void)
{
    dt_dataset *dataset;
    uint8_t expected[COUNT * PIXELS], image[PIXELS];
    int32_t label;
    fill_bytes(expected, sizeof expected);
    assert_int_equal(open_set("mnist", DT_SPLIT_TRAIN, &dataset), DT_OK);
    assert_int_equal(dt_dataset_info(dataset)->count, COUNT);
    for (int i = 0; i < COUNT; i++) {
        assert_int_equal(dt_dataset_read(dataset, i, image, &label), DT_OK);
        assert_memory_equal(image, expected + i * PIXELS, PIXELS);
        assert_int_equal(label, i % 10);
    }
    dt_dataset_close(dataset);
}

static void plain_and_gzip_idx_read_alike(void **state)
{
    write_mnist("");
    check_mnist();
    unlink(train_images);
    unlink(train_labels);
    write_mnist(".gz");
    check_mnist();
}

static void missing_files_name_the_remedy(void **state)
{
    dt_dataset *dataset;
    assert_open_fails("mnist", DT_ERR_IO, "train-images-idx3-ubyte.gz', nor the same without .gz: set data.path");
    assert_open_fails("cifar10", DT_ERR_IO, "cannot find './data_batch_1.bin': set data.path");
    dt_settings *settings = SETTINGS("data.kind=mnist");
    assert_fails(dt_dataset_open(settings, DT_SPLIT_TRAIN, &dataset), DT_ERR_USAGE,
                 "command line: data.kind=mnist: mnist needs data.path: set");
    dt_settings_free(settings);
    settings = SETTINGS("data.kind=fashion_mnist", "data.path=nowhere");
    assert_fails(dt_dataset_open(settings, DT_SPLIT_TRAIN, &dataset), DT_ERR_IO,
                 "cannot find 'nowhere': install the Debian package dataset-fashion-mnist or set data.path");
    dt_settings_free(settings);
    settings = SETTINGS("data.batch=8");
    assert_fails(dt_dataset_open(settings, DT_SPLIT_TRAIN, &dataset), DT_ERR_USAGE, "data.kind is not set");
    dt_settings_free(settings);
}

static void a_folder_in_place_of_a_file_is_named(void **state)
{
    write_mnist("");
    unlink(train_labels);
    assert_int_equal(mkdir(train_labels, 0700), 0);
    assert_open_fails("mnist", DT_ERR_IO, "train-labels-idx1-ubyte': it is a folder");
}

static void wrong_magic_is_named(void **state)
{
    write_mnist("");
    scene_write(train_images, "\x00\x00\x0d\x03zzzzzzzzzzzz", 16); /* floats */
    assert_open_fails("mnist", DT_ERR_DATA, "magic number is 0x00000d03, not 0x00000803");
}

static void truncated_files_are_named(void **state)
{
    uint8_t bytes[PIXELS] = {0};
    write_mnist("");
    scene_write(train_images, "\x00\x00", 2);
    assert_open_fails("mnist", DT_ERR_DATA, "truncated: it ends after 2 of 4 bytes");
    scene_write(train_images, "\x00\x00\x08\x03\x00\x00\x00\x01\x00", 9);
    assert_open_fails("mnist", DT_ERR_DATA, "truncated: it ends after 9 of 12 bytes");
    scene_write_idx(train_images, 3, (uint32_t[]){1, 28, 28}, bytes, PIXELS - 1, false);
    assert_open_fails("mnist", DT_ERR_DATA, "with the header it should have 800 bytes, more than its 799 can hold");
}

static void truncated_gzip_is_named(void **state)
{
    uint8_t file[COUNT * PIXELS];
    write_mnist(".gz");
    FILE *in = fopen("train-images-idx3-ubyte.gz", "rb");
    assert_non_null(in);
    size_t size = fread(file, 1, sizeof file, in);
    fclose(in);
    scene_write("train-images-idx3-ubyte.gz", file, size / 2);
    assert_open_fails("mnist", DT_ERR_DATA, "train-images-idx3-ubyte.gz'");
    scene_write("train-images-idx3-ubyte.gz", file, size - 4); /* only the length after the checksum lacks */
    assert_open_fails("mnist", DT_ERR_DATA, "not a sound gzip file");
    file[size - 6] ^= 1; /* the checksum */
    scene_write("train-images-idx3-ubyte.gz", file, size);
    assert_open_fails("mnist", DT_ERR_DATA, "not a sound gzip file");
}

static void append(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "ab");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

static void what_stands_behind_gzip_is_named(void **state)
{
    const char *path = "train-labels-idx1-ubyte.gz";
    write_mnist(".gz");
    append(path, "garbage", 7);
    assert_open_fails("mnist", DT_ERR_DATA,
                      "train-labels-idx1-ubyte.gz' is not a sound gzip file: there are other bytes");
    write_mnist(".gz");
    append(path, "\x1f", 1);
    assert_open_fails("mnist", DT_ERR_DATA, "it ends inside the gzip stream");
}

/* gzip -c a b: members behind one another are one stream. */
static void members_of_gzip_are_read_on(void **state)
{
    const char *path = "train-labels-idx1-ubyte.gz";
    uint8_t file[8 + COUNT] = {0, 0, 8, 1, 0, 0, 0, COUNT}, second[256];
    write_mnist(".gz");
    scene_write_gzip("second.gz", file + 11, sizeof file - 11);
    scene_write_gzip(path, file, 11);
    FILE *in = fopen("second.gz", "rb");
    assert_non_null(in);
    size_t size = fread(second, 1, sizeof second, in);
    fclose(in);
    append(path, second, size);
    dt_dataset *dataset;
    assert_int_equal(open_set("mnist", DT_SPLIT_TRAIN, &dataset), DT_OK);
    dt_dataset_close(dataset);
}

/* Zeros take a thousandth of their size in gzip: the header alone must do. */
static void a_gzip_bomb_is_not_unpacked(void **state)
{
    const size_t held = 64 << 20;
    uint8_t *bytes = calloc(1, held);
    assert_non_null(bytes);
    write_mnist("");
    scene_write_idx(train_images, 3, (uint32_t[]){1, 8192, 8192}, bytes, held, true);
    free(bytes);
    assert_open_fails("mnist", DT_ERR_DATA, "dimension 1 of its header is 8192, more than 28");
}

static void oversized_files_are_named(void **state)
{
    uint8_t bytes[PIXELS + 1] = {0};
    write_mnist("");
    for (int gzip = 0; gzip < 2; gzip++) {
        scene_write_idx(train_images, 3, (uint32_t[]){1, 28, 28}, bytes, PIXELS + 1, gzip);
        assert_open_fails("mnist", DT_ERR_DATA, "goes on after the 800 bytes that its header tells of");
    }
}

static void lying_sizes_cost_nothing(void **state)
{
    uint8_t bytes[PIXELS] = {0};
    write_mnist("");
    scene_write_idx(train_images, 3, (uint32_t[]){UINT32_MAX, UINT32_MAX, UINT32_MAX}, bytes, PIXELS, false);
    assert_open_fails("mnist", DT_ERR_DATA, "dimension 0 of its header is 4294967295, more than 360000");
    scene_write_idx(train_images, 3, (uint32_t[]){1, 28, 29}, bytes, PIXELS, false);
    assert_open_fails("mnist", DT_ERR_DATA, "dimension 2 of its header is 29, more than 28");
    for (int gzip = 0; gzip < 2; gzip++) {
        scene_write_idx(train_images, 3, (uint32_t[]){300000, 28, 28}, bytes, PIXELS, gzip);
        assert_open_fails("mnist", DT_ERR_DATA, "with the header it should have 235200016 bytes, more than its");
    }
    scene_write_idx(train_images, 3, (uint32_t[]){0, 28, 28}, bytes, PIXELS, false);
    assert_open_fails("mnist", DT_ERR_DATA, "dimension 0 of its header is 0");
}

/* A claim that gzip's ratio could justify, but the stream does not: it ends at what really comes. */
static void a_claim_beyond_the_stream_is_truncation(void **state)
{
    const size_t held = 2000 * PIXELS;
    uint8_t *bytes = calloc(1, held);
    assert_non_null(bytes);
    write_mnist("");
    scene_write_idx(train_images, 3, (uint32_t[]){2001, 28, 28}, bytes, held, true);
    free(bytes);
    assert_open_fails("mnist", DT_ERR_DATA, "truncated: it ends after 1568016 of 1568800 bytes");
}

static void other_shapes_and_counts_are_named(void **state)
{
    uint8_t bytes[COUNT * PIXELS] = {0};
    write_mnist("");
    scene_write_idx(train_images, 3, (uint32_t[]){1, 16, 28}, bytes, 16 * 28, false);
    assert_open_fails("mnist", DT_ERR_DATA, "images of 16x28 pixels, but those of mnist have 28x28");
    write_mnist("");
    scene_write_idx(train_labels, 1, (uint32_t[]){COUNT - 1}, bytes, COUNT - 1, false);
    assert_open_fails("mnist", DT_ERR_DATA, "has 19 labels, but there are 20 images");
    bytes[7] = 10;
    scene_write_idx(train_labels, 1, (uint32_t[]){COUNT}, bytes, COUNT, false);
    assert_open_fails("mnist", DT_ERR_DATA, "sample 7 has label 10, but there are only 10 classes");
}

static void cifar10_reads_its_files_in_order(void **state)
{
    uint8_t image[3072];
    int32_t label;
    char path[32];
    dt_dataset *dataset;
    for (int n = 1; n <= 5; n++) {
        snprintf(path, sizeof path, "data_batch_%d.bin", n);
        scene_write_cifar(path, 10 + n, 10);
    }
    scene_write_cifar("test_batch.bin", 4, 10);
    assert_int_equal(open_set("cifar10", DT_SPLIT_TRAIN, &dataset), DT_OK);
    assert_int_equal(dt_dataset_info(dataset)->count, 11 + 12 + 13 + 14 + 15);
    assert_int_equal(dt_dataset_read(dataset, 11 + 12 + 9, image, &label), DT_OK); /* record 9 of the third file */
    assert_int_equal(label, 9);
    assert_int_equal(image[3071], 9);
    dt_dataset_close(dataset);
    assert_int_equal(open_set("cifar10", DT_SPLIT_EVAL, &dataset), DT_OK);
    assert_int_equal(dt_dataset_info(dataset)->count, 4);
    dt_dataset_close(dataset);
}

static void cifar100_reads_fine_labels(void **state)
{
    uint8_t image[3072];
    int32_t label;
    dt_dataset *dataset;
    scene_write_cifar("train.bin", 120, 100);
    assert_int_equal(open_set("cifar100", DT_SPLIT_TRAIN, &dataset), DT_OK);
    assert_int_equal(dt_dataset_info(dataset)->count, 120);
    assert_int_equal(dt_dataset_read(dataset, 99, image, &label), DT_OK);
    assert_int_equal(label, 99);
    assert_int_equal(image[0], 99);
    dt_dataset_close(dataset);
}

static void wrong_cifar_files_are_named(void **state)
{
    uint8_t record[3074] = {0};
    scene_write("train.bin", record, 0);
    assert_open_fails("cifar100", DT_ERR_DATA, "has 0 bytes, not a whole number of samples of 3074 bytes");
    scene_write("train.bin", record, 3073);
    assert_open_fails("cifar100", DT_ERR_DATA, "has 3073 bytes, not a whole number of samples of 3074 bytes");
    record[0] = 20;
    scene_write("train.bin", record, sizeof record);
    assert_open_fails("cifar100", DT_ERR_DATA, "sample 0 has label 20, but there are only 20 classes");
    memcpy(record, (uint8_t[]){0, 100}, 2);
    scene_write("train.bin", record, sizeof record);
    assert_open_fails("cifar100", DT_ERR_DATA, "sample 0 has label 100, but there are only 100 classes");
    scene_write("train.bin", record, sizeof record);
    assert_int_equal(truncate("train.bin", 50001L * 3074), 0);
    assert_open_fails("cifar100", DT_ERR_DATA, "has 153703074 bytes, more than the 153700000 allowed");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, scene_enter, scene_leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(plain_and_gzip_idx_read_alike),
        IN_FOLDER(missing_files_name_the_remedy),
        IN_FOLDER(a_folder_in_place_of_a_file_is_named),
        IN_FOLDER(wrong_magic_is_named),
        IN_FOLDER(truncated_files_are_named),
        IN_FOLDER(truncated_gzip_is_named),
        IN_FOLDER(what_stands_behind_gzip_is_named),
        IN_FOLDER(members_of_gzip_are_read_on),
        IN_FOLDER(a_gzip_bomb_is_not_unpacked),
        IN_FOLDER(oversized_files_are_named),
        IN_FOLDER(lying_sizes_cost_nothing),
        IN_FOLDER(a_claim_beyond_the_stream_is_truncation),
        IN_FOLDER(other_shapes_and_counts_are_named),
        IN_FOLDER(cifar10_reads_its_files_in_order),
        IN_FOLDER(cifar100_reads_fine_labels),
        IN_FOLDER(wrong_cifar_files_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
