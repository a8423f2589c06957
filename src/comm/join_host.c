/* Rank 0 while the others come. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "comm/join.h"
#include "comm/socket.h"

enum { STRANGERS = 64 }; /* connections beyond the ranks' own that may be open and say nothing */
static const double HELLO_SECONDS = 10; /* for a connection to say hello, */
static const double LEAST_SECONDS = 1;  /* and where too many say nothing */
static const double TOLD_SECONDS = 2;   /* for the reason of a failure to go out */
static const double REPORT_SECONDS = 30; /* between lines about who is awaited */
static const double BEAT_SECONDS = 0.5;  /* between words that rank 0 is there */

typedef struct host {
    int listener, size, came; /* came: ranks that are there, the host's own included */
    const char *where;
    double start, turned, next_beat;
    dt_join_limits limits;
    dt_log *log;
    dt_hello *hellos;     /* [size]; of ranks that are there */
    dt_connection *peers; /* [size] */
    dt_connection *new;   /* [new_room]: have not said hello */
    int new_room, new_count;
    struct pollfd *polled; /* [1 + new_room + size] */
} host;

static bool is_there(const host *h, int rank) { return rank == 0 || h->peers[rank].fd >= 0; }

/* Appends the ranks that have not come. */
static void list_missing(const host *h, dt_text *out)
{
    bool *missing = calloc((size_t)h->size, sizeof *missing);
    for (int r = 0; missing && r < h->size; r++) missing[r] = !is_there(h, r);
    if (missing) dt_members_list(NULL, missing, h->size, out);
    free(missing);
}

static void name_of(const dt_hello *hello, dt_text *out)
{
    dt_text_add(out, "rank %d on %s (process %lld)", hello->rank, hello->host, (long long)hello->pid);
}

/* --- who comes --- */

/* Is it a rank of this run, with the same program? `name` is how messages call it. */
static dt_status check_program(const dt_hello *self, const dt_hello *hello, const char *name)
{
    if (hello->protocol != self->protocol || strcmp(hello->version, self->version) != 0)
        return dt_fail(DT_ERR_USAGE, "%s runs dyttrain %s, and rank 0 on %s dyttrain %s: install the same build on all "
                       "hosts", name, hello->version, self->host, self->version);
    if (hello->size != self->size)
        return dt_fail(DT_ERR_USAGE, "%s was started with a world size of %d, and rank 0 on %s with %d: start all "
                       "ranks with the same one", name, hello->size, self->host, self->size);
    if (hello->binary != self->binary)
        return dt_fail(DT_ERR_USAGE, "%s runs another build of dyttrain %s than rank 0 on %s: install the same file on "
                       "all hosts", name, hello->version, self->host);
    return DT_OK;
}

/* The same process, which did not get an answer in time and comes again. */
static bool comes_again(const host *h, const dt_hello *hello)
{
    const dt_hello *before = &h->hellos[hello->rank];
    return hello->rank > 0 && hello->rank < h->size && is_there(h, hello->rank) &&
           before->process == hello->process && before->machine == hello->machine;
}

static dt_status check_seat(const host *h, const dt_hello *hello)
{
    if (hello->rank >= h->size)
        return dt_fail(DT_ERR_USAGE, "process %lld on %s came as rank %d of %d: ranks count from 0",
                       (long long)hello->pid, hello->host, hello->rank, h->size);
    const dt_hello *other = &h->hellos[hello->rank];
    if (!is_there(h, hello->rank)) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "two processes came as rank %d: process %lld on %s and process %lld on %s; each needs "
                   "a rank of its own", hello->rank, (long long)other->pid, other->host, (long long)hello->pid,
                   hello->host);
}

static dt_status check_hello(const host *h, const dt_hello *hello, const dt_connection *c)
{
    dt_text name = {0};
    if (hello->protocol == DT_HELLO_PROTOCOL) {
        name_of(hello, &name);
    } else {
        dt_text_add(&name, "a process at ");
        dt_socket_print_peer(c->fd, &name);
    }
    dt_status status = dt_text_status(&name);
    if (!status) status = check_program(&h->hellos[0], hello, name.data);
    if (!status) status = check_seat(h, hello);
    dt_text_free(&name);
    return status;
}

static void forget_new(host *h, int i)
{
    dt_connection_close(&h->new[i]);
    h->new[i] = h->new[--h->new_count];
}

/* Something that is no rank of this run: sent away. */
static void turn_away(host *h, int i, const char *reason)
{
    dt_text from = {0};
    dt_socket_print_peer(h->new[i].fd, &from);
    dt_log_warn(h->log, "a connection from %s was sent away while ranks come: %s", from.failed ? "?" : from.data,
                reason);
    dt_text_free(&from);
    forget_new(h, i);
}

static dt_status refuse(dt_connection *c, dt_status status, const char *text)
{
    dt_text frame = {0};
    dt_wire_begin(&frame, DT_WIRE_REFUSED);
    dt_wire_add_number(&frame, (uint64_t)status);
    dt_wire_add_text(&frame, text);
    dt_status made = dt_wire_end(&frame);
    if (!made) return dt_connection_send_frame(c, &frame);
    dt_text_free(&frame);
    return made;
}

static void vacate(host *h, int rank)
{
    dt_connection_close(&h->peers[rank]);
    h->came--;
}

static dt_status seat(host *h, int i, const dt_hello *hello)
{
    dt_text frame = {0};
    dt_connection *c = &h->peers[hello->rank];
    dt_wire_begin(&frame, DT_WIRE_ACCEPTED);
    dt_status status = dt_wire_end(&frame);
    if (status) {
        dt_text_free(&frame);
        return status;
    }
    *c = h->new[i];
    h->new[i] = h->new[--h->new_count];
    h->hellos[hello->rank] = *hello;
    h->came++;
    return dt_connection_send_frame(c, &frame);
}

/* A frame of a connection that has not said hello. `*gone`: it is not among these any more. */
static dt_status take_hello(host *h, int i, const dt_wire_frame *frame, bool *gone)
{
    dt_hello hello;
    *gone = true;
    if (frame->kind != DT_WIRE_HELLO || dt_hello_unpack(frame->payload, &hello)) {
        turn_away(h, i, "it did not say hello");
        return DT_OK;
    }
    if (hello.protocol == DT_HELLO_PROTOCOL && hello.key != h->hellos[0].key) {
        turn_away(h, i, "it is a rank of another run");
        return DT_OK;
    }
    if (comes_again(h, &hello)) vacate(h, hello.rank);
    dt_status status = check_hello(h, &hello, &h->new[i]);
    if (!status) return seat(h, i, &hello);
    *gone = false; /* the failure is told to it, too */
    return status;
}

static dt_status serve_new(host *h, int i, bool *gone)
{
    dt_wire_frame frame;
    bool there;
    dt_connection *c = &h->new[i];
    *gone = false;
    if (dt_connection_receive(c) || dt_wire_reader_next(&c->in, &frame, &there)) {
        turn_away(h, i, dt_error_message());
        *gone = true;
        return DT_OK;
    }
    if (there) return take_hello(h, i, &frame, gone);
    *gone = c->closed || dt_clock() > c->opened + HELLO_SECONDS;
    if (*gone && c->closed) forget_new(h, i);
    else if (*gone) turn_away(h, i, "it did not say hello");
    return DT_OK;
}

/* A rank that is there has nothing to say until all are, except that it leaves to come again. */
static dt_status serve_peer(host *h, int rank)
{
    dt_wire_frame frame;
    bool there = true;
    dt_connection *c = &h->peers[rank];
    dt_text name = {0};
    dt_status status;
    DT_TRY(dt_connection_receive(c));
    while (there) {
        DT_TRY(dt_wire_reader_next(&c->in, &frame, &there));
        if (!there || frame.kind != DT_WIRE_GOODBYE) continue;
        vacate(h, rank);
        return DT_OK;
    }
    if (!c->closed) return DT_OK;
    name_of(&h->hellos[rank], &name);
    status = dt_text_status(&name);
    if (!status)
        status = dt_fail(DT_ERR_DEVICE, "%s ended without saying why while ranks were still coming: it was killed or "
                         "crashed", name.data);
    dt_text_free(&name);
    return status;
}

/* --- the wait --- */

/* Room for one more, if need be in the place of the one that has said nothing for longest. */
static bool has_room(host *h)
{
    int oldest = 0;
    if (h->new_count < h->new_room) return true;
    for (int i = 1; i < h->new_count; i++)
        if (h->new[i].opened < h->new[oldest].opened) oldest = i;
    if (dt_clock() < h->new[oldest].opened + LEAST_SECONDS) return false;
    turn_away(h, oldest, "it did not say hello, and there are many of its kind");
    return true;
}

static dt_status take_in(host *h)
{
    while (has_room(h)) {
        int fd;
        DT_TRY(dt_socket_accept(h->listener, &fd));
        if (fd < 0) break;
        dt_connection_open(&h->new[h->new_count++], fd, DT_JOIN_MESSAGE);
    }
    return DT_OK;
}

static void wait_for_something(host *h)
{
    nfds_t count = 0;
    if (h->new_count < h->new_room) h->polled[count++] = (struct pollfd){.fd = h->listener, .events = POLLIN};
    for (int i = 0; i < h->new_count; i++)
        h->polled[count++] = (struct pollfd){.fd = h->new[i].fd, .events = dt_connection_events(&h->new[i])};
    for (int r = 1; r < h->size; r++)
        if (is_there(h, r))
            h->polled[count++] = (struct pollfd){.fd = h->peers[r].fd, .events = dt_connection_events(&h->peers[r])};
    poll(h->polled, count, 100);
}

static dt_status serve_all(host *h)
{
    DT_TRY(take_in(h));
    for (int i = 0; i < h->new_count;) {
        bool gone;
        DT_TRY(serve_new(h, i, &gone));
        i += !gone;
    }
    for (int r = 1; r < h->size; r++) {
        if (!is_there(h, r)) continue;
        dt_connection_flush(&h->peers[r]);
        DT_TRY(serve_peer(h, r));
    }
    return DT_OK;
}

static dt_status fail_missing(const host *h)
{
    dt_text missing = {0};
    list_missing(h, &missing);
    dt_status status = dt_text_status(&missing);
    if (!status)
        status = dt_fail(DT_ERR_DEVICE, "%s of %d did not come to rank 0 on %s (%s) within %.0f s "
                         "(parallel.start_limit): did they start, and can their hosts reach that port?", missing.data,
                         h->size, h->hellos[0].host, h->where, h->limits.come);
    dt_text_free(&missing);
    return status;
}

static void report(const host *h, double waited)
{
    dt_text missing = {0};
    list_missing(h, &missing);
    if (!missing.failed) dt_log_info(h->log, "waiting for %s of %d since %.0f s", missing.data, h->size, waited);
    dt_text_free(&missing);
}

/* The frame, unless making it has failed, to all who are there. */
static dt_status send_to_all(dt_connection *peers, int size, dt_text *frame, dt_status status)
{
    dt_parcel *parcel;
    if (status) {
        dt_text_free(frame);
        return status;
    }
    DT_TRY(dt_parcel_create(frame, &parcel));
    for (int r = 1; r < size && !status; r++) status = dt_connection_send(&peers[r], parcel);
    dt_parcel_drop(parcel);
    return status;
}

static dt_status beat(host *h)
{
    dt_text frame = {0};
    if (dt_clock() < h->next_beat) return DT_OK;
    h->next_beat = dt_clock() + BEAT_SECONDS;
    dt_wire_begin(&frame, DT_WIRE_PRESENT);
    return send_to_all(h->peers, h->size, &frame, dt_wire_end(&frame));
}

static dt_status fail_lost(const host *h, int rank, double silent)
{
    dt_text name = {0};
    name_of(&h->hellos[rank], &name);
    dt_status status = dt_text_status(&name);
    if (!status)
        status = dt_fail(DT_ERR_DEVICE, "%s: no sign of life for %.0f s while ranks were still coming: its host or the "
                         "network to it is down, or the process is stopped", name.data, silent);
    dt_text_free(&name);
    return status;
}

/* Where this process itself was stopped nobody else is to blame, and those who were there do not wait for it. */
static dt_status notice_stop(host *h)
{
    double now = dt_clock(), gap = now - h->turned;
    h->turned = now;
    if (gap > h->limits.lost && h->came > 1)
        return dt_fail(DT_ERR_DEVICE, "rank 0 on %s (process %lld): it was stopped for %.0f s while ranks were still "
                       "coming, and those that were there gave it up", h->hellos[0].host,
                       (long long)h->hellos[0].pid, gap);
    for (int r = 1; gap > h->limits.lost / 2 && r < h->size; r++) h->peers[r].heard += gap;
    return DT_OK;
}

static dt_status check_alive(host *h)
{
    for (int r = 1; r < h->size; r++) {
        double silent = h->turned - h->peers[r].heard;
        if (is_there(h, r) && silent > h->limits.lost) return fail_lost(h, r, silent);
    }
    return DT_OK;
}

static dt_status gather(host *h)
{
    double next_report = REPORT_SECONDS;
    h->turned = dt_clock();
    while (h->came < h->size) {
        double waited = dt_clock() - h->start;
        if (waited > h->limits.come) return fail_missing(h);
        if (waited > next_report) {
            report(h, waited);
            next_report += REPORT_SECONDS;
        }
        wait_for_something(h);
        DT_TRY(notice_stop(h));
        DT_TRY(serve_all(h));
        DT_TRY(beat(h));
        DT_TRY(check_alive(h));
    }
    return DT_OK;
}

/* All who are there learn why the run does not start. Nothing can be done about those that cannot be told. */
static void tell_failure(host *h, dt_status status)
{
    dt_text text = {0};
    dt_text_add(&text, "%s", dt_error_message());
    for (int i = 0; !text.failed && i < h->new_count; i++)
        if (refuse(&h->new[i], status, text.data)) break;
    for (int r = 1; !text.failed && r < h->size; r++)
        if (refuse(&h->peers[r], status, text.data)) break;
    dt_connections_flush(h->new, h->new_count, TOLD_SECONDS);
    dt_connections_flush(h->peers + 1, h->size - 1, TOLD_SECONDS);
    if (!text.failed) status = dt_fail(status, "%s", text.data);
    dt_text_free(&text);
}

dt_status dt_join_host(int listener, const dt_hello *self, const char *where, dt_join_limits limits, dt_log *log,
                       dt_hello *hellos, dt_connection *peers)
{
    host h = {.listener = listener, .size = self->size, .came = 1, .where = where, .start = dt_clock(),
              .limits = limits, .log = log, .hellos = hellos, .peers = peers, .new_room = self->size - 1 + STRANGERS};
    dt_status status = DT_OK;
    hellos[0] = *self;
    for (int r = 0; r < self->size; r++) peers[r] = (dt_connection){.fd = -1};
    h.new = calloc((size_t)h.new_room, sizeof *h.new);
    h.polled = calloc((size_t)(1 + h.new_room + h.size), sizeof *h.polled);
    if (!h.new || !h.polled) status = dt_fail_memory((size_t)h.new_room * sizeof *h.new, "the connections of ranks");
    if (!status) status = gather(&h);
    if (status && h.new) tell_failure(&h, status);
    while (h.new_count) forget_new(&h, 0);
    for (int r = 0; status && r < self->size; r++) dt_connection_close(&peers[r]);
    free(h.new);
    free(h.polled);
    return status;
}

dt_status dt_join_welcome(const dt_member *members, int size, dt_connection *peers)
{
    dt_text frame = {0};
    dt_status status = send_to_all(peers, size, &frame, dt_members_pack(members, size, &frame));
    dt_connections_flush(peers + 1, size - 1, 30);
    return status;
}
