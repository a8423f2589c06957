/* The space as a segment tree: every span of positions is made up of a few stretches. Ranges that touch are joined, so
 * blocks that lie on one another and live at one time are one range. */
#include "graph/space.h"

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

/* --- lists of ranges --- */

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

/* --- the tree; the stretch `index` is the positions of `here` --- */

static dt_span whole(const dt_space *s) { return (dt_span){0, s->positions - 1}; }
static dt_span first_half(dt_span here) { return (dt_span){here.first, here.first + (here.last - here.first) / 2}; }
static dt_span second_half(dt_span here) { return (dt_span){first_half(here).last + 1, here.last}; }
static bool are_apart(dt_span a, dt_span b) { return a.last < b.first || b.last < a.first; }
static bool is_inside(dt_span a, dt_span b) { return b.first <= a.first && a.last <= b.last; }

static int64_t find(const dt_space *s, int index, dt_span here, dt_span at, int64_t offset, int64_t bytes)
{
    if (are_apart(here, at)) return offset;
    if (is_inside(here, at)) return pass_over(&s->stretch[index].somewhere, offset, bytes);
    offset = pass_over(&s->stretch[index].throughout, offset, bytes);
    offset = find(s, 2 * index, first_half(here), at, offset, bytes);
    return find(s, 2 * index + 1, second_half(here), at, offset, bytes);
}

int64_t dt_space_find(const dt_space *s, dt_span at, int64_t bytes)
{
    int64_t offset = 0, before;
    do {
        before = offset;
        offset = find(s, 1, whole(s), at, offset, bytes);
    } while (offset != before); /* one stretch may have moved it into a range of another */
    return offset;
}

static dt_status take(dt_space *s, int index, dt_span here, dt_span at, dt_range range)
{
    if (are_apart(here, at)) return DT_OK;
    DT_TRY(add(s->arena, &s->stretch[index].somewhere, range));
    if (is_inside(here, at)) return add(s->arena, &s->stretch[index].throughout, range);
    DT_TRY(take(s, 2 * index, first_half(here), at, range));
    return take(s, 2 * index + 1, second_half(here), at, range);
}

dt_status dt_space_take(dt_space *s, dt_span at, dt_range range)
{
    return range.begin < range.end ? take(s, 1, whole(s), at, range) : DT_OK;
}
