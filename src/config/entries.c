/* Finding rows by path, and naming the nearest where there is none. */
#include "config/entries.h"

#include <string.h>

dt_entry *dt_entry_find(const dt_settings *settings, const char *path)
{
    for (size_t i = 0; i < settings->count; i++)
        if (strcmp(settings->entries[i].row->path, path) == 0) return &settings->entries[i];
    return NULL;
}

static bool is_below(const char *path, const char *section, size_t length)
{
    return strncmp(path, section, length) == 0 && path[length] == '.';
}

bool dt_entry_is_section(const dt_settings *settings, const char *path)
{
    for (size_t i = 0; i < settings->count; i++)
        if (is_below(settings->entries[i].row->path, path, strlen(path))) return true;
    return false;
}

bool dt_entry_is_set(const dt_entry *entry) { return entry->own.origin == DT_FROM_USER || entry->names; }

dt_place dt_entry_place(const dt_entry *entry)
{
    return entry->own.origin == DT_FROM_USER || !entry->names ? entry->own.place : entry->names->value.place;
}

/* The words that may stand behind `section` (all of a path's first words where its length is 0): a key or the name of a
 * section. Returns how many; `*out` is NULL when out of memory. */
static size_t keys_of(const dt_settings *settings, const char *section, size_t length, const char ***out)
{
    const char **keys = dt_arena_alloc(settings->arena, settings->count * sizeof *keys);
    size_t count = 0;
    *out = keys;
    for (size_t i = 0; keys && i < settings->count; i++) {
        const char *path = settings->entries[i].row->path;
        if (length && !is_below(path, section, length)) continue;
        char *key = dt_arena_copy_text(settings->arena, length ? path + length + 1 : path);
        if (!key) return 0;
        key[strcspn(key, ".")] = '\0';
        keys[count++] = key;
    }
    return count;
}

/* A row whose last word is `word`: the key is right but the section is not. */
static const char *elsewhere(const dt_settings *settings, const char *word)
{
    for (size_t i = 0; i < settings->count; i++) {
        const char *path = settings->entries[i].row->path, *dot = strrchr(path, '.');
        if (dot && strcmp(dot + 1, word) == 0) return path;
    }
    return NULL;
}

static const char *nearest_path(const dt_settings *settings, const char *path)
{
    const char **paths = dt_arena_alloc(settings->arena, settings->count * sizeof *paths);
    if (!paths) return NULL;
    for (size_t i = 0; i < settings->count; i++) paths[i] = settings->entries[i].row->path;
    return dt_text_nearest(path, paths, settings->count);
}

/* Where nothing is near: what the section has. */
static dt_status fail_with_keys(dt_place place, const char *path, int section, const char *const *keys, size_t count)
{
    dt_text known = {0};
    for (size_t i = 0; i < count; i++) dt_text_add(&known, "%s%s", i ? ", " : "", keys[i]);
    dt_status status = dt_text_status(&known);
    if (!status)
        status = dt_place_fail(place, path, "unknown setting; %.*s has %s", section, path, known.data);
    dt_text_free(&known);
    return status;
}

dt_status dt_entry_fail_unknown(const dt_settings *settings, dt_place place, const char *path)
{
    const char *dot = strrchr(path, '.'), *word = dot ? dot + 1 : path, **keys;
    size_t section = dot ? (size_t)(dot - path) : 0, count = keys_of(settings, path, section, &keys);
    const char *key = dt_text_nearest(word, keys, count), *other = NULL;
    if (key)
        return dt_place_fail(place, path, "unknown setting; did you mean '%.*s%s%s'?", (int)section, path,
                             section ? "." : "", key);
    other = elsewhere(settings, word);
    if (!other) other = nearest_path(settings, path);
    if (other) return dt_place_fail(place, path, "unknown setting; did you mean '%s'?", other);
    if (section && count) return fail_with_keys(place, path, (int)section, keys, count);
    return dt_place_fail(place, path, "unknown setting");
}
