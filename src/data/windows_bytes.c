/* How many bytes of text the targets of an eval split stand for.
 *
 * Files tell the bytes of all of their tokens together. Of the file that the split begins in, the tokens on one side of
 * the first target, whichever are fewer, are counted by the lengths that their tokenizer gives them. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "data/tokenizer.h"
#include "data/windows.h"

enum { AT_ONCE = 1 << 16, UNKNOWN = -1 };

/* --- the tokenizer --- */

/* NULL where the shards were made with another one, or this one cannot be read, as `why` then says: only bits per byte
 * want it. */
static dt_status open_same(const char *spec, const dt_shard *shard, dt_tokenizer **out, dt_text *why)
{
    dt_status status = dt_tokenizer_open(spec, out);
    if (!status && dt_tokenizer_hash(*out) == shard->tokenizer) return DT_OK;
    if (!status) dt_tokenizer_close(*out);
    *out = NULL;
    if (status == DT_ERR_MEMORY) return status;
    if (status) dt_text_add(why, "%s", dt_error_message());
    else dt_text_add(why, "'%s' is another tokenizer than that of '%s'", spec, shard->path);
    dt_error_clear();
    return dt_text_status(why);
}

static dt_status open_beside(const dt_shard *shard, dt_tokenizer **out, dt_text *why)
{
    dt_text path = {0};
    const char *slash = strrchr(shard->path, '/');
    dt_text_add(&path, "%.*stokenizer", slash ? (int)(slash - shard->path) + 1 : 0, shard->path);
    dt_status status = dt_text_status(&path);
    if (!status && dt_file_exists(path.data)) status = open_same(path.data, shard, out, why);
    else if (!status) dt_text_add(why, "there is no tokenizer '%s'", path.data);
    dt_text_free(&path);
    return status ? status : dt_text_status(why);
}

/* The one that is named, bytes, or a copy beside the shards, which all have the same; NULL where there is none. */
static dt_status find_tokenizer(const dt_windows *w, const char *named, dt_tokenizer **out, dt_text *why)
{
    *out = NULL;
    if (named) return dt_tokenizer_open(named, out);
    for (int r = 0; r < w->rows && !*out; r++) {
        const dt_shard *shard = w->row[r].shard[0];
        if (!shard->tokenizer) continue;
        DT_TRY(open_same("bytes", shard, out, why));
        why->length = 0;
        if (!*out) DT_TRY(open_beside(shard, out, why));
    }
    return DT_OK;
}

/* --- counting --- */

/* Where the counting of a shard's tokens is. */
typedef struct place {
    int64_t at, document; /* the next token; the document that it is in */
    int32_t before;       /* the token in front of it; -1: none is known */
} place;

/* Of the next token, as the shard's maker counts it: the end token behind a document's text has none. */
static int64_t bytes_of(const dt_shard *shard, const dt_tokenizer *tokenizer, int32_t token, place *p)
{
    const uint64_t *ends = shard->document_ends;
    while (p->document < shard->documents && (int64_t)ends[p->document] <= p->at) p->document++;
    int64_t first = p->document ? (int64_t)ends[p->document - 1] : 0;
    bool last = p->document < shard->documents && p->at + 1 == (int64_t)ends[p->document];
    int32_t before = p->at == first ? -1 : p->before;
    p->at++;
    p->before = token;
    return last && token == dt_tokenizer_end(tokenizer) ? 0 : dt_tokenizer_text_bytes(tokenizer, token, before);
}

/* Of tokens first .. end-1. */
static dt_status add_up(const dt_shard *shard, const dt_tokenizer *tokenizer, int64_t first, int64_t end, int64_t *out)
{
    int32_t *tokens = malloc(AT_ONCE * sizeof *tokens);
    if (!tokens) return dt_fail_memory(AT_ONCE * sizeof *tokens, "tokens");
    place p = {.at = first, .before = -1};
    dt_status status = first ? dt_shard_read(shard, first - 1, 1, &p.before) : DT_OK;
    *out = 0;
    for (int64_t count; first < end && !status; first += count) {
        count = end - first < AT_ONCE ? end - first : AT_ONCE;
        status = dt_shard_read(shard, first, count, tokens);
        for (int64_t i = 0; i < count && !status; i++) *out += bytes_of(shard, tokenizer, tokens[i], &p);
    }
    free(tokens);
    return status;
}

/* Without a tokenizer: where the first token alone is no target, it is taken for one of average length. */
static int64_t whole_but_first(const dt_shard *shard, int64_t from)
{
    return from == 1 ? (int64_t)((double)shard->bytes * (double)(shard->tokens - 1) / (double)shard->tokens + 0.5)
                     : UNKNOWN;
}

/* Of token `from` and all behind it. */
static dt_status count_end(const dt_shard *shard, const dt_tokenizer *tokenizer, int64_t from, int64_t *out)
{
    int64_t before = 0;
    *out = shard->bytes;
    if (!from) return DT_OK;
    if (!tokenizer) *out = whole_but_first(shard, from);
    else if (from > shard->tokens / 2) return add_up(shard, tokenizer, from, shard->tokens, out);
    else DT_TRY(add_up(shard, tokenizer, 0, from, &before));
    *out -= before;
    return DT_OK;
}

/* Of a shard, the first token that is a target; none is where that is beyond its last. */
static int64_t first_target(const dt_token_row *row, int64_t s)
{
    int64_t from = row->begin + 1 - row->first[s];
    return from > 0 ? from : 0;
}

/* 0 where the lengths of tokens are wanted, but not known. */
static dt_status count_all(const dt_windows *w, const dt_tokenizer *tokenizer, int64_t *out)
{
    int64_t bytes = 0, more;
    for (int r = 0; r < w->rows; r++)
        for (int64_t s = 0; s < w->row[r].shards; s++) {
            const dt_token_row *row = &w->row[r];
            int64_t from = first_target(row, s);
            if (from >= row->shard[s]->tokens) continue;
            DT_TRY(count_end(row->shard[s], tokenizer, from, &more));
            if (more < 0) return DT_OK;
            bytes += more;
        }
    *out = bytes;
    return DT_OK;
}

/* Do all files with targets tell their bytes? */
static bool tells_bytes(const dt_windows *w)
{
    for (int r = 0; r < w->rows; r++)
        for (int64_t s = 0; s < w->row[r].shards; s++) {
            const dt_shard *shard = w->row[r].shard[s];
            if (shard->bytes < 0 && first_target(&w->row[r], s) < shard->tokens) return false;
        }
    return true;
}

dt_status dt_windows_count_bytes(const dt_windows *w, const char *named, int64_t *out, dt_text *why)
{
    dt_tokenizer *tokenizer;
    *out = 0;
    why->length = 0;
    if (!tells_bytes(w)) return DT_OK;
    DT_TRY(find_tokenizer(w, named, &tokenizer, why));
    dt_status status = count_all(w, tokenizer, out);
    if (tokenizer || *out) why->length = 0;
    dt_tokenizer_close(tokenizer);
    return status;
}
