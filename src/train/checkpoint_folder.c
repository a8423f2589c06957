/* Names and lists of checkpoint folders. */
#include "train/checkpoint_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/text.h"
#include "train/checkpoint_file.h"

dt_status dt_step_path(const char *folder, int64_t step, const char *suffix, char **out)
{
    if (asprintf(out, "%s/step-%08lld%s", folder, (long long)step, suffix) >= 0) return DT_OK;
    return dt_fail_memory(strlen(folder), "a path");
}

/* The step in a name as dt_step_path spells it, or -1. */
static int64_t step_of(const char *name)
{
    long long step;
    char again[32];
    if (sscanf(name, "step-%18lld", &step) != 1 || step < 0) return -1;
    snprintf(again, sizeof again, "step-%08lld", step);
    return strcmp(name, again) ? -1 : step;
}

static int ascending(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

dt_status dt_step_list(const char *folder, int64_t **steps, size_t *count)
{
    char **names;
    size_t found;
    DT_TRY(dt_folder_list(folder, &names, &found));
    dt_status status = DT_OK;
    *count = 0;
    *steps = calloc(found + 1, sizeof **steps);
    if (!*steps) status = dt_fail_memory((found + 1) * sizeof **steps, folder);
    for (size_t i = 0; i < found && !status; i++)
        if (step_of(names[i]) >= 0) (*steps)[(*count)++] = step_of(names[i]);
    if (!status) qsort(*steps, *count, sizeof **steps, ascending);
    dt_folder_list_free(names, found);
    return status;
}

/* `path` ends in DT_STEP_ASIDE. The kill came before another folder stood in its place: it is the checkpoint. */
static dt_status put_back(const char *path)
{
    char *place = strndup(path, strlen(path) - strlen(DT_STEP_ASIDE));
    if (!place) return dt_fail_memory(strlen(path), "a path");
    dt_status status = dt_path_missing(place) ? dt_path_move(path, place) : dt_folder_remove(path);
    free(place);
    return status;
}

static dt_status clean_one(const char *folder, const char *name)
{
    if (strncmp(name, "step-", 5) != 0 || !dt_text_ends_in(name, ".tmp")) return DT_OK;
    char *path;
    DT_TRY(dt_path_join(folder, name, &path));
    dt_status status = dt_text_ends_in(name, DT_STEP_ASIDE) ? put_back(path) : dt_folder_remove(path);
    free(path);
    return status;
}

dt_status dt_step_clean(const char *folder)
{
    char **names;
    size_t count;
    DT_TRY(dt_folder_list(folder, &names, &count));
    dt_status status = DT_OK;
    for (size_t i = 0; i < count; i++) {
        dt_status one = clean_one(folder, names[i]);
        if (!status) status = one;
    }
    dt_folder_list_free(names, count);
    return status;
}
