/* A rank other than 0 on the control channel: sends its parts and heartbeats, learns results and the verdict, and finds
 * out when rank 0 itself is gone. */
#include <stdio.h>

#include "base/threads.h"
#include "comm/control_internal.h"

static const double LINGER_SECONDS = 1; /* behind a verdict, for rank 0 to show it and end first */

static dt_status blame_rank0(dt_control *c, const char *words)
{
    dt_text line = {0};
    dt_member_name(c->members, 0, &line);
    dt_text_add(&line, ": %s", words);
    dt_status status = dt_text_status(&line);
    if (!status) dt_control_end(c, line.data, 0, false);
    dt_text_free(&line);
    return status;
}

/* Rank 0 shows the line and ends; when it has, or after a moment, this rank may. */
static dt_status take_verdict(dt_control *c, dt_wire_cursor payload)
{
    char text[DT_CONTROL_LINE];
    dt_wire_frame more;
    bool there = true;
    int rank = (int)dt_wire_take_int(&payload, -1, c->size - 1);
    dt_wire_take_text(&payload, text, sizeof text);
    if (payload.failed) return blame_rank0(c, "it sent a malformed verdict");
    double end = dt_clock() + LINGER_SECONDS;
    while (rank != c->rank && there)
        if (dt_connection_await(&c->peers[0], end - dt_clock(), &more, &there)) break;
    dt_control_end(c, text, rank, true);
    return DT_OK;
}

static dt_status take(dt_control *c, const dt_wire_frame *frame)
{
    switch (frame->kind) {
    case DT_WIRE_HEARTBEAT: return DT_OK; /* that it came is all */
    case DT_WIRE_RESULT: dt_control_answer(c, frame->payload); return DT_OK;
    case DT_WIRE_VERDICT: return take_verdict(c, frame->payload);
    case DT_WIRE_GOODBYE:
        dt_connection_close(&c->peers[0]);
        dt_control_part(c, "rank 0 has left the run");
        return DT_OK;
    default: return blame_rank0(c, "it sent a message that is for rank 0");
    }
}

static dt_status spoke_serve(dt_control *c)
{
    dt_connection *rank0 = &c->peers[0];
    dt_wire_frame frame;
    bool there = true;
    double heard = rank0->heard;
    DT_TRY(dt_connection_receive(rank0));
    if (rank0->heard > heard) c->rank0_heard = rank0->heard;
    while (there && !c->over) {
        dt_status status = dt_wire_reader_next(&rank0->in, &frame, &there);
        if (status == DT_ERR_DATA) return blame_rank0(c, dt_error_message());
        if (status) return status;
        if (there) DT_TRY(take(c, &frame));
    }
    return c->over || !rank0->closed ? DT_OK : blame_rank0(c, "it ended without saying why: it was killed or crashed");
}

static dt_status send_frame(dt_control *c, dt_text *frame, dt_status made)
{
    if (!made) return dt_connection_send_frame(&c->peers[0], frame);
    dt_text_free(frame);
    return made;
}

static dt_status spoke_post(dt_control *c, dt_text *frame) { return dt_connection_send_frame(&c->peers[0], frame); }

static dt_status spoke_abort(dt_control *c, const char *text)
{
    dt_text frame = {0};
    return send_frame(c, &frame, dt_control_text_frame(DT_WIRE_ABORT, c->rank, text, &frame));
}

static dt_status spoke_beat(dt_control *c)
{
    dt_text frame = {0};
    dt_beat own = dt_control_own_beat(c);
    if (!dt_connection_is_flushed(&c->peers[0])) return DT_OK; /* what is on its way does the same */
    return send_frame(c, &frame, dt_control_beat_frame(&own, &frame));
}

static dt_status spoke_judge(dt_control *c)
{
    char words[160];
    double silent = c->now - c->rank0_heard;
    if (silent <= c->options.lost_limit) return DT_OK;
    snprintf(words, sizeof words, "no sign of life for %.0f s: its host or the network to it is down, or the process "
             "is stopped", silent);
    return blame_rank0(c, words);
}

static void spoke_forgive(dt_control *c, double seconds) { c->rank0_heard += seconds; }

const dt_control_role dt_control_spoke = {.serve = spoke_serve,
                                          .post = spoke_post,
                                          .abort = spoke_abort,
                                          .beat = spoke_beat,
                                          .judge = spoke_judge,
                                          .forgive = spoke_forgive};
