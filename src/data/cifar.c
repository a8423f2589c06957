/* The CIFAR reader and its two data sets. */
#include "data/cifar.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"

enum { IMAGE = 3 * 32 * 32, MOST_RECORDS = 50000, COARSE_CLASSES = 20 };

static dt_status check_file(const char *path, const uint8_t *bytes, size_t size, size_t label_bytes, int64_t classes)
{
    size_t record = label_bytes + IMAGE;
    if (!size || size % record)
        return dt_fail(DT_ERR_DATA, "'%s' has %zu bytes, not a whole number of samples of %zu bytes", path, size,
                       record);
    int64_t count = (int64_t)(size / record);
    if (label_bytes == 2) DT_TRY(dt_dataset_check_labels(path, bytes, count, (int64_t)record, COARSE_CLASSES));
    return dt_dataset_check_labels(path, bytes + label_bytes - 1, count, (int64_t)record, classes);
}

static dt_status grow(uint8_t **array, size_t bytes)
{
    uint8_t *grown = realloc(*array, bytes);
    if (!grown) return dt_fail_memory(bytes, "CIFAR images");
    *array = grown;
    return DT_OK;
}

dt_status dt_cifar_append(dt_dataset *dataset, const char *path)
{
    size_t label_bytes = dataset->info.classes == 100 ? 2 : 1, record = label_bytes + IMAGE, size;
    size_t before = dataset->images ? (size_t)dataset->info.count : 0;
    char *file;
    DT_TRY(dt_file_read(path, MOST_RECORDS * record, &file, &size));
    const uint8_t *bytes = (const uint8_t *)file;
    size_t count = size / record;
    dt_status status;
    DT_TRY_GOTO(check_file(path, bytes, size, label_bytes, dataset->info.classes), done);
    DT_TRY_GOTO(grow(&dataset->images, (before + count) * IMAGE), done);
    DT_TRY_GOTO(grow(&dataset->labels, before + count), done);
    for (size_t i = 0; i < count; i++, bytes += record) {
        dataset->labels[before + i] = bytes[label_bytes - 1];
        memcpy(dataset->images + (before + i) * IMAGE, bytes + label_bytes, IMAGE);
    }
    dataset->info.count = (int64_t)(before + count);
done:
    free(file);
    return status;
}

static dt_status append_from(dt_dataset *dataset, const char *folder, const char *name)
{
    dt_text path = {0};
    dt_text_add(&path, "%s/%s", folder, name);
    dt_status status = dt_text_status(&path);
    if (!status && !dt_file_exists(path.data))
        status = dt_fail(DT_ERR_IO, "cannot find '%s': %s", path.data, dataset->kind->remedy);
    if (!status) status = dt_cifar_append(dataset, path.data);
    dt_text_free(&path);
    return status;
}

static dt_status open_cifar10(dt_dataset *dataset, const dt_settings *settings, const char *folder)
{
    if (dataset->split == DT_SPLIT_EVAL) return append_from(dataset, folder, "test_batch.bin");
    static const char *const names[] = {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin",
                                        "data_batch_5.bin"};
    for (int n = 0; n < 5; n++) DT_TRY(append_from(dataset, folder, names[n]));
    return DT_OK;
}

static dt_status open_cifar100(dt_dataset *dataset, const dt_settings *settings, const char *folder)
{
    return append_from(dataset, folder, dataset->split == DT_SPLIT_TRAIN ? "train.bin" : "test.bin");
}

const dt_dataset_kind dt_dataset_cifar10 = {
    .name = "cifar10",
    .what = "CIFAR-10: 50,000 colour 32x32 images, 10 classes",
    .remedy = "set data.path to the unpacked folder of cifar-10-binary.tar.gz, with data_batch_1.bin to "
              "data_batch_5.bin and test_batch.bin",
    .info = {.count = 50000, .channels = 3, .height = 32, .width = 32, .classes = 10,
             .mean = {0.4914, 0.4822, 0.4465}, .std = {0.2470, 0.2435, 0.2616}},
    .eval_count = 10000,
    .open = open_cifar10,
    .read = dt_dataset_read_memory,
};

const dt_dataset_kind dt_dataset_cifar100 = {
    .name = "cifar100",
    .what = "CIFAR-100: 50,000 colour 32x32 images, 100 classes",
    .remedy = "set data.path to the unpacked folder of cifar-100-binary.tar.gz, with train.bin and test.bin",
    .info = {.count = 50000, .channels = 3, .height = 32, .width = 32, .classes = 100,
             .mean = {0.5071, 0.4867, 0.4408}, .std = {0.2675, 0.2565, 0.2761}},
    .eval_count = 10000,
    .open = open_cifar100,
    .read = dt_dataset_read_memory,
};
