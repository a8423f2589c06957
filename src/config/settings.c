/* Typed reading, derived values, and errors that say where a setting came from. */
#include "config/settings.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "config/entries.h"

static dt_entry *find(const dt_settings *settings, const char *path)
{
    dt_entry *entry = dt_entry_find(settings, path);
    assert(entry); /* a path that no row declares */
    return entry;
}

/* The value under `name`, or the row's own where there is none; it counts as read. */
static const dt_value *read_value(const dt_settings *settings, const char *path, const char *name)
{
    dt_entry *entry = find(settings, path);
    assert(!name || entry->row->named);
    for (dt_named_value *named = name ? entry->names : NULL; named; named = named->next) {
        if (strcmp(named->name, name) != 0) continue;
        named->read = true;
        return &named->value;
    }
    entry->read = true;
    assert(entry->own.origin != DT_FROM_NOWHERE); /* ask dt_setting_has, or derive it first */
    return &entry->own;
}

static const dt_value *read_typed(const dt_settings *settings, const char *path, const char *name,
                                  dt_setting_type type)
{
    assert(find(settings, path)->row->type == type);
    return read_value(settings, path, name);
}

bool dt_setting_bool(const dt_settings *settings, const char *path)
{
    return read_typed(settings, path, NULL, DT_SETTING_BOOL)->truth;
}

int64_t dt_setting_int(const dt_settings *settings, const char *path)
{
    return read_typed(settings, path, NULL, DT_SETTING_INT)->integer;
}

double dt_setting_real(const dt_settings *settings, const char *path)
{
    return read_typed(settings, path, NULL, DT_SETTING_REAL)->real;
}

const char *dt_setting_text(const dt_settings *settings, const char *path)
{
    const dt_setting_row *row = find(settings, path)->row;
    if (row->type == DT_SETTING_CHOICE) return row->choices[dt_setting_choice(settings, path)];
    return read_typed(settings, path, NULL, DT_SETTING_TEXT)->text;
}

int dt_setting_choice(const dt_settings *settings, const char *path)
{
    return read_typed(settings, path, NULL, DT_SETTING_CHOICE)->choice;
}

size_t dt_setting_reals(const dt_settings *settings, const char *path, double *out, size_t room)
{
    const dt_value *value = read_typed(settings, path, NULL, DT_SETTING_REALS);
    for (size_t i = 0; i < value->list.count && i < room; i++) out[i] = value->list.items[i];
    return value->list.count;
}

double dt_setting_real_for(const dt_settings *settings, const char *path, const char *name)
{
    return read_typed(settings, path, name, DT_SETTING_REAL)->real;
}

int dt_setting_choice_for(const dt_settings *settings, const char *path, const char *name)
{
    return read_typed(settings, path, name, DT_SETTING_CHOICE)->choice;
}

bool dt_setting_bool_for(const dt_settings *settings, const char *path, const char *name)
{
    return read_typed(settings, path, name, DT_SETTING_BOOL)->truth;
}

void dt_setting_unread(const dt_settings *settings, const char *path) { find(settings, path)->read = false; }

static dt_status fail_name(const dt_named_value *named, const char *path, const char *const *names, size_t count)
{
    dt_text known = {0};
    for (size_t i = 0; i < count; i++) dt_text_add(&known, "%s'%s'", i ? ", " : "", names[i]);
    const char *nearest = dt_text_nearest(named->name, names, count);
    if (nearest) dt_text_add(&known, "; did you mean '%s.%s'?", path, nearest);
    dt_status status = dt_text_status(&known);
    if (!status)
        status = dt_place_fail(named->value.place, path, "unknown name '%s': there is only %s", named->name,
                               known.data ? known.data : "'default'");
    dt_text_free(&known);
    return status;
}

dt_status dt_setting_check_names(const dt_settings *settings, const char *path, const char *const *names,
                                 size_t count)
{
    for (const dt_named_value *named = find(settings, path)->names; named; named = named->next) {
        bool known = false;
        for (size_t i = 0; i < count && !known; i++) known = strcmp(names[i], named->name) == 0;
        if (!known) return fail_name(named, path, names, count);
    }
    return DT_OK;
}

bool dt_setting_has(const dt_settings *settings, const char *path)
{
    return find(settings, path)->own.origin != DT_FROM_NOWHERE;
}

/* A derived value passes the checks that a written one would. */
static dt_status derive(dt_settings *settings, const char *path, const char *text, bool plain)
{
    dt_entry *entry = find(settings, path);
    if (entry->own.origin != DT_FROM_NOWHERE) return DT_OK;
    dt_yaml node = {.text = text, .plain = plain, .place = {.source = path}};
    DT_TRY(dt_value_read(entry->row, path, &node, settings->arena, &entry->own));
    entry->own.origin = DT_FROM_DERIVING;
    return DT_OK;
}

dt_status dt_setting_derive_int(dt_settings *settings, const char *path, int64_t value)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, value);
    return derive(settings, path, text, true);
}

dt_status dt_setting_derive_text(dt_settings *settings, const char *path, const char *value)
{
    const char *text = dt_arena_copy_text(settings->arena, value);
    return text ? derive(settings, path, text, false) : DT_ERR_MEMORY;
}

dt_status dt_setting_fail(const dt_settings *settings, const char *path, const char *format, ...)
{
    const dt_entry *entry = find(settings, path);
    dt_text fact = {0};
    va_list args;
    va_start(args, format);
    dt_text_add_va(&fact, format, args);
    va_end(args);
    dt_status status = dt_text_status(&fact);
    if (!status && dt_entry_is_set(entry)) status = dt_place_fail(dt_entry_place(entry), path, "%s", fact.data);
    else if (!status) status = dt_fail(DT_ERR_USAGE, "%s (%s): %s", path,
                                       entry->own.origin == DT_FROM_DERIVING ? "derived" : "default", fact.data);
    dt_text_free(&fact);
    return status;
}
