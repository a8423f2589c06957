/* What a stranger sends to the port of the control channel, in pieces of sizes that the first byte gives: frames, and
 * from them hellos and lists of ranks. */
#include <string.h>

#include "comm/hello.h"
#include "fuzz.h"

enum { RANKS = 3 };

static void read_frame(const dt_wire_frame *frame)
{
    dt_hello hello;
    dt_member members[RANKS];
    char text[64];
    dt_wire_cursor payload = frame->payload;
    bool failed = dt_hello_unpack(frame->payload, &hello) || dt_members_unpack(frame->payload, RANKS, members);
    if (failed) dt_error_clear();
    while (!payload.failed) dt_wire_take_text(&payload, text, sizeof text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dt_wire_reader reader = {.limit = 4096};
    size_t piece = size ? 1 + data[0] : 1;
    for (size_t at = size ? 1 : 0; at < size;) {
        void *space;
        size_t room, left = size - at;
        dt_wire_frame frame;
        bool there = true;
        if (dt_wire_reader_space(&reader, &space, &room)) break;
        size_t now = left < piece ? left : piece;
        if (now > room) now = room;
        memcpy(space, data + at, now);
        dt_wire_reader_filled(&reader, now);
        at += now;
        while (there) {
            if (dt_wire_reader_next(&reader, &frame, &there)) goto done;
            if (there) read_frame(&frame);
        }
    }
done:
    dt_wire_reader_free(&reader);
    return 0;
}
