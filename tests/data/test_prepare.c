/* Preparing tokens: texts in parts, JSON lines, packed files, folders; interruptions; bad input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zstd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/random.h"
#include "data/dataset.h"
#include "data/corpus.h"
#include "data/prepare.h"
#include "prepared.h"
#include "scene.h"

static void assert_same(const char *a, const char *b)
{
    static const char *const splits[] = {"train", "val"};
    for (int s = 0; s < 2; s++) {
        dt_tokens x = read_all(a, splits[s]), y = read_all(b, splits[s]);
        assert_int_equal(x.count, y.count);
        if (x.count) assert_memory_equal(x.token, y.token, (size_t)x.count * sizeof *x.token);
        free(x.token);
        free(y.token);
    }
}

/* Lines of words, now and then of other characters; 3 MiB, which are several parts. */
static dt_text long_text(void)
{
    static const char *const words[] = {"the", " fox", " it's", "\n", "\n\n  ", " 1234", "\xC3\xA9t\xC3\xA9", " x",
                                        "!?\n", " jumps", "\xE2\x96\x81", "\r\n", " over ", "a\n"};
    dt_text text = {0};
    for (uint64_t i = 0; text.length < 3 << 20; i++)
        dt_text_add(&text, "%s", words[dt_random_word(2, DT_PURPOSE_SYNTHETIC, 0, 0, i) % 14]);
    return text;
}

static void parts_have_the_tokens_of_the_whole(void **state)
{
    static const char *const kinds[] = {"gpt2", "llama3", "prefix", "llama2", "metaspace", "bytes"};
    static const char *const paths[] = {"long.txt"};
    dt_text text = long_text();
    scene_write("long.txt", text.data, text.length);
    for (int k = 0; k < 6; k++) {
        dt_prepare_options o = options_for(kinds[k], kinds[k], paths, 1);
        dt_prepare_counts counts = prepare(&o);
        dt_tokenizer *tokenizer;
        dt_encoder *encoder;
        dt_tokens whole = {0}, parts = read_all(kinds[k], "train");
        assert_int_equal(dt_tokenizer_open(o.tokenizer, &tokenizer), DT_OK);
        assert_int_equal(dt_encoder_create(tokenizer, true, &encoder), DT_OK);
        assert_int_equal(dt_encoder_run(encoder, text.data, text.length, &whole), DT_OK);
        assert_int_equal(counts.documents, 1);
        assert_int_equal(counts.bytes, text.length);
        assert_int_equal(parts.count, whole.count + (dt_tokenizer_end(tokenizer) >= 0));
        assert_memory_equal(parts.token, whole.token, (size_t)whole.count * sizeof *whole.token);
        dt_encoder_free(encoder);
        dt_tokenizer_close(tokenizer);
        free(whole.token);
        free(parts.token);
    }
    dt_text_free(&text);
}

static void write_zstd(const char *path, const char *text, size_t bytes, size_t kept)
{
    size_t room = ZSTD_compressBound(bytes);
    char *packed = malloc(room);
    size_t size = ZSTD_compress(packed, room, text, bytes, 3);
    scene_write(path, packed, kept < size ? kept : size);
    free(packed);
}

static void scene_write_often(const char *path, const dt_text *text, int times)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    for (int i = 0; i < times; i++) assert_int_equal(fwrite(text->data, 1, text->length, file), text->length);
    assert_int_equal(fclose(file), 0);
}

static void json_lines_are_read_from_every_form(void **state)
{
    dt_text lines = json_lines();
    assert_int_equal(dt_folder_make("in/deep"), DT_OK);
    scene_write("a.jsonl", lines.data, lines.length);
    scene_write_gzip("b.jsonl.gz", lines.data, lines.length);
    write_zstd("in/deep/c.jsonl.zst", lines.data, lines.length, SIZE_MAX);
    scene_write("in/.hidden", "x", 1);
    static const char *const paths[] = {"a.jsonl", "b.jsonl.gz", "in"};
    for (int i = 0; i < 3; i++) {
        const char *out[] = {"a", "b", "c"};
        dt_prepare_options o = options_for("gpt2", out[i], &paths[i], 1);
        o.compress = i == 1;
        assert_int_equal(prepare(&o).documents, 300);
    }
    assert_same("a", "b");
    assert_same("a", "c");
    dt_text_free(&lines);
}

static void the_number_of_threads_changes_nothing(void **state)
{
    static const char *const paths[] = {"long.txt", "a.jsonl"};
    dt_text text = long_text(), lines = json_lines();
    scene_write("long.txt", text.data, text.length);
    scene_write("a.jsonl", lines.data, lines.length);
    dt_prepare_options one = options_for("gpt2", "one", paths, 2), five = options_for("gpt2", "five", paths, 2);
    one.threads = 1;
    five.threads = 5;
    one.held_out = five.held_out = 0.3;
    dt_prepare_counts counts = prepare(&one);
    prepare(&five);
    assert_true(counts.held_out_tokens > 0);
    assert_same("one", "five");
    dt_text_free(&text);
    dt_text_free(&lines);
}

/* With a signal after each round; every shard small. */
static void an_interrupted_preparation_goes_on(void **state)
{
    static const char *const paths[] = {"long.txt", "a.jsonl", "long.txt"};
    dt_text text = long_text(), lines = json_lines();
    scene_write("a.jsonl", lines.data, lines.length);
    scene_write_often("long.txt", &text, 5); /* 15 MiB: several rounds */
    dt_prepare_options whole = options_for("gpt2", "whole", paths, 3), cut = options_for("gpt2", "cut", paths, 3);
    whole.held_out = cut.held_out = 0.1;
    dt_prepare_counts a = prepare(&whole), b;
    volatile const int always = 1;
    cut.signal = &always;
    cut.threads = 1;
    int stops = 0;
    for (dt_status status = DT_ERR_STOPPED; status; stops++) {
        status = dt_prepare_tokens(&cut, &b);
        if (status) assert_fails(status, DT_ERR_STOPPED, "the same command goes on");
    }
    assert_true(stops > 3);
    assert_true(b.shards > 3);
    assert_int_equal(a.tokens, b.tokens);
    assert_int_equal(a.documents, b.documents);
    assert_int_equal(a.held_out_tokens, b.held_out_tokens);
    assert_same("whole", "cut");
    cut.shard_tokens = 1000;
    assert_fails(dt_prepare_tokens(&cut, &b), DT_ERR_USAGE, "'cut/prepare.json' is of a preparation with other");
    dt_text_free(&text);
    dt_text_free(&lines);
}

/* Nothing to cut at for 5 MiB, then one place, then nothing again: the place is found, also from the middle on. */
static void what_cannot_be_cut_is_read_on(void **state)
{
    static const char *const paths[] = {"uncut.txt"};
    dt_text text = {0};
    while (text.length < 5 << 20) dt_text_add(&text, "。 ");
    dt_text_add(&text, "a\n");
    while (text.length < 9 << 20) dt_text_add(&text, "。 ");
    scene_write("uncut.txt", text.data, text.length);
    dt_prepare_options whole = options_for("gpt2", "whole", paths, 1), cut = options_for("gpt2", "cut", paths, 1);
    dt_prepare_counts a = prepare(&whole), b;
    volatile const int always = 1;
    cut.signal = &always;
    cut.threads = 1;
    int stops = 0;
    for (dt_status status = DT_ERR_STOPPED; status; stops += status != DT_OK) {
        status = dt_prepare_tokens(&cut, &b);
        if (status) assert_fails(status, DT_ERR_STOPPED, "the same command goes on");
    }
    assert_int_equal(stops, 2);
    assert_int_equal(a.bytes, text.length);
    assert_int_equal(b.bytes, text.length);
    assert_same("whole", "cut");
    dt_text_free(&text);
}

/* Behind 4 MiB that cannot be cut, the end of a line, and words: 8 MiB are read for the line, which leaves 4 that a
 * preparation that goes on from there does not hold. */
static void parts_are_those_of_going_on(void **state)
{
    static const char *const paths[] = {"far.txt"};
    dt_text text = {0};
    while (text.length < 17 << 18) dt_text_add(&text, "。 ");
    dt_text_add(&text, "a\n");
    while (text.length < 10 << 20) dt_text_add(&text, " word");
    scene_write("far.txt", text.data, text.length);
    dt_prepare_options whole = options_for("gpt2", "whole", paths, 1), cut = options_for("gpt2", "cut", paths, 1);
    whole.held_out = cut.held_out = 0.5;
    dt_prepare_counts a = prepare(&whole), b;
    volatile const int always = 1;
    cut.signal = &always;
    cut.threads = 1;
    int stops = 0;
    for (dt_status status = DT_ERR_STOPPED; status; stops += status != DT_OK) status = dt_prepare_tokens(&cut, &b);
    assert_true(stops > 1);
    assert_int_equal(a.held_out_tokens, b.held_out_tokens);
    assert_same("whole", "cut");
    dt_text_free(&text);
}

/* In a process of its own, whose memory is its own. */
static long most_kib(const dt_prepare_options *o)
{
    int status;
    struct rusage used;
    dt_prepare_counts counts;
    pid_t child = fork();
    if (!child) _exit(dt_prepare_tokens(o, &counts));
    assert_int_equal(wait4(child, &status, 0, &used), child);
    assert_int_equal(status, 0);
    return used.ru_maxrss;
}

/* A round of them is bounded by what is kept of each, not by their text alone. The limit is wide, for sanitizers. */
static void short_lines_take_little_memory(void **state)
{
    static const char *const paths[] = {"short.jsonl"};
    dt_text line = {0};
    dt_text_add(&line, "{\"text\":\"a\"}\n");
    scene_write_often("short.jsonl", &line, 400000);
    dt_prepare_options o = options_for("bytes", "out", paths, 1);
    assert_in_range(most_kib(&o), 1, 600 << 10);
    dt_text_free(&line);
}

/* What is kept of a short line is more than its text, and counts in what is asked for. */
static void records_count_as_what_is_read(void **state)
{
    enum { ASKED = 1 << 20 };
    static const char *const paths[] = {"short.jsonl"};
    dt_text line = {0};
    dt_tokenizer *tokenizer;
    dt_corpus *corpus;
    dt_pieces pieces = {0};
    dt_text_add(&line, "{\"text\":\"a\"}\n");
    scene_write_often("short.jsonl", &line, 100000);
    assert_int_equal(dt_tokenizer_open("bytes", &tokenizer), DT_OK);
    assert_int_equal(dt_corpus_open(paths, 1, "out", false, tokenizer, &corpus), DT_OK);
    assert_int_equal(dt_corpus_read(corpus, ASKED, &pieces), DT_OK);
    size_t kept = pieces.text.length + (size_t)pieces.count * sizeof *pieces.piece;
    assert_in_range(kept, ASKED, ASKED + sizeof *pieces.piece + line.length);
    dt_pieces_free(&pieces);
    dt_corpus_close(corpus);
    dt_tokenizer_close(tokenizer);
    dt_text_free(&line);
}

/* The first MiB ends inside of a character. */
static void bytes_are_not_cut_inside_characters(void **state)
{
    static const char *const paths[] = {"long.txt"};
    dt_text text = {0};
    dt_text_add(&text, "x");
    while (text.length < 5 << 19) dt_text_add(&text, "é");
    scene_write("long.txt", text.data, text.length);
    dt_prepare_options o = options_for("bytes", "out", paths, 1);
    assert_int_equal(prepare(&o).bytes, text.length);
    dt_text_free(&text);
}

/* Of a length that ends with a part: nothing is left behind it, not even an end. */
static void a_long_text_of_unsound_parts_leaves_nothing(void **state)
{
    static const char *const paths[] = {"long.txt"};
    dt_text text = {0};
    while (text.length < 2 << 20) dt_text_add_bytes(&text, "a\0", 2);
    scene_write("long.txt", text.data, text.length);
    dt_prepare_options o = options_for("bytes", "out", paths, 1);
    o.unsound = DT_UNSOUND_SKIP;
    dt_prepare_counts counts = prepare(&o);
    assert_int_equal(counts.skipped, 2);
    assert_int_equal(counts.documents, 0);
    assert_int_equal(counts.tokens, 0);
    dt_text_free(&text);
}

static void two_processes_do_not_write_one_folder(void **state)
{
    static const char *const paths[] = {"a.txt"};
    dt_lock *lock;
    dt_prepare_counts counts;
    scene_write("a.txt", "one", 3);
    dt_prepare_options o = options_for("gpt2", "out", paths, 1);
    assert_int_equal(dt_folder_make("out"), DT_OK);
    assert_int_equal(dt_lock_take("out/lock", &lock), DT_OK);
    assert_fails(dt_prepare_tokens(&o, &counts), DT_ERR_USAGE, "another process prepares this folder: 'out/lock'");
    dt_lock_free(lock);
    assert_int_equal(prepare(&o).documents, 1);
}

static void shards_end_when_they_are_full(void **state)
{
    static const char *const paths[] = {"a.jsonl"};
    dt_text lines = json_lines();
    scene_write("a.jsonl", lines.data, lines.length);
    dt_prepare_options one = options_for("gpt2", "one", paths, 1), many = options_for("gpt2", "many", paths, 1);
    many.shard_tokens = 1000;
    prepare(&one);
    assert_true(prepare(&many).shards > 2);
    assert_same("one", "many");
    dt_text_free(&lines);
}

static void assert_refused(const char *name, const void *bytes, size_t count, dt_status wanted, const char *part)
{
    const char *const paths[] = {name};
    dt_prepare_counts counts;
    scene_write(name, bytes, count);
    dt_prepare_options o = options_for("gpt2", "refused", paths, 1);
    assert_fails(dt_prepare_tokens(&o, &counts), wanted, part);
    assert_int_equal(dt_folder_remove("refused"), DT_OK);
}

/* As of zstd --long=31: a frame by hand, whose window is 2 GiB and which has one block of plain bytes. */
static void a_long_window_is_read(void **state)
{
    static const char frame[] = "\x28\xB5\x2F\xFD\x00\xA8\x19\x00\x00one", *const paths[] = {"a.zst"};
    scene_write("a.zst", frame, sizeof frame - 1);
    dt_prepare_options o = options_for("bytes", "out", paths, 1);
    assert_int_equal(prepare(&o).bytes, 3);
}

static void bad_input_is_named(void **state)
{
    dt_text lines = json_lines();
    assert_refused("a.txt", "", 0, DT_ERR_DATA, "'a.txt': it is empty");
    assert_refused("a.txt", "ab\0c", 4, DT_ERR_DATA, "'a.txt': byte 2 is NUL");
    assert_refused("a.txt", "abc\xC3(", 5, DT_ERR_DATA, "'a.txt': byte 3 is not valid UTF-8 (0xC3)");
    assert_refused("a.jsonl", "{\"text\":\"x\"}\n{\"content\":\"x\"}\n", 29, DT_ERR_DATA,
                   "'a.jsonl', line 2: the line is no object with a text under 'text'");
    assert_refused("a.jsonl", "{\"text\":\"x\"}\n\n{\"text\n", 21, DT_ERR_DATA, "'a.jsonl', line 3: column");
    assert_refused("a.jsonl", "{\"n\":1e400}\n", 12, DT_ERR_DATA,
                   "'a.jsonl', line 1: column 10: a number is too large, which is not taken: real number overflow");
    assert_refused("a.jsonl", "", 0, DT_ERR_DATA, "'a.jsonl': it is empty");
    assert_refused("a.gz", "\x1F\x8B\x08\0\0\0\0\0\0\0\x01", 11, DT_ERR_DATA, "'a.gz' is not a sound gzip file");
    write_zstd("b.zst", lines.data, lines.length, 900);
    char *cut;
    size_t size;
    assert_int_equal(dt_file_read("b.zst", 1000, &cut, &size), DT_OK);
    assert_refused("a.jsonl.zst", cut, size, DT_ERR_DATA, "'a.jsonl.zst' is not a sound zstd file: it ends inside");
    free(cut);
    dt_text_free(&lines);
}

static void unsound_documents_are_left_out_or_kept(void **state)
{
    static const char *const paths[] = {"a.jsonl", "b.txt", "c.txt"};
    static const char lines[] = "{\"text\":\"one\"}\n{}\n{\"text\":\"two\\u0000\"}\n{\"text\":\"\"}\nnonsense\n";
    scene_write("a.jsonl", lines, sizeof lines - 1);
    scene_write("b.txt", "\xFF", 1);
    scene_write("c.txt", "", 0);
    dt_prepare_options o = options_for("gpt2", "skip", paths, 3);
    o.unsound = DT_UNSOUND_SKIP;
    dt_prepare_counts counts = prepare(&o);
    assert_int_equal(counts.documents, 1);
    assert_int_equal(counts.skipped, 6);
    o.out = "keep";
    o.unsound = DT_UNSOUND_KEEP;
    counts = prepare(&o);
    assert_int_equal(counts.documents, 3);
    assert_int_equal(counts.bytes, 3 + 4 + 1);
    assert_int_equal(counts.skipped, 4);
}

/* Of a text of three parts or four, what is in front of the part with a NUL is one document in the shard, what is behind
 * it another, which alone ends with the end token; where nothing is sound, nothing is left. */
static void a_part_that_is_left_out_ends_a_document(void **state)
{
    static const char *const paths[] = {"long.txt"};
    dt_text text = {0};
    dt_shard *shard;
    while (text.length < 3 << 20) dt_text_add(&text, "abc def\n");
    text.data[3 << 19] = 0;
    scene_write("long.txt", text.data, text.length);
    dt_prepare_options o = options_for("gpt2", "middle", paths, 1);
    o.unsound = DT_UNSOUND_SKIP;
    dt_prepare_counts counts = prepare(&o);
    assert_int_equal(counts.documents, 1);
    assert_int_equal(counts.skipped, 1);
    assert_true(counts.bytes < 5 << 19);
    assert_int_equal(dt_shard_open("middle/train-00000.tokens", &shard), DT_OK);
    assert_int_equal(shard->documents, 2);
    assert_true(shard->document_ends[0] > (uint64_t)shard->tokens / 4);
    assert_true(shard->document_ends[0] < (uint64_t)shard->tokens * 3 / 4);
    dt_shard_free(shard);
    for (size_t i = 0; i < text.length; i++) text.data[i] = i % 2 ? '\xFF' : '\n';
    scene_write("long.txt", text.data, text.length);
    o.out = "nothing";
    counts = prepare(&o);
    assert_int_equal(counts.documents, 0);
    assert_int_equal(counts.tokens, 0);
    assert_true(counts.skipped > 1);
    dt_text_free(&text);
}

/* What was written before the line that ends the preparation is what the others would have written. */
static void the_remedy_for_unsound_documents_goes_on(void **state)
{
    static const char *const paths[] = {"a.jsonl"};
    dt_text lines = json_lines();
    scene_write_often("a.jsonl", &lines, 30);
    dt_text_add(&lines, "{\"text\":\"nul \\u0000\"}\n{\"text\":\"end\"}\n");
    FILE *file = fopen("a.jsonl", "ab");
    assert_int_equal(fwrite(lines.data, 1, lines.length, file), lines.length);
    assert_int_equal(fclose(file), 0);
    for (int unsound = DT_UNSOUND_SKIP; unsound <= DT_UNSOUND_KEEP; unsound++) {
        const char *out = unsound == DT_UNSOUND_SKIP ? "skip" : "keep";
        dt_prepare_options whole = options_for("gpt2", "whole", paths, 1), cut = options_for("gpt2", out, paths, 1);
        dt_prepare_counts counts;
        whole.unsound = unsound;
        whole.shard_tokens = cut.shard_tokens = 50000;
        assert_fails(dt_prepare_tokens(&cut, &counts), DT_ERR_DATA, "--unsound=skip leaves such texts out");
        assert_true(counts.shards > 1);
        cut.unsound = unsound;
        cut.threads = 1;
        assert_int_equal(prepare(&cut).documents, prepare(&whole).documents);
        assert_same("whole", out);
        assert_int_equal(dt_folder_remove("whole"), DT_OK);
        cut.unsound = DT_UNSOUND_STOP;
        assert_fails(dt_prepare_tokens(&cut, &counts), DT_ERR_USAGE, "of a preparation with another --unsound:");
    }
    dt_text_free(&lines);
}

static void what_was_prepared_trains(void **state)
{
    static const char *const paths[] = {"a.jsonl"};
    dt_text lines = json_lines();
    dt_dataset *set;
    dt_tokenizer *tokenizer;
    scene_write("a.jsonl", lines.data, lines.length);
    dt_prepare_options o = options_for("gpt2", "out", paths, 1);
    o.held_out = 0.1;
    prepare(&o);
    dt_settings *settings = SETTINGS("data.kind=tokens", "data.path=out", "data.context=16",
                                     "data.tokenizer=out/tokenizer", "data.check=true");
    if (dt_dataset_open(settings, DT_SPLIT_EVAL, &set)) fail_msg("%s", dt_error_message());
    assert_true(dt_dataset_info(set)->tokens > 100);
    assert_true(dt_dataset_info(set)->bytes > dt_dataset_info(set)->tokens);
    assert_int_equal(dt_tokenizer_open("out/tokenizer", &tokenizer), DT_OK);
    assert_int_equal(dt_dataset_info(set)->vocabulary, dt_tokenizer_vocabulary(tokenizer));
    dt_tokenizer_close(tokenizer);
    dt_dataset_close(set);
    dt_settings_free(settings);
    dt_text_free(&lines);
}

int main(int argc, char **argv)
{
    if (argc < 2 || !realpath(argv[1], prepared_tokenizers)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(parts_have_the_tokens_of_the_whole, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(json_lines_are_read_from_every_form, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(a_long_window_is_read, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(the_number_of_threads_changes_nothing, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(an_interrupted_preparation_goes_on, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(what_cannot_be_cut_is_read_on, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(parts_are_those_of_going_on, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(short_lines_take_little_memory, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(records_count_as_what_is_read, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(bytes_are_not_cut_inside_characters, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(a_long_text_of_unsound_parts_leaves_nothing, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(two_processes_do_not_write_one_folder, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(shards_end_when_they_are_full, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(bad_input_is_named, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(unsound_documents_are_left_out_or_kept, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(a_part_that_is_left_out_ends_a_document, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(the_remedy_for_unsound_documents_goes_on, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(what_was_prepared_trains, scene_enter, scene_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
