/* Tokenizers against what Hugging Face's make of the same texts (tests/data/tokenizers, made by
 * scripts/reference/make_tokenizers.py); bytes that are not text; files that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "base/random.h"
#include "data/tokenizer.h"
#include "data/words.h"
#include "scene.h"

static const char *folder; /* of the tokenizers */

static dt_tokenizer *open_kind(const char *kind)
{
    char path[1024];
    dt_tokenizer *tokenizer;
    snprintf(path, sizeof path, "%s/%s", folder, kind);
    if (dt_tokenizer_open(path, &tokenizer)) fail_msg("%s", dt_error_message());
    return tokenizer;
}

static void encode(const dt_tokenizer *tokenizer, bool special, const char *text, size_t bytes, dt_tokens *out)
{
    dt_encoder *encoder;
    assert_int_equal(dt_encoder_create(tokenizer, special, &encoder), DT_OK);
    assert_int_equal(dt_encoder_run(encoder, text, bytes, out), DT_OK);
    dt_encoder_free(encoder);
}

static void assert_text(const dt_tokenizer *tokenizer, const dt_tokens *tokens, const char *text, size_t bytes)
{
    dt_text back = {0};
    assert_int_equal(dt_tokenizer_decode(tokenizer, tokens->token, tokens->count, &back), DT_OK);
    assert_int_equal(back.length, bytes);
    if (bytes) assert_memory_equal(back.data, text, bytes);
    dt_text_free(&back);
}

/* The texts of expected.json, twice by one encoder: the second time many words come from its cache. */
static void assert_kind(const char *kind, bool gives_back_all)
{
    char path[1024];
    json_t *cases, *one;
    size_t c;
    dt_encoder *encoder;
    dt_tokenizer *tokenizer = open_kind(kind);
    snprintf(path, sizeof path, "%s/%s/expected.json", folder, strcmp(kind, "pair") ? kind : "gpt2");
    assert_int_equal(dt_json_read(path, 1 << 24, &cases), DT_OK);
    assert_int_equal(dt_encoder_create(tokenizer, true, &encoder), DT_OK);
    for (int turn = 0; turn < 2; turn++)
        json_array_foreach(cases, c, one) {
            dt_tokens tokens = {0};
            const json_t *text = json_object_get(one, "text"), *wanted = json_object_get(one, "tokens");
            size_t bytes = json_string_length(text);
            assert_int_equal(dt_encoder_run(encoder, json_string_value(text), bytes, &tokens), DT_OK);
            assert_int_equal(tokens.count, json_array_size(wanted));
            for (int64_t i = 0; i < tokens.count; i++)
                assert_int_equal(tokens.token[i], json_integer_value(json_array_get(wanted, (size_t)i)));
            if (gives_back_all) assert_text(tokenizer, &tokens, json_string_value(text), bytes);
            free(tokens.token);
        }
    dt_encoder_free(encoder);
    dt_tokenizer_close(tokenizer);
    json_decref(cases);
}

static void gpt2_is_as_the_reference(void **state) { assert_kind("gpt2", true); }
static void gpt2s_own_files_are_as_the_reference(void **state) { assert_kind("pair", true); }
static void llama3_is_as_the_reference(void **state) { assert_kind("llama3", true); }
static void a_prefix_space_is_as_the_reference(void **state) { assert_kind("prefix", false); }
static void llama2_is_as_the_reference(void **state) { assert_kind("llama2", false); }
static void metaspace_is_as_the_reference(void **state) { assert_kind("metaspace", false); }

static void byte_level_gives_back_any_bytes(void **state)
{
    static const char *const kinds[] = {"gpt2", "llama3", "llama2"};
    enum { COUNT = 5000 };
    char bytes[COUNT];
    for (uint64_t i = 0; i < COUNT; i++) bytes[i] = (char)dt_random_word(1, DT_PURPOSE_SYNTHETIC, 0, 0, i);
    bytes[0] = 'x';
    for (int k = 0; k < 3; k++) {
        dt_tokens tokens = {0};
        dt_tokenizer *tokenizer = open_kind(kinds[k]);
        encode(tokenizer, true, bytes, COUNT, &tokens);
        assert_text(tokenizer, &tokens, bytes, COUNT);
        free(tokens.token);
        dt_tokenizer_close(tokenizer);
    }
}

static void the_same_tokenizer_has_one_hash(void **state)
{
    dt_tokenizer *a = open_kind("gpt2"), *b = open_kind("pair"), *c = open_kind("llama3"), *bytes;
    assert_true(dt_tokenizer_hash(a) == dt_tokenizer_hash(b));
    assert_true(dt_tokenizer_hash(a) != dt_tokenizer_hash(c));
    assert_int_equal(dt_tokenizer_open("bytes", &bytes), DT_OK);
    assert_true(dt_tokenizer_hash(bytes) != dt_tokenizer_hash(c));
    assert_int_equal(dt_tokenizer_vocabulary(bytes), 256);
    dt_tokenizer_close(a);
    dt_tokenizer_close(b);
    dt_tokenizer_close(c);
    dt_tokenizer_close(bytes);
}

static void special_tokens_can_be_text(void **state)
{
    static const char text[] = "<|endoftext|>";
    dt_tokenizer *tokenizer = open_kind("gpt2");
    dt_tokens tokens = {0}, plain = {0};
    encode(tokenizer, true, text, sizeof text - 1, &tokens);
    encode(tokenizer, false, text, sizeof text - 1, &plain);
    assert_int_equal(tokens.count, 1);
    assert_int_equal(tokens.token[0], dt_tokenizer_end(tokenizer));
    assert_int_equal(tokens.token[0], dt_tokenizer_special(tokenizer, text));
    assert_true(plain.count > 1);
    assert_text(tokenizer, &plain, text, sizeof text - 1);
    free(tokens.token);
    free(plain.token);
    dt_tokenizer_close(tokenizer);
}

/* gpt2's with another special token. */
static dt_tokenizer *open_with(const char *special)
{
    char path[1024];
    json_t *root;
    dt_text text = {0};
    dt_tokenizer *tokenizer;
    snprintf(path, sizeof path, "%s/gpt2/tokenizer.json", folder);
    assert_int_equal(dt_json_read(path, 1 << 24, &root), DT_OK);
    json_t *added = json_pack("{s:s, s:i}", "content", special, "id", 5000);
    assert_int_equal(json_array_append_new(json_object_get(root, "added_tokens"), added), 0);
    assert_int_equal(dt_json_print(root, JSON_COMPACT, &text), DT_OK);
    scene_write("tokenizer.json", text.data, text.length);
    if (dt_tokenizer_open("tokenizer.json", &tokenizer)) fail_msg("%s", dt_error_message());
    dt_text_free(&text);
    json_decref(root);
    return tokenizer;
}

static void texts_are_not_cut_inside_special_tokens(void **state)
{
    static const struct {
        const char *text;
        size_t cut;
    } cases[] = {{"one\ntwo\nx", 7}, {"one\n<a\nb>", 3}, {"one\n<a\n", 3}, {"<a\nb>", 0}, {"<a\nc", 2}};
    dt_tokenizer *tokenizer = open_with("<a\nb>");
    assert_int_equal(dt_tokenizer_special(tokenizer, "<a\nb>"), 5000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_int_equal(dt_tokenizer_cut(tokenizer, cases[i].text, strlen(cases[i].text)), cases[i].cut);
    dt_tokenizer_close(tokenizer);
}

/* Are the tokens of both parts, if it is cut, those of the whole? */
static void assert_cut(const dt_tokenizer *tokenizer, const char *text, size_t bytes, size_t cut)
{
    dt_encoder *encoder;
    dt_tokens whole = {0}, parts = {0};
    assert_int_equal(dt_encoder_create(tokenizer, true, &encoder), DT_OK);
    assert_int_equal(dt_encoder_run(encoder, text, bytes, &whole), DT_OK);
    if (cut) assert_int_equal(dt_encoder_part(encoder, text, cut, true, &parts), DT_OK);
    assert_int_equal(dt_encoder_part(encoder, text + cut, bytes - cut, !cut, &parts), DT_OK);
    dt_encoder_free(encoder);
    bool same = parts.count == whole.count;
    if (!same || memcmp(parts.token, whole.token, (size_t)whole.count * sizeof *whole.token))
        fail_msg("cut at %zu, this has other tokens: %.*s", cut, (int)bytes, text);
    free(whole.token);
    free(parts.token);
}

static void texts_are_not_cut_where_a_space_is_put_in(void **state)
{
    static const struct {
        const char *kind, *text;
        size_t cut;
    } cases[] = {{"llama2", "one two</s> </s>x", 3}, {"llama2", "one</s> two", 0}, {"llama2", "</s> two", 0},
                 {"llama2", "one two</s>x two", 12}, {"metaspace", "one two</s> two", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_tokenizer *tokenizer = open_kind(cases[i].kind);
        size_t bytes = strlen(cases[i].text), cut = dt_tokenizer_cut(tokenizer, cases[i].text, bytes);
        assert_int_equal(cut, cases[i].cut);
        assert_cut(tokenizer, cases[i].text, bytes, cut);
        dt_tokenizer_close(tokenizer);
    }
}

/* llama2's without tokens that have ends of lines, as the real one is. */
static dt_tokenizer *open_without_lines(void)
{
    char path[1024];
    json_t *root, *token, *merges;
    const char *name;
    void *next;
    dt_text text = {0};
    dt_tokenizer *tokenizer;
    snprintf(path, sizeof path, "%s/llama2/tokenizer.json", folder);
    assert_int_equal(dt_json_read(path, 1 << 24, &root), DT_OK);
    json_t *model = json_object_get(root, "model"), *vocabulary = json_object_get(model, "vocab");
    json_object_foreach_safe(vocabulary, next, name, token) if (strchr(name, '\n')) json_object_del(vocabulary, name);
    merges = json_object_get(model, "merges");
    for (size_t m = json_array_size(merges); m-- > 0;) {
        const json_t *merge = json_array_get(merges, m);
        if (strchr(json_string_value(json_array_get(merge, 0)), '\n') ||
            strchr(json_string_value(json_array_get(merge, 1)), '\n'))
            json_array_remove(merges, m);
    }
    assert_int_equal(dt_json_print(root, JSON_COMPACT, &text), DT_OK);
    scene_write("tokenizer.json", text.data, text.length);
    if (dt_tokenizer_open("tokenizer.json", &tokenizer)) fail_msg("%s", dt_error_message());
    dt_text_free(&text);
    json_decref(root);
    return tokenizer;
}

static dt_tokenizer *open_named(const char *kind)
{
    dt_tokenizer *tokenizer;
    if (!strcmp(kind, "no lines")) return open_without_lines();
    if (strcmp(kind, "bytes") != 0) return open_kind(kind);
    assert_int_equal(dt_tokenizer_open("bytes", &tokenizer), DT_OK);
    return tokenizer;
}

static void texts_of_all_scripts_are_cut(void **state)
{
    static const struct {
        const char *kind, *text;
        size_t cut;
    } cases[] = {{"bytes", "xé", 1}, {"bytes", "xy\xF0\x9F\x98", 2}, {"bytes", "xyz", 3}, {"bytes", "\x80\x80", 2},
                 {"gpt2", "字。\n字", 6}, {"gpt2", "字。\r\n字", 6}, {"gpt2", "один\nдва", 8},
                 {"gpt2", "字。字。字字", 9}, {"gpt2", "字字字字", 0}, {"gpt2", "a\n字字。字字字字", 8},
                 {"llama3", "字。\n字。", 7}, {"llama3", "字。\r\n字。", 8}, {"llama3", "字\n\xE3", 3},
                 {"llama3", "字。字", 3}, {"llama3", "один два", 8}, {"llama3", "один\n\n два", 8},
                 {"llama2", "字 字", 3}, {"llama2", "字\n字", 0}, {"llama2", "字  ▁ x", 3},
                 {"llama2", "\xE2\x96 字", 0}, {"no lines", "字。\n字。", 6}, {"no lines", "字 字", 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_tokenizer *tokenizer = open_named(cases[i].kind);
        size_t bytes = strlen(cases[i].text), cut = dt_tokenizer_cut(tokenizer, cases[i].text, bytes);
        if (cut != cases[i].cut) fail_msg("%s: '%s' is cut at %zu", cases[i].kind, cases[i].text, cut);
        assert_cut(tokenizer, cases[i].text, bytes, cut);
        dt_tokenizer_close(tokenizer);
    }
}

/* --- random texts, cut against whole --- */

enum { TEXTS = 500, MOST_PIECES = 16, MOST_BYTES = 16 * MOST_PIECES };

/* Of many scripts, marks, all kinds of numbers, white space and line ends, special tokens, invalid bytes. */
static size_t random_text(uint64_t number, char out[MOST_BYTES])
{
    static const char *const pieces[] = {
        "a", "the", "D", "é", "ж", "字", "ا", "か", "न", "ि", "\u0301", "ſ", "1", "234", "٣", "Ⅷ", "²", "'", "'s",
        "'re", "'ſ", "!", ".", "。", "😀", "\u200D", "▁", " ", "   ", "\t", "\n", "\n\n", "\r\n", "\r", "\v", "\f",
        "\u00A0", "\u2028", "\u3000", "\xC2\x85", "\x80", "\xE3\x80", "\xC3", "\xFF", "\xF0\x9F", "\xE2\x96",
        "<|endoftext|>", "</s>", "<s", " the", "e\n", ".\r\n"};
    enum { PIECES = sizeof pieces / sizeof *pieces };
    uint64_t count = 1 + dt_random_word(3, DT_PURPOSE_SYNTHETIC, number, 0, 0) % MOST_PIECES;
    size_t bytes = 0;
    for (uint64_t i = 1; i <= count; i++) {
        const char *piece = pieces[dt_random_word(3, DT_PURPOSE_SYNTHETIC, number, 0, i) % PIECES];
        memcpy(out + bytes, piece, strlen(piece));
        bytes += strlen(piece);
    }
    return bytes;
}

typedef size_t scanner(const char *text, size_t bytes);
typedef bool cutter(const char *text, size_t bytes, size_t at);

static void list_words(scanner *word, const char *text, size_t bytes, bool begins[MOST_BYTES + 1])
{
    memset(begins, 0, (size_t)MOST_BYTES + 1);
    for (size_t at = 0; at < bytes; at += word(text + at, bytes - at)) begins[at] = true;
    begins[bytes] = true;
}

/* Wherever the text may end that is known so far, a place that is told leaves all words as they are. */
static void assert_words(scanner *word, cutter *cuts, const char *text, size_t bytes)
{
    bool whole[MOST_BYTES + 1], part[MOST_BYTES + 1];
    list_words(word, text, bytes, whole);
    for (size_t at = 1; at < bytes; at++) {
        bool told = false;
        for (size_t known = at + 1; known <= bytes; known++) told |= cuts(text, known, at);
        if (!told) continue;
        list_words(word, text, at, part);
        if (memcmp(part, whole, at + 1) != 0) fail_msg("cut at %zu, this has other words: %.*s", at, (int)bytes, text);
    }
}

static void words_are_those_of_the_parts(void **state)
{
    char text[MOST_BYTES];
    for (uint64_t i = 0; i < TEXTS; i++) {
        size_t bytes = random_text(i, text);
        assert_words(dt_word_gpt2, dt_cuts_line_gpt2, text, bytes);
        assert_words(dt_word_gpt2, dt_cuts_words, text, bytes);
        assert_words(dt_word_llama3, dt_cuts_line_llama3, text, bytes);
        assert_words(dt_word_llama3, dt_cuts_words, text, bytes);
    }
}

static void tokens_are_those_of_the_parts(void **state)
{
    static const char *const kinds[] = {"gpt2", "pair", "prefix", "llama3", "llama2", "metaspace", "no lines", "bytes"};
    char text[MOST_BYTES];
    for (int k = 0; k < 8; k++) {
        dt_tokenizer *tokenizer = open_named(kinds[k]);
        for (uint64_t i = 0; i < TEXTS; i++) {
            size_t bytes = random_text(i, text);
            size_t known = 1 + dt_random_word(4, DT_PURPOSE_SYNTHETIC, i, 0, 0) % bytes;
            size_t cut = dt_tokenizer_cut(tokenizer, text, known);
            if (cut) assert_cut(tokenizer, text, bytes, cut);
        }
        dt_tokenizer_close(tokenizer);
    }
}

static void a_special_token_of_one_byte_is_found(void **state)
{
    static const char *const texts[] = {"~", "~b", "ab~", "a~"};
    dt_tokenizer *tokenizer = open_with("~");
    for (int i = 0; i < 4; i++) {
        int64_t found = 0;
        dt_tokens tokens = {0};
        encode(tokenizer, true, texts[i], strlen(texts[i]), &tokens);
        for (int64_t t = 0; t < tokens.count; t++) found += tokens.token[t] == 5000;
        assert_int_equal(found, 1);
        free(tokens.token);
    }
    dt_tokenizer_close(tokenizer);
}

static void utf8_is_checked(void **state)
{
    static const char *const bad[] = {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
                                      "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80", "\xFF", "\xE2\x96",
                                      "\xF0\x9F\x99"};
    uint32_t code;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(dt_utf8_next(bad[i], strlen(bad[i]), &code), 1);
        assert_true(code == UINT32_MAX);
    }
    assert_int_equal(dt_utf8_next("\xF4\x8F\xBF\xBF", 4, &code), 4);
    assert_int_equal(code, 0x10FFFF);
}

static void assert_refused(const char *json, const char *part)
{
    dt_tokenizer *tokenizer;
    scene_write("tokenizer.json", json, strlen(json));
    assert_fails(dt_tokenizer_open("tokenizer.json", &tokenizer), DT_ERR_DATA, part);
}

static void other_kinds_are_named(void **state)
{
    dt_tokenizer *tokenizer;
    assert_refused("[]", "is not a tokenizer");
    assert_refused("{\"model\":{\"type\":\"Unigram\"}}", "its model is of the kind 'Unigram'");
    assert_refused("{\"model\":{\"type\":\"WordPiece\"}}", "its model is of the kind 'WordPiece'");
    assert_refused("{\"model\":{\"type\":\"BPE\"},\"normalizer\":{\"type\":\"NFC\"}}",
                   "its normalizer is of the kind 'NFC'");
    assert_refused("{\"model\":{\"type\":\"BPE\"},\"pre_tokenizer\":{\"type\":\"Whitespace\"}}",
                   "its pre-tokenizer is of the kind 'Whitespace'");
#define BPE "{\"model\":{\"type\":\"BPE\""
#define LLAMA3 "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}{1,3}| " \
               "?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+"
#define LEVEL "},\"pre_tokenizer\":{\"type\":\"ByteLevel\"}}"
    assert_refused(BPE "},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":"
                   "\"Isolated\",\"pattern\":{\"Regex\":\"\\\\w+\"}},{\"type\":\"ByteLevel\"}]}}",
                   "cuts words by the pattern \\w+");
    assert_refused(BPE "},\"pre_tokenizer\":null}", "it has no pre-tokenizer");
    assert_refused(BPE "},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"behavior\":"
                   "\"Isolated\",\"pattern\":{\"Regex\":\"" LLAMA3 "\"}},{\"type\":\"ByteLevel\",\"use_regex\":false,"
                   "\"add_prefix_space\":true}]}}", "has add_prefix_space behind a Split");
    assert_refused(BPE ",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]" LEVEL, "have the same number 0");
    assert_refused(BPE ",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[\"a b\"]" LEVEL, "merge 1, 'a' and 'b'");
    assert_refused(BPE ",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[[\"\",\"\"]]" LEVEL, "merge 1, '' and ''");
    assert_refused(BPE ",\"vocab\":{\"a\":0,\"b\":1},\"merges\":[]" LEVEL, "byte 0x00 has no token");
    assert_fails(dt_tokenizer_open("nowhere", &tokenizer), DT_ERR_IO, "cannot find the tokenizer 'nowhere'");
    assert_int_equal(remove("tokenizer.json"), 0);
    assert_fails(dt_tokenizer_open(".", &tokenizer), DT_ERR_DATA, "holds no tokenizer");
}

/* Of byte fallback, beside Llama 2's and Metaspace's own. The reference takes the first three, to other tokens than
 * ours would be, and none of the others. */
static void other_forms_of_byte_fallback_are_named(void **state)
{
    assert_refused("{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true,\"ignore_merges\":true}}",
                   "ignore_merges with byte fallback");
#define FALLBACK "{\"model\":{\"type\":\"BPE\",\"byte_fallback\":true},"
#define PREPEND "{\"type\":\"Prepend\",\"prepend\":\"\u2581\"}"
#define REPLACE "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"\u2581\"}"
#define SEQUENCE(parts) FALLBACK "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[" parts "]}}"
#define METASPACE(more) FALLBACK "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"\u2581\"," \
                        "\"split\":false" more "}}"
    assert_refused(FALLBACK "\"normalizer\":" PREPEND "}", "does not Replace spaces");
    assert_refused(SEQUENCE(""), "does not Replace spaces");
    assert_refused(SEQUENCE(PREPEND "," PREPEND "," REPLACE), "has Prepend twice");
    assert_refused(METASPACE(",\"add_prefix_space\":false"), "has add_prefix_space false");
    assert_refused(METASPACE(",\"add_prefix_space\":false,\"prepend_scheme\":\"first\""), "has add_prefix_space false");
    assert_refused(METASPACE(",\"prepend_scheme\":\"often\""), "the prepend_scheme 'often'");
    assert_refused(METASPACE(",\"add_prefix_space\":false,\"prepend_scheme\":\"never\""), "'vocab' is missing");
    assert_refused(METASPACE(""), "'vocab' is missing");
    assert_refused(SEQUENCE(REPLACE "," PREPEND), "'vocab' is missing");
}

/* encoder.json of all bytes, and of `more` tokens of two. */
static void write_encoder(int more)
{
    dt_text text = {0};
    int number = 0, hidden = 0x100;
    for (int b = 0; b < 256; b++) {
        bool visible = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        dt_text_add(&text, "%s\"\\u%04x\":%d", b ? "," : "{", (unsigned)(visible ? b : hidden++), number++);
    }
    for (int m = 0; m < more; m++) dt_text_add(&text, ",\"a%c\":%d", 'a' + m, number++);
    dt_text_add(&text, ",\"<|endoftext|>\":%d}", number);
    scene_write("encoder.json", text.data, text.length);
    dt_text_free(&text);
}

static void merges_are_missed(void **state)
{
    dt_tokenizer *tokenizer;
    scene_write("vocab.bpe", "", 0);
    write_encoder(2);
    assert_fails(dt_tokenizer_open(".", &tokenizer), DT_ERR_DATA, "'./vocab.bpe' holds no merges");
    scene_write("vocab.bpe", "a a\n", 4);
    assert_int_equal(dt_tokenizer_open(".", &tokenizer), DT_OK);
    dt_tokenizer_close(tokenizer);
    scene_write("vocab.bpe", "", 0);
    write_encoder(0);
    assert_int_equal(dt_tokenizer_open(".", &tokenizer), DT_OK);
    dt_tokenizer_close(tokenizer);
}

int main(int argc, char **argv)
{
    static char absolute[4096];
    if (argc < 2 || !realpath(argv[1], absolute)) return 1;
    folder = absolute;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gpt2_is_as_the_reference),
        cmocka_unit_test(gpt2s_own_files_are_as_the_reference),
        cmocka_unit_test(llama3_is_as_the_reference),
        cmocka_unit_test(a_prefix_space_is_as_the_reference),
        cmocka_unit_test(llama2_is_as_the_reference),
        cmocka_unit_test(metaspace_is_as_the_reference),
        cmocka_unit_test(byte_level_gives_back_any_bytes),
        cmocka_unit_test(the_same_tokenizer_has_one_hash),
        cmocka_unit_test(special_tokens_can_be_text),
        cmocka_unit_test_setup_teardown(texts_are_not_cut_inside_special_tokens, scene_enter, scene_leave),
        cmocka_unit_test(texts_are_not_cut_where_a_space_is_put_in),
        cmocka_unit_test_setup_teardown(texts_of_all_scripts_are_cut, scene_enter, scene_leave),
        cmocka_unit_test(words_are_those_of_the_parts),
        cmocka_unit_test_setup_teardown(tokens_are_those_of_the_parts, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(a_special_token_of_one_byte_is_found, scene_enter, scene_leave),
        cmocka_unit_test(utf8_is_checked),
        cmocka_unit_test_setup_teardown(other_kinds_are_named, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(merges_are_missed, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(other_forms_of_byte_fallback_are_named, scene_enter, scene_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
