/* Text to tokens. What a text goes through: special tokens are taken out; of byte fallback, spaces become U+2581; words
 * are cut; each word becomes its smallest tokens, which are merged. Words come back again and again: a cache of short
 * ones keeps their tokens. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "data/tokenizer_kinds.h"
#include "data/words.h"

enum { CACHE = 1 << 15, KEY = 32, VALUES = 7, LETTERS = 128 };
enum { MOST_BYTES = 1 << 30, SPACE_MARK_CODE = 0x2581 };

typedef struct entry { /* one cache line */
    char key[KEY];
    int32_t token[VALUES];
    uint8_t length, count;
} entry;

struct dt_encoder {
    const dt_tokenizer *tokenizer;
    bool special;
    bool begins_special[1 << 16]; /* [first << 8 | second byte]: does a special token's name begin so? */
    int32_t letter[LETTERS];      /* of byte fallback: the token of an ASCII character; -1: none */
    dt_bpe_scratch scratch;
    dt_text prepared;
    entry *cache; /* by hash; a newer word takes the place of an older one */
};

/* Two bytes tell most texts apart (<p>) from hundreds of names that begin alike (<|reserved_special_token_7|>). */
static void note_beginning(dt_encoder *e, const struct dt_special *special)
{
    bool *begins = &e->begins_special[(uint8_t)special->name[0] << 8];
    if (special->length > 1) begins[(uint8_t)special->name[1]] = true;
    else memset(begins, true, 256);
}

dt_status dt_encoder_create(const dt_tokenizer *tokenizer, bool special, dt_encoder **out)
{
    dt_encoder *e = calloc(1, sizeof *e);
    entry *cache = calloc(CACHE, sizeof *cache);
    if (!e || !cache) {
        free(e);
        free(cache);
        return dt_fail_memory(CACHE * sizeof *cache, "an encoder");
    }
    e->tokenizer = tokenizer;
    e->special = special;
    e->cache = cache;
    const dt_bpe *bpe = &tokenizer->bpe;
    for (int i = 0; special && i < bpe->specials; i++) note_beginning(e, &bpe->special[i]);
    for (int c = 0; c < LETTERS; c++) e->letter[c] = dt_string_map_find(&bpe->ids, &(char){(char)c}, 1);
    *out = e;
    return DT_OK;
}

void dt_encoder_free(dt_encoder *e)
{
    if (!e) return;
    free(e->scratch.memory);
    dt_text_free(&e->prepared);
    free(e->cache);
    free(e);
}

/* --- a word --- */

/* Characters that are tokens, and the bytes of those that are not; returns how many. */
static int64_t split_fallback(const dt_encoder *e, const char *word, size_t bytes, int32_t *token)
{
    const dt_bpe *bpe = &e->tokenizer->bpe;
    int64_t count = 0;
    for (size_t at = 0, length; at < bytes; at += length) {
        uint32_t code;
        length = dt_utf8_next(word + at, bytes - at, &code);
        int32_t found = code < LETTERS ? e->letter[code] : -1;
        if (code >= LETTERS && code != UINT32_MAX) found = dt_string_map_find(&bpe->ids, word + at, length);
        if (found >= 0) token[count++] = found;
        else
            for (size_t i = 0; i < length; i++) token[count++] = bpe->byte[(uint8_t)word[at + i]];
    }
    return count;
}

static int64_t split_bytes(const dt_bpe *bpe, const char *word, size_t bytes, int32_t *token)
{
    for (size_t i = 0; i < bytes; i++) token[i] = bpe->byte[(uint8_t)word[i]];
    return (int64_t)bytes;
}

static dt_status encode_new(dt_encoder *e, const char *word, size_t bytes, dt_tokens *out)
{
    const dt_bpe *bpe = &e->tokenizer->bpe;
    int32_t *token = out->token + out->count;
    int32_t whole = bpe->whole_words ? dt_string_map_find(&bpe->ids, word, bytes) : -1;
    int64_t count = 1;
    if (whole >= 0) *token = whole;
    else if (bpe->rule == DT_WORDS_SPACE) count = split_fallback(e, word, bytes, token);
    else count = split_bytes(bpe, word, bytes, token);
    DT_TRY(dt_bpe_merge(bpe, &e->scratch, token, &count));
    out->count += count;
    return DT_OK;
}

static void remember(entry *place, const char *word, size_t bytes, const int32_t *token, int64_t count)
{
    if (count > VALUES) return;
    place->length = (uint8_t)bytes;
    place->count = (uint8_t)count;
    memcpy(place->key, word, bytes);
    memcpy(place->token, token, (size_t)count * sizeof *token);
}

static dt_status encode_word(dt_encoder *e, const char *word, size_t bytes, dt_tokens *out)
{
    DT_TRY(dt_tokens_reserve(out, (int64_t)bytes + VALUES));
    if (bytes > KEY) return encode_new(e, word, bytes, out);
    entry *place = &e->cache[dt_hash_bytes(word, bytes, 0) % CACHE];
    if (place->length == bytes && !memcmp(place->key, word, bytes)) {
        memcpy(out->token + out->count, place->token, sizeof place->token); /* all: there is room, and it is quicker */
        out->count += place->count;
        return DT_OK;
    }
    int64_t before = out->count;
    DT_TRY(encode_new(e, word, bytes, out));
    remember(place, word, bytes, out->token + before, out->count - before);
    return DT_OK;
}

/* --- a stretch without special tokens --- */

typedef enum place { FIRST, BEHIND_SPECIAL, GOES_ON } place; /* where in its text a stretch begins */

/* With a space mark for each space, and in front as the kind says. */
static dt_status mark_spaces(dt_encoder *e, const char *text, size_t bytes, place at)
{
    const dt_bpe *bpe = &e->tokenizer->bpe;
    bool marked = *text == ' ' || dt_has_space_mark(text, bytes);
    dt_text *out = &e->prepared;
    out->length = 0;
    bool wanted = bpe->prefix_space && (at == FIRST || (at == BEHIND_SPECIAL && !bpe->prefix_first));
    if (wanted && (!marked || bpe->prefix_twice))
        dt_text_add_bytes(out, DT_SPACE_MARK, DT_SPACE_MARK_BYTES);
    for (const char *end = text + bytes; text < end;) {
        const char *space = memchr(text, ' ', (size_t)(end - text));
        dt_text_add_bytes(out, text, (size_t)((space ? space : end) - text));
        if (space) dt_text_add_bytes(out, DT_SPACE_MARK, DT_SPACE_MARK_BYTES);
        text = space ? space + 1 : end;
    }
    return dt_text_status(out);
}

/* The bytes up to a space mark behind another character. */
static size_t marked_word(const char *text, size_t bytes)
{
    size_t at = 0;
    while (dt_has_space_mark(text + at, bytes - at)) at += DT_SPACE_MARK_BYTES;
    for (const char *mark; at < bytes; at = (size_t)(mark - text) + 1) {
        mark = memchr(text + at, DT_SPACE_MARK[0], bytes - at);
        if (!mark) break;
        if (dt_has_space_mark(mark, (size_t)(text + bytes - mark))) return (size_t)(mark - text);
    }
    return bytes;
}

static dt_status encode_fallback(dt_encoder *e, const char *text, size_t bytes, place at, dt_tokens *out)
{
    DT_TRY(mark_spaces(e, text, bytes, at));
    text = e->prepared.data;
    bytes = e->prepared.length;
    if (bytes > INT32_MAX) /* places in a word are numbers of 32 bits */
        return dt_fail(DT_ERR_DATA, "a document is larger than 2 GiB, its spaces being three bytes each");
    while (bytes) {
        size_t length = e->tokenizer->bpe.cut_spaces ? marked_word(text, bytes) : bytes;
        DT_TRY(encode_word(e, text, length, out));
        text += length;
        bytes -= length;
    }
    return DT_OK;
}

static dt_status encode_letters(dt_encoder *e, const char *text, size_t bytes, place at, dt_tokens *out)
{
    const dt_bpe *bpe = &e->tokenizer->bpe;
    if (bpe->prefix_space && at != GOES_ON && *text != ' ') {
        e->prepared.length = 0;
        dt_text_add_bytes(&e->prepared, " ", 1);
        dt_text_add_bytes(&e->prepared, text, bytes);
        DT_TRY(dt_text_status(&e->prepared));
        text = e->prepared.data;
        bytes++;
    }
    while (bytes) {
        size_t length = bpe->rule == DT_WORDS_GPT2 ? dt_word_gpt2(text, bytes)
                        : bpe->rule == DT_WORDS_LLAMA3 ? dt_word_llama3(text, bytes) : bytes;
        DT_TRY(encode_word(e, text, length, out));
        text += length;
        bytes -= length;
    }
    return DT_OK;
}

static dt_status encode_plain(dt_encoder *e, const char *text, size_t bytes, place at, dt_tokens *out)
{
    if (!bytes) return DT_OK;
    if (e->tokenizer->bpe.rule == DT_WORDS_SPACE) return encode_fallback(e, text, bytes, at, out);
    return encode_letters(e, text, bytes, at, out);
}

/* --- a text --- */

static dt_status encode_bytes(const char *text, size_t bytes, dt_tokens *out)
{
    DT_TRY(dt_tokens_reserve(out, (int64_t)bytes));
    for (size_t i = 0; i < bytes; i++) out->token[out->count++] = (uint8_t)text[i];
    return DT_OK;
}

/* Of a stretch that begins at `done`. */
static place place_of(size_t done, bool first) { return done ? BEHIND_SPECIAL : first ? FIRST : GOES_ON; }

/* The special token that a text begins with, the longest of several; NULL: none. */
static const struct dt_special *special_at(const dt_encoder *e, const char *text, size_t bytes)
{
    const dt_bpe *bpe = &e->tokenizer->bpe;
    uint8_t second = bytes > 1 ? (uint8_t)text[1] : 0;
    if (!e->begins_special[(uint8_t)*text << 8 | second]) return NULL;
    for (int i = 0; i < bpe->specials; i++)
        if (bpe->special[i].length <= bytes && !memcmp(text, bpe->special[i].name, bpe->special[i].length))
            return &bpe->special[i];
    return NULL;
}

dt_status dt_encoder_part(dt_encoder *e, const char *text, size_t bytes, bool first, dt_tokens *out)
{
    size_t done = 0;
    if (e->tokenizer->bytes) return encode_bytes(text, bytes, out);
    if (bytes > MOST_BYTES) return dt_fail(DT_ERR_DATA, "a document of %zu bytes is larger than 1 GiB", bytes);
    for (size_t at = 0; e->special && at < bytes;) {
        const struct dt_special *found = special_at(e, text + at, bytes - at);
        if (!found) {
            at++;
            continue;
        }
        DT_TRY(encode_plain(e, text + done, at - done, place_of(done, first), out));
        DT_TRY(dt_tokens_reserve(out, 1));
        out->token[out->count++] = found->token;
        done = at += found->length;
    }
    return encode_plain(e, text + done, bytes - done, place_of(done, first), out);
}

dt_status dt_encoder_run(dt_encoder *e, const char *text, size_t bytes, dt_tokens *out)
{
    return dt_encoder_part(e, text, bytes, true, out);
}

/* Does the name of a special token, or the beginning of one that the text ends with, go across `at`? Where a space is
 * put behind special tokens, also: does one end there? A part that begins so would lack that space. */
static bool is_special_at(const dt_bpe *bpe, const char *text, size_t bytes, size_t at)
{
    for (int i = 0; i < bpe->specials; i++) {
        const struct dt_special *special = &bpe->special[i];
        size_t longest = bpe->prefix_space ? special->length : special->length - 1;
        for (size_t before = 1; before <= longest && before <= at; before++) {
            size_t there = bytes - (at - before), length = there < special->length ? there : special->length;
            bool goes_on = before == special->length || special->name[before] == text[at]; /* most do not: quicker */
            if (goes_on && !memcmp(text + at - before, special->name, length)) return true;
        }
    }
    return false;
}

static bool cuts_line(const dt_bpe *bpe, const char *text, size_t bytes, size_t at)
{
    switch (bpe->rule) {
    case DT_WORDS_GPT2: return dt_cuts_line_gpt2(text, bytes, at);
    case DT_WORDS_LLAMA3: return dt_cuts_line_llama3(text, bytes, at);
    case DT_WORDS_SPACE: return bpe->cut_lines && text[at] == '\n';
    case DT_WORDS_NONE: break;
    }
    return false;
}

/* Of byte fallback, no merge goes across the beginning of spaces. */
static bool cuts_words(const dt_bpe *bpe, const char *text, size_t bytes, size_t at)
{
    uint32_t before;
    if (bpe->rule == DT_WORDS_GPT2 || bpe->rule == DT_WORDS_LLAMA3) return dt_cuts_words(text, bytes, at);
    if (!bpe->cut_spaces || text[at] != ' ') return false;
    dt_utf8_last(text, at, &before);
    return before != ' ' && before != SPACE_MARK_CODE && before != UINT32_MAX;
}

/* Parts that begin and end with lines read best, but should not be small for that. */
size_t dt_tokenizer_cut(const dt_tokenizer *tokenizer, const char *text, size_t bytes)
{
    const dt_bpe *bpe = &tokenizer->bpe;
    if (tokenizer->bytes) return dt_utf8_cut(text, bytes);
    for (size_t at = bytes; at-- > bytes / 2 + 1;)
        if (cuts_line(bpe, text, bytes, at) && !is_special_at(bpe, text, bytes, at)) return at;
    for (size_t at = bytes; at-- > 1;)
        if ((cuts_words(bpe, text, bytes, at) || cuts_line(bpe, text, bytes, at)) &&
            !is_special_at(bpe, text, bytes, at))
            return at;
    return 0;
}
