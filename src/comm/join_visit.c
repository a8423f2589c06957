/* The other ranks while they look for rank 0. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/threads.h"
#include "comm/join.h"
#include "comm/socket.h"

static const double RESOLVE_SECONDS = 30; /* for a name that does not resolve yet: a service of a cluster comes late */
static const double ANSWER_SECONDS = 10;  /* for what was reached to say that it is rank 0, */
static const double LEAST_SECONDS = 1;    /* and at the end of our time */
static const double MARGIN_SECONDS = 15;  /* beyond rank 0's own limit, which it tells us when it is over */

typedef struct visit {
    const dt_join_places *places;
    const dt_hello *self;
    double start;
    dt_join_limits limits;
    double patience; /* seconds for one connection */
    bool unresolved; /* in this round a name did not resolve */
    bool refused;    /* by rank 0: there is no use in trying again */
    dt_log *log;
    dt_text reason;  /* why the last try failed */
} visit;

static double time_left(const visit *v) { return v->start + v->limits.come - dt_clock(); }

static void keep_reason(visit *v)
{
    v->reason.length = 0;
    dt_text_add(&v->reason, "%s", dt_error_message());
}

static dt_status send_frame(dt_connection *c, dt_text *frame, dt_status made)
{
    if (!made) return dt_connection_send_frame(c, frame);
    dt_text_free(frame);
    return made;
}

static dt_status say_goodbye(dt_connection *c)
{
    dt_text frame = {0};
    dt_wire_begin(&frame, DT_WIRE_GOODBYE);
    return send_frame(c, &frame, dt_wire_end(&frame));
}

/* Rank 0's own words. */
static dt_status take_refusal(dt_wire_cursor from)
{
    char text[DT_JOIN_MESSAGE];
    dt_status status = (dt_status)dt_wire_take_int(&from, DT_ERR_USAGE, DT_ERR_STOPPED);
    dt_wire_take_text(&from, text, sizeof text);
    return from.failed ? dt_fail(DT_ERR_DATA, "what arrived is not a message of rank 0") : dt_fail(status, "%s", text);
}

/* Says hello and waits to be accepted. */
static dt_status introduce(visit *v, dt_connection *c)
{
    dt_wire_frame frame;
    dt_text hello = {0};
    double seconds = time_left(v) < ANSWER_SECONDS ? time_left(v) : ANSWER_SECONDS;
    bool there;
    if (seconds < LEAST_SECONDS) seconds = LEAST_SECONDS;
    DT_TRY(send_frame(c, &hello, dt_hello_pack(v->self, &hello)));
    DT_TRY(dt_connection_await(c, seconds, &frame, &there));
    if (!there && c->closed) return dt_fail(DT_ERR_IO, "what listens there is not rank 0 of this run");
    if (!there) return dt_fail(DT_ERR_IO, "what listens there did not answer within %.0f s", seconds);
    if (frame.kind == DT_WIRE_ACCEPTED) return DT_OK;
    v->refused = frame.kind == DT_WIRE_REFUSED;
    return v->refused ? take_refusal(frame.payload) : dt_fail(DT_ERR_DATA, "what listens there is not rank 0");
}

/* One address of one name. */
static dt_status try_address(visit *v, const dt_address *address, dt_connection *out)
{
    int fd;
    double left = time_left(v);
    DT_TRY(dt_socket_connect(address, left < v->patience ? left : v->patience, &fd));
    dt_connection_open(out, fd, DT_JOIN_MESSAGE);
    dt_status status = introduce(v, out);
    if (!status) return DT_OK;
    if (!v->refused) {
        keep_reason(v);
        if (say_goodbye(out)) dt_error_clear(); /* it was only to be polite */
        status = dt_fail(status, "%s", v->reason.failed ? "" : v->reason.data);
    }
    dt_connection_close(out);
    return status;
}

/* DT_ERR_IO and the like where it is worth another try. */
static dt_status try_name(visit *v, const char *name, dt_connection *out)
{
    dt_address addresses[DT_ADDRESSES];
    int count;
    dt_status status = dt_address_find(name, v->places->port, addresses, &count);
    if (status) {
        v->unresolved = true;
        keep_reason(v);
        return status;
    }
    for (int i = 0; i < count; i++) {
        status = try_address(v, &addresses[i], out);
        if (!status || v->refused || time_left(v) <= 0) return status;
        keep_reason(v);
    }
    return status;
}

static dt_status try_names(visit *v, dt_connection *out)
{
    const char *at = v->places->names;
    dt_status status = DT_ERR_IO;
    v->unresolved = false;
    while (*at) {
        size_t length = strcspn(at, "\n");
        char *name = strndup(at, length);
        if (!name) return dt_fail_memory(length, "the name of rank 0's host");
        status = try_name(v, name, out);
        free(name);
        if (!status || v->refused) return status;
        at += length + (at[length] == '\n');
    }
    return status;
}

static dt_status give_up(const visit *v)
{
    const dt_join_places *places = v->places;
    const char *reason = v->reason.data ? v->reason.data : "no try was made";
    if (v->unresolved && places->variable)
        return dt_fail(DT_ERR_USAGE, "rank %d on %s cannot find rank 0: %s %s", v->self->rank, v->self->host,
                       places->variable, reason);
    return dt_fail(DT_ERR_DEVICE, "rank %d on %s did not reach rank 0 within %.0f s (parallel.start_limit): %s; did "
                   "rank 0 start, and is its port %d open to this host?", v->self->rank, v->self->host,
                   v->limits.come, reason, places->port);
}

static dt_status reach(visit *v, dt_connection *out)
{
    double pause = 0.05;
    bool told = false;
    for (;;) {
        dt_status status = try_names(v, out);
        if (!status || v->refused || status == DT_ERR_MEMORY) return status;
        double waited = dt_clock() - v->start;
        if (waited + pause > v->limits.come || (v->unresolved && waited > RESOLVE_SECONDS)) return give_up(v);
        if (!told && waited > 2) dt_log_info(v->log, "looking for rank 0: %s", v->reason.data ? v->reason.data : "");
        told = told || waited > 2;
        nanosleep(&(struct timespec){.tv_nsec = (long)(pause * 1e9)}, NULL);
        pause = pause < 0.5 ? pause * 1.5 : 0.9;
        v->patience = v->patience < 5 ? v->patience * 2 : 10;
    }
}

static dt_status answer(dt_connection *c)
{
    dt_text frame = {0};
    dt_wire_begin(&frame, DT_WIRE_PRESENT);
    return send_frame(c, &frame, dt_wire_end(&frame));
}

/* Rank 0's next word but that it is there, which is answered. */
static dt_status await_word(const visit *v, dt_connection *c, dt_wire_frame *frame, bool *there)
{
    double end = dt_clock() + v->limits.come + MARGIN_SECONDS;
    for (;;) {
        double left = end - dt_clock();
        DT_TRY(dt_connection_await(c, left < v->limits.lost ? left : v->limits.lost, frame, there));
        if (!*there || frame->kind != DT_WIRE_PRESENT) return DT_OK;
        DT_TRY(answer(c));
    }
}

static dt_status await_welcome(const visit *v, dt_connection *c, dt_member *members)
{
    dt_wire_frame frame;
    bool there;
    int size = v->self->size;
    c->in.limit = DT_JOIN_MESSAGE + (size_t)size * (sizeof(dt_member) + 64);
    DT_TRY(await_word(v, c, &frame, &there));
    if (!there && c->closed)
        return dt_fail(DT_ERR_DEVICE, "rank 0 ended without saying why while ranks were still coming: it was killed or "
                       "crashed");
    if (!there)
        return dt_fail(DT_ERR_DEVICE, "rank 0 said nothing for %.0f s while ranks were coming: its host or the network "
                       "to it is down, or it is stopped", dt_clock() - c->heard);
    if (frame.kind == DT_WIRE_REFUSED) return take_refusal(frame.payload);
    if (frame.kind != DT_WIRE_WELCOME) return dt_fail(DT_ERR_DATA, "rank 0 does not speak as this program does");
    return dt_members_unpack(frame.payload, size, members);
}

dt_status dt_join_visit(const dt_join_places *places, const dt_hello *self, dt_join_limits limits, dt_log *log,
                        dt_member *members, dt_connection *out)
{
    visit v = {.places = places, .self = self, .start = dt_clock(), .limits = limits, .patience = 1,
               .log = log};
    *out = (dt_connection){.fd = -1};
    dt_status status = reach(&v, out);
    if (!status) status = await_welcome(&v, out, members);
    if (status) dt_connection_close(out);
    dt_text_free(&v.reason);
    return status;
}
