/* Runs every file of the folders in the arguments through a fuzz target: the corpus as a test, with any compiler. */
#include <stdio.h>
#include <stdlib.h>

#include "base/file.h"
#include "fuzz.h"

static dt_status replay_file(const char *folder, const char *name)
{
    char *path, *bytes;
    size_t size;
    if (asprintf(&path, "%s/%s", folder, name) < 0) return dt_fail_memory(0, "a path");
    dt_status status = dt_file_read(path, 64 << 20, &bytes, &size);
    if (!status) {
        /* an allocation without the NUL that follows a read file, so that a sanitizer sees a read beyond the end */
        uint8_t *exact = malloc(size ? size : 1);
        for (size_t i = 0; exact && i < size; i++) exact[i] = (uint8_t)bytes[i];
        free(bytes);
        if (exact) LLVMFuzzerTestOneInput(exact, size);
        else status = dt_fail_memory(size, path);
        free(exact);
    }
    free(path);
    return status;
}

static dt_status replay_folder(const char *folder)
{
    char **names;
    size_t count;
    dt_status status = DT_OK;
    DT_TRY(dt_folder_list(folder, &names, &count));
    for (size_t i = 0; i < count && !status; i++) status = replay_file(folder, names[i]);
    printf("%s: %zu inputs\n", folder, count);
    dt_folder_list_free(names, count);
    return count || status ? status : dt_fail(DT_ERR_DATA, "'%s' holds no inputs", folder);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (replay_folder(argv[i]) == DT_OK) continue;
        fprintf(stderr, "%s\n", dt_error_message());
        return 1;
    }
    return 0;
}
