/* What the readers of tokenizers have in common: names of tokens, merges, what follows from both. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/json.h"
#include "data/tokenizer_kinds.h"
#include "data/words.h"

enum { MOST_TOKENS = 1 << 24 };

/* --- spelling: byte-level vocabularies write each byte as a letter (GPT-2's bytes_to_unicode) --- */

/* The byte that a character stands for: Latin-1's visible ones for themselves, the others are U+0100 .. U+0143 in
 * order. -1: none. */
static int byte_of(uint32_t code)
{
    bool visible = (code >= 0x21 && code <= 0x7E) || (code >= 0xA1 && code <= 0xAC) || (code >= 0xAE && code <= 0xFF);
    if (visible) return (int)code;
    if (code < 0x100 || code > 0x143) return -1;
    int nth = (int)code - 0x100; /* 0x00-0x20, 0x7F-0xA0, 0xAD */
    return nth <= 0x20 ? nth : nth <= 0x42 ? 0x7F + nth - 0x21 : 0xAD;
}

/* Appends the bytes that a name of letters stands for; a name with other characters, as special tokens may have, stands
 * for itself. */
static void spell_letters(const char *name, size_t length, dt_text *out)
{
    size_t before = out->length;
    for (size_t at = 0; at < length;) {
        uint32_t code;
        at += dt_utf8_next(name + at, length - at, &code);
        int byte = byte_of(code);
        if (byte < 0) {
            out->length = before;
            dt_text_add_bytes(out, name, length);
            return;
        }
        char letter = (char)byte;
        dt_text_add_bytes(out, &letter, 1);
    }
}

static void spell(dt_spelling spelling, const char *name, size_t length, dt_text *out)
{
    if (spelling == DT_SPELL_LETTERS) spell_letters(name, length, out);
    else dt_text_add_bytes(out, name, length);
}

/* <0x0A> is byte 10; -1: another name. */
static int fallback_byte(const char *name, size_t length)
{
    char *end;
    if (length != 6 || memcmp(name, "<0x", 3) != 0 || name[5] != '>') return -1;
    long byte = strtol(name + 3, &end, 16);
    return end == name + 5 ? (int)byte : -1;
}

/* What a token decodes to. */
static void add_meaning(dt_bpe *bpe, dt_spelling spelling, const char *name, size_t length)
{
    int byte = spelling == DT_SPELL_FALLBACK ? fallback_byte(name, length) : -1;
    if (spelling == DT_SPELL_LETTERS) {
        spell_letters(name, length, &bpe->bytes);
        return;
    }
    if (byte >= 0) {
        char letter = (char)byte;
        dt_text_add_bytes(&bpe->bytes, &letter, 1);
        return;
    }
    for (size_t at = 0; at < length;) {
        bool mark = dt_has_space_mark(name + at, length - at);
        dt_text_add_bytes(&bpe->bytes, mark ? " " : name + at, 1);
        at += mark ? DT_SPACE_MARK_BYTES : 1;
    }
}

/* --- the vocabulary --- */

typedef struct name_list { /* by token; NULL: not there */
    const char **name;
    int32_t size;
} name_list;

static dt_status read_number(const json_t *value, const char *name, const char *path, int32_t *out)
{
    json_int_t number = json_is_integer(value) ? json_integer_value(value) : -1;
    if (number < 0 || number >= MOST_TOKENS)
        return dt_fail(DT_ERR_DATA, "'%s': the number of token '%s' is none between 0 and %d", path, name,
                       MOST_TOKENS - 1);
    *out = (int32_t)number;
    return DT_OK;
}

static dt_status put_name(name_list *list, int32_t token, const char *name, const char *path)
{
    if (token >= list->size) {
        int32_t size = token < 1024 ? 1024 : 2 * token;
        const char **grown = realloc(list->name, (size_t)size * sizeof *grown);
        if (!grown) return dt_fail_memory((size_t)size * sizeof *grown, path);
        memset(grown + list->size, 0, (size_t)(size - list->size) * sizeof *grown);
        list->name = grown;
        list->size = size;
    }
    if (list->name[token] && strcmp(list->name[token], name) != 0)
        return dt_fail(DT_ERR_DATA, "'%s': the tokens '%s' and '%s' have the same number %d", path, list->name[token],
                       name, token);
    list->name[token] = name;
    return DT_OK;
}

static dt_status read_names(dt_bpe *bpe, json_t *vocabulary, dt_spelling spelling, const char *path, name_list *list)
{
    const char *name;
    json_t *value;
    dt_text spelled = {0};
    dt_status status = DT_OK;
    json_object_foreach(vocabulary, name, value) {
        int32_t token = -1;
        spelled.length = 0;
        spell(spelling, name, strlen(name), &spelled);
        DT_TRY_GOTO(dt_text_status(&spelled), done);
        DT_TRY_GOTO(read_number(value, name, path, &token), done);
        DT_TRY_GOTO(put_name(list, token, name, path), done);
        DT_TRY_GOTO(dt_string_map_add(&bpe->ids, spelled.data ? spelled.data : "", spelled.length, token), done);
    }
done:
    dt_text_free(&spelled);
    return status;
}

dt_status dt_bpe_add_special(dt_bpe *bpe, const char *name, int32_t token)
{
    struct dt_special *grown = realloc(bpe->special, ((size_t)bpe->specials + 1) * sizeof *grown);
    if (!grown) return dt_fail_memory(((size_t)bpe->specials + 1) * sizeof *grown, "special tokens");
    bpe->special = grown;
    char *copy = strdup(name);
    if (!copy) return dt_fail_memory(strlen(name), "special tokens");
    bpe->special[bpe->specials++] = (struct dt_special){token, (uint32_t)strlen(name), copy};
    return DT_OK;
}

static dt_status read_added(dt_bpe *bpe, const json_t *added, const char *path, name_list *list)
{
    size_t i;
    json_t *value;
    json_array_foreach(added, i, value) {
        int32_t token = -1;
        const char *name;
        DT_TRY(dt_json_text(value, "content", path, &name));
        DT_TRY(read_number(json_object_get(value, "id"), name, path, &token));
        if (!*name) return dt_fail(DT_ERR_DATA, "'%s': an added token has no name", path);
        static const char *const manners[] = {"single_word", "lstrip", "rstrip"};
        for (int m = 0; m < 3; m++)
            if (json_is_true(json_object_get(value, manners[m])))
                return dt_fail(DT_ERR_DATA, "'%s': the added token '%s' is %s, which is not supported", path, name,
                               manners[m]);
        DT_TRY(put_name(list, token, name, path));
        DT_TRY(dt_bpe_add_special(bpe, name, token));
    }
    return DT_OK;
}

static dt_status lay_out(dt_bpe *bpe, dt_spelling spelling, const name_list *list, const char *path)
{
    bpe->size = list->size;
    while (bpe->size && !list->name[bpe->size - 1]) bpe->size--;
    bool *special = calloc((size_t)bpe->size + 1, sizeof *special);
    bpe->at = malloc(((size_t)bpe->size + 1) * sizeof *bpe->at);
    if (!special || !bpe->at) {
        free(special);
        return dt_fail_memory(((size_t)bpe->size + 1) * sizeof *bpe->at, path);
    }
    for (int i = 0; i < bpe->specials; i++) special[bpe->special[i].token] = true;
    for (int32_t t = 0; t < bpe->size; t++) {
        const char *name = list->name[t];
        bpe->at[t] = (uint32_t)bpe->bytes.length;
        if (name && special[t]) dt_text_add_bytes(&bpe->bytes, name, strlen(name));
        else if (name) add_meaning(bpe, spelling, name, strlen(name));
    }
    bpe->at[bpe->size] = (uint32_t)bpe->bytes.length;
    free(special);
    if (bpe->bytes.length > UINT32_MAX / 2) return dt_fail(DT_ERR_DATA, "'%s': its tokens are too long", path);
    return dt_text_status(&bpe->bytes);
}

dt_status dt_bpe_read_vocabulary(dt_bpe *bpe, json_t *vocabulary, json_t *added, dt_spelling spelling, const char *path)
{
    name_list list = {0};
    dt_status status = read_names(bpe, vocabulary, spelling, path, &list);
    if (!status && added) status = read_added(bpe, added, path, &list);
    if (!status) status = lay_out(bpe, spelling, &list, path);
    free(list.name);
    return status;
}

/* --- merges --- */

dt_status dt_bpe_read_merge(dt_bpe *bpe, dt_spelling spelling, const char *left, size_t left_length, const char *right,
                            size_t right_length, const char *path)
{
    dt_text word = {0};
    spell(spelling, left, left_length, &word);
    size_t middle = word.length;
    spell(spelling, right, right_length, &word);
    dt_status status = dt_text_status(&word);
    if (!status) {
        const char *text = word.length ? word.data : "";
        int32_t a = dt_string_map_find(&bpe->ids, text, middle);
        int32_t b = dt_string_map_find(&bpe->ids, text + middle, word.length - middle);
        int32_t whole = dt_string_map_find(&bpe->ids, text, word.length);
        if (a >= 0 && b >= 0 && whole >= 0) dt_bpe_add_merge(bpe, a, b, whole);
        else
            status = dt_fail(DT_ERR_DATA, "'%s': merge %lld, '%.*s' and '%.*s': they and what they make are not all in "
                             "the vocabulary", path, (long long)bpe->merges + 1, (int)left_length, left,
                             (int)right_length, right);
    }
    dt_text_free(&word);
    return status;
}

/* --- what follows --- */

static dt_status find_bytes(dt_bpe *bpe, dt_spelling spelling, const char *path)
{
    for (int b = 0; b < 256; b++) {
        char name[8] = {(char)b};
        if (spelling == DT_SPELL_FALLBACK) snprintf(name, sizeof name, "<0x%02X>", (unsigned)b);
        bpe->byte[b] = dt_string_map_find(&bpe->ids, name, spelling == DT_SPELL_FALLBACK ? 6 : 1);
        if (bpe->byte[b] < 0) return dt_fail(DT_ERR_DATA, "'%s': byte 0x%02X has no token", path, (unsigned)b);
    }
    return DT_OK;
}

/* Does a name have a space mark behind another character? */
static bool goes_across(const char *name, size_t length)
{
    bool other = false;
    for (size_t at = 0; at < length;) {
        bool mark = dt_has_space_mark(name + at, length - at);
        if (mark && other) return true;
        other = !mark;
        at += mark ? DT_SPACE_MARK_BYTES : 1;
    }
    return false;
}

/* Is the end of a line in a name, or its byte beside something else? */
static bool joins_lines(const char *name, size_t length)
{
    return memchr(name, '\n', length) || (length > 6 && memmem(name, length, "<0x0A>", 6));
}

static bool has_name(const dt_bpe *bpe, bool (*is)(const char *name, size_t length))
{
    for (uint32_t s = 0; bpe->ids.slot && s <= bpe->ids.mask; s++) {
        const struct dt_string_slot *slot = &bpe->ids.slot[s];
        if (slot->value >= 0 && is(bpe->ids.bytes.data + slot->at, slot->length)) return true;
    }
    return false;
}

static int32_t find_special(const dt_bpe *bpe, const char *const *names)
{
    for (; *names; names++)
        for (int i = 0; i < bpe->specials; i++)
            if (!strcmp(bpe->special[i].name, *names)) return bpe->special[i].token;
    return -1;
}

static int longest_first(const void *a, const void *b)
{
    const struct dt_special *x = a, *y = b;
    if (x->length != y->length) return x->length > y->length ? -1 : 1;
    int names = strcmp(x->name, y->name);
    return names ? names : (x->token > y->token) - (x->token < y->token);
}

/* Of tokens, merges in their order, special names, and how words are cut: whatever file they came from. */
static uint64_t hash_of(const dt_bpe *bpe)
{
    int32_t manner[] = {(int32_t)bpe->rule, bpe->whole_words, bpe->prefix_space, bpe->prefix_twice, bpe->prefix_first};
    uint64_t hash = dt_hash_bytes(manner, sizeof manner, 0), merges = 0;
    hash = dt_hash_bytes(bpe->at, ((size_t)bpe->size + 1) * sizeof *bpe->at, hash);
    hash = dt_hash_bytes(bpe->bytes.data, bpe->bytes.length, hash);
    for (uint64_t m = 0; m <= bpe->merge_mask; m++) {
        dt_merge merge = bpe->merge[m];
        if (merge.pair != UINT64_MAX) merges += dt_hash_bytes(&merge, sizeof merge, 0);
    }
    for (int i = 0; i < bpe->specials; i++) merges += dt_hash_text(bpe->special[i].name);
    return dt_hash_bytes(&merges, sizeof merges, hash);
}

dt_status dt_bpe_complete(dt_bpe *bpe, dt_spelling spelling, const char *path)
{
    static const char *const ends[] = {"<|endoftext|>", "<|end_of_text|>", "</s>", NULL};
    static const char *const begins[] = {"<|begin_of_text|>", "<s>", NULL};
    DT_TRY(find_bytes(bpe, spelling, path));
    bpe->cut_spaces = spelling == DT_SPELL_FALLBACK && !has_name(bpe, goes_across);
    bpe->cut_lines = spelling == DT_SPELL_FALLBACK && !has_name(bpe, joins_lines);
    if (bpe->specials) qsort(bpe->special, (size_t)bpe->specials, sizeof *bpe->special, longest_first);
    bpe->end = find_special(bpe, ends);
    bpe->begin = find_special(bpe, begins);
    bpe->hash = hash_of(bpe);
    return DT_OK;
}
