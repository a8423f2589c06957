/* Addresses, and sockets that listen, accept and connect. */
#include "comm/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

dt_status dt_address_find(const char *name, int port, dt_address out[DT_ADDRESSES], int *count)
{
    const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char service[16];
    snprintf(service, sizeof service, "%d", port);
    int failed = getaddrinfo(name, service, &hints, &found);
    if (failed)
        return dt_fail(DT_ERR_IO, "'%s' does not resolve: %s", name,
                       failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed));
    *count = 0;
    for (const struct addrinfo *at = found; at && *count < DT_ADDRESSES; at = at->ai_next) {
        dt_address *address = &out[(*count)++];
        *address = (dt_address){.length = at->ai_addrlen};
        memcpy(&address->bytes, at->ai_addr, at->ai_addrlen);
    }
    freeaddrinfo(found);
    return DT_OK;
}

void dt_address_print(const dt_address *address, dt_text *out)
{
    char host[NI_MAXHOST], port[NI_MAXSERV];
    bool v6 = address->bytes.ss_family == AF_INET6;
    int failed = getnameinfo((const struct sockaddr *)&address->bytes, address->length, host, sizeof host, port,
                             sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
    if (failed) dt_text_add(out, "an unknown address");
    else dt_text_add(out, v6 ? "[%s]:%s" : "%s:%s", host, port);
}

/* Link-local addresses mean another host on every link. */
static bool reachable(const struct ifaddrs *at, bool loopback)
{
    if (!at->ifa_addr || !(at->ifa_flags & IFF_UP) || !!(at->ifa_flags & IFF_LOOPBACK) != loopback) return false;
    if (at->ifa_addr->sa_family == AF_INET) return true;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)at->ifa_addr;
    return at->ifa_addr->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr);
}

dt_status dt_address_own(dt_text *out)
{
    struct ifaddrs *all;
    if (getifaddrs(&all)) return dt_fail(DT_ERR_IO, "cannot list this host's addresses: %s", strerror(errno));
    for (int loopback = 0; loopback < 2; loopback++) {
        for (const struct ifaddrs *at = all; at; at = at->ifa_next) {
            char host[NI_MAXHOST];
            if (!reachable(at, loopback)) continue;
            bool v4 = at->ifa_addr->sa_family == AF_INET;
            socklen_t length = v4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
            if (!getnameinfo(at->ifa_addr, length, host, sizeof host, NULL, 0, NI_NUMERICHOST))
                dt_text_add(out, "%s\n", host);
        }
    }
    freeifaddrs(all);
    return dt_text_status(out);
}

/* Messages are short and waited for: none is held back to be joined with the next. */
static void set_up(int fd)
{
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
}

static int create(int family) { return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0); }

/* --- listening --- */

/* A name may stand for the loopback on its own host alone (Debian's 127.0.1.1), so names do not count. */
static bool is_loopback(const char *address, dt_address *out)
{
    struct in_addr v4;
    *out = (dt_address){.length = sizeof(struct sockaddr_in)};
    if (!strcmp(address, "localhost")) address = "127.0.0.1";
    if (inet_pton(AF_INET, address, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127) {
        *(struct sockaddr_in *)&out->bytes = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr = v4};
        return true;
    }
    if (strcmp(address, "::1") != 0) return false;
    *(struct sockaddr_in6 *)&out->bytes = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_addr = in6addr_loopback};
    out->length = sizeof(struct sockaddr_in6);
    return true;
}

static void set_port(dt_address *address, int port)
{
    if (address->bytes.ss_family == AF_INET) ((struct sockaddr_in *)&address->bytes)->sin_port = htons((uint16_t)port);
    else ((struct sockaddr_in6 *)&address->bytes)->sin6_port = htons((uint16_t)port);
}

static int port_of(int fd)
{
    dt_address address = {.length = sizeof address.bytes};
    getsockname(fd, (struct sockaddr *)&address.bytes, &address.length);
    return ntohs(address.bytes.ss_family == AF_INET ? ((struct sockaddr_in *)&address.bytes)->sin_port
                                                    : ((struct sockaddr_in6 *)&address.bytes)->sin6_port);
}

/* A socket at the address; -1 with errno set. */
static int listen_at(const dt_address *address)
{
    int yes = 1, no = 0;
    int fd = create(address->bytes.ss_family);
    if (fd < 0) return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (address->bytes.ss_family == AF_INET6) setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
    if (bind(fd, (const struct sockaddr *)&address->bytes, address->length) || listen(fd, SOMAXCONN)) {
        int reason = errno;
        close(fd);
        errno = reason;
        return -1;
    }
    return fd;
}

static int listen_anywhere(int port)
{
    dt_address v6 = {.length = sizeof(struct sockaddr_in6)}, v4 = {.length = sizeof(struct sockaddr_in)};
    v6.bytes.ss_family = AF_INET6;
    v4.bytes.ss_family = AF_INET;
    set_port(&v6, port);
    set_port(&v4, port);
    int fd = listen_at(&v6);
    bool no_v6 = fd < 0 && (errno == EAFNOSUPPORT || errno == EADDRNOTAVAIL);
    return no_v6 ? listen_at(&v4) : fd;
}

dt_status dt_socket_listen(const char *address, int *port, int *out)
{
    dt_address loopback;
    int fd;
    if (address && is_loopback(address, &loopback)) {
        set_port(&loopback, *port);
        fd = listen_at(&loopback);
    } else {
        fd = listen_anywhere(*port);
    }
    if (fd < 0 && errno == EADDRINUSE)
        return dt_fail(DT_ERR_USAGE, "port %d of this host is taken, by another run or one that has not ended: set "
                       "MASTER_PORT to a free one, on all ranks", *port);
    if (fd < 0) return dt_fail(DT_ERR_IO, "cannot listen on port %d: %s", *port, strerror(errno));
    *port = port_of(fd);
    *out = fd;
    return DT_OK;
}

dt_status dt_socket_accept(int listener, int *out)
{
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    *out = fd;
    if (fd >= 0) set_up(fd);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE))
        return dt_fail(DT_ERR_IO, "cannot take another rank's connection: %s; raise the limit of open files (ulimit "
                       "-n)", strerror(errno));
    return DT_OK;
}

/* --- connecting --- */

/* 0, or an errno. */
static int wait_connected(int fd, double seconds)
{
    struct pollfd one = {.fd = fd, .events = POLLOUT};
    int reason = 0;
    socklen_t length = sizeof reason;
    int ready = poll(&one, 1, (int)(seconds * 1000) + 1);
    if (ready == 0) return ETIMEDOUT;
    if (ready < 0 || getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &length)) return errno;
    return reason;
}

dt_status dt_socket_connect(const dt_address *address, double seconds, int *out)
{
    int fd = create(address->bytes.ss_family), reason = fd < 0 ? errno : 0;
    if (!reason && connect(fd, (const struct sockaddr *)&address->bytes, address->length))
        reason = errno == EINPROGRESS ? wait_connected(fd, seconds) : errno;
    if (!reason) {
        set_up(fd);
        *out = fd;
        return DT_OK;
    }
    if (fd >= 0) close(fd);
    dt_text text = {0};
    dt_address_print(address, &text);
    dt_status status = dt_fail(DT_ERR_IO, "cannot connect to %s: %s", text.failed ? "rank 0" : text.data,
                               strerror(reason));
    dt_text_free(&text);
    return status;
}

void dt_socket_print_peer(int socket, dt_text *out)
{
    dt_address address = {.length = sizeof address.bytes};
    if (getpeername(socket, (struct sockaddr *)&address.bytes, &address.length)) dt_text_add(out, "an unknown address");
    else dt_address_print(&address, out);
}
