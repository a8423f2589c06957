/* Saving a checkpoint so that a kill at any instant leaves either the old state of the folder or the new one: all files
 * are written and synced under a temporary name, the folder is renamed, and only then older ones go. */
#include "train/checkpoint_save.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "train/checkpoint_folder.h"
#include "train/checkpoint_manifest.h"
#include "train/checkpoint_notes.h"

static bool is_shared(const dt_checkpoint_options *options) { return options->ranks > 1; }

/* --- the files of one rank --- */

/* Another rank has failed: nothing is gained by writing on. */
static bool is_off(const dt_checkpoint_work *work, const char *folder)
{
    return is_shared(work->options) && dt_notes_tell_failure(folder, work->options->ranks);
}

/* Writes and syncs this rank's files and lists them in `files`; `*left`: it left off before the end. */
static dt_status write_own(const dt_checkpoint_work *work, const char *folder, json_t *files, bool *left)
{
    *left = false;
    for (int i = 0; i < dt_checkpoint_plan_files(work->plan); i++) {
        if (dt_checkpoint_plan_rank(work->plan, i) != work->options->rank) continue;
        *left = is_off(work, folder);
        if (*left) return DT_OK;
        DT_TRY(dt_checkpoint_plan_write(work->plan, i, folder, work->snapshot, files));
    }
    return DT_OK;
}

/* Tells the others that this rank has failed, with the kept message, which is kept. Where there is no room even for a
 * note, they write on, and the savers learn of it from each other. */
static dt_status leave_failure(const dt_checkpoint_work *work, const char *folder, dt_status failed)
{
    char why[DT_MESSAGE_ROOM];
    snprintf(why, sizeof why, "%s", dt_error_message());
    dt_status noted = dt_note_failed(folder, work->options->rank, why);
    return dt_fail(failed, "%s%s", why, noted ? " (and there is no room to tell the other ranks)" : "");
}

/* A rank other than 0. Where the folder is gone, rank 0 has waited long enough for this one, and says so. */
static dt_status write_share(const dt_checkpoint_work *work, const char *folder, json_t *files)
{
    bool left;
    dt_status status = write_own(work, folder, files, &left);
    if (!status) status = left ? dt_note_left(folder, work->options->rank)
                               : dt_note_done(folder, work->options->rank, files);
    if (status && !dt_path_missing(folder)) return leave_failure(work, folder, status);
    if (status) dt_error_clear();
    return DT_OK;
}

/* --- rank 0: what all have written --- */

static dt_status wait_for_others(const dt_checkpoint_work *work, const char *folder)
{
    enum { WAIT_LIMIT = 1800 };
    double limit = work->options->wait_limit > 0 ? work->options->wait_limit : WAIT_LIMIT;
    return dt_notes_wait(folder, work->options->ranks, limit, work->silent);
}

/* The folder is rank 0's to remove, so it waits for the others even when it has failed. */
static dt_status fail_behind_others(const dt_checkpoint_work *work, const char *folder, dt_status failed)
{
    char why[DT_MESSAGE_ROOM];
    failed = leave_failure(work, folder, failed);
    snprintf(why, sizeof why, "%s", dt_error_message());
    dt_status waited = wait_for_others(work, folder);
    return dt_fail(failed, "%s%s", why, waited ? "; the other ranks did not leave off" : "");
}

/* Writes rank 0's files and completes the list by those of the others; a world of one has no others. */
static dt_status write_and_gather(const dt_checkpoint_work *work, const char *folder, json_t *files)
{
    bool left;
    dt_status status = write_own(work, folder, files, &left);
    if (!is_shared(work->options)) return status;
    if (status) return fail_behind_others(work, folder, status);
    DT_TRY(wait_for_others(work, folder));
    DT_TRY(dt_notes_gather(folder, work->options->ranks, files));
    return dt_notes_remove(folder, work->options->ranks);
}

/* The list of files in the order of the plan, whoever wrote them. */
static dt_status in_order(const dt_checkpoint_plan *plan, const json_t *files, json_t **out)
{
    json_t *ordered = json_object();
    dt_status status = ordered ? DT_OK : dt_fail_memory(sizeof *ordered, "a checkpoint");
    for (int i = 0; i < dt_checkpoint_plan_files(plan) && !status; i++) {
        const char *name = dt_checkpoint_plan_name(plan, i);
        json_t *entry = json_object_get(files, name);
        if (!entry) status = dt_fail(DT_ERR_IO, "no rank has written '%s'", name);
        else if (json_object_set(ordered, name, entry)) status = dt_fail_memory(strlen(name), "a checkpoint");
    }
    if (status) json_decref(ordered);
    else *out = ordered;
    return status;
}

static dt_status write_manifest(const dt_checkpoint_work *work, const char *folder, const json_t *files)
{
    json_t *ordered;
    DT_TRY(in_order(work->plan, files, &ordered));
    DT_TRY(dt_manifest_write(folder, ordered, dt_store_type(dt_snapshot_store(work->snapshot)), work->progress,
                             work->settings_yaml, work->numerics));
    return dt_folder_sync(folder);
}

static dt_status write_all(const dt_checkpoint_work *work, const char *folder, json_t *files)
{
    DT_TRY(write_and_gather(work, folder, files));
    return write_manifest(work, folder, files);
}

static dt_status write_folder(const dt_checkpoint_work *work, const char *folder)
{
    json_t *files = json_object();
    if (!files) return dt_fail_memory(sizeof *files, folder);
    dt_status status = work->options->rank ? write_share(work, folder, files) : write_all(work, folder, files);
    json_decref(files);
    return status;
}

/* --- the folder --- */

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

/* A step that is saved again (after a rollback, say) takes the place of the earlier folder in one operation, and of
 * whatever else is no checkpoint and was passed over under that name: a file, a link that leads nowhere. */
static dt_status put_in_place(const char *temporary, const char *path, const char *parent)
{
    if (!dt_name_missing(path)) {
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
    dt_status removed = remove_old(saved, options, true);
    if (cleaned || removed)
        dt_log_warn(log, "the checkpoint of step %lld is saved, but an earlier one is not removed: %s",
                    (long long)saved->step, dt_error_message());
}

dt_status dt_checkpoint_tidy(const dt_progress *progress, const dt_checkpoint_options *options)
{
    if (options->rank != 0) return DT_OK;
    dt_status cleaned = dt_step_clean(options->folder);
    dt_status removed = remove_old(progress, options, false);
    return cleaned ? cleaned : removed;
}

/* Reports the failure that `status` and the kept message tell, whatever the clean-up meets. */
static dt_status give_up(dt_status status, const dt_checkpoint_options *options, const char *temporary, int64_t step)
{
    char why[DT_MESSAGE_ROOM];
    snprintf(why, sizeof why, "%s", dt_error_message());
    bool left = options->rank == 0 && dt_folder_remove(temporary);
    return dt_fail(status, "checkpoint of step %lld not saved, earlier ones are kept: %s%s%s", (long long)step, why,
                   left ? "; remains are left in " : "", left ? temporary : "");
}

static dt_status temporary_path(const dt_checkpoint_options *options, int64_t step, char **out)
{
    return dt_step_path(options->folder, step, ".tmp", out);
}

static dt_status make_temporary(const dt_checkpoint_options *options, const char *temporary)
{
    DT_TRY(dt_folder_make(options->folder));
    DT_TRY(dt_folder_remove(temporary));
    if (mkdir(temporary, 0777) == 0) return DT_OK; /* its name need not last: it is synced with its new one */
    return dt_fail(DT_ERR_IO, "cannot make folder '%s': %s", temporary, strerror(errno));
}

dt_status dt_checkpoint_prepare(const dt_checkpoint_options *options, int64_t step)
{
    char *temporary;
    DT_TRY(temporary_path(options, step, &temporary));
    dt_status status = make_temporary(options, temporary);
    free(temporary);
    return status;
}

dt_status dt_checkpoint_check_prepared(const dt_checkpoint_options *options, int64_t step)
{
    char *temporary;
    DT_TRY(temporary_path(options, step, &temporary));
    dt_status status = DT_OK;
    if (!dt_file_exists(temporary))
        status = dt_fail(DT_ERR_IO, "'%s', which rank 0 has made, is not seen here: run.dir must be on a file system "
                         "that all ranks share", temporary);
    free(temporary);
    return status;
}

static dt_status publish(const dt_checkpoint_work *work, const char *temporary)
{
    char *path;
    if (work->options->rank != 0) return DT_OK;
    DT_TRY(dt_step_path(work->options->folder, work->progress->step, "", &path));
    dt_status status = put_in_place(temporary, path, work->options->folder);
    free(path);
    if (!status) remove_others(work->progress, work->options, work->log);
    return status;
}

dt_status dt_checkpoint_write(const dt_checkpoint_work *work)
{
    char *temporary;
    DT_TRY(temporary_path(work->options, work->progress->step, &temporary));
    dt_status status = is_shared(work->options) ? DT_OK : make_temporary(work->options, temporary);
    if (!status) status = write_folder(work, temporary);
    if (!status) status = publish(work, temporary);
    if (status) status = give_up(status, work->options, temporary, work->progress->step);
    free(temporary);
    return status;
}

dt_status dt_checkpoint_save(const dt_store *store, const dt_progress *progress, const char *settings_yaml,
                             const json_t *numerics, const dt_checkpoint_options *options, dt_log *log)
{
    dt_status status;
    dt_checkpoint_plan *plan = NULL;
    dt_snapshot *snapshot = NULL;
    DT_TRY_GOTO(dt_checkpoint_plan_create(store, options, &plan), done);
    DT_TRY_GOTO(dt_checkpoint_plan_snapshot(plan, &snapshot), done);
    DT_TRY_GOTO(dt_snapshot_take(snapshot), done);
    status = dt_checkpoint_write(&(dt_checkpoint_work){.options = options, .plan = plan, .snapshot = snapshot,
                                                       .progress = progress, .settings_yaml = settings_yaml,
                                                       .numerics = numerics, .log = log});
done:
    dt_snapshot_free(snapshot);
    dt_checkpoint_plan_free(plan);
    return status;
}
