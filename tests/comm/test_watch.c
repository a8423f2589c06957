/* Who is lost and who hangs, by a clock of the test's own; and collectives as rank 0 brings them together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "comm/meeting.h"
#include "comm/watch.h"

enum { RANKS = 4 };

typedef struct scene {
    dt_watch watch;
    dt_watched ranks[RANKS];
    dt_member members[RANKS];
    double now;
    dt_beat beats[RANKS];
    bool silent[RANKS];
    dt_text line;
    int rank;
} scene;

static void set_up(scene *s)
{
    *s = (scene){.now = 1000};
    for (int r = 0; r < RANKS; r++) {
        snprintf(s->members[r].host, sizeof s->members[r].host, "h%d", r / 2);
        s->members[r].node = r / 2;
        s->members[r].pid = 10 + r;
        s->beats[r].watching = DT_WATCH_STEPS;
    }
    const dt_watch_limits limits = {.start = 300, .hang = 60, .wait = 1800, .lost = 15};
    dt_watch_start(&s->watch, limits, RANKS, s->ranks, s->now);
}

/* Seconds in which nothing changes but that heartbeats come; whether there was a verdict. */
static bool pass(scene *s, double seconds)
{
    double end = s->now + seconds;
    s->line.length = 0;
    while (s->now < end) {
        s->now += 1;
        for (int r = 0; r < RANKS; r++)
            if (!s->silent[r]) dt_watch_beat(&s->watch, r, s->beats[r], s->now);
        if (dt_watch_judge(&s->watch, s->members, s->now, &s->line, &s->rank)) return true;
    }
    return false;
}

static void step_all(scene *s, int steps, double seconds)
{
    while (steps--) {
        for (int r = 0; r < RANKS; r++) s->beats[r].step++;
        assert_false(pass(s, seconds));
    }
}

static void silence_is_a_loss(void **state)
{
    scene s;
    set_up(&s);
    s.silent[2] = true;
    assert_false(pass(&s, 15));
    assert_true(pass(&s, 1));
    assert_int_equal(s.rank, 2);
    assert_non_null(strstr(s.line.data, "rank 2 on h1 (process 12): no sign of life for 16 s"));
    dt_watch_leave(&s.watch, 2); /* who has left may be silent */
    assert_false(pass(&s, 100));
    s.silent[1] = true;
    assert_false(pass(&s, 10));
    s.now += 50; /* nobody looked: the one who judges was stopped */
    dt_watch_forgive(&s.watch, 50);
    assert_false(pass(&s, 5));
    assert_true(pass(&s, 1));
    assert_int_equal(s.rank, 1);
    /* a host with two ranks is gone */
    dt_text_free(&s.line);
    set_up(&s);
    s.silent[3] = true;
    assert_false(pass(&s, 1));
    s.silent[2] = true;
    assert_true(pass(&s, 20));
    assert_int_equal(s.rank, -1);
    assert_non_null(strstr(s.line.data, "ranks 2-3 (on h1): no sign of life for 16 s: their hosts"));
    dt_text_free(&s.line);
}

static void the_rank_behind_hangs(void **state)
{
    scene s;
    set_up(&s);
    step_all(&s, 3, 2);
    for (int r = 0; r < RANKS; r++) s.beats[r].step += r != 3;
    assert_false(pass(&s, 58));
    assert_true(pass(&s, 5));
    assert_int_equal(s.rank, 3);
    assert_non_null(strstr(s.line.data, "rank 3 on h1 (process 13) hangs: no progress for 61 s after step 3, where the "
                                        "others went on"));
    dt_text_free(&s.line);
    set_up(&s);
    step_all(&s, 3, 2);
    s.beats[0].work = s.beats[3].work = 7;
    assert_true(pass(&s, 70));
    assert_int_equal(s.rank, -1);
    assert_non_null(strstr(s.line.data, "ranks 1-2 (on h0, h1) hang: no progress for 61 s after step 3, where the "
                                        "others wait in a later collective"));
    dt_text_free(&s.line);
    set_up(&s);
    step_all(&s, 3, 2);
    assert_true(pass(&s, 70));
    assert_int_equal(s.rank, -1);
    assert_non_null(strstr(s.line.data, "all 4 ranks hang: no progress for 61 s after step 3"));
    dt_text_free(&s.line);
}

static void watch_all(scene *s, dt_watching what)
{
    for (int r = 0; r < RANKS; r++) s->beats[r].watching = what;
}

static void slow_steps_have_time(void **state)
{
    scene s;
    set_up(&s);
    assert_false(pass(&s, 290)); /* the first step compiles */
    step_all(&s, 5, 40);
    assert_false(pass(&s, 155));
    assert_true(pass(&s, 10)); /* 5 x 40 s behind the last step */
    dt_text_free(&s.line);
    set_up(&s);
    assert_true(pass(&s, 310)); /* but not for ever */
    dt_text_free(&s.line);
    /* steps that are over between two heartbeats, in runs that save behind each */
    set_up(&s);
    watch_all(&s, DT_WATCH_NOTHING);
    step_all(&s, 5, 2);
    watch_all(&s, DT_WATCH_STEPS);
    assert_false(pass(&s, 59));
    assert_true(pass(&s, 3));
    dt_text_free(&s.line);
}

static void progress_counts_where_all_watch(void **state)
{
    scene s;
    set_up(&s);
    step_all(&s, 3, 2);
    s.beats[2].watching = DT_WATCH_NOTHING; /* it loads, and the others wait for it */
    assert_false(pass(&s, 1000));
    s.beats[2].watching = DT_WATCH_STEPS;
    assert_false(pass(&s, 59));
    step_all(&s, 1, 1);
    /* what took so long was no step: the median is as before */
    assert_false(pass(&s, 58));
    assert_true(pass(&s, 5));
    dt_text_free(&s.line);
    /* but nobody waits for ever for a rank that watches nothing, unless all do that */
    set_up(&s);
    step_all(&s, 3, 2);
    for (int r = 0; r < RANKS; r++) s.beats[r].work += r != 2;
    s.beats[2].watching = DT_WATCH_NOTHING;
    assert_false(pass(&s, 1790));
    assert_true(pass(&s, 20));
    assert_int_equal(s.rank, 2);
    dt_text_free(&s.line);
    set_up(&s);
    watch_all(&s, DT_WATCH_NOTHING);
    assert_false(pass(&s, 4000));
}

static void evaluations_have_a_measure_of_their_own(void **state)
{
    scene s;
    set_up(&s);
    step_all(&s, 5, 40); /* slow steps, quick batches */
    watch_all(&s, DT_WATCH_EVALUATION);
    assert_false(pass(&s, 290)); /* the first batch compiles */
    for (int batch = 0; batch < 5; batch++) {
        for (int r = 0; r < RANKS; r++) s.beats[r].work = ++s.beats[r].batches;
        assert_false(pass(&s, 2));
    }
    for (int r = 0; r < RANKS; r++) s.beats[r].work += r != 3;
    assert_false(pass(&s, 59));
    assert_true(pass(&s, 3));
    assert_int_equal(s.rank, 3);
    assert_non_null(strstr(s.line.data, "rank 3 on h1 (process 13) hangs: no progress for 61 s in an evaluation after "
                                        "step 5, where the others wait in a later collective"));
    dt_text_free(&s.line);
    set_up(&s);
    step_all(&s, 5, 2); /* quick steps, slow batches */
    watch_all(&s, DT_WATCH_EVALUATION);
    for (int batch = 0; batch < 5; batch++) {
        for (int r = 0; r < RANKS; r++) s.beats[r].work = ++s.beats[r].batches;
        assert_false(pass(&s, 40));
    }
    assert_false(pass(&s, 150));
    /* the others are through: the longest limit counts */
    for (int r = 1; r < RANKS; r++) s.beats[r].watching = DT_WATCH_STEPS;
    assert_false(pass(&s, 8));
    assert_true(pass(&s, 4)); /* 5 x 40 s behind the last batch */
    dt_text_free(&s.line);
    /* one that no heartbeat saw was no first one */
    set_up(&s);
    for (int r = 0; r < RANKS; r++) s.beats[r].work = s.beats[r].batches = 3;
    step_all(&s, 5, 2);
    watch_all(&s, DT_WATCH_EVALUATION);
    assert_false(pass(&s, 59));
    assert_true(pass(&s, 3));
    dt_text_free(&s.line);
}

static void saving_has_the_least_limit(void **state)
{
    scene s;
    set_up(&s);
    step_all(&s, 5, 40);
    watch_all(&s, DT_WATCH_SAVING);
    assert_false(pass(&s, 59));
    assert_true(pass(&s, 3));
    assert_non_null(strstr(s.line.data, "all 4 ranks hang: no progress for 61 s in saving after step 5"));
    dt_text_free(&s.line);
}

/* NCCL waits without end for a rank that it does not reach. */
static void communicators_have_the_time_of_a_start(void **state)
{
    scene s;
    set_up(&s);
    watch_all(&s, DT_WATCH_JOINING);
    assert_false(pass(&s, 299));
    assert_true(pass(&s, 3));
    assert_non_null(strstr(s.line.data, "all 4 ranks hang: no progress for 301 s in making a communicator after step 0"));
    dt_text_free(&s.line);
}

/* --- meetings --- */

static dt_status join(dt_meeting *m, int rank, const dt_part *part, const void *data, dt_text *line, int *blamed)
{
    dt_text frame = {0};
    assert_int_equal(dt_part_pack(part, data, &frame), DT_OK);
    dt_wire_cursor payload = {(const unsigned char *)frame.data + DT_WIRE_HEAD, frame.length - DT_WIRE_HEAD, false};
    dt_status status = dt_meeting_join(m, NULL, rank, payload, 5, line, blamed);
    dt_text_free(&frame);
    return status;
}

static void parts_come_in_any_order(void **state)
{
    static const int orders[][RANKS] = {{0, 1, 2, 3}, {3, 1, 0, 2}, {2, 3, 1, 0}};
    dt_meeting m;
    assert_int_equal(dt_meeting_create(RANKS, &m), DT_OK);
    for (size_t i = 0; i < 3; i++) {
        dt_part part = {.kind = DT_GATHER, .bytes = 2, .what = "x"};
        dt_text line = {0}, frame = {0};
        for (int j = 0; j < RANKS; j++) {
            int blamed;
            char data[2] = {(char)('a' + orders[i][j]), (char)('0' + (int)i)};
            assert_false(dt_meeting_is_full(&m));
            assert_int_equal(join(&m, orders[i][j], &part, data, &line, &blamed), DT_OK);
            assert_int_equal(blamed, -1);
        }
        assert_true(dt_meeting_is_full(&m));
        assert_int_equal(dt_meeting_end(&m, &frame), DT_OK);
        assert_int_equal(frame.length, DT_WIRE_HEAD + 2 * RANKS);
        char expected[2 * RANKS + 1] = "a0b0c0d0";
        for (int r = 0; r < RANKS; r++) expected[2 * r + 1] = (char)('0' + (int)i);
        assert_memory_equal(frame.data + DT_WIRE_HEAD, expected, 2 * RANKS);
        dt_text_free(&frame);
        dt_text_free(&line);
    }
    dt_meeting_free(&m);
}

static void wrong_parts_are_refused(void **state)
{
    dt_meeting m;
    dt_text line = {0};
    int blamed;
    dt_part gather = {.kind = DT_GATHER, .bytes = 2, .what = "x"}, other = {.kind = DT_GATHER, .bytes = 3, .what = "x"};
    dt_part huge = {.kind = DT_GATHER, .bytes = (64 << 20) / RANKS + 1, .what = "x"};
    assert_int_equal(dt_meeting_create(RANKS, &m), DT_OK);
    assert_int_equal(join(&m, 1, &gather, NULL, &line, &blamed), DT_ERR_DATA); /* bytes announced, none there */
    assert_int_equal(join(&m, 1, &huge, NULL, &line, &blamed), DT_ERR_DATA);
    assert_int_equal(join(&m, 1, &gather, "ab", &line, &blamed), DT_OK);
    assert_int_equal(join(&m, 1, &gather, "ab", &line, &blamed), DT_ERR_DATA);
    assert_non_null(strstr(dt_error_message(), "rank 1 came to a collective twice"));
    assert_int_equal(join(&m, 2, &other, "abc", &line, &blamed), DT_OK);
    assert_int_equal(blamed, 2);
    assert_non_null(strstr(line.data, "rank 2: it came to 'x' (a gather of 3 bytes), while rank 1 is at 'x' (a gather "
                                      "of 2 bytes)"));
    dt_text_free(&line);
    int rank;
    dt_meeting_blame(&m, NULL, 12, &line, &rank);
    assert_int_equal(rank, -1);
    assert_string_equal(line.data, "ranks 0, 2-3 did not come to 'x' within 12 s (parallel.wait_limit), where 1 other "
                                   "rank waits");
    dt_text_free(&line);
    dt_meeting_free(&m);
}

/* A rank that failed leaves the order of the others: its words tell more than where it came. */
static void failures_are_told(void **state)
{
    dt_part session = {.kind = DT_GATHER, .bytes = 2, .what = "the session", .why = "no memory"};
    dt_part other = {.kind = DT_BARRIER, .what = "devices"}, whole = {.kind = DT_GATHER, .bytes = 2, .what = "the session"};
    for (int first = 0; first < 2; first++) {
        dt_meeting m;
        dt_text line = {0};
        int blamed;
        assert_int_equal(dt_meeting_create(RANKS, &m), DT_OK);
        assert_int_equal(join(&m, 0, first ? &session : &other, first ? "ab" : NULL, &line, &blamed), DT_OK);
        assert_int_equal(m.failed, first ? 0 : -1);
        assert_int_equal(join(&m, 1, first ? &other : &session, first ? NULL : "ab", &line, &blamed), DT_OK);
        assert_int_equal(blamed, !first);
        assert_string_equal(line.data, first ? "rank 0: no memory" : "rank 1: no memory");
        dt_text_free(&line);
        dt_meeting_free(&m);
    }
    dt_meeting m;
    dt_text line = {0}, frame = {0};
    int blamed;
    assert_int_equal(dt_meeting_create(RANKS, &m), DT_OK);
    for (int r = 0; r < RANKS; r++) {
        assert_int_equal(join(&m, r, r == 2 ? &session : &whole, "ab", &line, &blamed), DT_OK);
        assert_int_equal(blamed, -1);
        assert_int_equal(m.failed, r < 2 ? -1 : 2);
    }
    assert_int_equal(dt_meeting_end(&m, &frame), DT_OK);
    assert_int_equal(m.failed, -1);
    dt_text_free(&frame);
    dt_meeting_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_is_a_loss),
        cmocka_unit_test(the_rank_behind_hangs),
        cmocka_unit_test(slow_steps_have_time),
        cmocka_unit_test(progress_counts_where_all_watch),
        cmocka_unit_test(evaluations_have_a_measure_of_their_own),
        cmocka_unit_test(saving_has_the_least_limit),
        cmocka_unit_test(communicators_have_the_time_of_a_start),
        cmocka_unit_test(parts_come_in_any_order),
        cmocka_unit_test(wrong_parts_are_refused),
        cmocka_unit_test(failures_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
