/* GPT-2's own two files: encoder.json (names to numbers) and vocab.bpe (a line of version, then a merge a line). */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "data/tokenizer_kinds.h"

enum { MOST_BYTES = 128 << 20 };

static int64_t count_lines(const char *text, size_t bytes)
{
    int64_t lines = 1;
    for (size_t i = 0; i < bytes; i++) lines += text[i] == '\n';
    return lines;
}

static dt_status read_line(dt_bpe *bpe, const char *line, size_t length, int64_t number, const char *path)
{
    const char *space = memchr(line, ' ', length);
    if (!space || space == line || memchr(space + 1, ' ', length - (size_t)(space + 1 - line)) ||
        space + 1 == line + length)
        return dt_fail(DT_ERR_DATA, "%s:%lld: a merge is two tokens with a space between", path, (long long)number);
    return dt_bpe_read_merge(bpe, DT_SPELL_LETTERS, line, (size_t)(space - line), space + 1,
                             length - (size_t)(space + 1 - line), path);
}

static dt_status read_lines(dt_bpe *bpe, const char *text, size_t bytes, const char *path)
{
    int64_t number = 1;
    for (const char *line = text, *end = text + bytes; line < end; number++) {
        const char *stop = memchr(line, '\n', (size_t)(end - line));
        size_t length = (size_t)((stop ? stop : end) - line);
        bool comment = number == 1 && length && *line == '#';
        if (length && line[length - 1] == '\r') length--;
        if (length && !comment) DT_TRY(read_line(bpe, line, length, number, path));
        line = stop ? stop + 1 : end;
    }
    return DT_OK;
}

static dt_status read_merges(dt_bpe *bpe, const char *path)
{
    char *text;
    size_t bytes;
    DT_TRY(dt_file_read(path, MOST_BYTES, &text, &bytes));
    dt_status status = dt_bpe_reserve_merges(bpe, count_lines(text, bytes));
    if (!status) status = read_lines(bpe, text, bytes, path);
    free(text);
    return status;
}

dt_status dt_tokenizer_read_gpt2(const char *encoder_path, const char *merges_path, dt_bpe *bpe)
{
    static const char end[] = "<|endoftext|>";
    json_t *vocabulary;
    bpe->rule = DT_WORDS_GPT2;
    DT_TRY(dt_json_read(encoder_path, MOST_BYTES, &vocabulary));
    dt_status status = DT_OK;
    if (!json_is_object(vocabulary))
        status = dt_fail(DT_ERR_DATA, "'%s' is not an object of tokens and their numbers", encoder_path);
    if (!status) status = dt_bpe_read_vocabulary(bpe, vocabulary, NULL, DT_SPELL_LETTERS, encoder_path);
    json_decref(vocabulary);
    DT_TRY(status);
    int32_t token = dt_string_map_find(&bpe->ids, end, sizeof end - 1);
    if (token >= 0) DT_TRY(dt_bpe_add_special(bpe, end, token));
    DT_TRY(read_merges(bpe, merges_path));
    if (!bpe->merges && bpe->size - bpe->specials > 256) /* every byte would be its own token */
        return dt_fail(DT_ERR_DATA, "'%s' holds no merges, but '%s' has more tokens than bytes", merges_path,
                       encoder_path);
    return dt_bpe_complete(bpe, DT_SPELL_LETTERS, encoder_path);
}
