/* Queues, sends, receives. */
#include "comm/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/threads.h"

struct dt_parcel {
    dt_text frame;
    int count; /* of those who hold it */
};

typedef struct dt_queued {
    struct dt_queued *next;
    dt_parcel *parcel;
} dt_queued;

dt_status dt_parcel_create(dt_text *frame, dt_parcel **out)
{
    dt_parcel *parcel = malloc(sizeof *parcel);
    if (!parcel) {
        dt_text_free(frame);
        return dt_fail_memory(sizeof *parcel, "a message to other ranks");
    }
    *parcel = (dt_parcel){.frame = *frame, .count = 1};
    *frame = (dt_text){0};
    *out = parcel;
    return DT_OK;
}

void dt_parcel_drop(dt_parcel *parcel)
{
    if (!parcel || --parcel->count) return;
    dt_text_free(&parcel->frame);
    free(parcel);
}

void dt_connection_open(dt_connection *c, int fd, size_t limit)
{
    *c = (dt_connection){.fd = fd, .in.limit = limit, .opened = dt_clock()};
    c->heard = c->opened;
}

static void forget_first(dt_connection *c)
{
    dt_queued *first = c->first;
    c->first = first->next;
    if (!c->first) c->last = NULL;
    c->sent = 0;
    dt_parcel_drop(first->parcel);
    free(first);
}

void dt_connection_close(dt_connection *c)
{
    while (c->first) forget_first(c);
    dt_wire_reader_free(&c->in);
    if (c->fd >= 0) close(c->fd);
    *c = (dt_connection){.fd = -1, .closed = true};
}

dt_status dt_connection_send(dt_connection *c, dt_parcel *parcel)
{
    if (c->fd < 0) return DT_OK;
    dt_queued *next = malloc(sizeof *next);
    if (!next) return dt_fail_memory(sizeof *next, "a message to other ranks");
    *next = (dt_queued){.parcel = parcel};
    parcel->count++;
    if (c->last) c->last->next = next;
    else c->first = next;
    c->last = next;
    dt_connection_flush(c);
    return DT_OK;
}

dt_status dt_connection_send_frame(dt_connection *c, dt_text *frame)
{
    dt_parcel *parcel = NULL;
    DT_TRY(dt_parcel_create(frame, &parcel));
    dt_status status = dt_connection_send(c, parcel);
    dt_parcel_drop(parcel);
    return status;
}

void dt_connection_flush(dt_connection *c)
{
    while (c->first) {
        const dt_text *frame = &c->first->parcel->frame;
        ssize_t count = send(c->fd, frame->data + c->sent, frame->length - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
        if (count < 0) {
            while (c->first) forget_first(c);
            return;
        }
        c->sent += (size_t)count;
        if (c->sent == frame->length) forget_first(c);
    }
}

bool dt_connection_is_flushed(const dt_connection *c) { return !c->first; }

void dt_connections_flush(dt_connection *all, int count, double seconds)
{
    double end = dt_clock() + seconds;
    for (int i = 0; i < count; i++) {
        while (all[i].first && dt_clock() < end) {
            struct pollfd one = {.fd = all[i].fd, .events = POLLOUT};
            poll(&one, 1, 10);
            dt_connection_flush(&all[i]);
        }
    }
}

short dt_connection_events(const dt_connection *c)
{
    return (short)((c->closed ? 0 : POLLIN) | (c->first ? POLLOUT : 0));
}

dt_status dt_connection_receive(dt_connection *c)
{
    enum { MOST = 4 << 20 }; /* at a time: others have something to say, too */
    for (size_t total = 0; !c->closed && total < MOST && c->in.used - c->in.taken < c->in.limit + DT_WIRE_HEAD;) {
        void *at;
        size_t room;
        DT_TRY(dt_wire_reader_space(&c->in, &at, &room));
        ssize_t count = recv(c->fd, at, room, MSG_DONTWAIT);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return DT_OK;
        if (count <= 0) {
            c->closed = true;
            return DT_OK;
        }
        c->heard = dt_clock();
        dt_wire_reader_filled(&c->in, (size_t)count);
        total += (size_t)count;
        if ((size_t)count < room) return DT_OK;
    }
    return DT_OK;
}

dt_status dt_connection_await(dt_connection *c, double seconds, dt_wire_frame *out, bool *there)
{
    double end = dt_clock() + seconds;
    for (;;) {
        DT_TRY(dt_wire_reader_next(&c->in, out, there));
        double left = end - dt_clock();
        if (*there || c->closed || left <= 0) return DT_OK;
        struct pollfd one = {.fd = c->fd, .events = dt_connection_events(c)};
        poll(&one, 1, left < 1 ? (int)(left * 1000) + 1 : 1000);
        dt_connection_flush(c);
        DT_TRY(dt_connection_receive(c));
    }
}
