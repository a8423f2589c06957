/* Messages of the control channel as bytes: frames, and the fields inside them.
 *
 * A frame is 16 bytes of head (magic, kind, length of what follows) and a payload. All numbers are little-endian. What
 * arrives is foreign until it has been read: whoever connects to the port may send anything. */
#ifndef DT_COMM_WIRE_H
#define DT_COMM_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

typedef enum dt_wire_kind {
    DT_WIRE_HELLO = 1, /* to rank 0: who comes */
    DT_WIRE_ACCEPTED,  /* from rank 0: the hello was good */
    DT_WIRE_REFUSED,   /* from rank 0: a text; the run does not start */
    DT_WIRE_WELCOME,   /* from rank 0: all have come; who they are */
    DT_WIRE_HEARTBEAT, /* both ways: progress */
    DT_WIRE_PART,      /* to rank 0: a rank's part of a collective */
    DT_WIRE_RESULT,    /* from rank 0: what came of it */
    DT_WIRE_ABORT,     /* to rank 0: a text; this rank has failed */
    DT_WIRE_VERDICT,   /* from rank 0: the run is over, and why */
    DT_WIRE_GOODBYE,   /* both ways: the sender leaves in order; nothing comes after it */
    DT_WIRE_PRESENT,   /* both ways, while ranks come: the sender is there */
    DT_WIRE_KINDS
} dt_wire_kind;

enum { DT_WIRE_HEAD = 16 };

/* --- making a frame --- */

/* Starts a frame in an empty text; fields are added; the end writes the length into the head and says whether there was
 * memory for all. */
void dt_wire_begin(dt_text *, dt_wire_kind);
void dt_wire_add_number(dt_text *, uint64_t);
void dt_wire_add_text(dt_text *, const char *);
DT_MUST_USE dt_status dt_wire_end(dt_text *);

/* --- taking a frame apart --- */

/* What of a payload is still to be read. A field that is not there sets `failed` and gives 0 or "". */
typedef struct dt_wire_cursor {
    const unsigned char *at;
    size_t left;
    bool failed;
} dt_wire_cursor;

typedef struct dt_wire_frame {
    dt_wire_kind kind;
    dt_wire_cursor payload;
} dt_wire_frame;

uint64_t dt_wire_take_number(dt_wire_cursor *);
/* A number within bounds, else `failed`. */
int64_t dt_wire_take_int(dt_wire_cursor *, int64_t lowest, int64_t highest);
/* Into `room` bytes with a final 0. Line ends and other control characters become blanks. */
void dt_wire_take_text(dt_wire_cursor *, char *out, size_t room);

/* --- reading frames from a stream --- */

/* Start with {.limit = most bytes of a payload}. Its buffer grows with what arrives, never with what is announced. */
typedef struct dt_wire_reader {
    size_t limit;
    unsigned char *data;
    size_t room, used, taken;
} dt_wire_reader;

/* Where the next bytes go, and how many may (at least 1); then how many came. */
DT_MUST_USE dt_status dt_wire_reader_space(dt_wire_reader *, void **at, size_t *bytes);
void dt_wire_reader_filled(dt_wire_reader *, size_t bytes);
/* The next whole frame, valid until the next call; `*there` is false when more bytes are needed. DT_ERR_DATA: this is
 * not what we speak. */
DT_MUST_USE dt_status dt_wire_reader_next(dt_wire_reader *, dt_wire_frame *out, bool *there);
void dt_wire_reader_free(dt_wire_reader *);

#endif
