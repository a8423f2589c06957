/* Loading: defaults, then the chain of files from the deepest base on, then the words of the command line. */
#include <assert.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "config/entries.h"

enum { BASE_FILES = 8 };

typedef struct loader {
    dt_settings *settings;
    int level; /* of the last source applied */
} loader;

/* One file of the chain of `base:` keys that leads to the file being read. */
typedef struct chain {
    const char *name;    /* as messages give it */
    char real[PATH_MAX]; /* the resolved path; "" for a text from memory */
    const struct chain *up;
} chain;

static dt_status load_file(loader *l, const char *path, const chain *up, dt_place base_place);

/* The path of a base file, relative to the folder of the file that names it. */
static const char *base_path(dt_arena *arena, const chain *from, const char *base)
{
    const char *slash = from->real[0] ? strrchr(from->name, '/') : NULL;
    if (base[0] == '/' || !slash) return base;
    return dt_arena_format(arena, "%.*s/%s", (int)(slash - from->name), from->name, base);
}

static dt_status follow_base(loader *l, const dt_yaml *base, const chain *from)
{
    char found[DT_YAML_DESCRIBE_ROOM];
    if (dt_value_is_null(base)) return DT_OK;
    if (base->kind != DT_YAML_SCALAR || !base->text[0])
        return dt_place_fail(base->place, "base", "must be the path of a file, not %s", dt_yaml_describe(base, found));
    int depth = 0;
    for (const chain *c = from; c; c = c->up) depth++;
    if (depth > BASE_FILES) return dt_place_fail(base->place, "base", "more than %d base files", BASE_FILES);
    const char *path = base_path(l->settings->arena, from, base->text);
    return path ? load_file(l, path, from, base->place) : DT_ERR_MEMORY;
}

static dt_status apply_text(loader *l, const char *yaml, size_t size, const chain *from)
{
    dt_yaml *root;
    char found[DT_YAML_DESCRIBE_ROOM];
    DT_TRY(dt_yaml_parse(l->settings->arena, yaml, size, from->name, true, &root));
    if (root->kind == DT_YAML_SCALAR && root->plain && !root->text[0])
        return dt_place_fail(root->place, NULL, "empty: no setting is given");
    if (root->kind != DT_YAML_MAP)
        return dt_place_fail(root->place, NULL, "must be a map of settings, not %s", dt_yaml_describe(root, found));
    for (const dt_yaml *node = root->first; node; node = node->next)
        if (strcmp(node->key, "base") == 0) DT_TRY(follow_base(l, node, from));
    return dt_entries_apply_tree(l->settings, ++l->level, root);
}

static void print_chain(const chain *from, const chain *to, dt_text *out)
{
    if (from != to) print_chain(from->up, to, out);
    dt_text_add(out, "'%s' -> ", from->name);
}

static dt_status check_loop(const char *name, const char *real, const chain *up, dt_place base_place)
{
    const chain *same = up;
    while (same && strcmp(same->real, real) != 0) same = same->up;
    if (!same) return DT_OK;
    dt_text loop = {0};
    print_chain(up, same, &loop);
    dt_status status = dt_text_status(&loop);
    if (!status) status = dt_place_fail(base_place, "base", "a loop: %s'%s'", loop.data, name);
    dt_text_free(&loop);
    return status;
}

/* What is wrong with the file is wrong with what the user asked for. */
static dt_status read_file(const char *path, const chain *up, dt_place base_place, char **bytes, size_t *size)
{
    dt_status status = dt_file_read(path, DT_YAML_BYTES, bytes, size);
    if (!status || status == DT_ERR_MEMORY) return status;
    if (!up) return DT_ERR_USAGE;
    return dt_fail_in(DT_ERR_USAGE, "%s:%d:%d: base", base_place.source, base_place.line, base_place.column);
}

static dt_status load_file(loader *l, const char *path, const chain *up, dt_place base_place)
{
    chain here = {.name = dt_arena_copy_text(l->settings->arena, path), .up = up};
    if (!here.name) return DT_ERR_MEMORY;
    if (realpath(path, here.real)) DT_TRY(check_loop(path, here.real, up, base_place));
    char *bytes;
    size_t size;
    DT_TRY(read_file(path, up, base_place, &bytes, &size));
    dt_status status = apply_text(l, bytes, size, &here);
    free(bytes);
    return status;
}

static dt_status join_tables(dt_settings *settings, const dt_setting_table *tables, size_t table_count)
{
    size_t rows = 0;
    for (size_t t = 0; t < table_count; t++) rows += tables[t].count;
    settings->entries = dt_arena_alloc(settings->arena, rows * sizeof *settings->entries);
    if (!settings->entries) return DT_ERR_MEMORY;
    for (size_t t = 0; t < table_count; t++) {
        for (size_t r = 0; r < tables[t].count; r++) {
            assert(!dt_entry_find(settings, tables[t].rows[r].path)); /* no two rows share a path */
            dt_entry *entry = &settings->entries[settings->count++];
            entry->row = &tables[t].rows[r];
            DT_TRY(dt_entry_set_default(settings, entry));
        }
    }
    return DT_OK;
}

static void join_pairs(dt_settings *settings)
{
    for (size_t i = 0; i < settings->count; i++) {
        dt_entry *entry = &settings->entries[i];
        if (!entry->row->replaces) continue;
        dt_entry *twin = dt_entry_find(settings, entry->row->replaces);
        assert(twin && !twin->twin && !entry->twin && !(entry->row->value && twin->row->value)); /* rows in pairs */
        entry->twin = twin;
        twin->twin = entry;
    }
}

static dt_status create(const dt_setting_table *tables, size_t table_count, dt_settings **out)
{
    dt_arena *arena;
    DT_TRY(dt_arena_create(&arena));
    dt_settings *settings = dt_arena_alloc(arena, sizeof *settings);
    dt_status status = settings ? DT_OK : DT_ERR_MEMORY;
    if (settings) {
        settings->arena = arena;
        status = join_tables(settings, tables, table_count);
        if (!status) join_pairs(settings);
    }
    if (status) dt_arena_free(arena);
    else *out = settings;
    return status;
}

static dt_status apply_words(loader *l, const char *const *overrides, size_t override_count)
{
    l->level++; /* one level for all words, so that their order does not matter */
    for (size_t i = 0; i < override_count; i++) DT_TRY(dt_entries_apply_word(l->settings, l->level, overrides[i]));
    return DT_OK;
}

dt_status dt_settings_load(const char *path, const char *const *overrides, size_t override_count,
                           const dt_setting_table *tables, size_t table_count, dt_settings **out)
{
    loader l = {0};
    DT_TRY(create(tables, table_count, &l.settings));
    dt_status status = path ? load_file(&l, path, NULL, (dt_place){0}) : DT_OK;
    if (!status) status = apply_words(&l, overrides, override_count);
    if (status) dt_settings_free(l.settings);
    else *out = l.settings;
    return status;
}

dt_status dt_settings_parse(const char *yaml, size_t size, const char *name, const char *const *overrides,
                            size_t override_count, const dt_setting_table *tables, size_t table_count,
                            dt_settings **out)
{
    loader l = {0};
    DT_TRY(create(tables, table_count, &l.settings));
    chain here = {.name = dt_arena_copy_text(l.settings->arena, name)};
    dt_status status = here.name ? apply_text(&l, yaml, size, &here) : DT_ERR_MEMORY;
    if (!status) status = apply_words(&l, overrides, override_count);
    if (status) dt_settings_free(l.settings);
    else *out = l.settings;
    return status;
}

void dt_settings_free(dt_settings *settings)
{
    if (settings) dt_arena_free(settings->arena);
}
