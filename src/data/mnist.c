/* MNIST (LeCun, Cortes, Burges 1998) and Fashion-MNIST (Xiao, Rasul, Vollgraf, arXiv:1708.07747): grey 28x28 images of
 * ten classes in IDX files of the same names, gzip or plain. */
#include <stdlib.h>

#include "base/file.h"
#include "data/dataset.h"
#include "data/idx.h"

/* The path of the file, which may have the suffix .gz. */
static dt_status find_file(const dt_dataset *dataset, const char *folder, const char *part, dt_text *path)
{
    dt_text_add(path, "%s/%s-%s-ubyte", folder, dataset->split == DT_SPLIT_TRAIN ? "train" : "t10k", part);
    DT_TRY(dt_text_status(path));
    if (dt_file_exists(path->data)) return DT_OK;
    dt_text_add(path, ".gz");
    DT_TRY(dt_text_status(path));
    if (dt_file_exists(path->data)) return DT_OK;
    return dt_fail(DT_ERR_IO, "cannot find '%s', nor the same without .gz: %s", path->data, dataset->kind->remedy);
}

/* Sets that take the place of the published ones may be larger: EMNIST's digits are four times as many. */
enum { MOST_SAMPLES = 6 * 60000 };

static dt_status read_images(dt_dataset *dataset, const char *path)
{
    dt_idx idx;
    dt_data_info *info = &dataset->info;
    const int64_t most[] = {MOST_SAMPLES, info->height, info->width};
    DT_TRY(dt_idx_read(path, 3, most, &idx));
    dataset->images = idx.bytes;
    if (idx.size[1] != info->height || idx.size[2] != info->width)
        return dt_fail(DT_ERR_DATA, "'%s' holds images of %lldx%lld pixels, but those of %s have %lldx%lld", path,
                       (long long)idx.size[1], (long long)idx.size[2], dataset->kind->name, (long long)info->height,
                       (long long)info->width);
    info->count = idx.size[0];
    return DT_OK;
}

static dt_status read_labels(dt_dataset *dataset, const char *path)
{
    dt_idx idx;
    const dt_data_info *info = &dataset->info;
    const int64_t most = MOST_SAMPLES;
    DT_TRY(dt_idx_read(path, 1, &most, &idx));
    dataset->labels = idx.bytes;
    if (idx.size[0] != info->count)
        return dt_fail(DT_ERR_DATA, "'%s' has %lld labels, but there are %lld images beside it", path,
                       (long long)idx.size[0], (long long)info->count);
    return dt_dataset_check_labels(path, dataset->labels, info->count, 1, info->classes);
}

static dt_status open_mnist(dt_dataset *dataset, const dt_settings *settings, const char *folder)
{
    dt_text images = {0}, labels = {0};
    dt_status status;
    DT_TRY_GOTO(find_file(dataset, folder, "images-idx3", &images), done);
    DT_TRY_GOTO(find_file(dataset, folder, "labels-idx1", &labels), done);
    DT_TRY_GOTO(read_images(dataset, images.data), done);
    status = read_labels(dataset, labels.data);
done:
    dt_text_free(&images);
    dt_text_free(&labels);
    return status;
}

const dt_dataset_kind dt_dataset_fashion_mnist = {
    .name = "fashion_mnist",
    .what = "Fashion-MNIST: 60,000 grey 28x28 images of clothes, 10 classes",
    .folder = "/usr/share/datasets/fashion-mnist",
    .remedy = "install the Debian package dataset-fashion-mnist or set data.path",
    .info = {.count = 60000, .channels = 1, .height = 28, .width = 28, .classes = 10,
             .mean = {0.2860}, .std = {0.3530}},
    .eval_count = 10000,
    .open = open_mnist,
    .read = dt_dataset_read_memory,
};

const dt_dataset_kind dt_dataset_mnist = {
    .name = "mnist",
    .what = "MNIST: 60,000 grey 28x28 images of digits, 10 classes",
    .remedy = "set data.path to a folder with train-images-idx3-ubyte, train-labels-idx1-ubyte and both t10k files "
              "(.gz or not)",
    .info = {.count = 60000, .channels = 1, .height = 28, .width = 28, .classes = 10,
             .mean = {0.1307}, .std = {0.3081}},
    .eval_count = 10000,
    .open = open_mnist,
    .read = dt_dataset_read_memory,
};
