/* Reading multiple-choice questions. */
#include "data/questions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "data/unpack.h"

const char *dt_question_choice(const dt_question *question, int choice)
{
    return json_string_value(json_array_get(json_object_get(question->json, "choices"), (size_t)choice));
}

void dt_questions_free(dt_questions *list)
{
    for (int64_t i = 0; i < list->count; i++) json_decref(list->question[i].json);
    free(list->question);
    *list = (dt_questions){0};
}

/* --- a line --- */

static dt_status check_choices(const json_t *choices, const char *where)
{
    enum { LEAST = 2, MOST = 1 << 20 };
    size_t count = json_array_size(choices);
    if (count < LEAST || count > MOST)
        return dt_fail(DT_ERR_DATA, "%s: 'choices' has %zu choices, and from %d to %d are needed", where, count,
                       (int)LEAST, (int)MOST);
    for (size_t i = 0; i < count; i++) {
        const json_t *choice = json_array_get(choices, i);
        if (!json_is_string(choice))
            return dt_fail(DT_ERR_DATA, "%s: 'choices': choice %zu is not a text", where, i);
        if (!json_string_length(choice)) return dt_fail(DT_ERR_DATA, "%s: 'choices': choice %zu is empty", where, i);
    }
    return DT_OK;
}

static dt_status read_members(const char *where, dt_question *q)
{
    json_t *choices;
    int64_t answer;
    DT_TRY(dt_json_text(q->json, "context", where, &q->context));
    DT_TRY(dt_json_member(q->json, "choices", JSON_ARRAY, where, &choices));
    DT_TRY(check_choices(choices, where));
    DT_TRY(dt_json_line_int(q->json, "answer", where, &answer));
    q->choices = (int)json_array_size(choices);
    if (answer < 0 || answer >= q->choices)
        return dt_fail(DT_ERR_DATA, "%s: 'answer' is %lld, but the choices are 0 to %d", where, (long long)answer,
                       q->choices - 1);
    q->answer = (int)answer;
    return DT_OK;
}

static dt_status make_room(dt_questions *list)
{
    if (list->count < list->room) return DT_OK;
    int64_t room = list->room ? 2 * list->room : 64;
    dt_question *grown = realloc(list->question, (size_t)room * sizeof *grown);
    if (!grown) return dt_fail_memory((size_t)room * sizeof *grown, "the questions");
    list->question = grown;
    list->room = room;
    return DT_OK;
}

static dt_status add_line(dt_questions *list, const char *name, int64_t number, const char *line, size_t bytes)
{
    dt_text where = {0};
    dt_question q = {.line = number};
    DT_TRY(make_room(list));
    dt_text_add(&where, "%s:%lld", name, (long long)number);
    dt_status status = dt_text_status(&where);
    if (!status) status = dt_json_parse_line(line, bytes, where.data, &q.json);
    if (!status) status = read_members(where.data, &q);
    if (status) json_decref(q.json);
    else list->question[list->count++] = q;
    dt_text_free(&where);
    return status;
}

/* --- a file --- */

static bool is_blank(const char *line, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (!strchr(" \t\r", line[i]) || !line[i]) return false;
    return true;
}

dt_status dt_questions_parse(dt_questions *list, const char *name, const char *bytes, size_t size)
{
    int64_t before = list->count, number = 1;
    for (size_t at = 0; at < size; number++) {
        const char *end = memchr(bytes + at, '\n', size - at);
        size_t length = end ? (size_t)(end - bytes) - at : size - at;
        if (!is_blank(bytes + at, length)) DT_TRY(add_line(list, name, number, bytes + at, length));
        at += length + 1;
    }
    return list->count > before ? DT_OK : dt_fail(DT_ERR_DATA, "'%s' holds no questions", name);
}

dt_status dt_questions_read(dt_questions *list, const char *path)
{
    dt_unpack *file;
    uint8_t *bytes = NULL;
    int64_t count = 0;
    DT_TRY(dt_unpack_open(path, &file));
    dt_status status = dt_unpack_append(file, &bytes, &count);
    if (!status) status = dt_questions_parse(list, path, (const char *)bytes, (size_t)count);
    dt_unpack_close(file);
    free(bytes);
    return status;
}
