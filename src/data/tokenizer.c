/* What tokenizers of every kind do: opening, copying, telling, decoding. */
#include "data/tokenizer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "data/tokenizer_kinds.h"

enum { BYTES = 256, MOST_BYTES = 128 << 20 };

/* --- opening --- */

static dt_status join(dt_text *path, const char *folder, const char *name)
{
    path->length = 0;
    dt_text_add(path, "%s/%s", folder, name);
    return dt_text_status(path);
}

static dt_status open_folder(const char *folder, dt_bpe *bpe)
{
    static const char *const pairs[][2] = {{"encoder.json", "vocab.bpe"}, {"vocab.json", "merges.txt"}};
    dt_text first = {0}, second = {0};
    dt_status status = join(&first, folder, "tokenizer.json");
    if (!status && dt_file_exists(first.data)) {
        status = dt_tokenizer_read_json(first.data, bpe);
        goto done;
    }
    for (int p = 0; p < 2 && !status; p++) {
        DT_TRY_GOTO(join(&first, folder, pairs[p][0]), done);
        DT_TRY_GOTO(join(&second, folder, pairs[p][1]), done);
        if (!dt_file_exists(first.data) || !dt_file_exists(second.data)) continue;
        status = dt_tokenizer_read_gpt2(first.data, second.data, bpe);
        goto done;
    }
    if (!status)
        status = dt_fail(DT_ERR_DATA, "the folder '%s' holds no tokenizer: neither tokenizer.json, nor encoder.json "
                         "and vocab.bpe, nor vocab.json and merges.txt", folder);
done:
    dt_text_free(&first);
    dt_text_free(&second);
    return status;
}

static dt_status open_bpe(const char *path, dt_bpe *bpe)
{
    struct stat info;
    if (stat(path, &info))
        return dt_fail(DT_ERR_IO, "cannot find the tokenizer '%s': it is bytes, a folder, or a tokenizer.json", path);
    return S_ISDIR(info.st_mode) ? open_folder(path, bpe) : dt_tokenizer_read_json(path, bpe);
}

dt_status dt_tokenizer_open(const char *spec, dt_tokenizer **out)
{
    dt_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return dt_fail_memory(sizeof *t, spec);
    for (int b = 0; b < BYTES; b++) t->letter[b] = (char)b;
    t->bytes = !strcmp(spec, "bytes");
    dt_status status = t->bytes ? DT_OK : open_bpe(spec, &t->bpe);
    if (status) dt_tokenizer_close(t);
    else *out = t;
    return status;
}

void dt_tokenizer_close(dt_tokenizer *t)
{
    if (!t) return;
    dt_bpe_free(&t->bpe);
    free(t);
}

/* --- copying --- */

static dt_status copy_file(const char *from, const char *folder, const char *name)
{
    char *bytes;
    size_t size;
    dt_text to = {0};
    DT_TRY(dt_file_read(from, MOST_BYTES, &bytes, &size));
    dt_status status = join(&to, folder, name);
    if (!status) status = dt_file_replace(to.data, bytes, size);
    dt_text_free(&to);
    free(bytes);
    return status;
}

static dt_status remove_file(const char *folder, const char *name)
{
    dt_text path = {0};
    dt_status status = join(&path, folder, name);
    if (!status && unlink(path.data) && errno != ENOENT)
        status = dt_fail(DT_ERR_IO, "cannot remove '%s': %s", path.data, strerror(errno));
    dt_text_free(&path);
    return status;
}

/* Of the files that make up a tokenizer, those of `spec`, and no other: tokenizer.json is opened before the rest, so
 * one that an earlier tokenizer left would be taken for this one. */
static dt_status copy_files(const char *spec, bool bytes, bool folder, const char *to)
{
    static const char *const names[] = {"tokenizer.json", "encoder.json", "vocab.bpe", "vocab.json", "merges.txt"};
    dt_status status = DT_OK;
    dt_text from = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names && !status; i++) {
        if (folder) DT_TRY_GOTO(join(&from, spec, names[i]), done);
        bool has = folder ? dt_file_exists(from.data) : !bytes && i == 0;
        status = has ? copy_file(folder ? from.data : spec, to, names[i]) : remove_file(to, names[i]);
    }
done:
    dt_text_free(&from);
    return status ? status : dt_folder_sync(to);
}

static dt_status copy_to(const char *spec, const char *to)
{
    struct stat from, info;
    bool bytes = !strcmp(spec, "bytes"), folder = !bytes && stat(spec, &from) == 0 && S_ISDIR(from.st_mode);
    bool there = lstat(to, &info) == 0;
    if (there && S_ISLNK(info.st_mode))
        return dt_fail(DT_ERR_USAGE, "'%s' is a link, and a copy of the tokenizer belongs there: remove it, or choose "
                       "another --out", to);
    if (bytes && (!there || !S_ISDIR(info.st_mode))) return DT_OK;
    DT_TRY(dt_folder_make(to));
    DT_TRY(copy_files(spec, bytes, folder, to));
    if (bytes) rmdir(to); /* stays where something else is in it */
    return DT_OK;
}

dt_status dt_tokenizer_copy(const char *spec, const char *out)
{
    dt_text to = {0};
    dt_status status = join(&to, out, "tokenizer");
    if (!status) status = copy_to(spec, to.data);
    dt_text_free(&to);
    return status;
}

/* --- telling --- */

int64_t dt_tokenizer_vocabulary(const dt_tokenizer *t) { return t->bytes ? BYTES : t->bpe.size; }

uint64_t dt_tokenizer_hash(const dt_tokenizer *t)
{
    uint64_t hash = t->bytes ? dt_hash_text("bytes") : t->bpe.hash;
    return hash ? hash : 1;
}

char *dt_tokenizer_hash_text(uint64_t hash, char out[DT_TOKENIZER_HASH_ROOM])
{
    snprintf(out, DT_TOKENIZER_HASH_ROOM, "%016llx", (unsigned long long)hash);
    return out;
}

int32_t dt_tokenizer_end(const dt_tokenizer *t) { return t->bytes ? 0 : t->bpe.end; }
int32_t dt_tokenizer_begin(const dt_tokenizer *t) { return t->bytes ? -1 : t->bpe.begin; }

int32_t dt_tokenizer_special(const dt_tokenizer *t, const char *name)
{
    for (int i = 0; i < t->bpe.specials; i++)
        if (!strcmp(t->bpe.special[i].name, name)) return t->bpe.special[i].token;
    return -1;
}

const char *dt_tokenizer_token(const dt_tokenizer *t, int32_t token, size_t *bytes)
{
    *bytes = 0;
    if (token < 0 || token >= dt_tokenizer_vocabulary(t)) return NULL;
    if (t->bytes) {
        *bytes = 1;
        return &t->letter[token];
    }
    const dt_bpe *bpe = &t->bpe;
    *bytes = bpe->at[token + 1] - bpe->at[token];
    return *bytes ? bpe->bytes.data + bpe->at[token] : NULL;
}

static bool is_special(const dt_bpe *bpe, int32_t token)
{
    for (int i = 0; i < bpe->specials; i++)
        if (bpe->special[i].token == token) return true;
    return false;
}

int64_t dt_tokenizer_text_bytes(const dt_tokenizer *t, int32_t token, int32_t before)
{
    const dt_bpe *bpe = &t->bpe;
    size_t bytes;
    const char *text = dt_tokenizer_token(t, token, &bytes);
    if (!text || *text != ' ' || !bpe->prefix_space) return (int64_t)bytes;
    bool put_in = before < 0 || (!bpe->prefix_first && is_special(bpe, before));
    return (int64_t)bytes - put_in;
}

dt_status dt_tokenizer_decode(const dt_tokenizer *t, const int32_t *tokens, int64_t count, dt_text *out)
{
    size_t before = out->length;
    bool stripped = !t->bpe.strip_space;
    for (int64_t i = 0; i < count; i++) {
        size_t bytes;
        const char *text = dt_tokenizer_token(t, tokens[i], &bytes);
        if (!text) return dt_fail(DT_ERR_DATA, "%d is not a token of this tokenizer", tokens[i]);
        if (!stripped && out->length == before && *text == ' ') text++, bytes--, stripped = true;
        dt_text_add_bytes(out, text, bytes);
    }
    return dt_text_status(out);
}

dt_status dt_tokens_reserve(dt_tokens *list, int64_t more)
{
    if (list->count + more <= list->room) return DT_OK;
    int64_t room = list->room + list->room / 2 > list->count + more ? list->room + list->room / 2 : list->count + more;
    int32_t *grown = realloc(list->token, (size_t)room * sizeof *grown);
    if (!grown) return dt_fail_memory((size_t)room * sizeof *grown, "tokens");
    list->token = grown;
    list->room = room;
    return DT_OK;
}
