/* The thread that writes checkpoints. What it shares with the training thread changes hands when it starts and when it
 * is joined. */
#include "train/saver.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/threads.h"
#include "train/checkpoint_save.h"
#include "train/ranks.h"

typedef enum stage { WRITING, WRITTEN, FAILED } stage; /* of one rank's thread */

struct dt_saver {
    const dt_store *store;
    const char *settings_yaml;
    dt_checkpoint_options options;
    dt_world *world;
    dt_log *log;
    dt_checkpoint_plan *plan; /* NULL, as is the snapshot, before the first save */
    dt_snapshot *snapshot;
    dt_progress progress;     /* at the snapshot */
    json_t *numerics;         /* so far */
    bool under_way;           /* a save began and its end is not told; the same on all ranks */
    stage *stages;            /* of all ranks, when they last asked each other */
    pthread_t thread;
    bool running;             /* the thread was started and not joined */
    atomic_bool *silent;      /* rank 0's, for its thread: ranks that failed, perhaps without a note */
    dt_status status;         /* how it ended; this and the message are the thread's until it is joined */
    char message[DT_MESSAGE_ROOM];
};

dt_status dt_saver_create(const dt_store *store, const char *settings_yaml, const dt_checkpoint_options *options,
                          dt_world *world, dt_log *log, dt_saver **out)
{
    dt_saver *s = calloc(1, sizeof *s);
    size_t ranks = (size_t)dt_world_size(world);
    if (!s) return dt_fail_memory(sizeof *s, "saving checkpoints");
    *s = (dt_saver){.store = store, .settings_yaml = settings_yaml, .options = *options, .world = world, .log = log,
                    .stages = calloc(ranks, sizeof *s->stages), .silent = calloc(ranks, sizeof *s->silent)};
    s->options.rank = dt_world_rank(world);
    s->options.ranks = (int)ranks;
    if (!s->stages || !s->silent) {
        dt_saver_free(s);
        return dt_fail_memory(ranks * sizeof *s->stages, "saving checkpoints");
    }
    *out = s;
    return DT_OK;
}

/* --- the thread --- */

static void *write_snapshot(void *arg)
{
    dt_saver *s = arg;
    s->status = dt_checkpoint_write(&(dt_checkpoint_work){.options = &s->options, .plan = s->plan,
                                                          .snapshot = s->snapshot, .progress = &s->progress,
                                                          .settings_yaml = s->settings_yaml,
                                                          .numerics = s->numerics, .silent = s->silent, .log = s->log});
    if (s->status) snprintf(s->message, sizeof s->message, "%s", dt_error_message());
    return NULL;
}

/* Where there can be none, the save has failed. */
static void start_thread(dt_saver *s)
{
    int error = dt_thread_start(&s->thread, "dt-saver", 0, write_snapshot, s);
    s->running = !error;
    if (!error) return;
    s->status = DT_ERR_IO;
    snprintf(s->message, sizeof s->message, "checkpoint of step %lld not saved: cannot start a thread: %s",
             (long long)s->progress.step, strerror(error));
}

static void join_thread(dt_saver *s)
{
    if (s->running) pthread_join(s->thread, NULL);
    s->running = false;
}

static void try_to_join_thread(dt_saver *s)
{
    if (s->running && pthread_tryjoin_np(s->thread, NULL) != EBUSY) s->running = false;
}

/* --- beginning --- */

static dt_status make_ready(dt_saver *s)
{
    if (!s->plan) DT_TRY(dt_checkpoint_plan_create(s->store, &s->options, &s->plan));
    return s->snapshot ? DT_OK : dt_checkpoint_plan_snapshot(s->plan, &s->snapshot);
}

/* A folder may take its time to make, a copy may not. */
static dt_status take_snapshot(dt_saver *s, int64_t step)
{
    DT_TRY(dt_snapshot_take(s->snapshot));
    if (s->options.ranks == 1 || s->options.rank != 0) return DT_OK;
    dt_watching before = dt_world_watch(s->world, DT_WATCH_NOTHING);
    dt_status status = dt_checkpoint_prepare(&s->options, step);
    dt_world_watch(s->world, before);
    return status;
}

static dt_status copy_together(dt_saver *s, int64_t step)
{
    dt_watching before = dt_world_watch(s->world, DT_WATCH_SAVING);
    dt_status status = dt_ranks_join(s->world, "copying to save", take_snapshot(s, step));
    dt_world_watch(s->world, before);
    return status;
}

static dt_status look_for_folder(const dt_saver *s, int64_t step)
{
    return s->options.rank != 0 ? dt_checkpoint_check_prepared(&s->options, step) : DT_OK;
}

/* Each part may fail on one rank alone, and none may be begun before all ranks are through with the one before: they
 * take their snapshots together, the threads of the save before must have ended when the folder is made, and the folder
 * must be there when it is looked for. */
static dt_status start(dt_saver *s, const dt_progress *progress)
{
    DT_TRY(dt_ranks_join_in_time(s->world, "memory to save in", make_ready(s)));
    DT_TRY(copy_together(s, progress->step));
    DT_TRY(dt_ranks_join(s->world, "the folder to save in", look_for_folder(s, progress->step)));
    s->progress = *progress;
    for (int rank = 0; rank < s->options.ranks; rank++) atomic_store(&s->silent[rank], false);
    s->under_way = true;
    start_thread(s);
    return DT_OK;
}

dt_status dt_saver_start(dt_saver *s, const dt_progress *progress, json_t *numerics)
{
    assert(!s->under_way);
    join_thread(s); /* that of a save that failed on another rank may still be on its way out */
    json_decref(s->numerics);
    s->numerics = numerics;
    dt_status status = start(s, progress);
    return status ? dt_fail_in(status, "checkpoint of step %lld not saved", (long long)progress->step) : DT_OK;
}

/* --- ending --- */

/* Has rank 0, on whose word it depends, ended? It waits for the notes of the others; one that failed and had no room
 * even for a note is known here. */
static dt_status ask(dt_saver *s, bool *ended)
{
    stage mine = s->running ? WRITING : s->status ? FAILED : WRITTEN;
    DT_TRY(dt_world_gather(s->world, "a checkpoint under way", &mine, sizeof mine, s->stages));
    *ended = s->stages[0] != WRITING;
    for (int rank = 1; rank < s->options.ranks; rank++)
        if (s->stages[rank] == FAILED) atomic_store(&s->silent[rank], true);
    return DT_OK;
}

/* Rank 0's words only tell of another rank that failed; that rank has its own. */
static bool quotes_another(const dt_saver *s)
{
    for (int rank = 1; s->options.rank == 0 && rank < s->options.ranks; rank++)
        if (s->stages[rank] == FAILED) return true;
    return false;
}

static dt_status settle(dt_saver *s)
{
    bool has_words = !s->running && s->status && !quotes_another(s);
    s->under_way = false;
    return dt_ranks_join(s->world, "the end of a save", has_words ? dt_fail(s->status, "%s", s->message) : DT_OK);
}

/* Until the save has ended, or whether it has. */
static dt_status find_end(dt_saver *s, bool wait)
{
    bool ended = false;
    for (long pause = 1000000; !ended; pause = pause < 50000000 ? 2 * pause : pause) {
        try_to_join_thread(s);
        DT_TRY(ask(s, &ended));
        if (!ended && !wait) return DT_OK;
        if (!ended) nanosleep(&(struct timespec){.tv_nsec = pause}, NULL);
    }
    return settle(s);
}

/* The threads' disks have all the time they need; the ranks, which ask each other, do not. */
static dt_status look_for_end(dt_saver *s, bool wait)
{
    if (!s->under_way) return DT_OK;
    dt_watching before = dt_world_watch(s->world, DT_WATCH_SAVING);
    dt_status status = find_end(s, wait);
    dt_world_watch(s->world, before);
    return status;
}

dt_status dt_saver_wait(dt_saver *s)
{
    if (s->under_way && s->options.ranks == 1) join_thread(s);
    return look_for_end(s, true);
}

dt_status dt_saver_poll(dt_saver *s) { return look_for_end(s, false); }

/* The others learn the words here where they do not come, as without a save they would where all leave. */
dt_status dt_saver_finish(dt_saver *s, dt_status failed)
{
    char why[sizeof s->message];
    snprintf(why, sizeof why, "%s", dt_error_message());
    dt_world_tell_failure(s->world, why);
    if (dt_saver_wait(s)) dt_log_warn(s->log, "%s", dt_error_message());
    return dt_fail(failed, "%s", why);
}

void dt_saver_free(dt_saver *s)
{
    if (!s) return;
    join_thread(s);
    if (s->under_way && s->status) dt_log_warn(s->log, "%s", s->message);
    dt_snapshot_free(s->snapshot);
    dt_checkpoint_plan_free(s->plan);
    json_decref(s->numerics);
    free(s->silent);
    free(s->stages);
    free(s);
}
