/* Rank 0 on the control channel: brings collectives together, looks at heartbeats, and decides when the run is over. */
#include <stdio.h>
#include <stdlib.h>

#include "comm/control_internal.h"

static const double TOLD_SECONDS = 1;    /* for a verdict to go out */
static const double FAILED_SECONDS = 20; /* for others to come where one has failed */
static const double BACK_SECONDS = 5;    /* behind a stop of this process, in which it finds that others have left */

/* --- the verdict --- */

/* Sends it to all, those too who had no part in it: their own main threads may wait for ever. */
static dt_status tell_all(dt_control *c, const char *text, int rank)
{
    dt_text frame = {0};
    dt_parcel *parcel;
    dt_status status = dt_control_text_frame(DT_WIRE_VERDICT, rank, text, &frame);
    if (status) {
        dt_text_free(&frame);
        return status;
    }
    DT_TRY(dt_parcel_create(&frame, &parcel));
    for (int r = 1; r < c->size && !status; r++) status = dt_connection_send(&c->peers[r], parcel);
    dt_parcel_drop(parcel);
    dt_connections_flush(c->peers, c->size, TOLD_SECONDS);
    return status;
}

/* Takes the line over. */
static dt_status declare(dt_control *c, dt_text *line, int rank)
{
    dt_status status = dt_text_status(line);
    if (!status) status = tell_all(c, line->data, rank);
    if (!status) dt_control_end(c, line->data, rank, false);
    dt_text_free(line);
    return status;
}

static dt_status declare_words(dt_control *c, int rank, const char *words)
{
    dt_text line = {0};
    dt_member_name(c->members, rank, &line);
    dt_text_add(&line, ": %s", words);
    return declare(c, &line, rank);
}

/* --- collectives --- */

/* Of a frame that was made here. */
static dt_wire_cursor payload_of(const dt_text *frame)
{
    const unsigned char *bytes = (const unsigned char *)frame->data;
    return (dt_wire_cursor){.at = bytes + DT_WIRE_HEAD, .left = frame->length - DT_WIRE_HEAD};
}

static dt_status send_result(dt_control *c)
{
    dt_text frame = {0};
    dt_parcel *parcel;
    dt_status status = dt_meeting_end(&c->meeting, &frame);
    if (status) {
        dt_text_free(&frame);
        return status;
    }
    dt_control_answer(c, payload_of(&frame));
    DT_TRY(dt_parcel_create(&frame, &parcel));
    for (int r = 1; r < c->size && !status; r++) status = dt_connection_send(&c->peers[r], parcel);
    dt_parcel_drop(parcel);
    return status;
}

static dt_status take_part(dt_control *c, int rank, dt_wire_cursor payload)
{
    dt_text line = {0};
    int blamed;
    dt_status status = dt_meeting_join(&c->meeting, c->members, rank, payload, c->now, &line, &blamed);
    if (!status && blamed >= 0) return declare(c, &line, blamed);
    dt_text_free(&line);
    if (status == DT_ERR_DATA) return declare_words(c, rank, dt_error_message());
    if (status || !dt_meeting_is_full(&c->meeting)) return status;
    return send_result(c);
}

/* Is somebody awaited too long, or in vain? */
static dt_status judge_meeting(dt_control *c)
{
    dt_text line = {0};
    double waited = c->now - c->meeting.since;
    int rank;
    if (!c->meeting.came) return DT_OK;
    if (c->meeting.failed >= 0 && waited > FAILED_SECONDS) return declare_words(c, c->meeting.failed, c->meeting.why);
    if (waited > c->options.wait_limit) {
        dt_meeting_blame(&c->meeting, c->members, waited, &line, &rank);
        return declare(c, &line, rank);
    }
    for (int r = 0; r < c->size; r++) {
        if (c->meeting.here[r] || !c->watched[r].left) continue;
        dt_member_name(c->members, r, &line);
        dt_text_add(&line, ": it ended in order, while others wait for it in '%s'", c->meeting.part.what);
        return declare(c, &line, r);
    }
    return DT_OK;
}

/* --- what comes --- */

static dt_status take_beat(dt_control *c, int rank, dt_wire_cursor payload)
{
    dt_beat beat;
    beat.step = dt_wire_take_int(&payload, INT64_MIN, INT64_MAX);
    beat.first = dt_wire_take_int(&payload, INT64_MIN, INT64_MAX);
    beat.batches = dt_wire_take_int(&payload, INT64_MIN, INT64_MAX);
    beat.work = dt_wire_take_int(&payload, INT64_MIN, INT64_MAX);
    beat.watching = (dt_watching)dt_wire_take_int(&payload, 0, DT_WATCHINGS - 1);
    if (payload.failed) return declare_words(c, rank, "it sent a malformed heartbeat");
    dt_watch_beat(&c->watch, rank, beat, c->now);
    return DT_OK;
}

static dt_status take_abort(dt_control *c, int rank, dt_wire_cursor payload)
{
    char words[DT_CONTROL_LINE];
    dt_wire_take_number(&payload); /* its rank, which we know */
    dt_wire_take_text(&payload, words, sizeof words);
    return declare_words(c, rank, payload.failed ? "it failed, and its words were malformed" : words);
}

static dt_status take(dt_control *c, int rank, const dt_wire_frame *frame)
{
    switch (frame->kind) {
    case DT_WIRE_HEARTBEAT: return take_beat(c, rank, frame->payload);
    case DT_WIRE_PRESENT: return DT_OK; /* of the time before */
    case DT_WIRE_PART: return take_part(c, rank, frame->payload);
    case DT_WIRE_ABORT: return take_abort(c, rank, frame->payload);
    case DT_WIRE_GOODBYE:
        dt_watch_leave(&c->watch, rank);
        dt_connection_close(&c->peers[rank]);
        return DT_OK;
    default: return declare_words(c, rank, "it sent a message that is not for rank 0");
    }
}

/* Who ended while this process was stopped had given it up, and is not to blame. */
static dt_status declare_dead(dt_control *c, int rank)
{
    char words[96];
    bool absent = c->absent > 0 && c->now < c->back + BACK_SECONDS;
    if (!absent) return declare_words(c, rank, "it ended without saying why: it was killed or crashed");
    snprintf(words, sizeof words, "it was stopped for %.0f s, and the other ranks gave it up", c->absent);
    return declare_words(c, 0, words);
}

static dt_status serve_rank(dt_control *c, int rank)
{
    dt_connection *peer = &c->peers[rank];
    dt_wire_frame frame;
    bool there = true;
    double heard = peer->heard;
    DT_TRY(dt_connection_receive(peer));
    if (peer->heard > heard) dt_watch_hear(&c->watch, rank, peer->heard);
    while (there && !c->over && peer->fd >= 0) {
        dt_status status = dt_wire_reader_next(&peer->in, &frame, &there);
        if (status == DT_ERR_DATA) return declare_words(c, rank, dt_error_message());
        if (status) return status;
        if (there) DT_TRY(take(c, rank, &frame));
    }
    return c->over || peer->fd < 0 || !peer->closed ? DT_OK : declare_dead(c, rank);
}

static dt_status hub_serve(dt_control *c)
{
    for (int r = 1; r < c->size && !c->over; r++)
        if (c->peers[r].fd >= 0) DT_TRY(serve_rank(c, r));
    return DT_OK;
}

/* --- what the main thread wants --- */

static dt_status hub_post(dt_control *c, dt_text *frame)
{
    dt_status status = take_part(c, 0, payload_of(frame));
    dt_text_free(frame);
    return status;
}

static dt_status hub_abort(dt_control *c, const char *text) { return declare_words(c, 0, text); }

/* --- heartbeats --- */

/* To whoever still has something to be sent, none is added: what is on its way does the same. */
static dt_status hub_beat(dt_control *c)
{
    dt_text frame = {0};
    dt_parcel *parcel;
    dt_beat own = dt_control_own_beat(c);
    dt_watch_beat(&c->watch, 0, own, c->now);
    dt_status status = dt_control_beat_frame(&own, &frame);
    if (status) {
        dt_text_free(&frame);
        return status;
    }
    DT_TRY(dt_parcel_create(&frame, &parcel));
    for (int r = 1; r < c->size && !status; r++)
        if (dt_connection_is_flushed(&c->peers[r])) status = dt_connection_send(&c->peers[r], parcel);
    dt_parcel_drop(parcel);
    return status;
}

static dt_status hub_judge(dt_control *c)
{
    dt_text line = {0};
    int rank;
    if (dt_watch_judge(&c->watch, c->members, c->now, &line, &rank)) return declare(c, &line, rank);
    dt_text_free(&line);
    return judge_meeting(c);
}

static void hub_forgive(dt_control *c, double seconds)
{
    dt_watch_forgive(&c->watch, seconds);
    if (seconds < 0.8 * c->options.lost_limit) return; /* what lies between two heartbeats counts, too */
    c->absent = seconds;
    c->back = c->now;
}

const dt_control_role dt_control_hub = {.serve = hub_serve,
                                        .post = hub_post,
                                        .abort = hub_abort,
                                        .beat = hub_beat,
                                        .judge = hub_judge,
                                        .forgive = hub_forgive};
