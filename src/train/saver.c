/* The thread that writes checkpoints. What it shares with the training thread changes hands when it starts and when it
 * is joined. */
#include "train/saver.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/checkpoint_save.h"

struct dt_saver {
    const dt_store *store;
    const char *settings_yaml;
    dt_checkpoint_options options;
    dt_log *log;
    dt_checkpoint_plan *plan; /* NULL, as is the snapshot, before the first save */
    dt_snapshot *snapshot;
    dt_progress progress;  /* at the snapshot */
    json_t *numerics;      /* so far */
    pthread_t thread;
    bool under_way;        /* the thread was started and not joined */
    dt_status status;      /* how it ended; this and the message are the thread's until it is joined */
    char message[4096];
};

dt_status dt_saver_create(const dt_store *store, const char *settings_yaml, const dt_checkpoint_options *options,
                          dt_log *log, dt_saver **out)
{
    dt_saver *s = calloc(1, sizeof *s);
    if (!s) return dt_fail_memory(sizeof *s, "saving checkpoints");
    s->store = store;
    s->settings_yaml = settings_yaml;
    s->options = *options;
    s->log = log;
    *out = s;
    return DT_OK;
}

static void *write_snapshot(void *arg)
{
    dt_saver *s = arg;
    s->status = dt_checkpoint_write(&(dt_checkpoint_work){.options = &s->options, .plan = s->plan,
                                                          .snapshot = s->snapshot, .progress = &s->progress,
                                                          .settings_yaml = s->settings_yaml,
                                                          .numerics = s->numerics, .log = s->log});
    if (s->status) snprintf(s->message, sizeof s->message, "%s", dt_error_message());
    return NULL;
}

/* The thread takes no signals: those are the main thread's. */
static dt_status start_thread(dt_saver *s)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int error = pthread_create(&s->thread, NULL, write_snapshot, s);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error) return dt_fail(DT_ERR_IO, "cannot start a thread: %s", strerror(error));
    s->under_way = true;
    return DT_OK;
}

static dt_status start(dt_saver *s, const dt_progress *progress)
{
    if (!s->plan) DT_TRY(dt_checkpoint_plan_create(s->store, &s->options, &s->plan));
    if (!s->snapshot) DT_TRY(dt_checkpoint_plan_snapshot(s->plan, &s->snapshot));
    DT_TRY(dt_snapshot_take(s->snapshot));
    s->progress = *progress;
    return start_thread(s);
}

dt_status dt_saver_start(dt_saver *s, const dt_progress *progress, json_t *numerics)
{
    assert(!s->under_way);
    json_decref(s->numerics);
    s->numerics = numerics;
    dt_status status = start(s, progress);
    return status ? dt_fail_in(status, "checkpoint of step %lld not saved", (long long)progress->step) : DT_OK;
}

/* The thread has been joined. */
static dt_status outcome(dt_saver *s)
{
    s->under_way = false;
    return s->status ? dt_fail(s->status, "%s", s->message) : DT_OK;
}

dt_status dt_saver_wait(dt_saver *s)
{
    if (!s->under_way) return DT_OK;
    pthread_join(s->thread, NULL);
    return outcome(s);
}

dt_status dt_saver_poll(dt_saver *s)
{
    if (!s->under_way || pthread_tryjoin_np(s->thread, NULL) == EBUSY) return DT_OK;
    return outcome(s);
}

void dt_saver_free(dt_saver *s)
{
    if (!s) return;
    if (s->under_way) {
        pthread_join(s->thread, NULL);
        if (s->status) dt_log_warn(s->log, "%s", s->message);
    }
    dt_snapshot_free(s->snapshot);
    dt_checkpoint_plan_free(s->plan);
    json_decref(s->numerics);
    free(s);
}
