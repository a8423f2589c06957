/* libyaml's events made into the tree. */
#include "config/yaml.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

typedef struct reader {
    yaml_parser_t parser;
    dt_arena *arena;
    const char *source;
    bool numbered;
    int nodes;
} reader;

static dt_place place_of(const reader *r, yaml_mark_t mark)
{
    if (!r->numbered) return (dt_place){.source = r->source};
    return (dt_place){r->source, (int)mark.line + 1, (int)mark.column + 1};
}

static dt_status next_event(reader *r, yaml_event_t *event)
{
    if (yaml_parser_parse(&r->parser, event)) return DT_OK;
    const yaml_parser_t *parser = &r->parser;
    if (parser->error == YAML_MEMORY_ERROR) return dt_fail_memory(DT_YAML_BYTES, r->source);
    const char *context = parser->context ? parser->context : "", *comma = parser->context ? ", " : "";
    return dt_place_fail(place_of(r, parser->problem_mark), NULL, "not valid YAML: %s%s%s",
                         context, comma, parser->problem ? parser->problem : "unknown problem");
}

/* What this part of YAML leaves out. */
static dt_status check_event(const reader *r, const yaml_event_t *event)
{
    dt_place place = place_of(r, event->start_mark);
    const yaml_char_t *anchor = NULL, *tag = NULL;
    if (event->type == YAML_ALIAS_EVENT) anchor = event->data.alias.anchor;
    if (event->type == YAML_SCALAR_EVENT) anchor = event->data.scalar.anchor, tag = event->data.scalar.tag;
    if (event->type == YAML_MAPPING_START_EVENT)
        anchor = event->data.mapping_start.anchor, tag = event->data.mapping_start.tag;
    if (event->type == YAML_SEQUENCE_START_EVENT)
        anchor = event->data.sequence_start.anchor, tag = event->data.sequence_start.tag;
    if (anchor) return dt_place_fail(place, NULL, "anchors and aliases are not allowed");
    if (tag) return dt_place_fail(place, NULL, "tags are not allowed");
    return DT_OK;
}

/* The text of a scalar event, kept in the arena. */
static dt_status copy_scalar(const reader *r, const yaml_event_t *event, const char **out)
{
    const char *text = (const char *)event->data.scalar.value;
    bool whole = strlen(text) == event->data.scalar.length; /* no NUL inside */
    if (!whole || !dt_yaml_is_clean(text))
        return dt_place_fail(place_of(r, event->start_mark), NULL, "a control character in a text");
    *out = dt_arena_copy_text(r->arena, text);
    return *out ? DT_OK : DT_ERR_MEMORY;
}

static dt_status read_node(reader *r, const yaml_event_t *event, int depth, dt_yaml **out);

static dt_status copy_key(const reader *r, const yaml_event_t *event, const dt_yaml *map, const char **out)
{
    dt_place place = place_of(r, event->start_mark);
    char quoted[DT_QUOTE_ROOM];
    if (event->type != YAML_SCALAR_EVENT) return dt_place_fail(place, NULL, "a key must be a word");
    DT_TRY(check_event(r, event));
    DT_TRY(copy_scalar(r, event, out));
    if (!**out) return dt_place_fail(place, NULL, "a key is empty");
    dt_place_quote(quoted, *out);
    if (strlen(*out) > DT_YAML_KEY_BYTES) return dt_place_fail(place, NULL, "the key '%s' is too long", quoted);
    for (const dt_yaml *other = map->first; other; other = other->next) {
        if (strcmp(other->key, *out) != 0) continue;
        if (!r->numbered) return dt_place_fail(place, NULL, "duplicate key '%s'", quoted);
        return dt_place_fail(place, NULL, "duplicate key '%s': first on line %d", quoted, other->key_place.line);
    }
    return DT_OK;
}

/* Reads the member of `parent` that begins with `event`, which is the key's if the parent is a map. */
static dt_status read_member(reader *r, const yaml_event_t *event, const dt_yaml *parent, int depth, dt_yaml **out)
{
    if (parent->kind == DT_YAML_LIST) return read_node(r, event, depth, out);
    const char *key = NULL;
    DT_TRY(copy_key(r, event, parent, &key));
    yaml_event_t value;
    DT_TRY(next_event(r, &value));
    dt_status status = read_node(r, &value, depth, out);
    yaml_event_delete(&value);
    DT_TRY(status);
    (*out)->key = key;
    (*out)->key_place = place_of(r, event->start_mark);
    return DT_OK;
}

/* Reads up to the event that ends the map or list. */
static dt_status read_members(reader *r, dt_yaml *parent, int depth)
{
    dt_yaml *last = NULL;
    for (;;) {
        yaml_event_t event;
        dt_yaml *member = NULL;
        DT_TRY(next_event(r, &event));
        bool done = event.type == YAML_MAPPING_END_EVENT || event.type == YAML_SEQUENCE_END_EVENT;
        dt_status status = done ? DT_OK : read_member(r, &event, parent, depth, &member);
        yaml_event_delete(&event);
        if (done || status) return status;
        *(last ? &last->next : &parent->first) = member;
        last = member;
    }
}

static dt_status read_node(reader *r, const yaml_event_t *event, int depth, dt_yaml **out)
{
    dt_place place = place_of(r, event->start_mark);
    DT_TRY(check_event(r, event));
    if (++r->nodes > DT_YAML_NODES) return dt_place_fail(place, NULL, "more than %d values", DT_YAML_NODES);
    dt_yaml *node = dt_arena_alloc(r->arena, sizeof *node);
    if (!node) return DT_ERR_MEMORY;
    node->place = place;
    *out = node;
    if (event->type == YAML_SCALAR_EVENT) {
        node->kind = DT_YAML_SCALAR;
        node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
        return copy_scalar(r, event, &node->text);
    }
    if (depth == DT_YAML_DEPTH) return dt_place_fail(place, NULL, "nested deeper than %d levels", DT_YAML_DEPTH);
    node->kind = event->type == YAML_MAPPING_START_EVENT ? DT_YAML_MAP : DT_YAML_LIST;
    return read_members(r, node, depth + 1);
}

/* Passes over one event, which must be of this type; `problem` says what another one means. */
static dt_status expect(reader *r, yaml_event_type_t type, const char *problem)
{
    yaml_event_t event;
    DT_TRY(next_event(r, &event));
    dt_status status = DT_OK;
    if (event.type != type) status = dt_place_fail(place_of(r, event.start_mark), NULL, "%s", problem);
    yaml_event_delete(&event);
    return status;
}

static dt_status read_document(reader *r, dt_yaml **out)
{
    DT_TRY(expect(r, YAML_STREAM_START_EVENT, "no YAML"));
    DT_TRY(expect(r, YAML_DOCUMENT_START_EVENT, "empty: no setting is given"));
    yaml_event_t event;
    DT_TRY(next_event(r, &event));
    dt_status status = read_node(r, &event, 0, out);
    yaml_event_delete(&event);
    DT_TRY(status);
    DT_TRY(expect(r, YAML_DOCUMENT_END_EVENT, "more than one value"));
    return expect(r, YAML_STREAM_END_EVENT, "a second document: one file holds one");
}

dt_status dt_yaml_parse(dt_arena *arena, const char *bytes, size_t size, const char *source, bool numbered,
                        dt_yaml **out)
{
    if (size > DT_YAML_BYTES)
        return dt_fail(DT_ERR_USAGE, "%s: has %zu bytes, more than the %d allowed", source, size, DT_YAML_BYTES);
    DT_TRY(dt_yaml_check_bytes(bytes, size, source, numbered));
    size_t mark = size >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0; /* libyaml would read it as a key's */
    reader r = {.arena = arena, .source = source, .numbered = numbered};
    if (!yaml_parser_initialize(&r.parser)) return dt_fail_memory(sizeof r.parser, "the YAML parser");
    yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&r.parser, (const unsigned char *)bytes + mark, size - mark);
    dt_status status = read_document(&r, out);
    yaml_parser_delete(&r.parser);
    return status;
}

char *dt_yaml_describe(const dt_yaml *node, char out[DT_YAML_DESCRIBE_ROOM])
{
    char quoted[DT_QUOTE_ROOM];
    if (node->kind == DT_YAML_MAP) return strcpy(out, "a map");
    if (node->kind == DT_YAML_LIST) return strcpy(out, "a list");
    snprintf(out, DT_YAML_DESCRIBE_ROOM, "'%s'", dt_place_quote(quoted, node->text));
    return out;
}
