/* The files of a corpus. */
#ifndef DT_DATA_CORPUS_FILES_H
#define DT_DATA_CORPUS_FILES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"

typedef struct dt_path_list { /* starts with {0} */
    char **path;
    int64_t count;
    const char *left_out; /* a folder, there or not, whose files are not listed; NULL: none */
} dt_path_list;

/* Appends a file, or the files in a folder, sorted by name, hidden ones not, folders within included. - stays -. */
DT_MUST_USE dt_status dt_path_list_expand(dt_path_list *, const char *path);
void dt_path_list_free(dt_path_list *);
/* Does it hold JSON lines: .jsonl, .ndjson or .json, with or without .gz, .dz, .zst behind? */
bool dt_path_is_json(const char *path);

#endif
