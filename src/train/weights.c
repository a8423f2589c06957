/* Weights alone, from wherever they may lie: a checkpoint, a folder as the field publishes it, a file, an index. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "train/weight_set.h"

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* `<folder>/<name>` where it exists, otherwise NULL. */
static dt_status existing(const char *folder, const char *name, char **out)
{
    DT_TRY(dt_path_join(folder, name, out));
    if (dt_file_exists(*out)) return DT_OK;
    free(*out);
    *out = NULL;
    return DT_OK;
}

/* A checkpoint must be whole; any other folder needs only its weights. */
static dt_status path_in_folder(const char *folder, const char *stem, char **out)
{
    char *manifest, name[64];
    DT_TRY(existing(folder, "manifest.json", &manifest));
    dt_status status = manifest ? dt_checkpoint_verify(folder) : DT_OK;
    free(manifest);
    if (status) return status;
    snprintf(name, sizeof name, "%s.safetensors", stem);
    DT_TRY(existing(folder, name, out));
    if (*out) return DT_OK;
    snprintf(name, sizeof name, "%s.safetensors.index.json", stem);
    DT_TRY(existing(folder, name, out));
    return *out ? DT_OK : dt_fail(DT_ERR_DATA, "'%s' has no %s.safetensors", folder, stem);
}

static dt_status find_path(const char *path, bool use_ema, char **out)
{
    if (is_folder(path)) return path_in_folder(path, use_ema ? "ema" : "model", out);
    if (use_ema) return dt_fail(DT_ERR_DATA, "'%s' is not a checkpoint folder, so has no average of its weights", path);
    *out = strdup(path);
    return *out ? DT_OK : dt_fail_memory(strlen(path) + 1, path);
}

dt_status dt_weights_load(const char *path, dt_store *store, const dt_weights_options *options, dt_log *log)
{
    char *found;
    dt_weight_set *set;
    DT_TRY(find_path(path, options->use_ema, &found));
    dt_status status = dt_weight_set_open(found, &set);
    free(found);
    if (status) return status;
    status = dt_weight_set_fill(set, store, DT_BUFFER_VALUE, options, log);
    if (!status && dt_weight_set_has(store, DT_BUFFER_EMA))
        status = dt_weight_set_fill(set, store, DT_BUFFER_EMA, options, NULL);
    dt_weight_set_close(set);
    return status;
}

dt_status dt_weights_save(const char *path, const dt_store *store, dt_buffer buffer, const char *const *metadata)
{
    dt_status status;
    char *temporary = NULL;
    dt_snapshot *snapshot = NULL;
    DT_TRY_GOTO(dt_snapshot_create(store, 1u << buffer, &snapshot), done);
    DT_TRY_GOTO(dt_snapshot_take(snapshot), done);
    if (asprintf(&temporary, "%s.tmp", path) < 0) {
        temporary = NULL;
        status = dt_fail_memory(strlen(path), path);
        goto done;
    }
    status = dt_weight_file_write(temporary, snapshot, buffer, 0, dt_store_params(store), metadata, NULL);
    if (!status) status = dt_path_move(temporary, path);
done:
    free(temporary);
    dt_snapshot_free(snapshot);
    return status;
}
