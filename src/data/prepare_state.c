/* prepare.json, and whether the shards are those that it counts. */
#include "data/prepare_state.h"

#include "base/file.h"
#include "base/json.h"

enum { VERSION = 2, MOST_BYTES = 1 << 20 };

typedef struct entry {
    const char *name;
    int64_t *value;
} entry;

enum { ENTRIES = 13 };

static void list_entries(dt_prepare_state *s, entry *out)
{
    const entry entries[ENTRIES] = {{"file", &s->place.file},
                                    {"offset", &s->place.offset},
                                    {"line", &s->place.line},
                                    {"document", &s->place.document},
                                    {"part", &s->place.part},
                                    {"train_shards", &s->shards[0]},
                                    {"val_shards", &s->shards[1]},
                                    {"documents", &s->counts.documents},
                                    {"tokens", &s->counts.tokens},
                                    {"bytes", &s->counts.bytes},
                                    {"held_out_tokens", &s->counts.held_out_tokens},
                                    {"skipped", &s->counts.skipped},
                                    {"shards", &s->counts.shards}};
    for (int i = 0; i < ENTRIES; i++) out[i] = entries[i];
}

static dt_status path_of(const char *out, dt_text *path)
{
    dt_text_add(path, "%s/prepare.json", out);
    return dt_text_status(path);
}

/* --- what it is of --- */

typedef struct hash_entry {
    const char *name;
    uint64_t now;
    const char *differs; /* what is said of a preparation that has another */
} hash_entry;

enum { HASHES = 7, UNSOUND = 4, FILES = 5 };

static void list_hashes(const dt_prepare_source *s, hash_entry *out)
{
    const hash_entry entries[HASHES] = {
        {"key", s->key, "of other files (or they have changed since), with another tokenizer, or with other options"},
        {"tokenizer", s->tokenizer, "with another tokenizer"},
        {"options", s->options, "with other options"},
        {"input", s->input, "of another standard input (its first 64 KiB differ)"},
        [UNSOUND] = {"unsound", s->unsound, "with another --unsound"},
        [FILES] = {"files", s->files, "of other files, or their sizes have changed since"},
        {"times", s->times, "of files of which one was modified since, though its size is the same"}};
    for (int i = 0; i < HASHES; i++) out[i] = entries[i];
}

/* What differs, in words. A hash that the state does not tell does not: version 1 has a key of tokenizer, options and
 * files at once, and at first nothing else. `newer`: of files that differ, one that was modified since, where one is
 * known. */
static dt_status compare(const json_t *root, const char *path, const dt_prepare_source *s, dt_text *differs,
                         const char **newer)
{
    hash_entry entries[HASHES];
    list_hashes(s, entries);
    for (int i = 0; i < HASHES; i++) {
        uint64_t noted = entries[i].now;
        if (json_object_get(root, entries[i].name)) DT_TRY(dt_json_hash(root, entries[i].name, path, &noted));
        if (noted == entries[i].now || (i == UNSOUND && noted == DT_UNSOUND_STOP)) continue;
        dt_text_add(differs, "%s%s", differs->length ? ", " : "", entries[i].differs);
        if (i >= FILES) *newer = dt_corpus_modified_after(s->corpus, path);
        if (i == FILES) break; /* their times say nothing more */
    }
    return dt_text_status(differs);
}

static dt_status check_source(const json_t *root, const char *path, const dt_prepare_source *s)
{
    dt_text differs = {0};
    const char *newer = NULL;
    dt_status status = compare(root, path, s, &differs, &newer);
    if (!status && differs.length)
        status = dt_fail(DT_ERR_USAGE, "'%s' is of a preparation %s%s%s%s: choose another --out, or remove the folder",
                         path, differs.data, newer ? " ('" : "", newer ? newer : "", newer ? "')" : "");
    dt_text_free(&differs);
    return status;
}

/* --- reading and writing --- */

static dt_status read_entries(json_t *root, const char *path, dt_prepare_state *s)
{
    entry entries[ENTRIES];
    int64_t version;
    json_t *done;
    dt_prepare_state read = {.source = s->source, .begun = true};
    DT_TRY(dt_json_check_seal(root, path));
    DT_TRY(dt_json_int(root, "version", path, &version));
    DT_TRY(dt_json_member(root, "done", JSON_TRUE, path, &done));
    if (version < 1 || version > VERSION)
        return dt_fail(DT_ERR_DATA, "'%s' is of version %lld; this program reads up to %d", path, (long long)version,
                       VERSION);
    DT_TRY(check_source(root, path, &s->source));
    list_entries(&read, entries);
    for (int i = 0; i < ENTRIES; i++) {
        DT_TRY(dt_json_int(root, entries[i].name, path, entries[i].value));
        if (*entries[i].value < 0) return dt_fail(DT_ERR_DATA, "'%s': %s is below 0", path, entries[i].name);
    }
    read.done = json_is_true(done);
    *s = read;
    return DT_OK;
}

dt_status dt_prepare_state_read(const char *out, dt_prepare_state *s)
{
    dt_text path = {0};
    json_t *root = NULL;
    dt_status status = path_of(out, &path);
    if (!status && dt_file_exists(path.data)) {
        status = dt_json_read(path.data, MOST_BYTES, &root);
        if (!status) status = read_entries(root, path.data, s);
        json_decref(root);
    }
    dt_text_free(&path);
    return status;
}

static json_t *to_json(const dt_prepare_state *state)
{
    dt_prepare_state s = *state;
    hash_entry hashes[HASHES];
    entry entries[ENTRIES];
    json_t *root = json_pack("{si sb}", "version", VERSION, "done", s.done);
    list_hashes(&s.source, hashes);
    list_entries(&s, entries);
    bool whole = root != NULL;
    for (int i = 1; whole && i < HASHES; i++) /* without the key */
        whole = !json_object_set_new(root, hashes[i].name, dt_json_hash_text(hashes[i].now));
    for (int i = 0; whole && i < ENTRIES; i++)
        whole = !json_object_set_new(root, entries[i].name, json_integer((json_int_t)*entries[i].value));
    if (whole) return root;
    json_decref(root);
    return NULL;
}

dt_status dt_prepare_state_write(const char *out, const dt_prepare_state *state)
{
    dt_text path = {0}, text = {0};
    json_t *root = to_json(state);
    dt_status status = root ? dt_json_seal(root) : dt_fail_memory(sizeof *state, "prepare.json");
    if (!status) status = dt_json_print(root, JSON_INDENT(2), &text);
    if (!status) status = path_of(out, &path);
    if (!status) status = dt_file_replace(path.data, text.data, text.length);
    json_decref(root);
    dt_text_free(&path);
    dt_text_free(&text);
    return status;
}

/* --- shards --- */

dt_status dt_prepare_shard_path(const char *out, int split, int64_t number, dt_text *path)
{
    dt_text_add(path, "%s/%s-%05lld.tokens", out, split == 0 ? "train" : "val", (long long)number);
    return dt_text_status(path);
}

static dt_status check_counted(const char *out, int split, int64_t number)
{
    dt_text path = {0};
    dt_shard *shard = NULL;
    dt_status status = dt_prepare_shard_path(out, split, number, &path);
    if (!status) status = dt_shard_open(path.data, &shard);
    dt_shard_free(shard);
    dt_text_free(&path);
    if (status != DT_ERR_IO && status != DT_ERR_DATA) return status;
    return dt_fail(status, "%s; '%s/prepare.json' counts it among those that are complete: choose another --out, or "
                   "remove the folder", dt_error_message(), out);
}

static dt_status check_none(const char *out)
{
    char **names;
    size_t count;
    dt_status status = DT_OK;
    DT_TRY(dt_folder_list(out, &names, &count));
    for (size_t i = 0; i < count && !status; i++)
        if (dt_shard_is_name(names[i]))
            status = dt_fail(DT_ERR_USAGE, "'%s/%s' is there already, but no prepare.json that tells of it, and it "
                             "would be trained on with the new shards: choose another --out, or remove it", out,
                             names[i]);
    dt_folder_list_free(names, count);
    return status;
}

dt_status dt_prepare_check_shards(const char *out, const dt_prepare_state *s)
{
    if (!s->begun) return check_none(out);
    for (int split = 0; split < 2; split++)
        for (int64_t i = 0; i < s->shards[split]; i++) DT_TRY(check_counted(out, split, i));
    return DT_OK;
}
