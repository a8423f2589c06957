/* Listing files, and what their names tell. */
#include "data/corpus_files.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/text.h"

static dt_status append(dt_path_list *list, const char *path)
{
    char *copy = strdup(path);
    char **grown = realloc(list->path, ((size_t)list->count + 1) * sizeof *grown);
    if (grown) list->path = grown;
    if (!copy || !grown) {
        free(copy);
        return dt_fail_memory(((size_t)list->count + 1) * sizeof *grown, "the list of files");
    }
    list->path[list->count++] = copy;
    return DT_OK;
}

static dt_status expand_folder(dt_path_list *list, const char *folder)
{
    char **names;
    size_t count;
    DT_TRY(dt_folder_list(folder, &names, &count));
    dt_status status = DT_OK;
    for (size_t i = 0; i < count && !status; i++) {
        dt_text path = {0};
        dt_text_add(&path, "%s/%s", folder, names[i]);
        status = dt_text_status(&path);
        if (!status && names[i][0] != '.') status = dt_path_list_expand(list, path.data);
        dt_text_free(&path);
    }
    dt_folder_list_free(names, count);
    return status;
}

static bool is_left_out(const dt_path_list *list, const struct stat *folder)
{
    struct stat info;
    return list->left_out && stat(list->left_out, &info) == 0 && info.st_dev == folder->st_dev &&
           info.st_ino == folder->st_ino;
}

dt_status dt_path_list_expand(dt_path_list *list, const char *path)
{
    struct stat info;
    if (!strcmp(path, "-")) return append(list, path);
    if (stat(path, &info)) return dt_fail(DT_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    if (!S_ISDIR(info.st_mode)) return append(list, path);
    return is_left_out(list, &info) ? DT_OK : expand_folder(list, path);
}

void dt_path_list_free(dt_path_list *list)
{
    for (int64_t i = 0; i < list->count; i++) free(list->path[i]);
    free(list->path);
    *list = (dt_path_list){0};
}

bool dt_path_is_json(const char *path)
{
    static const char *const json[] = {".jsonl", ".ndjson", ".json"}, *const packed[] = {"", ".gz", ".dz", ".zst"};
    for (int j = 0; j < 3; j++)
        for (int p = 0; p < 4; p++) {
            char suffix[16];
            snprintf(suffix, sizeof suffix, "%s%s", json[j], packed[p]);
            if (dt_text_ends_in(path, suffix)) return true;
        }
    return false;
}
