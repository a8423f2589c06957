/* A slow network in user space, for tests: takes one TCP connection after the other, hands each on to another address,
 * and holds back every byte in both directions for some time.
 *
 *     relay LISTEN-PORT ADDRESS PORT MILLISECONDS
 *
 * Bytes leave in the pieces in which they came. Ends when it is killed. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MOST_PAIRS = 64, PIECES = 256, PIECE = 16384 };

typedef struct piece {
    double due;
    size_t at, length; /* length 0: the end */
    char bytes[PIECE];
} piece;

/* What goes one way. */
typedef struct way {
    int from, to;
    int first, count; /* of a ring of pieces */
    piece *pieces;
    int ended, closed; /* nothing comes any more; nothing goes any more */
} way;

static double delay;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void take(way *w)
{
    piece *p = &w->pieces[(w->first + w->count) % PIECES];
    ssize_t length = read(w->from, p->bytes, PIECE);
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    w->ended = length <= 0;
    p->due = now() + delay;
    p->at = 0;
    p->length = length > 0 ? (size_t)length : 0;
    w->count++;
}

static void give(way *w)
{
    piece *p = &w->pieces[w->first];
    ssize_t length = p->length ? send(w->to, p->bytes + p->at, p->length - p->at, MSG_NOSIGNAL) : 0;
    if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (length > 0 && (p->at += (size_t)length) < p->length) return;
    if (length <= 0) {
        shutdown(w->to, SHUT_WR);
        w->closed = 1;
    }
    w->first = (w->first + 1) % PIECES;
    w->count--;
}

static int is_due(const way *w) { return !w->closed && w->count && w->pieces[w->first].due <= now(); }

/* Sets the seconds until the next piece is due, if that is sooner. */
static struct pollfd watch(const way *w, int reading, double *wait)
{
    double due = w->count && !w->closed ? w->pieces[w->first].due - now() : *wait;
    if (!reading && due > 0 && due < *wait) *wait = due;
    if (reading) return (struct pollfd){.fd = w->ended || w->count == PIECES ? -1 : w->from, .events = POLLIN};
    return (struct pollfd){.fd = is_due(w) ? w->to : -1, .events = POLLOUT};
}

static void set_up(way *w, int from, int to)
{
    *w = (way){.from = from, .to = to, .pieces = malloc(PIECES * sizeof(piece))};
    if (!w->pieces) exit(1);
    setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
}

/* 1 where there is a pair more. */
static int join(int listener, const struct sockaddr_in *target, way *pair)
{
    int from = accept4(listener, NULL, NULL, SOCK_NONBLOCK), to = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (from < 0 || to < 0 || (connect(to, (const struct sockaddr *)target, sizeof *target) && errno != EINPROGRESS)) {
        if (from >= 0) close(from);
        if (to >= 0) close(to);
        return 0;
    }
    set_up(&pair[0], from, to);
    set_up(&pair[1], to, from);
    return 1;
}

/* Places of pairs that are over are used again. */
static int drop(way *ways, int pair, int pairs)
{
    way *w = &ways[2 * pair];
    if (!w[0].closed || !w[1].closed) return pairs;
    close(w[0].from);
    close(w[0].to);
    free(w[0].pieces);
    free(w[1].pieces);
    memmove(w, &ways[2 * (pairs - 1)], 2 * sizeof *w);
    return pairs - 1;
}

static void turn(int listener, const struct sockaddr_in *target, way *ways, int *pairs)
{
    struct pollfd polled[1 + 4 * MOST_PAIRS];
    double wait = 1;
    int count = 2 * *pairs;
    polled[0] = (struct pollfd){.fd = *pairs < MOST_PAIRS ? listener : -1, .events = POLLIN};
    for (int i = 0; i < 2 * count; i++) polled[1 + i] = watch(&ways[i / 2], i % 2 == 0, &wait);
    poll(polled, (nfds_t)(1 + 2 * count), (int)(1000 * wait) + 1);
    for (int i = 0; i < count; i++) {
        if (polled[1 + 2 * i].revents) take(&ways[i]);
        if (polled[2 + 2 * i].revents) give(&ways[i]);
    }
    if (polled[0].revents) *pairs += join(listener, target, &ways[2 * *pairs]);
    for (int pair = count / 2 - 1; pair >= 0; pair--) *pairs = drop(ways, pair, *pairs);
}

int main(int argc, char **argv)
{
    static way ways[2 * MOST_PAIRS];
    struct sockaddr_in here = {.sin_family = AF_INET}, target = {.sin_family = AF_INET};
    int pairs = 0, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (argc != 5 || inet_pton(AF_INET, argv[2], &target.sin_addr) != 1) return 2;
    here.sin_port = htons((uint16_t)atoi(argv[1]));
    target.sin_port = htons((uint16_t)atoi(argv[3]));
    delay = atof(argv[4]) / 1000;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(listener, (struct sockaddr *)&here, sizeof here) || listen(listener, 16)) {
        perror("relay");
        return 1;
    }
    for (;;) turn(listener, &target, ways, &pairs);
}
