/* Hugging Face's tokenizer.json, of the BPE family. What is read is checked against what this program does; whatever
 * else a file asks of the text and its words is refused by its name. What comes after encoding (the post-processor,
 * truncation, padding) is passed over. */
#include <string.h>

#include "base/json.h"
#include "data/tokenizer_kinds.h"
#include "data/words.h"

enum { MOST_BYTES = 128 << 20 };

typedef struct reader {
    const char *path;
    json_t *root, *model;
    dt_bpe *bpe;
    dt_spelling spelling;
    bool replaces; /* the normalizer makes space marks of spaces */
} reader;

static const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

static bool is_type(const json_t *object, const char *type) { return !strcmp(text_of(object, "type"), type); }
static bool is_true(const json_t *object, const char *key) { return json_is_true(json_object_get(object, key)); }

static dt_status fail_kind(const reader *r, const char *part, const json_t *what)
{
    static const char supported[] = "byte-level BPE as of GPT-2 and Llama 3 and BPE with byte fallback as of Llama 2";
    const char *type = text_of(what, "type");
    if (!what || json_is_null(what))
        return dt_fail(DT_ERR_DATA, "'%s': it has no %s, which is not supported; %s are", r->path, part, supported);
    return dt_fail(DT_ERR_DATA, "'%s': its %s is of the kind '%s', which is not supported; %s are", r->path, part,
                   *type ? type : "unnamed", supported);
}

/* --- the model --- */

static dt_status check_model(reader *r)
{
    static const char *const unknown[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    bool untyped = !json_object_get(r->model, "type") && json_object_get(r->model, "merges");
    if (!untyped && !is_type(r->model, "BPE")) return fail_kind(r, "model", r->model);
    for (int i = 0; i < 2; i++)
        if (*text_of(r->model, unknown[i]))
            return dt_fail(DT_ERR_DATA, "'%s': its model has a %s, which is not supported", r->path, unknown[i]);
    if (json_number_value(json_object_get(r->model, "dropout")) > 0)
        return dt_fail(DT_ERR_DATA, "'%s': its model has a dropout, which is not supported", r->path);
    r->bpe->whole_words = is_true(r->model, "ignore_merges");
    r->spelling = is_true(r->model, "byte_fallback") ? DT_SPELL_FALLBACK : DT_SPELL_LETTERS;
    if (r->bpe->whole_words && r->spelling == DT_SPELL_FALLBACK) /* the reference looks whole texts up then */
        return dt_fail(DT_ERR_DATA, "'%s': its model has ignore_merges with byte fallback, which is not supported",
                       r->path);
    return DT_OK;
}

static dt_status read_merge(reader *r, const json_t *merge)
{
    if (json_is_string(merge)) { /* "left right" */
        const char *text = json_string_value(merge), *space = strchr(text, ' ');
        if (space && space > text && space[1])
            return dt_bpe_read_merge(r->bpe, r->spelling, text, (size_t)(space - text), space + 1, strlen(space + 1),
                                     r->path);
    }
    const char *left = json_string_value(json_array_get(merge, 0));
    const char *right = json_string_value(json_array_get(merge, 1));
    if (json_array_size(merge) == 2 && left && right)
        return dt_bpe_read_merge(r->bpe, r->spelling, left, strlen(left), right, strlen(right), r->path);
    return dt_fail(DT_ERR_DATA, "'%s': merge %lld is not two tokens", r->path, (long long)r->bpe->merges + 1);
}

static dt_status read_model(reader *r)
{
    json_t *vocabulary, *merges, *merge, *added = json_object_get(r->root, "added_tokens");
    size_t i;
    DT_TRY(dt_json_member(r->model, "vocab", JSON_OBJECT, r->path, &vocabulary));
    DT_TRY(dt_json_member(r->model, "merges", JSON_ARRAY, r->path, &merges));
    DT_TRY(dt_bpe_read_vocabulary(r->bpe, vocabulary, added, r->spelling, r->path));
    DT_TRY(dt_bpe_reserve_merges(r->bpe, (int64_t)json_array_size(merges)));
    json_array_foreach(merges, i, merge) DT_TRY(read_merge(r, merge));
    return DT_OK;
}

/* --- what comes before it: byte-level --- */

static dt_status read_byte_level(reader *r, const json_t *level, dt_word_rule rule)
{
    json_t *pattern = json_object_get(level, "use_regex");
    bool own = !pattern || json_is_true(pattern);
    if (own && rule != DT_WORDS_NONE)
        return dt_fail(DT_ERR_DATA, "'%s': its pre-tokenizer cuts words twice, which is not supported", r->path);
    r->bpe->rule = own ? DT_WORDS_GPT2 : rule;
    r->bpe->prefix_space = is_true(level, "add_prefix_space");
    if (r->bpe->prefix_space && rule != DT_WORDS_NONE) /* the reference has it before every word then */
        return dt_fail(DT_ERR_DATA, "'%s': its pre-tokenizer has add_prefix_space behind a Split, which is not "
                       "supported", r->path);
    return DT_OK;
}

static dt_status read_split(reader *r, const json_t *split, dt_word_rule *out)
{
    const char *pattern = text_of(json_object_get(split, "pattern"), "Regex");
    if (!is_type(split, "Split")) return fail_kind(r, "pre-tokenizer", split);
    bool plain = !strcmp(text_of(split, "behavior"), "Isolated") && !is_true(split, "invert");
    if (plain && !strcmp(pattern, DT_PATTERN_GPT2)) *out = DT_WORDS_GPT2;
    else if (plain && !strcmp(pattern, DT_PATTERN_LLAMA3)) *out = DT_WORDS_LLAMA3;
    else
        return dt_fail(DT_ERR_DATA, "'%s': its pre-tokenizer cuts words by the pattern %s, which is not supported; "
                       "those of GPT-2 and Llama 3 are", r->path, *pattern ? pattern : "(none)");
    return DT_OK;
}

static dt_status read_letters(reader *r)
{
    json_t *before = json_object_get(r->root, "pre_tokenizer"), *normalizer = json_object_get(r->root, "normalizer");
    json_t *parts = json_object_get(before, "pretokenizers");
    dt_word_rule rule = DT_WORDS_NONE;
    if (normalizer && !json_is_null(normalizer)) return fail_kind(r, "normalizer", normalizer);
    if (is_type(before, "ByteLevel")) return read_byte_level(r, before, rule);
    if (!is_type(before, "Sequence") || json_array_size(parts) != 2) return fail_kind(r, "pre-tokenizer", before);
    DT_TRY(read_split(r, json_array_get(parts, 0), &rule));
    if (!is_type(json_array_get(parts, 1), "ByteLevel")) return fail_kind(r, "pre-tokenizer", json_array_get(parts, 1));
    return read_byte_level(r, json_array_get(parts, 1), rule);
}

/* --- the same with byte fallback: spaces become U+2581, and one comes in front --- */

static dt_status read_normalizer(reader *r, const json_t *normalizer)
{
    size_t i;
    json_t *part;
    if (is_type(normalizer, "Sequence")) {
        json_array_foreach(json_object_get(normalizer, "normalizers"), i, part) DT_TRY(read_normalizer(r, part));
        return DT_OK;
    }
    if (is_type(normalizer, "Prepend") && !strcmp(text_of(normalizer, "prepend"), DT_SPACE_MARK)) {
        if (r->bpe->prefix_space)
            return dt_fail(DT_ERR_DATA, "'%s': its normalizer has Prepend twice, which is not supported", r->path);
        r->bpe->prefix_space = r->bpe->prefix_twice = true;
        return DT_OK;
    }
    if (is_type(normalizer, "Replace") && !strcmp(text_of(normalizer, "content"), DT_SPACE_MARK) &&
        !strcmp(text_of(json_object_get(normalizer, "pattern"), "String"), " ")) {
        r->replaces = true;
        return DT_OK;
    }
    return fail_kind(r, "normalizer", normalizer);
}

static dt_status read_normalizers(reader *r, const json_t *normalizer)
{
    DT_TRY(read_normalizer(r, normalizer));
    if (r->replaces) return DT_OK;
    return dt_fail(DT_ERR_DATA, "'%s': its normalizer does not Replace spaces by U+2581, and byte fallback without "
                   "that is not supported", r->path);
}

/* Where no scheme is named it is `always`, as in old files. */
static dt_status check_scheme(const reader *r, const json_t *before)
{
    static const char *const schemes[] = {"always", "first", "never"};
    const json_t *named = json_object_get(before, "prepend_scheme");
    const char *scheme = named ? text_of(before, "prepend_scheme") : "always";
    bool known = false;
    for (int i = 0; i < 3; i++) known |= !strcmp(scheme, schemes[i]);
    if (!known)
        return dt_fail(DT_ERR_DATA, "'%s': its pre-tokenizer Metaspace has the prepend_scheme '%s', which is not "
                       "supported; always, first and never are", r->path, scheme);
    if (json_is_false(json_object_get(before, "add_prefix_space")) && strcmp(scheme, "never") != 0)
        return dt_fail(DT_ERR_DATA, "'%s': its pre-tokenizer Metaspace has add_prefix_space false without the "
                       "prepend_scheme never, which is not supported", r->path);
    return DT_OK;
}

static dt_status read_metaspace(reader *r, const json_t *before)
{
    const char *scheme = text_of(before, "prepend_scheme");
    if (!is_type(before, "Metaspace") || strcmp(text_of(before, "replacement"), DT_SPACE_MARK) != 0)
        return fail_kind(r, "pre-tokenizer", before);
    if (!json_is_false(json_object_get(before, "split")))
        return dt_fail(DT_ERR_DATA, "'%s': its pre-tokenizer Metaspace splits words, which is not supported", r->path);
    DT_TRY(check_scheme(r, before));
    r->bpe->prefix_space = strcmp(scheme, "never") != 0;
    r->bpe->prefix_first = !strcmp(scheme, "first");
    return DT_OK;
}

static dt_status check_added(const reader *r)
{
    size_t i;
    json_t *value;
    json_array_foreach(json_object_get(r->root, "added_tokens"), i, value)
        if (is_true(value, "normalized"))
            return dt_fail(DT_ERR_DATA, "'%s': the added token '%s' is normalized, which is not supported", r->path,
                           text_of(value, "content"));
    return DT_OK;
}

static dt_status read_fallback(reader *r)
{
    json_t *before = json_object_get(r->root, "pre_tokenizer"), *normalizer = json_object_get(r->root, "normalizer");
    r->bpe->rule = DT_WORDS_SPACE;
    if (json_is_object(before)) {
        if (json_is_object(normalizer)) return fail_kind(r, "normalizer", normalizer);
        DT_TRY(read_metaspace(r, before));
    } else if (json_is_object(normalizer)) {
        DT_TRY(check_added(r));
        DT_TRY(read_normalizers(r, normalizer));
    } else {
        return dt_fail(DT_ERR_DATA, "'%s': it has byte fallback, but neither a normalizer nor a pre-tokenizer",
                       r->path);
    }
    r->bpe->strip_space = r->bpe->prefix_space;
    return DT_OK;
}

/* --- all --- */

static dt_status read_all(reader *r)
{
    if (!json_is_object(r->root)) return dt_fail(DT_ERR_DATA, "'%s' is not a tokenizer: it is no object", r->path);
    DT_TRY(dt_json_member(r->root, "model", JSON_OBJECT, r->path, &r->model));
    DT_TRY(check_model(r));
    DT_TRY(r->spelling == DT_SPELL_FALLBACK ? read_fallback(r) : read_letters(r));
    DT_TRY(read_model(r));
    return dt_bpe_complete(r->bpe, r->spelling, r->path);
}

dt_status dt_tokenizer_read_json(const char *path, dt_bpe *bpe)
{
    reader r = {.path = path, .bpe = bpe};
    DT_TRY(dt_json_read(path, MOST_BYTES, &r.root));
    dt_status status = read_all(&r);
    json_decref(r.root);
    return status;
}
