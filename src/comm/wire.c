/* Frames and fields. */
#include "comm/wire.h"

#include <stdlib.h>
#include <string.h>

static const unsigned char magic[4] = {'D', 'Y', 'T', 'w'};

static void put(unsigned char *to, uint64_t number, int bytes)
{
    for (int i = 0; i < bytes; i++) to[i] = (unsigned char)(number >> 8 * i);
}

static uint64_t get(const unsigned char *from, int bytes)
{
    uint64_t number = 0;
    for (int i = 0; i < bytes; i++) number |= (uint64_t)from[i] << 8 * i;
    return number;
}

void dt_wire_begin(dt_text *frame, dt_wire_kind kind)
{
    unsigned char head[DT_WIRE_HEAD] = {0};
    memcpy(head, magic, sizeof magic);
    put(head + 4, kind, 4);
    dt_text_add_bytes(frame, head, sizeof head);
}

void dt_wire_add_number(dt_text *frame, uint64_t number)
{
    unsigned char bytes[8];
    put(bytes, number, 8);
    dt_text_add_bytes(frame, bytes, sizeof bytes);
}

void dt_wire_add_text(dt_text *frame, const char *text)
{
    size_t length = strlen(text);
    dt_wire_add_number(frame, length);
    dt_text_add_bytes(frame, text, length);
}

dt_status dt_wire_end(dt_text *frame)
{
    DT_TRY(dt_text_status(frame));
    put((unsigned char *)frame->data + 8, frame->length - DT_WIRE_HEAD, 8);
    return DT_OK;
}

static const unsigned char *take(dt_wire_cursor *cursor, uint64_t bytes)
{
    if (bytes > cursor->left) cursor->failed = true;
    if (cursor->failed) return NULL;
    const unsigned char *at = cursor->at;
    cursor->at += bytes;
    cursor->left -= bytes;
    return at;
}

uint64_t dt_wire_take_number(dt_wire_cursor *cursor)
{
    const unsigned char *at = take(cursor, 8);
    return at ? get(at, 8) : 0;
}

int64_t dt_wire_take_int(dt_wire_cursor *cursor, int64_t lowest, int64_t highest)
{
    int64_t number = (int64_t)dt_wire_take_number(cursor);
    if (number < lowest || number > highest) cursor->failed = true;
    return cursor->failed ? 0 : number;
}

/* A text is one line to whoever shows it, and no orders to a terminal. */
static void clean(char *text)
{
    while (*text) {
        int control = dt_text_control(text);
        for (int i = 0; i < control; i++) text[i] = ' ';
        text += control ? control : 1;
    }
}

void dt_wire_take_text(dt_wire_cursor *cursor, char *out, size_t room)
{
    uint64_t length = dt_wire_take_number(cursor);
    const unsigned char *at = take(cursor, length);
    if (length >= room) cursor->failed = true;
    *out = '\0';
    if (cursor->failed) return;
    memcpy(out, at, length);
    out[length] = '\0';
    clean(out);
}

dt_status dt_wire_reader_space(dt_wire_reader *reader, void **at, size_t *bytes)
{
    enum { LEAST = 4096 };
    if (reader->taken) {
        memmove(reader->data, reader->data + reader->taken, reader->used - reader->taken);
        reader->used -= reader->taken;
        reader->taken = 0;
    }
    if (reader->used == reader->room) {
        size_t room = reader->room ? 2 * reader->room : LEAST;
        unsigned char *data = realloc(reader->data, room);
        if (!data) return dt_fail_memory(room, "a message of another rank");
        reader->data = data;
        reader->room = room;
    }
    *at = reader->data + reader->used;
    *bytes = reader->room - reader->used;
    return DT_OK;
}

void dt_wire_reader_filled(dt_wire_reader *reader, size_t bytes) { reader->used += bytes; }

dt_status dt_wire_reader_next(dt_wire_reader *reader, dt_wire_frame *out, bool *there)
{
    *there = false;
    if (!reader->data) return DT_OK;
    const unsigned char *head = reader->data + reader->taken;
    size_t left = reader->used - reader->taken;
    if (left && memcmp(head, magic, left < sizeof magic ? left : sizeof magic))
        return dt_fail(DT_ERR_DATA, "what arrived is not a message of this program");
    if (left < DT_WIRE_HEAD) return DT_OK;
    uint64_t kind = get(head + 4, 4), length = get(head + 8, 8);
    if (kind == 0 || kind >= DT_WIRE_KINDS)
        return dt_fail(DT_ERR_DATA, "a message of kind %u is unknown", (unsigned)kind);
    if (length > reader->limit)
        return dt_fail(DT_ERR_DATA, "a message of %llu bytes is longer than the %zu that are allowed",
                       (unsigned long long)length, reader->limit);
    if (length > left - DT_WIRE_HEAD) return DT_OK;
    *out = (dt_wire_frame){(dt_wire_kind)kind, {.at = head + DT_WIRE_HEAD, .left = length}};
    reader->taken += DT_WIRE_HEAD + length;
    *there = true;
    return DT_OK;
}

void dt_wire_reader_free(dt_wire_reader *reader)
{
    free(reader->data);
    *reader = (dt_wire_reader){0};
}
