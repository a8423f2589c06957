/* A chain of zeroed blocks; the newest one is carved from its front. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 32 * 1024, ALIGNMENT = 16 };

typedef struct block {
    struct block *older;
    size_t used, room;
    _Alignas(ALIGNMENT) char bytes[];
} block;

struct dt_arena {
    block *newest;
};

dt_status dt_arena_create(dt_arena **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? DT_OK : dt_fail_memory(sizeof **out, "an arena");
}

void dt_arena_free(dt_arena *arena)
{
    if (!arena) return;
    for (block *b = arena->newest, *older; b; b = older) {
        older = b->older;
        free(b);
    }
    free(arena);
}

static block *add_block(dt_arena *arena, size_t bytes)
{
    size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
    block *b = calloc(1, sizeof *b + room);
    if (!b) return NULL;
    b->room = room;
    b->older = arena->newest;
    arena->newest = b;
    return b;
}

void *dt_arena_alloc(dt_arena *arena, size_t bytes)
{
    block *b = arena->newest;
    size_t rounded = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    bool fits = bytes <= SIZE_MAX / 2; /* so that neither the rounding nor the block's header overflows */
    if (fits && (!b || b->room - b->used < rounded)) b = add_block(arena, rounded);
    if (!fits || !b) {
        dt_status failed = dt_fail_memory(bytes, "host objects");
        (void)failed; /* the message is kept; NULL tells the caller */
        return NULL;
    }
    void *out = b->bytes + b->used;
    b->used += rounded;
    return out;
}

char *dt_arena_copy_text(dt_arena *arena, const char *text)
{
    size_t bytes = strlen(text) + 1;
    char *out = dt_arena_alloc(arena, bytes);
    return out ? memcpy(out, text, bytes) : NULL;
}

char *dt_arena_format(dt_arena *arena, const char *format, ...)
{
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    char *out = length < 0 ? NULL : dt_arena_alloc(arena, (size_t)length + 1);
    if (out) vsnprintf(out, (size_t)length + 1, format, again);
    va_end(again);
    va_end(args);
    return out;
}
