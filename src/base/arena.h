/* A bump allocator for host objects that die together (a graph and its nodes, a parsed config). */
#ifndef DT_BASE_ARENA_H
#define DT_BASE_ARENA_H

#include <stddef.h>

#include "base/status.h"

typedef struct dt_arena dt_arena;

DT_MUST_USE dt_status dt_arena_create(dt_arena **out);
void dt_arena_free(dt_arena *); /* NULL is allowed */
/* Zeroed and aligned to 16 bytes; NULL when out of memory, with the error message kept. */
void *dt_arena_alloc(dt_arena *, size_t bytes);
char *dt_arena_copy_text(dt_arena *, const char *text);
DT_PRINTF(2, 3) char *dt_arena_format(dt_arena *, const char *format, ...);

#endif
