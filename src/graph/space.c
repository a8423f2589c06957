/* Free stretches of the arena, by a segment tree: every span of positions is a few stretches and lies beside or inside
 * the others, and blocks that lie on one another merge into one range. */
#include "graph/space.h"

#include <stdlib.h>
#include <string.h>

dt_status dt_space_create(int positions, dt_space *out)
{
    dt_space s = {.positions = 1};
    while (s.positions < positions) s.positions *= 2;
    DT_TRY(dt_arena_create(&s.arena));
    s.stretch = dt_arena_alloc(s.arena, 2 * (size_t)s.positions * sizeof *s.stretch);
    if (!s.stretch) {
        dt_arena_free(s.arena);
        return DT_ERR_MEMORY;
    }
    *out = s;
    return DT_OK;
}

void dt_space_free(dt_space *s) { dt_arena_free(s->arena); }

/* The first of the ranges that ends behind `offset`. */
static int first_behind(const dt_ranges *ranges, int64_t offset)
{
    int low = 0, high = ranges->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (ranges->at[middle].end <= offset) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* The lowest offset, from this one on, at which no range is in the way. */
static int64_t pass_over(const dt_ranges *ranges, int64_t offset, int64_t bytes)
{
    for (int i = first_behind(ranges, offset); i < ranges->count && ranges->at[i].begin < offset + bytes; i++)
        offset = ranges->at[i].end;
    return offset;
}

/* The stretch `index` reaches from `low` to `high`. */
static int64_t find(const dt_space *s, int index, int low, int high, int first, int last, int64_t offset, int64_t bytes)
{
    if (last < low || high < first) return offset;
    if (first <= low && high <= last) return pass_over(&s->stretch[index].somewhere, offset, bytes);
    int middle = low + (high - low) / 2;
    offset = pass_over(&s->stretch[index].throughout, offset, bytes);
    offset = find(s, 2 * index, low, middle, first, last, offset, bytes);
    return find(s, 2 * index + 1, middle + 1, high, first, last, offset, bytes);
}

int64_t dt_space_find(const dt_space *s, int first, int last, int64_t bytes)
{
    int64_t offset = 0, before;
    do {
        before = offset;
        offset = find(s, 1, 0, s->positions - 1, first, last, offset, bytes);
    } while (offset != before); /* one stretch may have moved it into a range of another */
    return offset;
}

static dt_status make_room(dt_arena *arena, dt_ranges *ranges)
{
    if (ranges->count < ranges->room) return DT_OK;
    int room = ranges->room ? 2 * ranges->room : 2;
    dt_range *grown = dt_arena_alloc(arena, (size_t)room * sizeof *grown);
    if (!grown) return DT_ERR_MEMORY;
    if (ranges->count) memcpy(grown, ranges->at, (size_t)ranges->count * sizeof *grown);
    ranges->at = grown;
    ranges->room = room;
    return DT_OK;
}

/* Joins the range with those that it touches. */
static dt_status add(dt_arena *arena, dt_ranges *ranges, dt_range range)
{
    int from = first_behind(ranges, range.begin - 1), to = from;
    for (; to < ranges->count && ranges->at[to].begin <= range.end; to++) {
        if (ranges->at[to].begin < range.begin) range.begin = ranges->at[to].begin;
        if (ranges->at[to].end > range.end) range.end = ranges->at[to].end;
    }
    if (to == from) DT_TRY(make_room(arena, ranges));
    memmove(&ranges->at[from + 1], &ranges->at[to], (size_t)(ranges->count - to) * sizeof range);
    ranges->at[from] = range;
    ranges->count += 1 - (to - from);
    return DT_OK;
}

static dt_status take(dt_space *s, int index, int low, int high, int first, int last, dt_range range)
{
    if (last < low || high < first) return DT_OK;
    DT_TRY(add(s->arena, &s->stretch[index].somewhere, range));
    if (first <= low && high <= last) return add(s->arena, &s->stretch[index].throughout, range);
    int middle = low + (high - low) / 2;
    DT_TRY(take(s, 2 * index, low, middle, first, last, range));
    return take(s, 2 * index + 1, middle + 1, high, first, last, range);
}

dt_status dt_space_take(dt_space *s, int first, int last, dt_range range)
{
    if (range.begin == range.end) return DT_OK;
    return take(s, 1, 0, s->positions - 1, first, last, range);
}
