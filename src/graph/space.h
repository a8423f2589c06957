/* Which bytes of the arena are taken when. Finding a place for a block looks at a few lists of ranges, not at all the
 * blocks that were placed before. */
#ifndef DT_GRAPH_SPACE_H
#define DT_GRAPH_SPACE_H

#include "base/arena.h"
#include "graph/internal.h"

typedef struct dt_range { /* of bytes */
    int64_t begin, end;
} dt_range;

typedef struct dt_span { /* of positions in the ordered list, both included */
    int first, last;
} dt_span;

typedef struct dt_ranges { /* apart from one another, ascending */
    dt_range *at;
    int count, room;
} dt_ranges;

/* A stretch of positions: the whole, or one half of another stretch. */
typedef struct dt_stretch {
    dt_ranges somewhere;  /* taken at some of its positions */
    dt_ranges throughout; /* taken at all of its positions, and not noted so for a stretch that contains it */
} dt_stretch;

typedef struct dt_space {
    dt_arena *arena;
    dt_stretch *stretch; /* 1: the whole; 2i and 2i + 1: the halves of i */
    int positions;       /* a power of two */
} dt_space;

DT_MUST_USE dt_status dt_space_create(int positions, dt_space *out);
void dt_space_free(dt_space *);
/* The lowest offset from which on `bytes` bytes are free at these positions. */
int64_t dt_space_find(const dt_space *, dt_span, int64_t bytes);
/* Takes the range at these positions. */
DT_MUST_USE dt_status dt_space_take(dt_space *, dt_span, dt_range);

#endif
