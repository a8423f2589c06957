/* Places in the arena: each block gets the lowest that is free while it lives. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "graph/space.h"

typedef struct placed {
    dt_span at;
    dt_range range;
} placed;

static bool is_free(const placed *blocks, int count, const placed *b, int64_t offset)
{
    int64_t bytes = b->range.end - b->range.begin;
    for (int i = 0; i < count; i++) {
        const placed *other = &blocks[i];
        bool together = other->at.first <= b->at.last && b->at.first <= other->at.last;
        if (together && other->range.begin < offset + bytes && offset < other->range.end) return false;
    }
    return true;
}

/* The lowest place, by trying all: nothing, or the end of what lies below it. */
static int64_t lowest_place(const placed *blocks, int count, const placed *b)
{
    int64_t lowest = is_free(blocks, count, b, 0) ? 0 : INT64_MAX;
    for (int i = 0; i < count; i++) {
        int64_t end = blocks[i].range.end;
        if (end < lowest && is_free(blocks, count, b, end)) lowest = end;
    }
    return lowest;
}

static int draw(int below)
{
    static uint64_t draws;
    return (int)(dt_random_word(3, DT_PURPOSE_SYNTHETIC, 0, 0, draws++) % (uint32_t)below);
}

static void blocks_get_the_lowest_free_place(void **state)
{
    enum { POSITIONS = 75, BLOCKS = 300 };
    placed blocks[BLOCKS];
    dt_space space;
    assert_int_equal(dt_space_create(POSITIONS, &space), DT_OK);
    for (int i = 0; i < BLOCKS; i++) {
        placed *b = &blocks[i];
        int first = draw(POSITIONS), last = first + draw(POSITIONS - first) / (1 + i % 4);
        b->at = (dt_span){first, i % 9 ? last : INT_MAX}; /* as outputs of the graph have it */
        b->range = (dt_range){0, i % 10 * 256}; /* empty ones too */
        int64_t bytes = b->range.end, offset = dt_space_find(&space, b->at, bytes);
        if (bytes) assert_int_equal(offset, lowest_place(blocks, i, b));
        b->range = (dt_range){offset, offset + bytes};
        assert_int_equal(dt_space_take(&space, b->at, b->range), DT_OK);
    }
    dt_space_free(&space);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(blocks_get_the_lowest_free_place)};
    return cmocka_run_group_tests_name("space", tests, NULL, NULL);
}
