/* Messages, growing texts, nearest words, numbers for people, arenas, element types. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/arena.h"
#include "base/dtype.h"
#include "base/status.h"
#include "base/text.h"

static void a_failure_keeps_its_message(void **state)
{
    assert_int_equal(dt_fail(DT_ERR_IO, "cannot open '%s': %s", "a", "no"), DT_ERR_IO);
    assert_string_equal(dt_error_message(), "cannot open 'a': no");
    assert_int_equal(dt_fail_in(DT_ERR_DATA, "file %d", 3), DT_ERR_DATA);
    assert_string_equal(dt_error_message(), "file 3: cannot open 'a': no");
    assert_int_equal(dt_fail(DT_ERR_IO, "again: %s", dt_error_message()), DT_ERR_IO);
    assert_string_equal(dt_error_message(), "again: file 3: cannot open 'a': no");
    assert_int_equal(dt_fail_memory(12, "x"), DT_ERR_MEMORY);
    assert_string_equal(dt_error_message(), "out of memory: cannot get 12 bytes for x");
    dt_error_clear();
    assert_string_equal(dt_error_message(), "");
}

static void a_message_is_cut_and_holds_no_control_characters(void **state)
{
    char *longer = malloc(10001);
    memset(longer, 'x', 10000);
    longer[10000] = '\0';
    assert_int_equal(dt_fail(DT_ERR_IO, "%s", longer), DT_ERR_IO);
    assert_int_equal(dt_fail_in(DT_ERR_IO, "%s", longer), DT_ERR_IO);
    assert_in_range(strlen(dt_error_message()), 1000, 10000);
    free(longer);
    assert_int_equal(dt_fail(DT_ERR_IO, "a\033[2Jb\nc"), DT_ERR_IO);
    assert_string_equal(dt_error_message(), "a?[2Jb\nc");
    assert_int_equal(dt_fail(DT_ERR_IO, "\xC2\x9B" "2J\xC2\xA0\x7F\xC3\xA9\xC2"), DT_ERR_IO);
    assert_string_equal(dt_error_message(), "?2J\xC2\xA0?\xC3\xA9\xC2");
}

static void texts_grow(void **state)
{
    dt_text text = {0};
    for (int i = 0; i < 1000; i++) dt_text_add(&text, "%d,", i % 10);
    dt_text_add_bytes(&text, "end", 3);
    dt_text_add_bytes(&text, "", 0);
    assert_int_equal(dt_text_status(&text), DT_OK);
    assert_int_equal(text.length, 2003);
    assert_int_equal(strlen(text.data), 2003);
    assert_string_equal(text.data + 1998, "9,end");
    dt_text_free(&text);
    assert_null(text.data);
}

static void characters_that_are_not_whole_wait(void **state)
{
    static const struct {
        const char *text;
        size_t whole;
    } cases[] = {
        {"", 0},
        {"abc", 3},
        {"a\xC3", 1},
        {"a\xC3\xA9", 3},
        {"\xE2\x82", 0},
        {"\xE2\x82\xAC", 3},
        {"\xF0\x9F\x98", 0},
        {"\xF0\x9F\x98\x80", 4},
        {"a\x80\x80\x80\x80", 5}, /* no beginning of any */
        {"\xFF", 1},
        {"\xC3\xC3", 1},
        {"\xC3\xA9\xA9", 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(dt_text_whole(cases[i].text, strlen(cases[i].text)), cases[i].whole);
}

static void an_ending_has_something_before_it(void **state)
{
    assert_true(dt_text_ends_in("a.json", ".json"));
    assert_false(dt_text_ends_in(".json", ".json"));
    assert_false(dt_text_ends_in("a.jsonl", ".json"));
    assert_false(dt_text_ends_in("n", ".json"));
}

static void the_nearest_word_is_near(void **state)
{
    static const char *const words[] = {"optim.lr", "optim.betas", "seed", "norm.kind"};
    static const struct {
        const char *word, *nearest;
    } cases[] = {
        {"optim.lrr", "optim.lr"}, {"optim.beats", "optim.betas"}, {"sede", "seed"},   {"sed", "seed"},
        {"norm.knid", "norm.kind"}, {"seed", "seed"},              {"xyz", NULL},      {"", NULL},
        {"completely.different", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *nearest = dt_text_nearest(cases[i].word, words, 4);
        if (cases[i].nearest) assert_string_equal(nearest, cases[i].nearest);
        else assert_null(nearest);
    }
    char longer[1000];
    memset(longer, 's', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    assert_null(dt_text_nearest(longer, words, 4));
}

static void numbers_have_three_digits_and_a_unit(void **state)
{
    char out[32];
    assert_string_equal(dt_text_bytes(out, 0), "0 B");
    assert_string_equal(dt_text_bytes(out, 1023), "1023 B");
    assert_string_equal(dt_text_bytes(out, 1024), "1.00 KiB");
    assert_string_equal(dt_text_bytes(out, 1.5 * (1 << 30)), "1.50 GiB");
    assert_string_equal(dt_text_bytes(out, 1048575), "1.00 MiB");
    assert_string_equal(dt_text_count(out, 86.6e6, ""), "86.6 M");
    assert_string_equal(dt_text_count(out, 17.58e9, "FLOP"), "17.6 GFLOP");
    assert_string_equal(dt_text_count(out, 999.6e3, ""), "1.00 M");
    assert_string_equal(dt_text_count(out, 512, "FLOP"), "512 FLOP");
    assert_string_equal(dt_text_count(out, 10, ""), "10");
    assert_string_equal(dt_text_count(out, -2500, ""), "-2.50 k");
    assert_in_range(strlen(dt_text_count(out, 1e300, "FLOP/s")), 1, 31);
    assert_string_equal(dt_text_duration(out, 4.2), "4.2 s");
    assert_string_equal(dt_text_duration(out, 59.96), "1:00");
    assert_string_equal(dt_text_duration(out, 125), "2:05");
    assert_string_equal(dt_text_duration(out, 3723), "1:02:03");
    assert_string_equal(dt_text_duration(out, -1), "n/a");
    assert_string_equal(dt_text_duration(out, 1.0 / 0.0), "n/a");
}

static void arenas_give_zeroed_aligned_memory(void **state)
{
    dt_arena *arena;
    assert_int_equal(dt_arena_create(&arena), DT_OK);
    for (size_t bytes = 0; bytes < 200000; bytes = bytes * 3 + 1) {
        unsigned char *p = dt_arena_alloc(arena, bytes);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 16, 0);
        for (size_t i = 0; i < bytes; i++) assert_int_equal(p[i], 0);
        memset(p, 0xAB, bytes);
    }
    assert_string_equal(dt_arena_copy_text(arena, "text"), "text");
    assert_string_equal(dt_arena_format(arena, "%s.%d", "blocks", 3), "blocks.3");
    assert_null(dt_arena_alloc(arena, SIZE_MAX));
    assert_non_null(strstr(dt_error_message(), "out of memory"));
    dt_arena_free(arena);
    dt_arena_free(NULL);
}

static void element_types_have_names_and_sizes(void **state)
{
    assert_string_equal(dt_dtype_name(DT_BF16), "bf16");
    assert_int_equal(dt_dtype_size(DT_BF16), 2);
    assert_int_equal(dt_dtype_size(DT_F64), 8);
    assert_true(dt_dtype_is_float(DT_F8E5M2));
    assert_false(dt_dtype_is_float(DT_U8));
    for (int i = 0; i < DT_DTYPES; i++) assert_non_null(dt_dtype_name((dt_dtype)i));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_keeps_its_message),
        cmocka_unit_test(a_message_is_cut_and_holds_no_control_characters),
        cmocka_unit_test(texts_grow),
        cmocka_unit_test(characters_that_are_not_whole_wait),
        cmocka_unit_test(an_ending_has_something_before_it),
        cmocka_unit_test(the_nearest_word_is_near),
        cmocka_unit_test(numbers_have_three_digits_and_a_unit),
        cmocka_unit_test(arenas_give_zeroed_aligned_memory),
        cmocka_unit_test(element_types_have_names_and_sizes),
    };
    return cmocka_run_group_tests_name("base/text", tests, NULL, NULL);
}
