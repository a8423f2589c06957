/* The index of weights in several files, from foreign bytes: it may name a.safetensors with tensor `x`, and
 * b.safetensors with tensor `y`, which lie beside it. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "fuzz.h"
#include "train/weight_set.h"

static char folder[] = "/tmp/dyttrain-fuzz-XXXXXX";
static char path[64];

static void remove_folder(void)
{
    if (dt_folder_remove(folder)) fprintf(stderr, "%s\n", dt_error_message());
}

static void write_part(char file, const char *tensor)
{
    const float value[2] = {1, 2};
    const dt_safetensors_item item = {tensor, DT_F32, DT_SHAPE(2), value};
    dt_outfile *out;
    snprintf(path, sizeof path, "%s/%c.safetensors", folder, file);
    if (dt_outfile_create(path, false, &out) || dt_safetensors_write(out, &item, 1, NULL) ||
        dt_outfile_finish(out, NULL))
        abort();
}

static void make_folder(void)
{
    if (!mkdtemp(folder) || atexit(remove_folder)) abort();
    write_part('a', "x");
    write_part('b', "y");
    snprintf(path, sizeof path, "%s/model.safetensors.index.json", folder);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dt_weight_set *set;
    if (!path[0]) make_folder();
    FILE *file = fopen(path, "w");
    if (!file || fwrite(data, 1, size, file) != size || fclose(file)) abort();
    if (dt_weight_set_open(path, &set)) return 0;
    for (int i = 0; i < dt_weight_set_files(set); i++)
        if (!dt_file_exists(dt_weight_set_file(set, i))) abort();
    dt_weight_set_close(set);
    return 0;
}
