/* The folder of a run, <run.dir>/<run.name>, and the lock that keeps a second process out of it. */
#ifndef DT_TRAIN_RUN_FOLDER_H
#define DT_TRAIN_RUN_FOLDER_H

#include "base/log.h"
#include "base/text.h"
#include "config/settings.h"

typedef struct dt_run_folder dt_run_folder;

/* Its path, freed with dt_text_free; derives run.name where it is not set. */
DT_MUST_USE dt_status dt_run_folder_name(dt_settings *, dt_text *out);
/* Makes and locks it, and opens log.txt in it. One that is there already is an error that names the choices, unless
 * `resume`; a missing one is made in both cases. */
DT_MUST_USE dt_status dt_run_folder_open(dt_settings *, bool resume, dt_log *, dt_run_folder **out);
/* Where rank 0 has made it: opens log.rank-0001.txt in it, for a rank that is to write nothing else there. A host on
 * which it is not seen gets a folder of that name. */
DT_MUST_USE dt_status dt_run_folder_follow(dt_settings *, int rank, dt_log *, dt_run_folder **out);
/* Is it the folder that rank 0 has made, and not one of this host alone? */
bool dt_run_folder_is_shared(const dt_run_folder *);
/* For a start that failed with this status: removes the folder if it was made for it. Returns the status, its message
 * kept. */
DT_MUST_USE dt_status dt_run_folder_discard(const dt_run_folder *, dt_status failed);
void dt_run_folder_free(dt_run_folder *); /* releases the lock; NULL is allowed */
/* Is the folder still the one that was opened? What another process made in its place is not ours to write to. DT_OK
 * for one that was followed. */
DT_MUST_USE dt_status dt_run_folder_check(const dt_run_folder *);
const char *dt_run_folder_path(const dt_run_folder *);
const char *dt_run_folder_checkpoints(const dt_run_folder *); /* <path>/checkpoints */
/* config.yaml: the resolved settings. */
DT_MUST_USE dt_status dt_run_folder_write_config(const dt_run_folder *, const dt_text *yaml);

#endif
