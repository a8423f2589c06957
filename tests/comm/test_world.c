/* A world of several processes at work, and each way in which it ends: every rank in turn is killed, stopped, hung,
 * gone, absent; all the others must learn who it was, soon. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "crew.h"

enum { RANKS = 3, TIME = 40 };

static const char *program;
static const char own_words[] = "cannot open 'x': no such file";

static void assert_code(const crew *c, int r, int code)
{
    if (c->codes[r] == code) return;
    crew_show(c);
    fail_msg("process %d ended with %d, not %d", r, c->codes[r], code);
}

/* `bad` did something; every other rank has the verdict with `words`, once, within `seconds`. */
static void assert_verdict(const crew *c, int bad, const char *words, double seconds)
{
    for (int r = 0; r < c->size; r++) {
        char head[64];
        if (r == bad) continue;
        assert_code(c, r, 9);
        bool told = r != 0 && (bad != 0 || !strcmp(words, own_words)); /* rank 0 can no longer say that it is dead */
        snprintf(head, sizeof head, "verdict 1: rank %d, told %d: rank %d on ", bad, told, bad);
        crew_assert_says(c, r, head);
        crew_assert_says(c, r, words);
        assert_null(strstr(c->texts[r], "verdict 2"));
        if (c->ends[r] > seconds) fail_msg("process %d took %.1f s", r, c->ends[r]);
    }
}

static void collectives_are_right(void **state)
{
    static const int sizes[] = {2, 3, 7};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        crew c;
        crew_start(&c, program, sizes[i], "20 20 20 15 collectives place only 1 sleep0.3 collectives close");
        crew_wait(&c, TIME);
        for (int r = 0; r < c.size; r++) {
            char place[64];
            assert_code(&c, r, 0);
            crew_assert_says(&c, r, "done");
            snprintf(place, sizeof place, "rank %d of %d, local %d of %d, launch 2, node 0", r, c.size, r, c.size);
            crew_assert_says(&c, r, place);
        }
        crew_assert_says(&c, 0, "ranks on 1 host, started by RANK and WORLD_SIZE");
        crew_end(&c);
    }
}

static void a_world_of_one_has_the_same_calls(void **state)
{
    crew c;
    crew_begin(&c, 1);
    crew_add(&c, NULL, program, "20 20 20 15 collectives watch step place close");
    crew_wait(&c, TIME);
    assert_code(&c, 0, 0);
    crew_assert_says(&c, 0, "rank 0 of 1, local 0 of 1, launch 0, node 0");
    crew_end(&c);
}

static void one_failure_each(const char *deed, const char *words, double seconds)
{
    for (int bad = 0; bad < RANKS; bad++) {
        crew c;
        char arguments[200];
        snprintf(arguments, sizeof arguments, "20 20 20 3 barrier only %d sleep0.2 only %d %s sleep20 close", bad, bad,
                 deed);
        crew_start(&c, program, RANKS, arguments);
        crew_wait(&c, 15);
        assert_verdict(&c, bad, words, seconds);
        crew_end(&c);
    }
}

static void a_killed_rank_is_known_at_once(void **state)
{
    one_failure_each("kill", "it ended without saying why: it was killed or crashed", 10);
}

static void so_is_one_that_exits_without_goodbye(void **state)
{
    one_failure_each("exit", "it ended without saying why", 10);
}

static void a_stopped_rank_is_lost(void **state)
{
    one_failure_each("stop", " s: its host or the network to it is down, or the process is stopped", 10);
}

/* It finds the others gone, and does not blame them. */
static void a_rank_0_that_goes_on_too_late_blames_itself(void **state)
{
    crew c;
    crew_start(&c, program, RANKS, "20 20 20 3 barrier only 0 pause4.5 sleep20 close");
    crew_add(&c, NULL, "/bin/sleep", "6"); /* while rank 0 is stopped nobody else is waited for */
    crew_wait(&c, TIME);
    assert_code(&c, 0, 9);
    crew_assert_says(&c, 0, "verdict 1: rank 0, told 0: rank 0 on ");
    crew_assert_says(&c, 0, " s, and the other ranks gave it up");
    for (int r = 1; r < RANKS; r++) crew_assert_says(&c, r, "verdict 1: rank 0, told 0: rank 0 on ");
    crew_end(&c);
}

static void a_failing_rank_is_heard(void **state) { one_failure_each("abort", own_words, 10); }

/* The others wait in a collective for it. */
static void death_ends_a_wait(void **state)
{
    for (int bad = 0; bad < RANKS; bad++) {
        crew c;
        char arguments[200];
        snprintf(arguments, sizeof arguments, "20 20 20 3 barrier only %d sleep0.3 only %d kill barrier close", bad,
                 bad);
        crew_start(&c, program, RANKS, arguments);
        crew_wait(&c, 15);
        assert_verdict(&c, bad, "killed or crashed", 10);
        crew_end(&c);
    }
}

/* Where the callback returns, the calls of the main thread fail, now and later. */
static void calls_fail_behind_a_verdict(void **state)
{
    crew c;
    crew_start(&c, program, RANKS, "20 20 20 3 stay barrier only 1 kill barrier close");
    crew_wait(&c, TIME);
    for (int r = 0; r < RANKS; r++) {
        if (r == 1) continue;
        assert_code(&c, r, 1);
        crew_assert_says(&c, r, "verdict 1: rank 1");
        crew_assert_says(&c, r, "error: rank 1 on");
        assert_null(strstr(c.texts[r], "verdict 2"));
    }
    crew_end(&c);
}

static void a_hung_rank_is_named(void **state)
{
    for (int bad = 0; bad < RANKS; bad++) {
        crew c;
        char arguments[300];
        /* the others come one step further and wait there */
        snprintf(arguments, sizeof arguments, "1 20 2 10 barrier watch step sleep1.5 step sleep1.5 work only %d "
                 "sleep30 step sleep30 close", bad);
        crew_start(&c, program, RANKS, arguments);
        crew_wait(&c, 20);
        for (int r = 0; r < RANKS; r++) {
            char head[64];
            assert_code(&c, r, 9);
            snprintf(head, sizeof head, "verdict 1: rank %d, told %d: rank %d on ", bad, r != 0, bad);
            crew_assert_says(&c, r, head);
            crew_assert_says(&c, r, " hangs: no progress for ");
            crew_assert_says(&c, r, "after step 2, where the others went on");
        }
        crew_end(&c);
    }
}

static void nobody_hangs_who_need_not_get_on(void **state)
{
    crew c;
    crew_start(&c, program, RANKS, "1 20 1 10 barrier watch step step sleep0.5 only 1 unwatch sleep4 barrier close");
    crew_wait(&c, TIME);
    for (int r = 0; r < RANKS; r++) assert_code(&c, r, 0);
    crew_end(&c);
}

static void a_collective_without_all_ends(void **state)
{
    crew c;
    crew_start(&c, program, RANKS, "20 1 20 10 barrier only 2 sleep20 barrier close");
    crew_wait(&c, TIME);
    for (int r = 0; r < RANKS; r++) {
        assert_code(&c, r, 9);
        crew_assert_says(&c, r, "verdict 1: rank 2");
        crew_assert_says(&c, r, "did not come to 'the barrier' within "); /* 1 s, or 2 on a busy machine */
        crew_assert_says(&c, r, " s (parallel.wait_limit), where 2 other ranks wait");
    }
    crew_end(&c);
}

static void different_collectives_end(void **state)
{
    crew c;
    crew_start(&c, program, RANKS, "20 20 20 10 barrier only 2 sleep0.5 only 2 other barrier close");
    crew_wait(&c, TIME);
    for (int r = 0; r < RANKS; r++) {
        assert_code(&c, r, 9);
        crew_assert_says(&c, r, "it came to 'another barrier' (a barrier of 0 bytes), while rank");
        crew_assert_says(&c, r, "is at 'the barrier'");
    }
    crew_end(&c);
}

static void the_words_of_a_failure_are_told(void **state)
{
    static const char *const courses[] = {
        "20 60 20 10 barrier only 2 sleep0.5 only 2 fail only 2 other barrier close", /* behind the others, */
        "20 60 20 10 barrier only 2 fail only 2 other sleep0.5 barrier close",        /* or before them */
    };
    for (size_t i = 0; i < sizeof courses / sizeof *courses; i++) {
        crew c;
        crew_start(&c, program, RANKS, courses[i]);
        crew_wait(&c, TIME);
        for (int r = 0; r < RANKS; r++) {
            assert_code(&c, r, 9);
            crew_assert_says(&c, r, "verdict 1: rank 2");
            crew_assert_says(&c, r, ": cannot open 'y'");
        }
        crew_end(&c);
    }
}

static void who_left_is_not_waited_for(void **state)
{
    crew c;
    crew_start(&c, program, RANKS, "20 20 20 10 barrier only 1 sleep0.2 only 1 close only 1 exit sleep0.5 barrier "
               "close");
    crew_wait(&c, TIME);
    assert_code(&c, 1, 0);
    assert_verdict(&c, 1, "it ended in order, while others wait for it in 'the barrier'", 10);
    crew_end(&c);
    /* rank 0 may leave first: the others' collectives fail, but nothing else ends */
    crew_start(&c, program, RANKS, "20 20 20 10 barrier only 0 close only 0 exit sleep0.5 barrier close");
    crew_wait(&c, TIME);
    assert_code(&c, 0, 0);
    assert_code(&c, 1, 1);
    crew_assert_says(&c, 2, "error: rank 0 has left the run");
    crew_end(&c);
}

static void differences_are_named_on_all_ranks(void **state)
{
    crew c;
    crew_start(&c, program, RANKS, "20 20 20 15 disagree close");
    crew_wait(&c, TIME);
    for (int r = 0; r < RANKS; r++) { /* each ends by its own error or by that of another */
        assert_code(&c, r, c.codes[r] == 9 ? 9 : 1);
        crew_assert_says(&c, r, "ranks differ in the version of CUDA: ranks 0, 2 (on ");
        crew_assert_says(&c, r, "): CUDA 12.0; rank 1 on ");
        crew_assert_says(&c, r, "): CUDA 13.0");
    }
    crew_end(&c);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collectives_are_right),
        cmocka_unit_test(a_world_of_one_has_the_same_calls),
        cmocka_unit_test(a_killed_rank_is_known_at_once),
        cmocka_unit_test(so_is_one_that_exits_without_goodbye),
        cmocka_unit_test(a_stopped_rank_is_lost),
        cmocka_unit_test(a_rank_0_that_goes_on_too_late_blames_itself),
        cmocka_unit_test(a_failing_rank_is_heard),
        cmocka_unit_test(death_ends_a_wait),
        cmocka_unit_test(calls_fail_behind_a_verdict),
        cmocka_unit_test(a_hung_rank_is_named),
        cmocka_unit_test(nobody_hangs_who_need_not_get_on),
        cmocka_unit_test(a_collective_without_all_ends),
        cmocka_unit_test(different_collectives_end),
        cmocka_unit_test(the_words_of_a_failure_are_told),
        cmocka_unit_test(who_left_is_not_waited_for),
        cmocka_unit_test(differences_are_named_on_all_ranks),
    };
    if (argc != 2) return 2;
    program = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
