/* What a preparation keeps in its folder: files that were edited since, states of before and of later programs,
 * shards that are gone, and shards of others. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "data/prepare.h"
#include "scene.h"

static dt_prepare_options options_for(volatile const int *signal)
{
    static const char *const paths[] = {"a.txt", "b.txt"};
    return (dt_prepare_options){.tokenizer = "bytes", .out = "out", .paths = paths, .path_count = 2, .field = "text",
                                .shard_tokens = 1 << 30, .threads = 1, .signal = signal};
}

static dt_status prepare(volatile const int *signal)
{
    dt_prepare_counts counts;
    dt_prepare_options o = options_for(signal);
    return dt_prepare_tokens(&o, &counts);
}

/* Modified at `second` of the year 1970. */
static void write_at(const char *path, const char *text, int second)
{
    const struct timespec times[] = {{.tv_sec = second}, {.tv_sec = second}};
    scene_write(path, text, strlen(text));
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void write_inputs(void)
{
    write_at("a.txt", "one", 100);
    write_at("b.txt", "two", 200);
}

/* prepare.json with the member set, or without it where `value` is NULL. */
static void change_state(const char *member, json_t *value)
{
    json_t *root;
    dt_text text = {0};
    assert_int_equal(dt_json_read("out/prepare.json", 1 << 20, &root), DT_OK);
    if (value) assert_int_equal(json_object_set_new(root, member, value), 0);
    else json_object_del(root, member);
    assert_int_equal(dt_json_seal(root), DT_OK);
    assert_int_equal(dt_json_print(root, 0, &text), DT_OK);
    scene_write("out/prepare.json", text.data, text.length);
    dt_text_free(&text);
    json_decref(root);
}

static void an_edit_that_keeps_the_size_is_noticed(void **state)
{
    volatile const int stop = 1;
    for (int complete = 0; complete < 2; complete++) {
        write_inputs();
        assert_int_equal(prepare(complete ? NULL : &stop), complete ? DT_OK : DT_ERR_STOPPED);
        write_at("b.txt", "owt", 201);
        assert_fails(prepare(NULL), DT_ERR_USAGE, "'out/prepare.json' is of a preparation of files of which one was "
                     "modified since");
        write_inputs();
        assert_int_equal(prepare(NULL), DT_OK);
        assert_int_equal(dt_folder_remove("out"), DT_OK);
    }
}

static void a_state_without_times_goes_on_and_gets_them(void **state)
{
    volatile const int stop = 1;
    write_inputs();
    assert_int_equal(prepare(&stop), DT_ERR_STOPPED);
    change_state("times", NULL);
    assert_int_equal(prepare(NULL), DT_OK);
    write_at("b.txt", "owt", 201);
    assert_fails(prepare(NULL), DT_ERR_USAGE, "was modified since");
}

static void another_version_is_named(void **state)
{
    write_inputs();
    assert_int_equal(prepare(NULL), DT_OK);
    change_state("version", json_integer(3));
    assert_fails(prepare(NULL), DT_ERR_DATA, "'out/prepare.json' is of version 3; this program reads up to 2");
}

/* Makes a state that of version 1: with one key of files, tokenizer and options, as written then. */
static void make_old(const char *key)
{
    static const char *const later[] = {"tokenizer", "options", "input", "files"};
    for (int i = 0; i < 4; i++) change_state(later[i], NULL);
    change_state("version", json_integer(1));
    change_state("key", json_string(key));
}

static void a_state_of_version_1_goes_on(void **state)
{
    volatile const int stop = 1;
    write_inputs();
    assert_int_equal(prepare(&stop), DT_ERR_STOPPED);
    make_old("0123456789abcdef");
    assert_fails(prepare(NULL), DT_ERR_USAGE, "is of a preparation of other files (or they have changed since), with "
                 "another tokenizer, or with other options: choose");
    make_old("cee7b574f17cf79a");
    assert_int_equal(prepare(NULL), DT_OK);
    dt_prepare_options other = options_for(NULL);
    dt_prepare_counts counts;
    other.compress = true;
    assert_fails(dt_prepare_tokens(&other, &counts), DT_ERR_USAGE, "is of a preparation with other options: choose");
}

static void what_differs_is_told(void **state)
{
    const int later = 2000000000; /* than what is written now, by the clock of files */
    dt_prepare_counts counts;
    dt_prepare_options o = options_for(NULL);
    write_inputs();
    assert_int_equal(prepare(NULL), DT_OK);
    o.held_out = 0.1;
    assert_fails(dt_prepare_tokens(&o, &counts), DT_ERR_USAGE,
                 "'out/prepare.json' is of a preparation with other options: choose another --out, or remove");
    write_at("b.txt", "owt", later);
    assert_fails(prepare(NULL), DT_ERR_USAGE, "of a preparation of files of which one was modified since, though its "
                 "size is the same ('b.txt'): choose");
    write_at("b.txt", "four", later);
    assert_fails(dt_prepare_tokens(&o, &counts), DT_ERR_USAGE, "of a preparation with other options, of other files, "
                 "or their sizes have changed since ('b.txt'): choose");
    change_state("tokenizer", json_string("0123456789abcdef"));
    write_inputs();
    assert_fails(prepare(NULL), DT_ERR_USAGE, "'out/prepare.json' is of a preparation with another tokenizer: choose");
}

static void a_shard_that_is_gone_or_cut_is_named(void **state)
{
    volatile const int stop = 1;
    for (int complete = 0; complete < 2; complete++) {
        write_inputs();
        assert_int_equal(prepare(complete ? NULL : &stop), complete ? DT_OK : DT_ERR_STOPPED);
        assert_int_equal(rename("out/train-00000.tokens", "kept"), 0);
        assert_fails(prepare(NULL), DT_ERR_IO, "cannot open 'out/train-00000.tokens'");
        assert_fails(prepare(NULL), DT_ERR_IO, "choose another --out, or remove the folder");
        assert_int_equal(rename("kept", "out/train-00000.tokens"), 0);
        assert_int_equal(truncate("out/train-00000.tokens", 130), 0);
        assert_fails(prepare(NULL), DT_ERR_DATA, "'out/train-00000.tokens' is not a sound shard of tokens");
        assert_int_equal(dt_folder_remove("out"), DT_OK);
    }
}

static void shards_of_others_are_not_trained_on(void **state)
{
    static const char *const names[] = {"train-00007.tokens", "val-00000.tokens", "old.bin"};
    write_inputs();
    for (int n = 0; n < 3; n++) {
        char path[64], part[128];
        snprintf(path, sizeof path, "out/%s", names[n]);
        snprintf(part, sizeof part, "'%s' is there already", path);
        assert_int_equal(dt_folder_make("out"), DT_OK);
        scene_write(path, "x", 1);
        scene_write("out/notes.txt", "x", 1);
        assert_fails(prepare(NULL), DT_ERR_USAGE, part);
        assert_int_equal(remove(path), 0);
        assert_int_equal(prepare(NULL), DT_OK);
        assert_int_equal(dt_folder_remove("out"), DT_OK);
    }
}

/* Where prepare.json cannot be written, there is no shard of its own that would be refused later. */
static void no_shard_is_there_before_its_state(void **state)
{
    char path[64];
    snprintf(path, sizeof path, "out/prepare.json.tmp%ld", (long)getpid());
    write_inputs();
    assert_int_equal(dt_folder_make(path), DT_OK);
    assert_fails(prepare(NULL), DT_ERR_IO, "prepare.json");
    assert_int_equal(remove(path), 0);
    assert_int_equal(prepare(NULL), DT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_edit_that_keeps_the_size_is_noticed, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(a_state_without_times_goes_on_and_gets_them, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(another_version_is_named, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(a_state_of_version_1_goes_on, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(what_differs_is_told, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(a_shard_that_is_gone_or_cut_is_named, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(shards_of_others_are_not_trained_on, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(no_shard_is_there_before_its_state, scene_enter, scene_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
