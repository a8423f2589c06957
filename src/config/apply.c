/* Putting what one source says into the entries: the tree of a file, or one word of the command line. */
#include <string.h>

#include "config/entries.h"

static bool is_name(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";
    size_t length = strspn(text, letters);
    return length > 0 && length <= DT_YAML_KEY_BYTES && !text[length];
}

/* Default values are the row's YAML; command-line words are too, but texts need no quotes there. */
static dt_status word_to_node(dt_arena *arena, const dt_setting_row *row, const char *word, const char *source,
                              dt_yaml **out)
{
    bool raw = row->type == DT_SETTING_TEXT && strcmp(word, "null") != 0;
    if (!raw && (word[0] == '[' || word[0] == '{')) return dt_yaml_parse(arena, word, strlen(word), source, false, out);
    DT_TRY(dt_yaml_check_bytes(word, strlen(word), source, false));
    *out = dt_arena_alloc(arena, sizeof **out);
    if (!*out) return DT_ERR_MEMORY;
    **out = (dt_yaml){.kind = DT_YAML_SCALAR, .place = {.source = source}, .text = word, .plain = !raw};
    return DT_OK;
}

dt_status dt_entry_set_default(const dt_settings *settings, dt_entry *entry)
{
    const dt_setting_row *row = entry->row;
    dt_yaml *node;
    if (row->value && entry->usual.origin == DT_FROM_NOWHERE) {
        DT_TRY(word_to_node(settings->arena, row, row->value, "default", &node));
        DT_TRY(dt_value_read(row, row->path, node, settings->arena, &entry->usual));
        entry->usual.origin = DT_FROM_DEFAULT;
    }
    entry->own = entry->usual;
    return DT_OK;
}

static dt_status fail_pair(const dt_entry *entry, dt_place place)
{
    const char *path = entry->row->path, *other = entry->twin->row->path;
    dt_place first = entry->twin->own.place;
    if (!first.line)
        return dt_place_fail(place, path, "'%s' says the same already: give one of the two", first.source);
    return dt_place_fail(place, path, "%s (%s:%d:%d) says the same already: give one of the two", other, first.source,
                         first.line, first.column);
}

/* Of a pair only one has a value. One that is taken back leaves the place to the other's default. */
static dt_status settle_pair(const dt_settings *settings, dt_entry *entry)
{
    dt_entry *twin = entry->twin;
    if (entry->own.origin == DT_FROM_USER) twin->own = (dt_value){0};
    else if (twin->own.origin == DT_FROM_USER) entry->own = (dt_value){0};
    else return dt_entry_set_default(settings, twin);
    return DT_OK;
}

static dt_status set_own(const dt_settings *settings, int level, dt_entry *entry, const char *path,
                         const dt_yaml *node)
{
    dt_entry *twin = entry->twin;
    if (dt_value_is_null(node)) {
        DT_TRY(dt_entry_set_default(settings, entry));
    } else {
        dt_value value = {.origin = DT_FROM_USER, .place = node->place};
        DT_TRY(dt_value_read(entry->row, path, node, settings->arena, &value));
        if (twin && twin->own.origin == DT_FROM_USER && twin->level == level) return fail_pair(entry, node->place);
        entry->own = value;
        entry->level = level;
    }
    return twin ? settle_pair(settings, entry) : DT_OK;
}

static void drop_names_below(dt_entry *entry, int level)
{
    dt_named_value **at = &entry->names;
    while (*at) {
        if ((*at)->level < level) *at = (*at)->next;
        else at = &(*at)->next;
    }
}

static void drop_name(dt_entry *entry, const char *name)
{
    dt_named_value **at = &entry->names;
    while (*at && strcmp((*at)->name, name) != 0) at = &(*at)->next;
    if (*at) *at = (*at)->next;
}

static dt_status set_named(const dt_settings *settings, int level, dt_entry *entry, const char *name,
                           const dt_yaml *node, dt_place key_place)
{
    dt_arena *arena = settings->arena;
    const char *path = dt_arena_format(arena, "%s.%s", entry->row->path, name);
    if (!path) return DT_ERR_MEMORY;
    if (!is_name(name))
        return dt_place_fail(key_place, path, "not a name: letters, digits, '_' and '-', up to %d", DT_YAML_KEY_BYTES);
    if (strcmp(name, "default") == 0) return set_own(settings, level, entry, path, node);
    drop_name(entry, name);
    if (dt_value_is_null(node)) return DT_OK;
    dt_named_value *named = dt_arena_alloc(arena, sizeof *named), **end = &entry->names;
    if (!named) return DT_ERR_MEMORY;
    named->name = name;
    named->level = level;
    named->value = (dt_value){.origin = DT_FROM_USER, .place = node->place};
    DT_TRY(dt_value_read(entry->row, path, node, arena, &named->value));
    while (*end) end = &(*end)->next;
    *end = named;
    return DT_OK;
}

/* A value for the whole row stands for all names: it replaces those of earlier sources. */
static dt_status set_entry(const dt_settings *settings, int level, dt_entry *entry, const dt_yaml *node)
{
    if (!entry->row->named || node->kind != DT_YAML_MAP) {
        drop_names_below(entry, level);
        return set_own(settings, level, entry, entry->row->path, node);
    }
    for (const dt_yaml *member = node->first; member; member = member->next)
        DT_TRY(set_named(settings, level, entry, member->key, member, member->key_place));
    return DT_OK;
}

static dt_status fail_not_section(const dt_yaml *node, const char *path)
{
    char found[DT_YAML_DESCRIBE_ROOM];
    if (node->kind == DT_YAML_SCALAR && node->plain && !node->text[0])
        return dt_place_fail(node->place, path, "is a section of settings, but empty");
    return dt_place_fail(node->place, path, "is a section of settings, not %s", dt_yaml_describe(node, found));
}

static dt_status apply_map(const dt_settings *settings, int level, const dt_yaml *map, const char *section)
{
    for (const dt_yaml *node = map->first; node; node = node->next) {
        if (!section && strcmp(node->key, "base") == 0) continue; /* already followed */
        const char *path = section ? dt_arena_format(settings->arena, "%s.%s", section, node->key) : node->key;
        if (!path) return DT_ERR_MEMORY;
        dt_entry *entry = dt_entry_find(settings, path);
        if (strchr(node->key, '.'))
            return dt_place_fail(node->key_place, path, "write nested keys, not '%s', in a file", node->key);
        if (entry) {
            DT_TRY(set_entry(settings, level, entry, node));
            continue;
        }
        if (!dt_entry_is_section(settings, path)) return dt_entry_fail_unknown(settings, node->key_place, path);
        if (node->kind != DT_YAML_MAP) return fail_not_section(node, path);
        DT_TRY(apply_map(settings, level, node, path));
    }
    return DT_OK;
}

dt_status dt_entries_apply_tree(const dt_settings *settings, int level, const dt_yaml *root)
{
    return apply_map(settings, level, root, NULL);
}

/* The named row that `path` is a name under ("norm.alpha0" for "norm.alpha0.attention"), or NULL. */
static dt_entry *find_named(const dt_settings *settings, const char *path, const char **name)
{
    for (size_t i = 0; i < settings->count; i++) {
        const dt_setting_row *row = settings->entries[i].row;
        size_t length = strlen(row->path);
        if (!row->named || strncmp(row->path, path, length) != 0 || path[length] != '.') continue;
        *name = path + length + 1;
        return &settings->entries[i];
    }
    return NULL;
}

/* The entry that a word's path means; `*name` is set where it means a name under it. */
static dt_status find_entry(const dt_settings *settings, dt_place place, const char *path, dt_entry **entry,
                            const char **name)
{
    if (strcmp(path, "base") == 0) return dt_place_fail(place, NULL, "'base' can only be set in a file");
    *name = NULL;
    *entry = dt_entry_find(settings, path);
    if (!*entry) *entry = find_named(settings, path, name);
    if (*entry) return DT_OK;
    if (dt_entry_is_section(settings, path))
        return dt_place_fail(place, NULL, "'%s' is a section of settings, not one", path);
    return dt_entry_fail_unknown(settings, place, path);
}

dt_status dt_entries_apply_word(const dt_settings *settings, int level, const char *word)
{
    dt_arena *arena = settings->arena;
    const char *source = dt_arena_format(arena, "command line: %s", word), *name;
    char *path = dt_arena_copy_text(arena, word);
    if (!source || !path) return DT_ERR_MEMORY;
    dt_place place = {.source = source};
    DT_TRY(dt_yaml_check_bytes(word, strlen(word), source, false));
    char *equals = strchr(path, '=');
    if (!equals || equals == path) return dt_place_fail(place, NULL, "not of the form path=value");
    *equals = '\0';
    dt_entry *entry;
    dt_yaml *node;
    DT_TRY(find_entry(settings, place, path, &entry, &name));
    DT_TRY(word_to_node(arena, entry->row, equals + 1, source, &node));
    return name ? set_named(settings, level, entry, name, node, place) : set_entry(settings, level, entry, node);
}
