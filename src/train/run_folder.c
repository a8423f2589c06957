/* Makes, locks and names run folders. */
#include "train/run_folder.h"

#include <stdlib.h>

#include "base/file.h"

struct dt_run_folder {
    dt_text path, checkpoints, lock_path;
    dt_lock *lock; /* NULL: followed */
    bool shared;   /* followed, and rank 0's lock is seen */
    bool made; /* by dt_run_folder_open, and no other process holds it */
};

static dt_status derive_name(dt_settings *settings)
{
    if (dt_setting_has(settings, "run.name")) return DT_OK;
    dt_text name = {0};
    dt_text_add(&name, "%s-%s", dt_setting_text(settings, "model.arch"), dt_setting_text(settings, "norm.kind"));
    dt_status status = dt_text_status(&name);
    if (!status) status = dt_setting_derive_text(settings, "run.name", name.data);
    dt_text_free(&name);
    return status;
}

dt_status dt_run_folder_name(dt_settings *settings, dt_text *out)
{
    DT_TRY(derive_name(settings));
    dt_text_add(out, "%s/%s", dt_setting_text(settings, "run.dir"), dt_setting_text(settings, "run.name"));
    return dt_text_status(out);
}

static dt_status take_lock(dt_run_folder *folder)
{
    dt_status status = dt_lock_take(folder->lock_path.data, &folder->lock);
    return status == DT_ERR_USAGE ? dt_fail_in(status, "another process trains this run") : status;
}

/* A folder without a lock is left as it is: it may be no run at all. */
static dt_status refuse_found(dt_run_folder *folder)
{
    if (dt_file_exists(folder->lock_path.data)) DT_TRY(take_lock(folder));
    return dt_fail(DT_ERR_USAGE, "the run folder '%s' is there already: go on with --resume, choose another run.name, "
                   "or remove it", folder->path.data);
}

static dt_status open_log(const dt_run_folder *folder, int rank, dt_log *log)
{
    dt_text path = {0};
    if (rank) dt_text_add(&path, "%s/log.rank-%04d.txt", folder->path.data, rank);
    else dt_text_add(&path, "%s/log.txt", folder->path.data);
    dt_status status = dt_text_status(&path);
    if (!status) status = dt_log_open_file(log, path.data);
    dt_text_free(&path);
    return status;
}

static dt_status set_paths(dt_run_folder *folder, dt_settings *settings)
{
    DT_TRY(dt_run_folder_name(settings, &folder->path));
    dt_text_add(&folder->checkpoints, "%s/checkpoints", folder->path.data);
    dt_text_add(&folder->lock_path, "%s/lock", folder->path.data);
    DT_TRY(dt_text_status(&folder->checkpoints));
    return dt_text_status(&folder->lock_path);
}

static dt_status open_folder(dt_run_folder *folder, dt_settings *settings, bool resume, dt_log *log)
{
    bool found;
    DT_TRY(set_paths(folder, settings));
    DT_TRY(dt_file_look(folder->path.data, &found));
    if (found && !resume) return refuse_found(folder);
    if (!found && resume) dt_log_warn(log, "nothing to resume in '%s': starting a new run", folder->path.data);
    DT_TRY(dt_folder_make(folder->path.data));
    folder->made = !found;
    DT_TRY(dt_folder_make(folder->checkpoints.data));
    dt_status status = take_lock(folder);
    if (status == DT_ERR_USAGE) folder->made = false; /* another process was faster */
    return status ? status : open_log(folder, 0, log);
}

dt_status dt_run_folder_open(dt_settings *settings, bool resume, dt_log *log, dt_run_folder **out)
{
    dt_run_folder *folder = calloc(1, sizeof *folder);
    if (!folder) return dt_fail_memory(sizeof *folder, "the run folder");
    dt_status status = open_folder(folder, settings, resume, log);
    if (!status) {
        *out = folder;
        return DT_OK;
    }
    status = dt_run_folder_discard(folder, status);
    dt_run_folder_free(folder);
    return status;
}

static dt_status follow(dt_run_folder *folder, dt_settings *settings, int rank, dt_log *log)
{
    DT_TRY(set_paths(folder, settings));
    folder->shared = dt_file_exists(folder->lock_path.data);
    DT_TRY(dt_folder_make(folder->path.data));
    DT_TRY(dt_folder_make(folder->checkpoints.data));
    return open_log(folder, rank, log);
}

dt_status dt_run_folder_follow(dt_settings *settings, int rank, dt_log *log, dt_run_folder **out)
{
    dt_run_folder *folder = calloc(1, sizeof *folder);
    if (!folder) return dt_fail_memory(sizeof *folder, "the run folder");
    dt_status status = follow(folder, settings, rank, log);
    if (status) dt_run_folder_free(folder);
    else *out = folder;
    return status;
}

bool dt_run_folder_is_shared(const dt_run_folder *folder) { return folder->lock || folder->shared; }

dt_status dt_run_folder_discard(const dt_run_folder *folder, dt_status failed)
{
    return folder->made ? dt_folder_discard(folder->path.data, failed) : failed;
}

void dt_run_folder_free(dt_run_folder *folder)
{
    if (!folder) return;
    dt_lock_free(folder->lock);
    dt_text_free(&folder->path);
    dt_text_free(&folder->checkpoints);
    dt_text_free(&folder->lock_path);
    free(folder);
}

dt_status dt_run_folder_check(const dt_run_folder *folder)
{
    if (!folder->lock || dt_lock_holds(folder->lock, folder->lock_path.data)) return DT_OK;
    return dt_fail(DT_ERR_IO, "the run folder '%s' was removed, moved or replaced, or its lock was: this run can write "
                   "nothing there any more", folder->path.data);
}

const char *dt_run_folder_path(const dt_run_folder *folder) { return folder->path.data; }
const char *dt_run_folder_checkpoints(const dt_run_folder *folder) { return folder->checkpoints.data; }

dt_status dt_run_folder_write_config(const dt_run_folder *folder, const dt_text *yaml)
{
    dt_text path = {0};
    dt_text_add(&path, "%s/config.yaml", folder->path.data);
    dt_status status = dt_text_status(&path);
    if (!status) status = dt_file_replace(path.data, yaml->data, yaml->length);
    dt_text_free(&path);
    return status;
}
