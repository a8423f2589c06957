/* Shards: what is written is read back, by position; foreign formats; damage; mixes of sets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

#include "base/file.h"
#include "data/dataset.h"
#include "data/shard_format.h"
#include "scene.h"

enum { DOCUMENT = 1000, DOCUMENTS = 200, TOKENS = DOCUMENT * DOCUMENTS };

static int32_t token_at(int64_t i, int64_t vocabulary)
{
    return (int32_t)((uint64_t)i * 2654435761u % (uint64_t)vocabulary);
}

static void write_shard(const char *path, int64_t vocabulary, bool compress, uint64_t tokenizer, int documents)
{
    dt_shard_writer *writer;
    int32_t tokens[DOCUMENT];
    dt_shard_options options = {.tokenizer = tokenizer, .vocabulary = vocabulary, .compress = compress};
    assert_int_equal(dt_shard_writer_create(path, &options, &writer), DT_OK);
    for (int d = 0; d < documents; d++) {
        for (int i = 0; i < DOCUMENT; i++) tokens[i] = token_at(d * DOCUMENT + i, vocabulary);
        assert_int_equal(dt_shard_writer_add(writer, tokens, DOCUMENT / 2, DOCUMENT), DT_OK);
        assert_int_equal(dt_shard_writer_add(writer, tokens + DOCUMENT / 2, DOCUMENT / 2, 2 * DOCUMENT), DT_OK);
        assert_int_equal(dt_shard_writer_end(writer), DT_OK);
    }
    assert_int_equal(dt_shard_writer_finish(writer), DT_OK);
    dt_shard_writer_free(writer);
}

static void assert_reads(const dt_shard *shard, int64_t first, int64_t count, int64_t vocabulary)
{
    int32_t *tokens = malloc((size_t)count * sizeof *tokens);
    if (dt_shard_read(shard, first, count, tokens)) fail_msg("%s", dt_error_message());
    for (int64_t i = 0; i < count; i++) assert_int_equal(tokens[i], token_at(first + i, vocabulary));
    free(tokens);
}

static void what_is_written_is_read_back(void **state)
{
    for (int compress = 0; compress < 2; compress++)
        for (int64_t vocabulary = 65536; vocabulary <= 65537; vocabulary++) {
            dt_shard *shard;
            write_shard("a.tokens", vocabulary, compress, 77, DOCUMENTS);
            assert_int_equal(dt_shard_open("a.tokens", &shard), DT_OK);
            assert_int_equal(shard->tokens, TOKENS);
            assert_int_equal(shard->bytes, 3 * TOKENS);
            assert_int_equal(shard->vocabulary, vocabulary);
            assert_int_equal(shard->width, vocabulary > 65536 ? 4 : 2);
            assert_int_equal(shard->documents, DOCUMENTS);
            assert_int_equal(dt_shard_check(shard), DT_OK);
            assert_reads(shard, 0, TOKENS, vocabulary);
            assert_reads(shard, DT_SHARD_FRAME - 3, 7, vocabulary);
            assert_reads(shard, TOKENS - 1, 1, vocabulary);
            assert_int_equal(dt_shard_document(shard, 999), 0);
            assert_int_equal(dt_shard_document(shard, 1000), 1000);
            assert_int_equal(dt_shard_document(shard, TOKENS - 1), TOKENS - DOCUMENT);
            dt_shard_free(shard);
        }
}

static void an_unfinished_shard_leaves_nothing(void **state)
{
    dt_shard_writer *writer;
    dt_shard_options options = {.vocabulary = 256};
    assert_int_equal(dt_shard_writer_create("b.tokens", &options, &writer), DT_OK);
    assert_true(dt_file_exists("b.tokens.part"));
    dt_shard_writer_free(writer);
    assert_false(dt_file_exists("b.tokens.part"));
    assert_int_equal(dt_folder_make("c.tokens"), DT_OK); /* the name is taken by a folder */
    assert_int_equal(dt_shard_writer_create("c.tokens", &options, &writer), DT_OK);
    assert_fails(dt_shard_writer_finish(writer), DT_ERR_IO, "cannot rename 'c.tokens.part' to 'c.tokens'");
    dt_shard_writer_free(writer);
    assert_false(dt_file_exists("c.tokens.part"));
}

/* Every byte of a small shard, changed: opening, checking or reading fails, but for bytes whose change is told by the
 * check alone. */
static void damage_is_found(void **state)
{
    char *bytes;
    size_t size;
    for (int compress = 0; compress < 2; compress++) {
        write_shard("a.tokens", 300, compress, 5, 2);
        assert_int_equal(dt_file_read("a.tokens", 1 << 20, &bytes, &size), DT_OK);
        for (size_t i = 0; i < size; i += i < 140 ? 1 : 13) {
            dt_shard *shard;
            bytes[i] ^= 0x10;
            scene_write("damaged.tokens", bytes, size);
            bytes[i] ^= 0x10;
            if (dt_shard_open("damaged.tokens", &shard)) continue;
            assert_int_equal(dt_shard_check(shard), DT_ERR_DATA);
            dt_shard_free(shard);
        }
        for (size_t cut = 0; cut < size; cut += 97) {
            dt_shard *shard;
            scene_write("cut.tokens", bytes, cut);
            assert_int_equal(dt_shard_open("cut.tokens", &shard), DT_ERR_DATA);
        }
        free(bytes);
    }
}

static void write_llmc(const char *path, int32_t magic, int32_t version, int32_t count, int width)
{
    uint8_t file[1024 + 4 * 500] = {0};
    int32_t header[] = {magic, version, count};
    memcpy(file, header, sizeof header);
    for (int i = 0; i < 500; i++) memcpy(file + 1024 + i * width, &(int32_t){token_at(i, 50257)}, (size_t)width);
    scene_write(path, file, 1024 + 500 * (size_t)width);
}

static void foreign_files_are_read(void **state)
{
    dt_shard *shard;
    uint16_t bare[500];
    write_llmc("gpt2.bin", 20240520, 1, 500, 2);
    write_llmc("llama3.bin", 20240801, 7, 500, 4);
    for (int i = 0; i < 500; i++) bare[i] = (uint16_t)token_at(i, 50257);
    scene_write("nano.bin", bare, sizeof bare);
    static const char *const paths[] = {"gpt2.bin", "llama3.bin", "nano.bin"};
    for (int p = 0; p < 3; p++) {
        if (dt_shard_open(paths[p], &shard)) fail_msg("%s", dt_error_message());
        assert_int_equal(shard->tokens, 500);
        assert_int_equal(shard->bytes, -1);
        assert_reads(shard, 0, 500, 50257);
        assert_reads(shard, 123, 45, 50257);
        dt_shard_free(shard);
    }
    write_llmc("bad.bin", 20240520, 1, 501, 2);
    assert_fails(dt_shard_open("bad.bin", &shard), DT_ERR_DATA,
                 "has 2024 bytes, but an llm.c file of 501 tokens has 2026");
    write_llmc("bad.bin", 20240520, 9, 500, 2);
    assert_fails(dt_shard_open("bad.bin", &shard), DT_ERR_DATA, "of version 9");
    scene_write("odd.bin", bare, 99);
    assert_fails(dt_shard_open("odd.bin", &shard), DT_ERR_DATA, "even number of bytes");
    scene_write("x.tokens", bare, 98);
    assert_fails(dt_shard_open("x.tokens", &shard), DT_ERR_DATA, "like none of the known formats");
    scene_write("empty.bin", "", 0);
    assert_fails(dt_shard_open("empty.bin", &shard), DT_ERR_DATA, "'empty.bin' is empty");
    assert_fails(dt_shard_open("none.bin", &shard), DT_ERR_IO, "cannot open 'none.bin'");
    assert_int_equal(mkfifo("pipe.tokens", 0600), 0);
    assert_fails(dt_shard_open("pipe.tokens", &shard), DT_ERR_DATA, "'pipe.tokens' is not a regular file");
}

/* --- as data sets --- */

static dt_dataset *open_set(dt_split split, dt_settings *settings)
{
    dt_dataset *dataset = NULL;
    if (dt_dataset_open(settings, split, &dataset)) fail_msg("%s", dt_error_message());
    dt_settings_free(settings);
    return dataset;
}

static void assert_refused(dt_settings *settings, dt_status wanted, const char *part)
{
    dt_dataset *dataset = NULL;
    assert_fails(dt_dataset_open(settings, DT_SPLIT_TRAIN, &dataset), wanted, part);
    dt_settings_free(settings);
}

static void names_tell_the_splits(void **state)
{
    assert_int_equal(dt_folder_make("set"), DT_OK);
    write_shard("set/train-00000.tokens", 300, false, 5, 3);
    write_shard("set/train-00001.tokens", 300, true, 5, 2);
    dt_dataset *set = open_set(DT_SPLIT_TRAIN, SETTINGS("data.kind=tokens", "data.path=set", "data.context=10"));
    assert_int_equal(dt_dataset_info(set)->tokens, 5000 - 250 - 1); /* no name tells: the last 5 % are held out */
    dt_dataset_close(set);
    write_shard("set/val-00000.tokens", 300, false, 5, 1);
    set = open_set(DT_SPLIT_TRAIN, SETTINGS("data.kind=tokens", "data.path=set", "data.context=10"));
    assert_int_equal(dt_dataset_info(set)->tokens, 4999);
    assert_int_equal(dt_dataset_info(set)->vocabulary, 300);
    int32_t scratch[11], tokens[10], targets[10], starts[10]; /* over the end of the first shard */
    assert_int_equal(dt_windows_fill(&set->windows, 0, 0, 299, scratch, tokens, targets, starts), DT_OK);
    for (int i = 0; i < 10; i++) assert_int_equal(tokens[i], token_at(2990 + i, 300));
    assert_int_equal(targets[8], token_at(2999, 300));
    assert_int_equal(targets[9], token_at(0, 300));
    dt_dataset_close(set);
    set = open_set(DT_SPLIT_EVAL, SETTINGS("data.kind=tokens", "data.path=set", "data.context=10", "data.check=true"));
    assert_int_equal(dt_dataset_info(set)->tokens, 999);
    assert_int_equal(dt_dataset_info(set)->bytes, 3 * 999);
    dt_dataset_close(set);
}

static void shards_that_do_not_fit_are_refused(void **state)
{
    assert_int_equal(dt_folder_make("set"), DT_OK);
    assert_refused(SETTINGS("data.kind=tokens", "data.path=set"), DT_ERR_DATA, "the folder 'set' holds no files");
    write_shard("set/a.tokens", 300, false, 5, 3);
    assert_refused(SETTINGS("data.kind=tokens", "data.path=set", "data.context=9", "data.vocabulary=200"), DT_ERR_DATA,
                   "'set/a.tokens' holds tokens of a vocabulary of 300, but the settings say 200");
    assert_refused(SETTINGS("data.kind=tokens", "data.path=set", "data.context=9", "data.vocabulary=320",
                            "data.separator=300"), DT_ERR_USAGE,
                   "data.separator is 300, but 'set/a.tokens' holds tokens of a vocabulary of 300");
    assert_refused(SETTINGS("data.kind=tokens", "data.path=set", "data.context=9", "data.tokenizer=bytes"),
                   DT_ERR_USAGE, "'set/a.tokens' was made with another tokenizer");
    write_shard("set/b.tokens", 300, false, 6, 3);
    assert_refused(SETTINGS("data.kind=tokens", "data.path=set", "data.context=9"), DT_ERR_DATA,
                   "'set/b.tokens' was made with another tokenizer than 'set/a.tokens'");
    uint16_t bare[50] = {0};
    scene_write("nano.bin", bare, sizeof bare);
    assert_refused(SETTINGS("data.kind=tokens", "data.path=nano.bin", "data.context=9"), DT_ERR_USAGE,
                   "set data.vocabulary");
    bare[20] = 1000;
    scene_write("nano.bin", bare, sizeof bare);
    dt_dataset *set = open_set(DT_SPLIT_TRAIN, SETTINGS("data.kind=tokens", "data.path=nano.bin", "data.context=9",
                                                        "data.vocabulary=1000"));
    int32_t scratch[10];
    assert_fails(dt_windows_fill(&set->windows, 0, 0, 2, scratch, NULL, NULL, NULL), DT_ERR_DATA,
                 "'nano.bin': token 20 is 1000, beyond the vocabulary of 1000");
    dt_dataset_close(set);
    assert_refused(SETTINGS("data.kind=tokens", "data.path=nano.bin", "data.context=9", "data.vocabulary=1000",
                            "data.check=true"), DT_ERR_DATA, "'nano.bin': token 20 is 1000, beyond");
    assert_refused(SETTINGS("data.kind=tokens", "data.path=nano.bin", "data.context=9", "data.vocabulary=1001",
                            "data.separator=1001"), DT_ERR_USAGE, "data.separator is 1001, but 'nano.bin' holds");
    dt_dataset_close(open_set(DT_SPLIT_TRAIN, SETTINGS("data.kind=tokens", "data.path=nano.bin", "data.context=9",
                                                       "data.vocabulary=1001", "data.separator=1000",
                                                       "data.check=true")));
}

/* Which of the two sets' windows the samples of an epoch are: shares by weight, each window once before any again. */
static void a_mix_deals_by_weight(void **state)
{
    enum { T = 9, A = 333, B = 55 }; /* windows: of 3000 and 500 tokens */
    assert_int_equal(dt_folder_make("set/a"), DT_OK);
    assert_int_equal(dt_folder_make("set/b"), DT_OK);
    uint16_t a[3000], b[500];
    for (int i = 0; i < 3000; i++) a[i] = (uint16_t)i;
    for (int i = 0; i < 500; i++) b[i] = (uint16_t)(4000 + i);
    scene_write("set/a/x.bin", a, sizeof a);
    scene_write("set/b/x.bin", b, sizeof b);
    dt_dataset *set = open_set(DT_SPLIT_TRAIN, SETTINGS("data.kind=tokens", "data.path=set", "data.mix=a=1 b=3",
                                                        "data.context=9", "data.vocabulary=5000", "data.held_out=0"));
    int64_t count = dt_dataset_info(set)->count, of_a = 0, of_b = 0;
    int seen[A + B] = {0};
    assert_int_equal(count, 97 + 291);
    for (int64_t epoch = 0; epoch < 7; epoch++)
        for (int64_t i = 0; i < count; i++) {
            int32_t scratch[T + 1], tokens[T], again[T];
            assert_int_equal(dt_windows_fill(&set->windows, 3, epoch, i, scratch, tokens, NULL, NULL), DT_OK);
            assert_int_equal(dt_windows_fill(&set->windows, 3, epoch, i, scratch, again, NULL, NULL), DT_OK);
            assert_memory_equal(tokens, again, sizeof tokens);
            bool is_b = tokens[0] >= 4000;
            of_a += !is_b;
            of_b += is_b;
            seen[is_b ? A + (tokens[0] - 4000) / T : tokens[0] / T]++;
        }
    assert_int_equal(of_a, 7 * 97);
    assert_int_equal(of_b, 7 * 291);
    for (int w = 0; w < A; w++) assert_in_range(seen[w], 7 * 97 / A, 7 * 97 / A + 1);
    for (int w = 0; w < B; w++) assert_in_range(seen[A + w], 7 * 291 / B, 7 * 291 / B + 1);
    dt_dataset_close(set);
    assert_refused(SETTINGS("data.kind=tokens", "data.path=set", "data.mix=a=1 b=none"), DT_ERR_USAGE,
                   "'b=none' is not of the form folder=weight");
    const char *const outside[] = {"0", "-1", "nan", "inf", "1e300"};
    for (int i = 0; i < 5; i++) {
        char mix[64];
        snprintf(mix, sizeof mix, "data.mix=a=1 b=%s", outside[i]);
        assert_refused(SETTINGS("data.kind=tokens", "data.path=set", mix), DT_ERR_USAGE,
                       "with a weight above 0 and below 1e9");
    }
    assert_refused(SETTINGS("data.kind=tokens", "data.path=set", "data.mix=a=1 c=1", "data.vocabulary=5000"), DT_ERR_IO,
                   "set/c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_written_is_read_back, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(an_unfinished_shard_leaves_nothing, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(damage_is_found, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(foreign_files_are_read, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(names_tell_the_splits, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(shards_that_do_not_fit_are_refused, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(a_mix_deals_by_weight, scene_enter, scene_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
