/* The note of another rank that writes a checkpoint, from foreign bytes: that it is done, and that it failed. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "fuzz.h"
#include "train/checkpoint_notes.h"

static char folder[] = "/tmp/dyttrain-fuzz-XXXXXX";

static void remove_folder(void)
{
    if (dt_folder_remove(folder)) fprintf(stderr, "%s\n", dt_error_message());
}

/* A failure must be told whatever the note says; files that are gathered have names. */
static void read_as(const char *name, bool fails, const uint8_t *data, size_t size)
{
    char path[64];
    const char *key;
    json_t *files = json_object(), *entry;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    if (!files || !file || fwrite(data, 1, size, file) != size || fclose(file)) abort();
    if (!dt_notes_gather(folder, 2, files)) {
        if (fails) abort();
        json_object_foreach(files, key, entry)
            if (!*key || !json_is_object(entry)) abort();
    }
    json_decref(files);
    unlink(path);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool made;
    if (!made && (!mkdtemp(folder) || atexit(remove_folder))) abort();
    made = true;
    read_as("done-0001.json", false, data, size);
    read_as("failed-0001.json", true, data, size);
    return 0;
}
