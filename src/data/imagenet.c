/* ImageNet-1k (ILSVRC 2012): its shapes, so that runs on it can be planned. Its files cannot be read yet. */
#include "data/dataset.h"

const dt_dataset_kind dt_dataset_imagenet = {
    .name = "imagenet",
    .what = "ImageNet-1k: 1,281,167 colour images at 224x224, 1000 classes (to plan with; not yet readable)",
    .remedy = "this version has no JPEG reader; data.kind=synthetic delivers images and classes of the same shapes",
    .info = {.count = 1281167, .channels = 3, .height = 224, .width = 224, .classes = 1000,
             .mean = {0.485, 0.456, 0.406}, .std = {0.229, 0.224, 0.225}},
    .eval_count = 50000,
};
