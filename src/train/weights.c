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

/* --- where they lie --- */

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

dt_status dt_weights_look(const char *path, dt_weights_place *out)
{
    char *found;
    *out = DT_WEIGHTS_FILE;
    if (!is_folder(path)) return DT_OK;
    DT_TRY(existing(path, "manifest.json", &found));
    *out = DT_WEIGHTS_CHECKPOINT;
    if (!found) {
        DT_TRY(existing(path, "checkpoints", &found));
        *out = found ? DT_WEIGHTS_RUN : DT_WEIGHTS_FOLDER;
    }
    free(found);
    return DT_OK;
}

/* Rank 0 says where all look. What one rank does not see, none begins to verify. */
static dt_status look_together(const char *path, const dt_weights_options *options, dt_weights_place *place)
{
    dt_status status = DT_OK;
    *place = options->place;
    if (!dt_ranks_alone(options->world) && dt_path_missing(path))
        status = dt_fail(DT_ERR_IO, "there is no '%s' here, where every rank must see it", path);
    else if (*place == DT_WEIGHTS_ANYWHERE)
        status = dt_weights_look(path, place);
    DT_TRY(dt_ranks_join(options->world, "weights to load", status));
    return dt_world_broadcast(options->world, "where weights lie", place, sizeof *place);
}

/* --- opening --- */

/* The checkpoint that it is, or the newest valid one of the run, verified once for all that follows: what a run that
 * goes on puts in its place until its weights are read is whole, too. */
static dt_status find_checkpoint(const char *path, dt_weights_place place, const dt_weights_options *options,
                                 dt_log *log, dt_weights *out)
{
    if (place == DT_WEIGHTS_CHECKPOINT) {
        out->checkpoint = strdup(path);
        if (!out->checkpoint) return dt_fail_memory(strlen(path) + 1, "a path");
        return dt_checkpoint_verify(path, options->world, &out->manifest);
    }
    char *folder;
    DT_TRY(dt_path_join(path, "checkpoints", &folder));
    dt_status status = dt_checkpoint_find(folder, options->world, log, &out->checkpoint, &out->manifest);
    free(folder);
    return status;
}

/* A file that its manifest does not list is none of a checkpoint. */
static dt_status file_of_checkpoint(const dt_weights *weights, bool use_ema, char **out)
{
    DT_TRY(dt_manifest_weights(weights->manifest, weights->checkpoint, use_ema ? "ema" : "model", out));
    if (*out) return DT_OK;
    if (use_ema)
        return dt_fail(DT_ERR_DATA, "the checkpoint '%s' has no averaged weights: its run had no train.ema",
                       weights->checkpoint);
    return dt_fail(DT_ERR_DATA, "the manifest of '%s' lists no model.safetensors", weights->checkpoint);
}

static dt_status file_in_folder(const char *folder, char **out)
{
    DT_TRY(existing(folder, "model.safetensors", out));
    if (!*out) DT_TRY(existing(folder, "model.safetensors.index.json", out));
    if (*out) return DT_OK;
    return dt_fail(DT_ERR_DATA, "'%s' has neither model.safetensors nor model.safetensors.index.json, nor the "
                   "'checkpoints' of a run", folder);
}

static dt_status find_file(const char *path, dt_weights_place place, const dt_weights *weights, bool use_ema,
                           char **out)
{
    if (weights->checkpoint) return file_of_checkpoint(weights, use_ema, out);
    if (use_ema) return dt_fail(DT_ERR_DATA, "'%s' is not a checkpoint folder, so has no average of its weights", path);
    if (place == DT_WEIGHTS_FOLDER) return file_in_folder(path, out);
    *out = strdup(path);
    return *out ? DT_OK : dt_fail_memory(strlen(path) + 1, path);
}

static dt_status open_files(const char *path, dt_weights_place place, bool use_ema, dt_weights *weights)
{
    char *file;
    DT_TRY(find_file(path, place, weights, use_ema, &file));
    dt_status status = dt_weight_set_open(file, &weights->files);
    free(file);
    return status;
}

/* `*gone` where they are a checkpoint's that was removed on the way. */
static dt_status open_once(const char *path, dt_weights_place place, const dt_weights_options *options, dt_log *log,
                           dt_weights *out, bool *gone)
{
    bool is_checkpoint = place == DT_WEIGHTS_CHECKPOINT || place == DT_WEIGHTS_RUN;
    *gone = false;
    dt_status status = is_checkpoint ? find_checkpoint(path, place, options, log, out) : DT_OK;
    if (!status)
        status = dt_ranks_join_in_time(options->world, "opening weights",
                                       open_files(path, place, options->use_ema, out));
    if (!status || !out->checkpoint) return status;
    return dt_checkpoint_tell_gone(out->checkpoint, options->world, status, gone);
}

/* A run that has removed one has a newer one. */
dt_status dt_weights_open(const char *path, const dt_weights_options *options, dt_log *log, dt_weights *out)
{
    enum { TRIES = 10 };
    dt_weights_place place;
    bool gone;
    *out = (dt_weights){0};
    DT_TRY(look_together(path, options, &place));
    dt_status status = open_once(path, place, options, log, out, &gone);
    for (int i = 1; i < TRIES && place == DT_WEIGHTS_RUN && gone; i++) {
        dt_weights_close(out);
        status = open_once(path, place, options, log, out, &gone);
    }
    if (status) dt_weights_close(out);
    return status;
}

void dt_weights_close(dt_weights *weights)
{
    dt_weight_set_close(weights->files);
    json_decref(weights->manifest);
    free(weights->checkpoint);
    *weights = (dt_weights){0};
}

/* --- reading and writing --- */

dt_status dt_weights_fill(const dt_weights *weights, dt_store *store, const dt_weights_options *options, dt_log *log)
{
    DT_TRY(dt_weight_set_fill(weights->files, store, DT_BUFFER_VALUE, options, log));
    if (!dt_weight_set_has(store, DT_BUFFER_EMA)) return DT_OK;
    return dt_weight_set_fill(weights->files, store, DT_BUFFER_EMA, options, NULL);
}

dt_status dt_weights_load(const char *path, dt_store *store, const dt_weights_options *options, dt_log *log)
{
    dt_weights weights;
    DT_TRY(dt_weights_open(path, options, log, &weights));
    if (weights.checkpoint && strcmp(weights.checkpoint, path) != 0)
        dt_log_info(log, "the weights are those of '%s'", weights.checkpoint);
    dt_status status = dt_weights_fill(&weights, store, options, log);
    dt_weights_close(&weights);
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
