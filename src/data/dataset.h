/* Inside of data/: what a kind of data set is. A new kind is one file that defines `const dt_dataset_kind
 * dt_dataset_<name>` and one line of DT_DATASET_KINDS. */
#ifndef DT_DATA_DATASET_H
#define DT_DATA_DATASET_H

#include "data/data.h"
#include "data/windows.h"

#define DT_DATASET_KINDS(X) \
    X(fashion_mnist)        \
    X(mnist)                \
    X(cifar10)              \
    X(cifar100)             \
    X(synthetic)            \
    X(imagenet)             \
    X(text)                 \
    X(gcide)                \
    X(tokens)               \
    X(synthetic_text)

typedef struct dt_dataset_kind {
    const char *name; /* data.kind */
    const char *what; /* one line for people */
    const char *folder; /* or file, where a package puts it: what data.path is when not set; NULL: no such place */
    const char *remedy; /* what to do when it is not found; NULL: it needs no files */
    dt_data_info info; /* of the training split as published; of tokens, `bytes` is what both splits take in memory */
    int64_t eval_count;
    /* Adjusts the info by the kind's own settings, without opening files; NULL: nothing to adjust. */
    void (*describe)(const dt_settings *, dt_split, dt_data_info *);
    /* Fills count and images and labels, or windows, from the folder (NULL where remedy is); `info` holds what was
     * described. NULL: the kind can be planned with, but not opened. */
    dt_status (*open)(dt_dataset *, const dt_settings *, const char *folder);
    /* Writes image [C, H, W] and label of sample `index`; called from several threads. NULL for tokens. */
    dt_status (*read)(const dt_dataset *, int64_t index, uint8_t *image, int32_t *label);
} dt_dataset_kind;

struct dt_dataset {
    const dt_dataset_kind *kind;
    dt_split split;
    dt_data_info info;
    uint8_t *images, *labels; /* sets held in memory: [count, C, H, W] and [count], freed by dt_dataset_close */
    dt_windows windows;       /* of tokens, freed by dt_dataset_close */
};

#define X(name) extern const dt_dataset_kind dt_dataset_##name;
DT_DATASET_KINDS(X)
#undef X

extern const char *const dt_dataset_names[]; /* NULL-terminated, in the order of the table */

int64_t dt_image_bytes(const dt_data_info *);  /* of one sample */
int64_t dt_sample_bytes(const dt_data_info *); /* as fed: of an image, or of tokens and targets */
DT_MUST_USE dt_status dt_dataset_read(const dt_dataset *, int64_t index, uint8_t *image, int32_t *label);
/* `read` of the kinds that hold images and labels in memory. */
DT_MUST_USE dt_status dt_dataset_read_memory(const dt_dataset *, int64_t index, uint8_t *image, int32_t *label);
/* DT_ERR_DATA naming `path` unless each of `count` bytes, `step` apart, is below `classes`. */
DT_MUST_USE dt_status dt_dataset_check_labels(const char *path, const uint8_t *labels, int64_t count, int64_t step,
                                              int64_t classes);

#endif
