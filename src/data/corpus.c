/* Reading a corpus piece by piece. */
#include "data/corpus.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/hash.h"
#include "base/json.h"
#include "data/corpus_files.h"
#include "data/unpack.h"
#include "data/words.h"

enum { READ_BYTES = 256 << 10, MOST_UNCUT = 64 << 20, MOST_LINE = 1 << 30 };

struct dt_corpus {
    dt_path_list files;
    bool json_input;
    const dt_tokenizer *tokenizer;
    dt_corpus_place place;
    dt_unpack *input; /* standard input where its beginning was looked at, until it is opened; NULL */
    dt_unpack *open; /* of file place.file; NULL: not open */
    bool json, drained;
    dt_text held;    /* read, not yet given out, from `used` on */
    size_t used;
};

void dt_pieces_free(dt_pieces *pieces)
{
    dt_text_free(&pieces->text);
    free(pieces->piece);
    *pieces = (dt_pieces){0};
}

dt_status dt_corpus_open(const char *const *paths, int count, const char *left_out, bool json_input,
                         const dt_tokenizer *tokenizer, dt_corpus **out)
{
    dt_corpus *c = calloc(1, sizeof *c);
    if (!c) return dt_fail_memory(sizeof *c, "a corpus");
    c->files.left_out = left_out;
    c->json_input = json_input;
    c->tokenizer = tokenizer;
    dt_status status = DT_OK;
    for (int p = 0; p < count && !status; p++) status = dt_path_list_expand(&c->files, paths[p]);
    c->files.left_out = NULL;
    if (!status && !c->files.count) status = dt_fail(DT_ERR_DATA, "there are no files to read in what was named");
    if (status) dt_corpus_close(c);
    else *out = c;
    return status;
}

void dt_corpus_close(dt_corpus *c)
{
    if (!c) return;
    dt_unpack_close(c->open);
    dt_unpack_close(c->input);
    dt_text_free(&c->held);
    dt_path_list_free(&c->files);
    free(c);
}

const char *dt_corpus_file(const dt_corpus *c, int64_t file)
{
    return file < c->files.count ? c->files.path[file] : NULL;
}

dt_corpus_place dt_corpus_tell(const dt_corpus *c) { return c->place; }

/* Of what is no regular file, such as a pipe, zeros. */
static struct stat look_at(const char *path)
{
    struct stat info;
    bool regular = strcmp(path, "-") && stat(path, &info) == 0 && S_ISREG(info.st_mode);
    return regular ? info : (struct stat){0};
}

uint64_t dt_corpus_hash(const dt_corpus *c)
{
    uint64_t hash = 1;
    for (int64_t f = 0; f < c->files.count; f++) {
        uint64_t size = (uint64_t)look_at(c->files.path[f]).st_size;
        hash = dt_hash_bytes(c->files.path[f], strlen(c->files.path[f]), hash);
        hash = dt_hash_bytes(&size, sizeof size, hash);
    }
    return hash;
}

uint64_t dt_corpus_times(const dt_corpus *c)
{
    uint64_t hash = 1;
    for (int64_t f = 0; f < c->files.count; f++) {
        struct timespec modified = look_at(c->files.path[f]).st_mtim;
        int64_t time[] = {modified.tv_sec, modified.tv_nsec};
        hash = dt_hash_bytes(time, sizeof time, hash);
    }
    return hash;
}

const char *dt_corpus_modified_after(const dt_corpus *c, const char *path)
{
    struct timespec than = look_at(path).st_mtim;
    for (int64_t f = 0; f < c->files.count; f++) {
        struct timespec modified = look_at(c->files.path[f]).st_mtim;
        bool later = modified.tv_sec == than.tv_sec ? modified.tv_nsec > than.tv_nsec : modified.tv_sec > than.tv_sec;
        if (later) return c->files.path[f];
    }
    return NULL;
}

dt_status dt_corpus_input(dt_corpus *c, volatile const int *signal, uint64_t *hash)
{
    *hash = 0;
    for (int64_t f = 0; f < c->files.count && !c->input; f++) {
        size_t count;
        if (strcmp(c->files.path[f], "-")) continue;
        DT_TRY(dt_unpack_open_input(signal, &c->input));
        const uint8_t *start = dt_unpack_start(c->input, &count);
        *hash = dt_hash_bytes(start, count, 1);
    }
    return DT_OK;
}

/* --- a file --- */

static size_t held_bytes(const dt_corpus *c) { return c->held.length - c->used; }
static const char *held_text(const dt_corpus *c) { return c->held.data + c->used; }

static dt_status open_file(dt_corpus *c)
{
    const char *path = c->files.path[c->place.file];
    bool input = !strcmp(path, "-");
    if (input && c->input) c->open = c->input, c->input = NULL;
    else DT_TRY(dt_unpack_open(path, &c->open));
    c->json = input ? c->json_input : dt_path_is_json(path);
    c->drained = false;
    c->held.length = c->used = 0;
    return DT_OK;
}

static void close_file(dt_corpus *c)
{
    dt_unpack_close(c->open);
    c->open = NULL;
    c->place.file++;
    c->place.offset = c->place.line = 0;
}

/* Reads on behind what is held. */
static dt_status read_more(dt_corpus *c)
{
    static const char blank[4096];
    size_t got;
    if (c->used) {
        memmove(c->held.data, c->held.data + c->used, held_bytes(c));
        c->held.length -= c->used;
        c->used = 0;
    }
    size_t before = c->held.length;
    for (size_t done = 0; done < READ_BYTES; done += sizeof blank) dt_text_add_bytes(&c->held, blank, sizeof blank);
    DT_TRY(dt_text_status(&c->held));
    DT_TRY(dt_unpack_some(c->open, c->held.data + before, READ_BYTES, &got));
    c->held.length = before + got;
    c->drained = got < READ_BYTES;
    return DT_OK;
}

dt_status dt_corpus_seek(dt_corpus *c, const dt_corpus_place *place)
{
    c->place = *place;
    if (place->file >= c->files.count || !place->offset) return DT_OK;
    DT_TRY(open_file(c));
    for (int64_t left = place->offset; left > 0;) {
        DT_TRY(read_more(c));
        size_t skip = (int64_t)held_bytes(c) < left ? held_bytes(c) : (size_t)left;
        c->used += skip;
        left -= (int64_t)skip;
        if (left && c->drained)
            return dt_fail(DT_ERR_DATA, "'%s' is shorter than when it was read before", c->files.path[place->file]);
    }
    return DT_OK;
}

/* --- pieces --- */

static dt_status give(dt_corpus *c, size_t bytes, size_t skipped, bool ends, dt_pieces *out)
{
    if (out->count == out->room) {
        int64_t room = out->room ? 2 * out->room : 64;
        dt_piece *grown = realloc(out->piece, (size_t)room * sizeof *grown);
        if (!grown) return dt_fail_memory((size_t)room * sizeof *grown, "a list of documents");
        out->piece = grown;
        out->room = room;
    }
    out->piece[out->count++] = (dt_piece){c->place, out->text.length, bytes, c->json, ends};
    dt_text_add_bytes(&out->text, held_text(c), bytes);
    c->used += bytes + skipped;
    c->place.offset += (int64_t)(bytes + skipped);
    c->place.document += ends;
    c->place.part = ends ? 0 : c->place.part + 1;
    c->place.line += c->json;
    return dt_text_status(&out->text);
}

static bool is_blank(const char *line, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (line[i] != ' ' && line[i] != '\t' && line[i] != '\r') return false;
    return true;
}

/* The next line; blank ones are passed over. */
static dt_status give_line(dt_corpus *c, dt_pieces *out)
{
    const char *end;
    for (size_t seen = 0; !(end = held_bytes(c) ? memchr(held_text(c) + seen, '\n', held_bytes(c) - seen) : NULL);) {
        if (c->drained) break;
        seen = held_bytes(c);
        if (seen > MOST_LINE)
            return dt_fail(DT_ERR_DATA, "'%s': line %lld is longer than 1 GiB", c->files.path[c->place.file],
                           (long long)c->place.line + 1);
        DT_TRY(read_more(c));
    }
    size_t bytes = end ? (size_t)(end - held_text(c)) : held_bytes(c);
    if (!is_blank(held_text(c), bytes)) return give(c, bytes, end != NULL, true, out);
    c->used += bytes + (end != NULL);
    c->place.offset += (int64_t)bytes + (end != NULL);
    c->place.line++;
    return DT_OK;
}

/* Of what is held, what reading on from here gets for that much. More may be held, of an earlier look; where a text is
 * cut must follow from the place alone, so that a preparation which goes on from there has the same parts. */
static size_t seen_bytes(const dt_corpus *c, size_t wanted)
{
    size_t beyond = (size_t)(c->place.offset % READ_BYTES);
    size_t seen = (beyond + wanted + READ_BYTES - 1) / READ_BYTES * READ_BYTES - beyond;
    return seen < held_bytes(c) ? seen : held_bytes(c);
}

/* What cannot be cut is looked at again when it is twice as long, so that looking costs no more than reading. */
static dt_status give_text(dt_corpus *c, dt_pieces *out)
{
    for (size_t wanted = DT_PIECE_BYTES;; wanted *= 2) {
        while (!c->drained && held_bytes(c) < wanted) DT_TRY(read_more(c));
        size_t seen = seen_bytes(c, wanted);
        if (c->drained && seen == held_bytes(c)) return give(c, seen, 0, true, out);
        size_t cut = dt_tokenizer_cut(c->tokenizer, held_text(c), seen);
        if (!cut && seen >= MOST_UNCUT) cut = dt_utf8_cut(held_text(c), seen);
        if (cut == held_bytes(c)) DT_TRY(read_more(c)); /* is this the end? */
        if (cut) return give(c, cut, 0, cut == held_bytes(c), out);
    }
}

dt_status dt_corpus_read(dt_corpus *c, size_t bytes, dt_pieces *out)
{
    out->text.length = 0;
    out->count = 0;
    while (out->text.length + (size_t)out->count * sizeof *out->piece < bytes && c->place.file < c->files.count) {
        if (!c->open) DT_TRY(open_file(c));
        if (!held_bytes(c) && !c->drained) DT_TRY(read_more(c));
        bool nothing = !held_bytes(c) && c->drained, told = c->json && c->place.offset;
        if (c->json && !nothing) {
            DT_TRY(give_line(c, out));
            continue;
        }
        if (!told) DT_TRY(give_text(c, out)); /* of an empty file, too: an empty piece */
        if (told || out->piece[out->count - 1].ends) close_file(c);
    }
    return DT_OK;
}

/* --- JSON --- */

dt_status dt_json_line_text(const char *line, size_t bytes, const char *field, dt_text *out)
{
    json_error_t error = {0};
    json_t *root = json_loadb(line, bytes, JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | DT_JSON_LINE, &error);
    const json_t *value = json_object_get(root, field);
    const char *trouble = root ? NULL : dt_json_trouble(&error);
    dt_status status = DT_OK;
    if (trouble) status = dt_fail(DT_ERR_DATA, "column %d: %s: %s", error.column, trouble, error.text);
    else if (!root) status = dt_fail_memory(bytes, "a line of JSON");
    else if (!json_is_string(value))
        status = dt_fail(DT_ERR_DATA, "the line is no object with a text under '%s'", field);
    else dt_text_add_bytes(out, json_string_value(value), json_string_length(value));
    json_decref(root);
    return status ? status : dt_text_status(out);
}
