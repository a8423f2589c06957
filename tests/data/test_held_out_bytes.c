/* The bytes of held-out text, which bits per byte are told by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "data/dataset.h"
#include "prepared.h"
#include "scene.h"

/* Those of the first `count` tokens of a document. `spaced`: decoding leaves in the space put in front. */
static int64_t decoded_bytes(const dt_tokenizer *tokenizer, const int32_t *tokens, int64_t count, bool spaced)
{
    dt_text text = {0};
    if (count && tokens[count - 1] == dt_tokenizer_end(tokenizer)) count--;
    assert_int_equal(dt_tokenizer_decode(tokenizer, tokens, count, &text), DT_OK);
    int64_t bytes = (int64_t)text.length - (spaced && count);
    dt_text_free(&text);
    return bytes;
}

/* Of tokens `from` and all behind it, document by document; a split's first token is no target. */
static int64_t expected_bytes(const char *path, int64_t from, const dt_tokenizer *tokenizer, bool spaced)
{
    dt_shard *shard;
    int64_t bytes = 0, first = 0;
    if (dt_shard_open(path, &shard)) fail_msg("%s", dt_error_message());
    int32_t *tokens = malloc((size_t)shard->tokens * sizeof *tokens);
    assert_int_equal(dt_shard_read(shard, 0, shard->tokens, tokens), DT_OK);
    for (int64_t d = 0, end; d < shard->documents; d++, first = end) {
        end = (int64_t)shard->document_ends[d];
        if (end <= from) continue;
        bytes += decoded_bytes(tokenizer, tokens + first, end - first, spaced);
        if (from > first) bytes -= decoded_bytes(tokenizer, tokens + first, from - first, spaced);
    }
    free(tokens);
    dt_shard_free(shard);
    return bytes;
}

static dt_data_info eval_info(dt_settings *settings)
{
    dt_dataset *set;
    if (dt_dataset_open(settings, DT_SPLIT_EVAL, &set)) fail_msg("%s", dt_error_message());
    dt_data_info info = *dt_dataset_info(set);
    dt_dataset_close(set);
    dt_settings_free(settings);
    return info;
}

/* Of a folder whose one shard has `tokens` tokens, of which the last `share` are held out. */
static void assert_tail(const char *folder, int64_t tokens, double share, const dt_tokenizer *tokenizer, bool spaced)
{
    char path[64], shard[64], held_out[64];
    int64_t cut = tokens - (int64_t)((double)tokens * share);
    snprintf(path, sizeof path, "data.path=%s", folder);
    snprintf(shard, sizeof shard, "%s/train-00000.tokens", folder);
    snprintf(held_out, sizeof held_out, "data.held_out=%g", share);
    dt_data_info info = eval_info(SETTINGS("data.kind=tokens", "data.context=16", path, held_out));
    assert_int_equal(info.tokens, tokens - cut - 1);
    assert_int_equal(info.bytes, expected_bytes(shard, cut + 1, tokenizer, spaced));
}

static void bytes_are_those_of_the_targets(void **state)
{
    static const char *const kinds[] = {"gpt2", "llama3", "prefix", "llama2", "metaspace", "bytes"};
    static const char *const paths[] = {"digits.txt", "a.jsonl"};
    dt_text lines = json_lines(), digits = {0};
    for (int i = 0; i < 5000; i++) dt_text_add(&digits, "%d", i);
    scene_write("a.jsonl", lines.data, lines.length);
    scene_write("digits.txt", digits.data, digits.length);
    for (int k = 0; k < 6; k++) {
        bool spaced = !strcmp(kinds[k], "prefix");
        char folder[32], path[64];
        dt_tokenizer *tokenizer;
        dt_prepare_options o = options_for(kinds[k], kinds[k], paths, 2);
        o.compress = k % 2;
        dt_prepare_counts counts = prepare(&o);
        assert_int_equal(dt_tokenizer_open(o.tokenizer, &tokenizer), DT_OK);
        assert_tail(kinds[k], counts.tokens, 0.1, tokenizer, spaced);
        assert_tail(kinds[k], counts.tokens, 0.9, tokenizer, spaced);
        snprintf(folder, sizeof folder, "%s-val", kinds[k]);
        o.out = folder;
        o.held_out = 0.3;
        prepare(&o);
        snprintf(path, sizeof path, "data.path=%s", folder);
        dt_data_info info = eval_info(SETTINGS("data.kind=tokens", "data.context=16", path));
        snprintf(path, sizeof path, "%s/val-00000.tokens", folder);
        assert_int_equal(info.bytes, expected_bytes(path, 1, tokenizer, spaced)); /* as the file's own count says */
        dt_tokenizer_close(tokenizer);
    }
    dt_text_free(&lines);
    dt_text_free(&digits);
}

/* A name of a special token in the text is counted, an end token that was put behind it is not, nor is the space that
 * the tokenizer puts in front of what follows. */
static void check_special(const char *kind, const char *end)
{
    static const char *const paths[] = {"a.txt", "b.txt"};
    char text[64], path[64], held_out[64];
    int length = snprintf(text, sizeof text, "one%stwo%s", end, end);
    scene_write("a.txt", "some text that comes first", 26);
    scene_write("b.txt", text, (size_t)length);
    dt_prepare_options o = options_for(kind, kind, paths, 2);
    dt_prepare_counts counts = prepare(&o);
    dt_tokens all = read_all(kind, "train");
    int64_t from = all.count;
    for (int ends = 0; ends < 4; from--) ends += all.token[from - 1] == all.token[all.count - 1];
    free(all.token);
    snprintf(path, sizeof path, "data.path=%s", kind);
    snprintf(held_out, sizeof held_out, "data.held_out=%.9f", ((double)(counts.tokens - from) + 0.5) /
                                                                  (double)counts.tokens);
    dt_data_info info = eval_info(SETTINGS("data.kind=tokens", "data.context=4", path, held_out));
    assert_int_equal(info.tokens, counts.tokens - from - 1); /* all of b.txt */
    assert_int_equal(info.bytes, length);
}

static void bytes_of_special_tokens_are_those_of_their_names(void **state)
{
    check_special("gpt2", "<|endoftext|>");
    check_special("prefix", "<|endoftext|>");
    check_special("llama2", "</s>");
}

static void bytes_are_not_guessed(void **state)
{
    static const char *const paths[] = {"a.jsonl"};
    dt_text lines = json_lines();
    scene_write("a.jsonl", lines.data, lines.length);
    dt_prepare_options o = options_for("gpt2", "a", paths, 1), other = options_for("llama2", "other", paths, 1);
    prepare(&o);
    o.out = "b";
    prepare(&o);
    prepare(&other);
    int64_t bytes = eval_info(SETTINGS("data.kind=tokens", "data.context=9", "data.path=a")).bytes;
    assert_true(bytes > 0);
    assert_int_equal(eval_info(SETTINGS("data.kind=tokens", "data.context=9", "data.path=.", "data.mix=a=1 b=3")).bytes,
                     2 * bytes);
    assert_int_equal(eval_info(SETTINGS("data.kind=tokens", "data.context=9",
                                        "data.path=a/train-00000.tokens")).bytes, bytes);
    assert_int_equal(dt_folder_remove("b/tokenizer"), DT_OK);
    assert_int_equal(eval_info(SETTINGS("data.kind=tokens", "data.context=9", "data.path=b")).bytes, 0);
    assert_int_equal(eval_info(SETTINGS("data.kind=tokens", "data.context=9", "data.path=.", "data.mix=b=1 a=3")).bytes,
                     2 * bytes); /* a's is the same */
    assert_int_equal(eval_info(SETTINGS("data.kind=tokens", "data.context=9", "data.path=b",
                                        "data.tokenizer=a/tokenizer")).bytes, bytes);
    assert_int_equal(rename("other/tokenizer", "b/tokenizer"), 0);
    assert_int_equal(eval_info(SETTINGS("data.kind=tokens", "data.context=9", "data.path=b")).bytes, 0);
    assert_int_equal(dt_folder_remove("b/tokenizer"), DT_OK);
    scene_write("b/tokenizer", "no folder", 9);
    assert_int_equal(eval_info(SETTINGS("data.kind=tokens", "data.context=9", "data.path=b")).bytes, 0);
    dt_text_free(&lines);
}

int main(int argc, char **argv)
{
    if (argc < 2 || !realpath(argv[1], prepared_tokenizers)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_are_those_of_the_targets, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(bytes_of_special_tokens_are_those_of_their_names, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(bytes_are_not_guessed, scene_enter, scene_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
