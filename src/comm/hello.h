/* Who comes: what a rank says of itself when it arrives, and the list of all of them that every rank gets. */
#ifndef DT_COMM_HELLO_H
#define DT_COMM_HELLO_H

#include "comm/wire.h"

enum { DT_HELLO_PROTOCOL = 1, DT_HELLO_HOST = 256, DT_HELLO_VERSION = 32 };

typedef struct dt_hello {
    char version[DT_HELLO_VERSION]; /* of the program */
    int protocol;
    int rank, size;
    uint64_t key;     /* of the run, under MPI; else 0 */
    uint64_t binary;  /* hash of the program's file */
    uint64_t process; /* drawn by each: processes of two containers may have the same number */
    uint64_t machine; /* the same for the processes of one host; what has a network of its own is a host of its own */
    int local_rank, local_size; /* -1: the launch does not say */
    int64_t pid;
    char host[DT_HELLO_HOST];
} dt_hello;

/* Fills in what this process knows of itself: all but rank, size, key and the local ones. */
DT_MUST_USE dt_status dt_hello_introduce(dt_hello *);
/* Appends a whole frame. */
DT_MUST_USE dt_status dt_hello_pack(const dt_hello *, dt_text *frame);
/* DT_ERR_DATA when it is none. One of another protocol has its version and protocol alone. */
DT_MUST_USE dt_status dt_hello_unpack(dt_wire_cursor, dt_hello *out);

/* A rank as all ranks know it. */
typedef struct dt_member {
    char host[DT_HELLO_HOST];
    int node, local_rank, local_size;
    int64_t pid;
} dt_member;

/* Numbers the hosts, and the ranks on each where the launch did not. */
void dt_members_number(const dt_hello *hellos, int size, dt_member *out);
DT_MUST_USE dt_status dt_members_pack(const dt_member *, int size, dt_text *frame);
/* DT_ERR_DATA when it is no list of `size` members. */
DT_MUST_USE dt_status dt_members_unpack(dt_wire_cursor, int size, dt_member *out);

/* "rank 3 on b (process 4711)"; members may be NULL: "rank 3". */
void dt_member_name(const dt_member *, int rank, dt_text *out);
/* Of the ranks for which `has` is set: "rank 3 on b (process 4711)", or "ranks 2, 5-7 (on b, c)". */
void dt_members_list(const dt_member *, const bool *has, int size, dt_text *out);

#endif
