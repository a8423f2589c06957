/* The thread's loop, and the main thread's side. */
#include "comm/control.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/threads.h"
#include "comm/control_internal.h"

static const double BEAT_SECONDS = 1;    /* between heartbeats, where lost_limit is not short */
static const double STALL_SECONDS = 5;   /* between two turns of the loop: this process was stopped; half of
                                            lost_limit, where that is short */
static const double ABORT_SECONDS = 3;   /* for an abort to be heard */
static const double GOODBYE_SECONDS = 2; /* for a goodbye to be heard */

static const dt_control_role *role_of(const dt_control *c)
{
    return c->rank == 0 ? &dt_control_hub : &dt_control_spoke;
}

/* --- on the thread --- */

/* First what is watched: steps of a resumed run, which were set before, are then not taken for its first ones. */
dt_beat dt_control_own_beat(dt_control *c)
{
    dt_watching watching = atomic_load(&c->watching);
    int64_t batches = atomic_load(&c->batches);
    return (dt_beat){.step = atomic_load(&c->step), .first = atomic_load(&c->first), .batches = batches,
                     .work = atomic_load(&c->work) + batches + atomic_load(&c->meetings) + atomic_load(&c->collectives),
                     .watching = watching};
}

void dt_control_answer(dt_control *c, dt_wire_cursor payload)
{
    pthread_mutex_lock(&c->mutex);
    c->result.length = 0;
    dt_text_add_bytes(&c->result, payload.at, payload.left);
    c->has_result = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->mutex);
}

static void finish(dt_control *c, const char *text)
{
    pthread_mutex_lock(&c->mutex);
    snprintf(c->last_words, sizeof c->last_words, "%s", text);
    c->ended = true;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->mutex);
    c->over = true;
}

void dt_control_end(dt_control *c, const char *text, int rank, bool told)
{
    pthread_mutex_lock(&c->mutex);
    bool aborting = c->aborting;
    pthread_mutex_unlock(&c->mutex);
    if (!aborting && c->options.on_verdict)
        c->options.on_verdict(c->options.context, &(dt_verdict){.text = text, .rank = rank, .told = told});
    finish(c, text);
}

void dt_control_part(dt_control *c, const char *text) { finish(c, text); }

dt_status dt_control_beat_frame(const dt_beat *beat, dt_text *frame)
{
    dt_wire_begin(frame, DT_WIRE_HEARTBEAT);
    dt_wire_add_number(frame, (uint64_t)beat->step);
    dt_wire_add_number(frame, (uint64_t)beat->first);
    dt_wire_add_number(frame, (uint64_t)beat->batches);
    dt_wire_add_number(frame, (uint64_t)beat->work);
    dt_wire_add_number(frame, beat->watching);
    return dt_wire_end(frame);
}

dt_status dt_control_text_frame(dt_wire_kind kind, int rank, const char *text, dt_text *frame)
{
    dt_wire_begin(frame, kind);
    dt_wire_add_number(frame, (uint64_t)(int64_t)rank);
    dt_wire_add_text(frame, text);
    return dt_wire_end(frame);
}

static dt_status goodbye_frame(dt_text *frame)
{
    dt_wire_begin(frame, DT_WIRE_GOODBYE);
    return dt_wire_end(frame);
}

static void wait_for_something(dt_control *c)
{
    uint64_t count;
    double wait = c->next_beat - dt_clock();
    c->polled[0] = (struct pollfd){.fd = c->wake, .events = POLLIN};
    for (int i = 0; i < c->peer_count; i++) /* a negative one is passed over */
        c->polled[1 + i] = (struct pollfd){.fd = c->peers[i].closed ? -1 : c->peers[i].fd,
                                           .events = dt_connection_events(&c->peers[i])};
    poll(c->polled, (nfds_t)(1 + c->peer_count), wait > 0 ? (int)(wait * 1000) + 1 : 0);
    if (read(c->wake, &count, sizeof count) < 0 && errno != EAGAIN) c->next_beat = 0; /* cannot be: by the clock */
}

/* What the main thread wants: its part of a collective, or to fail. */
static dt_status obey(dt_control *c)
{
    char words[DT_CONTROL_LINE];
    pthread_mutex_lock(&c->mutex);
    dt_text posted = c->posted;
    c->posted = (dt_text){0};
    bool abort_now = c->aborting && !c->abort_said;
    if (abort_now) memcpy(words, c->abort_text, sizeof words);
    pthread_mutex_unlock(&c->mutex);
    c->abort_said = c->abort_said || abort_now;
    if (posted.length) DT_TRY(role_of(c)->post(c, &posted));
    return abort_now && !c->over ? role_of(c)->abort(c, words) : DT_OK;
}

static dt_status beat_when_due(dt_control *c)
{
    double pause = c->options.lost_limit / 5;
    if (c->now < c->next_beat) return DT_OK;
    c->next_beat = c->now + (pause < BEAT_SECONDS ? pause : BEAT_SECONDS);
    DT_TRY(role_of(c)->beat(c));
    return role_of(c)->judge(c);
}

static dt_status turn(dt_control *c)
{
    double stall = c->options.lost_limit / 2, before = c->now;
    if (stall > STALL_SECONDS) stall = STALL_SECONDS;
    wait_for_something(c);
    c->now = dt_clock();
    if (c->now - before > stall) role_of(c)->forgive(c, c->now - before);
    for (int i = 0; i < c->peer_count; i++)
        if (c->peers[i].fd >= 0) dt_connection_flush(&c->peers[i]);
    DT_TRY(role_of(c)->serve(c));
    if (!c->over) DT_TRY(obey(c));
    return c->over ? DT_OK : beat_when_due(c);
}

static bool wants_stop(dt_control *c)
{
    pthread_mutex_lock(&c->mutex);
    bool stop = c->stop;
    pthread_mutex_unlock(&c->mutex);
    return stop;
}

/* Until the others have closed or said goodbye, too: closing with something unread would cut off what was sent. */
static void say_goodbye(dt_control *c)
{
    double end = dt_clock() + GOODBYE_SECONDS;
    dt_text frame = {0};
    dt_parcel *parcel;
    dt_status made = goodbye_frame(&frame);
    if (made) dt_text_free(&frame);
    if (made || dt_parcel_create(&frame, &parcel)) return;
    for (int i = 0; i < c->peer_count; i++)
        if (dt_connection_send(&c->peers[i], parcel)) break;
    dt_parcel_drop(parcel);
    dt_connections_flush(c->peers, c->peer_count, GOODBYE_SECONDS);
    for (int i = 0; i < c->peer_count; i++) {
        dt_wire_frame got = {0};
        bool there = true;
        if (c->peers[i].fd < 0) continue;
        shutdown(c->peers[i].fd, SHUT_WR);
        while (there && got.kind != DT_WIRE_GOODBYE)
            if (dt_connection_await(&c->peers[i], end - dt_clock(), &got, &there)) break;
    }
}

static void *run(void *arg)
{
    dt_control *c = arg;
    dt_status status = DT_OK;
    while (!c->over && !status && !wants_stop(c)) status = turn(c);
    if (status) {
        dt_text line = {0};
        dt_member_name(c->members, c->rank, &line);
        dt_text_add(&line, ": its control channel failed: %s", dt_error_message());
        dt_control_end(c, line.failed ? "the control channel failed: out of memory" : line.data, c->rank, false);
        dt_text_free(&line);
    }
    if (!c->over) {
        say_goodbye(c);
        finish(c, "this rank has left");
    }
    return NULL;
}

/* --- on the main thread --- */

static void wake(dt_control *c)
{
    uint64_t one = 1;
    while (write(c->wake, &one, sizeof one) < 0 && errno == EINTR) continue;
}

dt_status dt_control_meet(dt_control *c, const dt_part *part, const void *data, void *out, size_t room)
{
    dt_text frame = {0};
    dt_status status = dt_part_pack(part, data, &frame);
    if (status) {
        dt_text_free(&frame);
        return status;
    }
    atomic_fetch_add(&c->meetings, 1); /* begun: who has not come is behind those who wait */
    pthread_mutex_lock(&c->mutex);
    dt_text_free(&c->posted); /* one of a call that failed */
    c->posted = frame;
    c->has_result = false;
    wake(c);
    while (!c->has_result && !c->ended) pthread_cond_wait(&c->changed, &c->mutex);
    bool fits = c->has_result && c->result.length == room && !c->result.failed;
    if (fits && room) memcpy(out, c->result.data, room);
    if (!c->has_result) status = dt_fail(DT_ERR_DEVICE, "%s", c->last_words);
    else if (!fits) status = dt_fail(DT_ERR_DEVICE, "what came of '%s' has %zu bytes and not %zu", part->what,
                                     c->result.length, room);
    dt_text_free(&c->result);
    pthread_mutex_unlock(&c->mutex);
    atomic_fetch_add(&c->meetings, 1);
    return status;
}

void dt_control_progress(dt_control *c, int64_t step, int64_t work)
{
    atomic_store(&c->step, step);
    atomic_store(&c->work, work);
}

void dt_control_evaluated(dt_control *c) { atomic_fetch_add(&c->batches, 1); }

void dt_control_begin_collective(dt_control *c) { atomic_fetch_add(&c->collectives, 1); }

dt_watching dt_control_watch(dt_control *c, dt_watching watching)
{
    bool begins = watching == DT_WATCH_STEPS && atomic_load(&c->first) == INT64_MAX;
    if (begins) atomic_store(&c->first, atomic_load(&c->step));
    return atomic_exchange(&c->watching, watching);
}

void dt_control_abort(dt_control *c, const char *text)
{
    struct timespec end;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_sec += (time_t)ABORT_SECONDS;
    pthread_mutex_lock(&c->mutex);
    snprintf(c->abort_text, sizeof c->abort_text, "%s", text);
    c->aborting = true;
    wake(c);
    while (!c->ended && pthread_cond_timedwait(&c->changed, &c->mutex, &end) != ETIMEDOUT) continue;
    pthread_mutex_unlock(&c->mutex);
}

static dt_status start_thread(dt_control *c)
{
    enum { STACK_BYTES = 2 << 20 };
    int failed = dt_thread_start(&c->thread, "dt-control", STACK_BYTES, run, c);
    return failed ? dt_fail(DT_ERR_IO, "cannot start the thread of the control channel: %s", strerror(failed)) : DT_OK;
}

static void release(dt_control *c)
{
    for (int i = 0; c->peers && i < c->peer_count; i++) dt_connection_close(&c->peers[i]);
    if (c->wake >= 0) close(c->wake);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->mutex);
    dt_text_free(&c->posted);
    dt_text_free(&c->result);
    dt_meeting_free(&c->meeting);
    free(c->watched);
    free(c->polled);
    free(c->peers);
    free(c);
}

static dt_status prepare(dt_control *c)
{
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&c->changed, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_mutex_init(&c->mutex, NULL);
    c->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (c->wake < 0) return dt_fail(DT_ERR_IO, "cannot make an eventfd: %s", strerror(errno));
    c->watched = calloc((size_t)c->size, sizeof *c->watched);
    c->polled = calloc((size_t)(1 + c->peer_count), sizeof *c->polled);
    if (!c->watched || !c->polled) return dt_fail_memory((size_t)c->size * sizeof *c->watched, "the control channel");
    DT_TRY(dt_meeting_create(c->size, &c->meeting));
    atomic_store(&c->first, INT64_MAX);
    const dt_watch_limits limits = {.start = c->options.start_limit, .hang = c->options.hang_limit,
                                    .wait = c->options.wait_limit, .lost = c->options.lost_limit};
    c->now = c->rank0_heard = dt_clock();
    dt_watch_start(&c->watch, limits, c->size, c->watched, c->now);
    return DT_OK;
}

dt_status dt_control_start(const dt_world_options *options, int rank, int size, const dt_member *members,
                           dt_connection *peers, dt_control **out)
{
    dt_control *c = calloc(1, sizeof *c);
    if (!c) return dt_fail_memory(sizeof *c, "the control channel");
    c->options = *options;
    c->rank = rank;
    c->size = size;
    c->members = members;
    c->peer_count = rank == 0 ? size : 1;
    dt_status status = prepare(c);
    for (int i = 0; i < c->peer_count; i++) peers[i].in.limit = DT_WORLD_MOST_BYTES + DT_CONTROL_LINE;
    if (!status) {
        c->peers = peers;
        status = start_thread(c);
    }
    if (status) {
        c->peers = NULL; /* the caller's, as before */
        release(c);
    } else {
        *out = c;
    }
    return status;
}

bool dt_control_is_well(dt_control *c)
{
    pthread_mutex_lock(&c->mutex);
    bool well = !c->ended && !c->aborting;
    pthread_mutex_unlock(&c->mutex);
    return well;
}

void dt_control_stop(dt_control *c)
{
    pthread_mutex_lock(&c->mutex);
    c->stop = true;
    pthread_mutex_unlock(&c->mutex);
    wake(c);
    pthread_join(c->thread, NULL);
    release(c);
}
