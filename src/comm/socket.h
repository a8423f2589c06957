/* TCP over IPv4 and IPv6. Sockets do not block and are closed in programs that this one starts. */
#ifndef DT_COMM_SOCKET_H
#define DT_COMM_SOCKET_H

#include <stdbool.h>
#include <sys/socket.h>

#include "base/text.h"

typedef struct dt_address {
    struct sockaddr_storage bytes;
    socklen_t length;
} dt_address;

enum { DT_ADDRESSES = 16 }; /* of one name that are tried */

/* The addresses of a name (or of an address as text), `*count` of them. DT_ERR_IO: "'name' does not resolve:
 * reason". */
DT_MUST_USE dt_status dt_address_find(const char *name, int port, dt_address out[DT_ADDRESSES], int *count);
/* "10.0.0.1:29500", "[fe80::1]:29500" */
void dt_address_print(const dt_address *, dt_text *out);
/* The addresses of this host's interfaces, one a line: those that others can reach before the loopback's own. */
DT_MUST_USE dt_status dt_address_own(dt_text *out);

/* Listens on all interfaces, or, where `address` is localhost or an address of the loopback, on that alone (NULL: all).
 * Port 0 takes a free one; `*port` is the one that was taken. DT_ERR_USAGE for a port that is taken already. */
DT_MUST_USE dt_status dt_socket_listen(const char *address, int *port, int *out);
/* The next connection that waits; -1 where none does. DT_ERR_IO when this process may open no more. */
DT_MUST_USE dt_status dt_socket_accept(int listener, int *out);
/* DT_ERR_IO: "cannot connect to 10.0.0.1:29500: reason". */
DT_MUST_USE dt_status dt_socket_connect(const dt_address *, double seconds, int *out);
/* Where it is connected to, as dt_address_print writes it. */
void dt_socket_print_peer(int socket, dt_text *out);

#endif
