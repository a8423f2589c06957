/* Writing and reading folders of the Hugging Face form. */
#include "train/hf_folder.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "train/weight_set.h"

static dt_status write_file(const char *folder, const char *name, const char *text)
{
    char *path;
    dt_file_sum sum;
    DT_TRY(dt_path_join(folder, name, &path));
    dt_status status = dt_outfile_write(path, text, strlen(text), &sum);
    free(path);
    return status;
}

static dt_status write_module(const char *folder, const dt_hf_kind *kind)
{
    char name[64];
    if (!kind->module) return DT_OK;
    snprintf(name, sizeof name, "%s.py", kind->module);
    return write_file(folder, name, kind->text);
}

static dt_status write_weights(const char *folder, const dt_store *store, int64_t file_bytes)
{
    dt_snapshot *snapshot;
    DT_TRY(dt_snapshot_create(store, 1u << DT_BUFFER_VALUE, NULL, &snapshot));
    dt_status status = dt_snapshot_take(snapshot);
    if (!status) status = dt_weight_set_write(folder, "model", snapshot, DT_BUFFER_VALUE, file_bytes);
    dt_snapshot_free(snapshot);
    return status;
}

static dt_status fill(const char *folder, const char *config, const dt_hf_kind *kind, const dt_store *store,
                      int64_t file_bytes)
{
    DT_TRY(dt_folder_make(folder));
    DT_TRY(write_file(folder, "config.json", config));
    DT_TRY(write_module(folder, kind));
    DT_TRY(write_weights(folder, store, file_bytes));
    return dt_folder_sync(folder);
}

/* What a killed one left, or something of the user's. */
static dt_status check_temporary(const char *folder)
{
    if (dt_path_missing(folder)) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "'%s' is in the way; an export that was killed may have left it: remove it, or choose "
                   "another name", folder);
}

dt_status dt_hf_folder_write(const char *folder, const dt_model *model, const dt_settings *settings,
                             const dt_store *store, int64_t file_bytes, const dt_hf_kind **kind)
{
    dt_text config = {0}, place = {0}, temporary = {0};
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/') length--;
    dt_text_add_bytes(&place, folder, length);
    dt_text_add_bytes(&temporary, folder, length);
    dt_text_add(&temporary, ".tmp");
    dt_status status = dt_text_status(&place);
    if (!status) status = dt_text_status(&temporary);
    if (!status) status = check_temporary(temporary.data);
    if (!status) status = dt_hf_config(model, settings, dt_store_type(store), &config, kind);
    if (!status) {
        status = fill(temporary.data, config.data, *kind, store, file_bytes);
        if (!status) status = dt_path_move(temporary.data, place.data);
        if (status) status = dt_folder_discard(temporary.data, status);
    }
    dt_text_free(&temporary);
    dt_text_free(&place);
    dt_text_free(&config);
    return status;
}

dt_status dt_hf_folder_settings(const char *folder, dt_text *yaml)
{
    enum { MAX_CONFIG = 1 << 20 };
    char *path;
    json_t *config = NULL;
    dt_text where = {0};
    DT_TRY(dt_path_join(folder, "config.json", &path));
    dt_text_add(&where, "'%s'", path);
    dt_status status = dt_text_status(&where);
    if (!status) status = dt_json_read(path, MAX_CONFIG, &config);
    if (!status) status = dt_hf_settings(config, where.data, yaml);
    json_decref(config);
    dt_text_free(&where);
    free(path);
    return status;
}
