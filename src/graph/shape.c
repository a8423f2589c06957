/* Shapes: counts, comparison, text. */
#include <stdio.h>

#include "graph/graph.h"

int64_t dt_shape_count(const dt_shape *shape)
{
    int64_t count = 1;
    for (int i = 0; i < shape->rank; i++) count *= shape->dim[i];
    return count;
}

int64_t dt_shape_last(const dt_shape *shape) { return shape->rank ? shape->dim[shape->rank - 1] : 1; }

int64_t dt_shape_rows(const dt_shape *shape)
{
    int64_t rows = 1;
    for (int i = 0; i + 1 < shape->rank; i++) rows *= shape->dim[i];
    return rows;
}

bool dt_shape_equal(const dt_shape *a, const dt_shape *b)
{
    if (a->rank != b->rank) return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i]) return false;
    return true;
}

const char *dt_shape_text(const dt_shape *shape, char out[96])
{
    enum { ROOM = 96, LONGEST = 22, END = sizeof ", ...]" }; /* ", -9223372036854775808" is the longest dimension */
    int length = snprintf(out, ROOM, "["), shown = 0;
    for (; shown < shape->rank && length + LONGEST + END <= ROOM; shown++)
        length += snprintf(out + length, ROOM - (size_t)length, shown ? ", %lld" : "%lld",
                           (long long)shape->dim[shown]);
    snprintf(out + length, ROOM - (size_t)length, shown < shape->rank ? ", ...]" : "]");
    return out;
}
