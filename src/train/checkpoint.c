/* Finding, verifying and loading checkpoints, and the settings of checkpoints and of starting weights. */
#include "train/checkpoint.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "train/checkpoint_folder.h"
#include "train/checkpoint_manifest.h"
#include "train/checkpoint_state.h"
#include "train/ranks.h"
#include "train/weight_set.h"

static const char *const on_error[] = {"stop", "continue", NULL};
static const char *const metrics[] = {"none", "eval.top1", "eval.loss", "eval_ema.top1", "eval_ema.loss", NULL};

static const dt_setting_row rows[] = {
    {"checkpoint.every_steps", DT_SETTING_INT, "1000", 0, 1e12, .help = "save every so many updates; 0: never"},
    {"checkpoint.keep", DT_SETTING_INT, "3", 0, 1e6, .help = "how many of the newest to keep; 0: all of them"},
    {"checkpoint.best_metric", DT_SETTING_CHOICE, NULL, .choices = metrics,
     .help = "also keep the checkpoint that is best by this metric; eval.top1 of images and eval.loss of text when not "
             "set"},
    {"checkpoint.at_end", DT_SETTING_BOOL, "true", .help = "save after the last update"},
    {"checkpoint.compress", DT_SETTING_BOOL, "false", .help = "zstd for the optimizer's state"},
    {"checkpoint.file_gib", DT_SETTING_REAL, "5", 0.001, 1e6,
     .help = "weights above this size are split into several files with an index, in GiB; several ranks may split them "
             "finer"},
    {"checkpoint.on_error", DT_SETTING_CHOICE, "stop", .choices = on_error,
     .help = "when saving fails (disk full): stop the run, or warn and continue"},
    {"init.from", DT_SETTING_TEXT, NULL,
     .help = "start from these weights: a run (its newest checkpoint), a checkpoint, a .safetensors file or its index, "
             "or a folder with one of these, as export --format hf writes it"},
    {"init.new_head", DT_SETTING_BOOL, "false",
     .help = "with init.from: where the head is missing or of another shape, start with a new one"},
};
const dt_setting_table dt_checkpoint_settings = {rows, sizeof rows / sizeof *rows};

/* --- verifying and finding --- */

/* Nothing of that name, or a circle of links, which no waiting makes a checkpoint. */
static bool leads_nowhere(const char *path)
{
    struct stat info;
    return stat(path, &info) != 0 && (errno == ENOENT || errno == ENOTDIR || errno == ELOOP);
}

/* A folder, a pipe or a device has that name. */
static bool is_no_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode);
}

dt_status dt_checkpoint_manifest(const char *path, json_t **out)
{
    enum { MAX_MANIFEST = 1 << 26 };
    char *name, *bytes;
    size_t size;
    if (leads_nowhere(path) && !dt_name_missing(path))
        return dt_fail(DT_ERR_DATA, "'%s' is a link that leads nowhere", path);
    DT_TRY(dt_path_join(path, "manifest.json", &name));
    dt_status status;
    if (dt_path_missing(name)) status = dt_fail(DT_ERR_DATA, "'%s' has no manifest.json", path);
    else if (is_no_file(name)) status = dt_fail(DT_ERR_DATA, "'%s' is not a regular file", name);
    else status = dt_file_read(name, MAX_MANIFEST, &bytes, &size);
    if (!status) {
        status = dt_manifest_parse(bytes, size, name, out);
        free(bytes);
    }
    free(name);
    return status;
}

/* The manifest, where this rank's share of the files is as it says. */
static dt_status read_and_check(const char *path, const dt_world *world, json_t **out)
{
    json_t *manifest;
    DT_TRY(dt_checkpoint_manifest(path, &manifest));
    dt_status status = dt_manifest_check_files(manifest, path, dt_world_rank(world), dt_world_size(world));
    if (status) json_decref(manifest);
    else *out = manifest;
    return status;
}

/* Each rank has read it by itself. */
static dt_status compare_manifests(const char *path, dt_world *world, const json_t *manifest)
{
    uint64_t mine, first;
    DT_TRY(dt_json_hash(manifest, "checksum", path, &mine));
    first = mine;
    DT_TRY(dt_world_broadcast(world, "the manifest of a checkpoint", &first, sizeof first));
    dt_status status = DT_OK;
    if (mine != first)
        status = dt_fail(DT_ERR_IO, "'%s' is not what rank 0 sees under this name: it must lie on a file system that "
                         "all ranks share", path);
    return dt_ranks_join(world, "manifests of a checkpoint", status);
}

dt_status dt_checkpoint_verify(const char *path, dt_world *world, json_t **manifest)
{
    json_t *read = NULL;
    dt_status status = dt_ranks_join_in_time(world, "the files of a checkpoint", read_and_check(path, world, &read));
    if (!status) status = compare_manifests(path, world, read);
    if (manifest) *manifest = status ? NULL : json_incref(read);
    json_decref(read);
    return status;
}

dt_status dt_checkpoint_gone(const char *path, dt_world *world, bool *gone)
{
    *gone = dt_name_missing(path); /* a link that leads nowhere is damaged, and would be listed again and again */
    return dt_world_broadcast(world, "whether a checkpoint is still there", gone, sizeof *gone);
}

dt_status dt_checkpoint_tell_gone(const char *path, dt_world *world, dt_status failed, bool *gone)
{
    DT_TRY(dt_checkpoint_gone(path, world, gone));
    if (!*gone) return failed;
    return dt_fail_in(failed, "the checkpoint '%s' was removed while it was read, as a run that trains does unless it "
                      "keeps more (checkpoint.keep)", path);
}

/* `*path` stays NULL when the folder of that step is damaged, or `*gone`. A file that cannot be read just now is no
 * damage: were it passed over, the next save would remove a good checkpoint. */
static dt_status try_step(const char *folder, int64_t step, dt_world *world, dt_log *log, char **path,
                          json_t **manifest, bool *gone)
{
    char *candidate;
    DT_TRY(dt_step_path(folder, step, "", &candidate));
    dt_status status = dt_checkpoint_verify(candidate, world, manifest);
    if (!status) {
        *path = candidate;
        return DT_OK;
    }
    dt_status looked = dt_checkpoint_gone(candidate, world, gone);
    if (looked || *gone) {
        status = looked;
    } else if (status == DT_ERR_DATA) {
        dt_log_warn(log, "the checkpoint '%s' is passed over: %s", candidate, dt_error_message());
        status = DT_OK;
    } else {
        status = dt_fail_in(status, "cannot tell whether the checkpoint '%s' is whole", candidate);
    }
    free(candidate);
    return status;
}

/* The steps that have a folder, as rank 0 sees it; `*count` is -1 where there is not even a folder of steps. */
static dt_status list_steps(const char *folder, int64_t **steps, int64_t *count)
{
    size_t found;
    *count = -1;
    if (dt_path_missing(folder)) return DT_OK;
    DT_TRY(dt_step_list(folder, steps, &found));
    *count = (int64_t)found;
    return DT_OK;
}

/* Rank 0's list, at all ranks. */
static dt_status share_steps(dt_world *world, int64_t **steps, int64_t *count)
{
    DT_TRY(dt_world_broadcast(world, "the number of checkpoints", count, sizeof *count));
    if (*count <= 0) return DT_OK;
    size_t bytes = (size_t)*count * sizeof **steps;
    if (dt_world_rank(world) != 0) *steps = malloc(bytes);
    if (!*steps) return dt_fail_memory(bytes, "the list of checkpoints");
    return dt_world_broadcast(world, "the list of checkpoints", *steps, bytes);
}

/* `*gone` where a checkpoint went while the list was worked through: there is a newer one by now. */
static dt_status find_once(const char *folder, dt_world *world, dt_log *log, char **path, json_t **manifest, bool *gone)
{
    int64_t *steps = NULL, count = 0;
    *gone = false;
    dt_status status = dt_world_rank(world) == 0 ? list_steps(folder, &steps, &count) : DT_OK;
    status = dt_ranks_join(world, "looking for checkpoints", status);
    if (!status) status = share_steps(world, &steps, &count);
    for (int64_t i = count; i-- > 0 && !status && !*path && !*gone;)
        status = try_step(folder, steps[i], world, log, path, manifest, gone);
    free(steps);
    if (status || *path || *gone) return status;
    if (count > 0)
        return dt_fail(DT_ERR_IO, "none of the %lld checkpoints in '%s' is valid", (long long)count, folder);
    if (count < 0) return dt_fail(DT_ERR_DATA, "there is no checkpoint: '%s' does not exist", folder);
    return dt_fail(DT_ERR_DATA, "there is no checkpoint in '%s'", folder);
}

dt_status dt_checkpoint_find(const char *folder, dt_world *world, dt_log *log, char **path, json_t **manifest)
{
    enum { LISTS = 10 };
    bool gone = true;
    dt_status status = DT_OK;
    *path = NULL;
    if (manifest) *manifest = NULL;
    for (int i = 0; i < LISTS && gone && !status; i++)
        status = find_once(folder, world, log, path, manifest, &gone);
    if (!status && gone)
        status = dt_fail(DT_ERR_IO, "the checkpoints in '%s' go before they are read: the run that trains is to keep "
                         "more of them (checkpoint.keep), or save less often", folder);
    return status;
}

/* --- loading --- */

static dt_status fill_from(const char *path, dt_store *store, dt_buffer to, const dt_weights_options *options,
                           dt_log *log)
{
    dt_weight_set *set;
    DT_TRY(dt_weight_set_open(path, &set));
    dt_status status = dt_weight_set_fill(set, store, to, options, log);
    dt_weight_set_close(set);
    return status;
}

/* `wanted`: does the store have such weights? The checkpoint must agree. */
static dt_status load_weights(const char *folder, const json_t *manifest, const char *stem, bool wanted,
                              dt_store *store, dt_buffer to)
{
    static const dt_weights_options all = {0};
    char *path;
    DT_TRY(dt_manifest_weights(manifest, folder, stem, &path));
    dt_status status = DT_OK;
    if (!path && wanted) status = dt_fail(DT_ERR_DATA, "'%s' has no %s weights, which this run needs", folder, stem);
    else if (path && !wanted)
        status = dt_fail(DT_ERR_DATA, "'%s' has %s weights, which this run has no use for", folder, stem);
    else if (path) status = fill_from(path, store, to, &all, NULL);
    free(path);
    return status;
}

static dt_status check_type(const char *path, const json_t *manifest, dt_dtype type)
{
    const char *there = json_string_value(json_object_get(manifest, "type"));
    if (!strcmp(there, dt_dtype_name(type))) return DT_OK;
    return dt_fail(DT_ERR_DATA, "'%s' was saved by a run in %s, this run works in %s (precision.mode)", path, there,
                   dt_dtype_name(type));
}

static dt_status load(const char *path, const json_t *manifest, dt_store *store, dt_progress *progress)
{
    DT_TRY(check_type(path, manifest, dt_store_type(store)));
    DT_TRY(load_weights(path, manifest, "model", true, store, DT_BUFFER_VALUE));
    bool ema = dt_weight_set_has(store, DT_BUFFER_EMA);
    DT_TRY(load_weights(path, manifest, "ema", ema, store, DT_BUFFER_EMA));
    DT_TRY(dt_state_files_read(path, manifest, store));
    return dt_manifest_progress(manifest, path, progress);
}

dt_status dt_checkpoint_load(const char *path, const json_t *manifest, dt_world *world, dt_store *store,
                             dt_progress *progress)
{
    return dt_ranks_join(world, "loading a checkpoint", load(path, manifest, store, progress));
}
