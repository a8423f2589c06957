/* Weights alone, from wherever they may lie: a run, a checkpoint, a folder as the field publishes it, a file, an
 * index. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "train/checkpoint_manifest.h"
#include "train/ranks.h"
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

/* `<folder>/<stem>.safetensors` or its index, otherwise NULL. */
static dt_status weights_in(const char *folder, const char *stem, char **out)
{
    char name[64];
    snprintf(name, sizeof name, "%s.safetensors", stem);
    DT_TRY(existing(folder, name, out));
    if (*out) return DT_OK;
    snprintf(name, sizeof name, "%s.safetensors.index.json", stem);
    return existing(folder, name, out);
}

static const char *stem_of(const dt_weights_options *options) { return options->use_ema ? "ema" : "model"; }

/* Those of the newest valid checkpoint of a run, otherwise NULL. */
static dt_status weights_of_run(const char *folder, const dt_weights_options *options, dt_log *log, char **out)
{
    const char *stem = stem_of(options);
    char *checkpoints, *newest = NULL;
    json_t *manifest = NULL;
    DT_TRY(existing(folder, "checkpoints", &checkpoints));
    if (!checkpoints) return DT_OK;
    dt_status status = dt_checkpoint_find(checkpoints, options->world, log, &newest, &manifest);
    if (!status) status = dt_manifest_weights(manifest, newest, stem, out);
    if (!status && !*out) status = dt_fail(DT_ERR_DATA, "'%s' has no %s.safetensors", newest, stem);
    if (!status) dt_log_info(log, "the weights are those of '%s'", newest);
    json_decref(manifest);
    free(newest);
    free(checkpoints);
    return status;
}

/* Those of a checkpoint, which must be whole, otherwise NULL. A file that its manifest does not list is none of it. */
static dt_status weights_of_checkpoint(const char *folder, const dt_weights_options *options, char **out)
{
    json_t *verified = NULL;
    if (!options->manifest) DT_TRY(dt_checkpoint_verify(folder, options->world, &verified));
    const json_t *manifest = verified ? verified : options->manifest;
    dt_status status = dt_manifest_weights(manifest, folder, stem_of(options), out);
    json_decref(verified);
    return status;
}

/* Any other folder than a checkpoint needs only its weights. */
static dt_status path_in_folder(const char *folder, const dt_weights_options *options, dt_log *log, char **out)
{
    const char *stem = stem_of(options);
    char *manifest;
    DT_TRY(existing(folder, "manifest.json", &manifest));
    bool is_checkpoint = manifest || options->manifest;
    free(manifest);
    dt_status status = is_checkpoint ? weights_of_checkpoint(folder, options, out) : weights_in(folder, stem, out);
    if (!status && !*out && !is_checkpoint) status = weights_of_run(folder, options, log, out);
    if (status || *out) return status;
    if (is_checkpoint && options->use_ema)
        return dt_fail(DT_ERR_DATA, "the checkpoint '%s' has no averaged weights: its run had no train.ema", folder);
    return dt_fail(DT_ERR_DATA, "'%s' has neither %s.safetensors nor %s.safetensors.index.json, nor the 'checkpoints' "
                   "of a run", folder, stem, stem);
}

static dt_status find_path(const char *path, const dt_weights_options *options, dt_log *log, char **out)
{
    if (is_folder(path)) return path_in_folder(path, options, log, out);
    if (options->use_ema)
        return dt_fail(DT_ERR_DATA, "'%s' is not a checkpoint folder, so has no average of its weights", path);
    *out = strdup(path);
    return *out ? DT_OK : dt_fail_memory(strlen(path) + 1, path);
}

/* What one rank does not see, none begins to verify. */
static dt_status look_for(const char *path, dt_world *world)
{
    dt_status status = DT_OK;
    if (!dt_ranks_alone(world) && dt_path_missing(path))
        status = dt_fail(DT_ERR_IO, "there is no '%s' here, where every rank must see it", path);
    return dt_ranks_join(world, "weights to load", status);
}

dt_status dt_weights_open(const char *path, const dt_weights_options *options, dt_log *log, dt_weight_set **out)
{
    char *found;
    DT_TRY(look_for(path, options->world));
    DT_TRY(find_path(path, options, log, &found));
    dt_status status = dt_weight_set_open(found, out);
    free(found);
    return status;
}

dt_status dt_weights_fill(const dt_weight_set *set, dt_store *store, const dt_weights_options *options, dt_log *log)
{
    DT_TRY(dt_weight_set_fill(set, store, DT_BUFFER_VALUE, options, log));
    if (!dt_weight_set_has(store, DT_BUFFER_EMA)) return DT_OK;
    return dt_weight_set_fill(set, store, DT_BUFFER_EMA, options, NULL);
}

dt_status dt_weights_load(const char *path, dt_store *store, const dt_weights_options *options, dt_log *log)
{
    dt_weight_set *set;
    DT_TRY(dt_weights_open(path, options, log, &set));
    dt_status status = dt_weights_fill(set, store, options, log);
    dt_weight_set_close(set);
    return status;
}

dt_status dt_weights_save(const char *path, const dt_store *store, dt_buffer buffer, const char *const *metadata)
{
    dt_status status;
    char *temporary = NULL;
    dt_snapshot *snapshot = NULL;
    DT_TRY_GOTO(dt_snapshot_create(store, 1u << buffer, NULL, &snapshot), done);
    DT_TRY_GOTO(dt_snapshot_take(snapshot), done);
    if (asprintf(&temporary, "%s.tmp", path) < 0) {
        temporary = NULL;
        status = dt_fail_memory(strlen(path), path);
        goto done;
    }
    status = dt_weight_file_write(temporary, snapshot, buffer, metadata);
    if (status) goto done;
    status = dt_path_move(temporary, path);
    if (status) unlink(temporary);
done:
    free(temporary);
    dt_snapshot_free(snapshot);
    return status;
}
