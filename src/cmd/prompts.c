/* Lines to prompts. */
#include "cmd/prompts.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "data/corpus_files.h"
#include "data/unpack.h"

dt_status dt_prompts_add(dt_prompts *p, const char *text, size_t bytes)
{
    dt_text *grown = realloc(p->text, ((size_t)p->count + 1) * sizeof *grown), added = {0};
    if (!grown) return dt_fail_memory(((size_t)p->count + 1) * sizeof *grown, "the prompts");
    p->text = grown;
    dt_text_add_bytes(&added, text, bytes);
    p->text[p->count++] = added;
    return dt_text_status(&added);
}

static dt_status add_json(dt_prompts *p, const char *where, const char *line, size_t bytes)
{
    json_t *object;
    const char *text;
    DT_TRY(dt_json_parse_line(line, bytes, where, &object));
    dt_status status = dt_json_text(object, "prompt", where, &text);
    if (!status) status = dt_prompts_add(p, text, strlen(text));
    json_decref(object);
    return status;
}

static dt_status add_line(dt_prompts *p, const char *name, int64_t number, bool json, const char *line, size_t bytes)
{
    dt_text where = {0};
    if (bytes && line[bytes - 1] == '\r') bytes--;
    if (!json) return dt_prompts_add(p, line, bytes);
    if (!bytes) return DT_OK;
    dt_text_add(&where, "%s:%lld", name, (long long)number);
    dt_status status = dt_text_status(&where);
    if (!status) status = add_json(p, where.data, line, bytes);
    dt_text_free(&where);
    return status;
}

dt_status dt_prompts_parse(dt_prompts *p, const char *name, bool json, const char *bytes, size_t size)
{
    int64_t before = p->count, number = 1;
    for (size_t at = 0, length; at < size; at += length + 1, number++) {
        const char *end = memchr(bytes + at, '\n', size - at);
        length = end ? (size_t)(end - bytes) - at : size - at;
        DT_TRY(add_line(p, name, number, json, bytes + at, length));
    }
    return p->count > before ? DT_OK : dt_fail(DT_ERR_DATA, "'%s' holds no prompts", name);
}

dt_status dt_prompts_read(dt_prompts *p, const char *path)
{
    dt_unpack *file;
    uint8_t *bytes = NULL;
    int64_t size = 0;
    DT_TRY(dt_unpack_open(path, &file));
    dt_status status = dt_unpack_append(file, &bytes, &size);
    if (!status) status = dt_prompts_parse(p, path, dt_path_is_json(path), (const char *)bytes, (size_t)size);
    dt_unpack_close(file);
    free(bytes);
    return status;
}

void dt_prompts_free(dt_prompts *p)
{
    for (int64_t i = 0; i < p->count; i++) dt_text_free(&p->text[i]);
    free(p->text);
    *p = (dt_prompts){0};
}
