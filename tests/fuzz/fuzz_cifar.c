/* The CIFAR reader in both formats, the same file appended twice. Every sample that it lists can be read. */
#include "byte_file.h"
#include "data/cifar.h"
#include "fuzz.h"

static void read_all(const dt_dataset_kind *kind, const char *path)
{
    static uint8_t image[3 * 32 * 32];
    dt_dataset *set = calloc(1, sizeof *set);
    if (!set) return;
    set->kind = kind;
    set->info = kind->info;
    dt_status status = dt_cifar_append(set, path);
    if (!status) status = dt_cifar_append(set, path);
    for (int64_t i = 0; !status && i < set->info.count; i++) {
        int32_t label;
        if (dt_dataset_read(set, i, image, &label) || label < 0 || label >= set->info.classes) abort();
    }
    dt_dataset_close(set);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    byte_file file = byte_file_open(data, size);
    read_all(&dt_dataset_cifar10, file.path);
    read_all(&dt_dataset_cifar100, file.path);
    byte_file_close(&file);
    return 0;
}
