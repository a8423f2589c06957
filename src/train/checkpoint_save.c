/* Saving a checkpoint so that a kill at any instant leaves either the old state of the folder or the new one: all files
 * are written and synced under a temporary name, the folder is renamed, and only then older ones go. */
#include "train/checkpoint_save.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "train/checkpoint_folder.h"
#include "train/checkpoint_manifest.h"
#include "train/checkpoint_state.h"
#include "train/weight_set.h"

static dt_status write_tensors(const char *folder, const dt_snapshot *from, const dt_checkpoint_options *options,
                               json_t *files)
{
    DT_TRY(dt_weight_set_write(folder, "model", from, DT_BUFFER_VALUE, options->file_bytes, files));
    if (dt_snapshot_has(from, DT_BUFFER_EMA))
        DT_TRY(dt_weight_set_write(folder, "ema", from, DT_BUFFER_EMA, options->file_bytes, files));
    return dt_state_files_write(folder, from, options->compress, files);
}

static dt_status write_folder(const char *folder, const dt_snapshot *from, const dt_progress *progress,
                              const char *settings_yaml, const json_t *numerics, const dt_checkpoint_options *options)
{
    DT_TRY(dt_folder_make(folder));
    json_t *files = json_object();
    if (!files) return dt_fail_memory(sizeof(json_t), folder);
    dt_status status = write_tensors(folder, from, options, files);
    if (status) {
        json_decref(files);
        return status;
    }
    DT_TRY(dt_manifest_write(folder, files, dt_store_type(dt_snapshot_store(from)), progress, settings_yaml, numerics));
    return dt_folder_sync(folder);
}

/* For file systems that cannot exchange two names: the old folder steps aside under a name from which it is
 * put back where a kill comes before the new one is in place. */
static dt_status move_aside(const char *path)
{
    char *aside;
    if (asprintf(&aside, "%s%s", path, DT_STEP_ASIDE) < 0) return dt_fail_memory(strlen(path), "a path");
    dt_status status = dt_path_move(path, aside);
    free(aside);
    return status;
}

/* A step that is saved again (after a rollback, say) takes the place of the earlier folder in one operation. */
static dt_status put_in_place(const char *temporary, const char *path, const char *parent)
{
    if (dt_file_exists(path)) {
        if (renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_EXCHANGE) == 0) return dt_folder_sync(parent);
        DT_TRY(move_aside(path));
    }
    return dt_path_move(temporary, path);
}

/* Removes the folder of a step in two stages: once renamed, it is no longer a checkpoint. */
static dt_status remove_step(const char *folder, int64_t step)
{
    char *path = NULL, *temporary = NULL;
    dt_status status = dt_step_path(folder, step, "", &path);
    if (!status) status = dt_step_path(folder, step, ".tmp", &temporary);
    if (!status) status = dt_path_move(path, temporary);
    if (!status) status = dt_folder_remove(temporary);
    free(temporary);
    free(path);
    return status;
}

/* With `ahead_too`, steps beyond that of `progress` go as well. One that cannot go does not keep the others. */
static dt_status remove_old(const dt_progress *progress, const dt_checkpoint_options *options, bool ahead_too)
{
    int64_t *steps;
    size_t count;
    DT_TRY(dt_step_list(options->folder, &steps, &count));
    dt_status status = DT_OK;
    int newer = 0;
    for (size_t i = count; i-- > 0;) {
        bool ahead = steps[i] > progress->step;
        bool best = isfinite(progress->best) && steps[i] == progress->best_step;
        if (!ahead) newer++;
        bool surplus = options->keep > 0 && newer > options->keep && !best;
        if (!(ahead && ahead_too) && !surplus) continue;
        dt_status one = remove_step(options->folder, steps[i]);
        if (!status) status = one;
    }
    free(steps);
    return status;
}

/* Steps beyond the one just saved are damaged or belong to a course that was rolled back: the newest valid checkpoint
 * must be the one just saved. It is durable by now, whatever becomes of the others. */
static void remove_others(const dt_progress *saved, const dt_checkpoint_options *options, dt_log *log)
{
    dt_status cleaned = dt_step_clean(options->folder);
    if (cleaned || remove_old(saved, options, true))
        dt_log_warn(log, "the checkpoint of step %lld is saved, but an earlier one is not removed: %s",
                    (long long)saved->step, dt_error_message());
}

dt_status dt_checkpoint_tidy(const dt_progress *progress, const dt_checkpoint_options *options)
{
    DT_TRY(dt_step_clean(options->folder));
    return remove_old(progress, options, false);
}

/* Reports the failure that `status` and the kept message tell, whatever the clean-up meets. */
static dt_status give_up(dt_status status, const char *temporary, int64_t step)
{
    char why[1024];
    snprintf(why, sizeof why, "%s", dt_error_message());
    dt_status left = dt_folder_remove(temporary);
    return dt_fail(status, "checkpoint of step %lld not saved, earlier ones are kept: %s%s%s", (long long)step, why,
                   left ? "; remains are left in " : "", left ? temporary : "");
}

dt_status dt_checkpoint_write(const dt_snapshot *from, const dt_progress *progress, const char *settings_yaml,
                              const json_t *numerics, const dt_checkpoint_options *options, dt_log *log)
{
    char *path = NULL, *temporary = NULL;
    dt_status status = dt_step_path(options->folder, progress->step, "", &path);
    if (!status) status = dt_step_path(options->folder, progress->step, ".tmp", &temporary);
    if (!status) status = dt_folder_make(options->folder);
    if (!status) status = dt_folder_remove(temporary);
    if (status) goto done;
    status = write_folder(temporary, from, progress, settings_yaml, numerics, options);
    if (!status) status = put_in_place(temporary, path, options->folder);
    if (status) status = give_up(status, temporary, progress->step);
    else remove_others(progress, options, log);
done:
    free(temporary);
    free(path);
    return status;
}

dt_status dt_checkpoint_save(const dt_store *store, const dt_progress *progress, const char *settings_yaml,
                             const json_t *numerics, const dt_checkpoint_options *options, dt_log *log)
{
    dt_snapshot *snapshot;
    DT_TRY(dt_snapshot_create(store, DT_CHECKPOINT_BUFFERS, &snapshot));
    dt_status status = dt_snapshot_take(snapshot);
    if (!status) status = dt_checkpoint_write(snapshot, progress, settings_yaml, numerics, options, log);
    dt_snapshot_free(snapshot);
    return status;
}
