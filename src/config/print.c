/* The resolved settings as YAML, and the list of those that nobody read. */
#include <string.h>

#include "config/entries.h"

static bool has_value(const dt_entry *entry) { return entry->own.origin != DT_FROM_NOWHERE || entry->names; }

/* The part of the entry's path below a section of `length` bytes; NULL if it is not below it or has no value. */
static const char *below(const dt_entry *entry, const char *section, size_t length)
{
    const char *path = entry->row->path;
    if (!has_value(entry) || strncmp(path, section, length) != 0) return NULL;
    if (length == 0) return path;
    return path[length] == '.' ? path + length + 1 : NULL;
}

static void print_entry(const dt_entry *entry, dt_text *out)
{
    if (!entry->names) {
        dt_value_print(entry->row, &entry->own, out);
        return;
    }
    const char *comma = "";
    dt_text_add(out, "{");
    if (entry->own.origin != DT_FROM_NOWHERE) {
        dt_text_add(out, "default: ");
        dt_value_print(entry->row, &entry->own, out);
        comma = ", ";
    }
    for (const dt_named_value *named = entry->names; named; named = named->next) {
        dt_text_add(out, "%s%s: ", comma, named->name);
        dt_value_print(entry->row, &named->value, out);
        comma = ", ";
    }
    dt_text_add(out, "}");
}

/* Does an entry before `end` print the section of which `word` is the head of what is below? */
static bool is_printed(const dt_settings *settings, size_t end, const char *section, size_t length, const char *word,
                       size_t word_length)
{
    for (size_t i = 0; i < end; i++) {
        const char *other = below(&settings->entries[i], section, length);
        if (other && strncmp(other, word, word_length) == 0 && other[word_length] == '.') return true;
    }
    return false;
}

/* Rows of one section may be declared apart: each section is printed where its first row stands. */
static void print_section(const dt_settings *settings, const char *section, size_t length, int depth, dt_text *out)
{
    for (size_t i = 0; i < settings->count; i++) {
        const dt_entry *entry = &settings->entries[i];
        const char *word = below(entry, section, length);
        if (!word) continue;
        size_t word_length = strcspn(word, ".");
        if (!word[word_length]) {
            dt_text_add(out, "%*s%s: ", 2 * depth, "", word);
            print_entry(entry, out);
            dt_text_add(out, "\n");
        } else if (!is_printed(settings, i, section, length, word, word_length)) {
            const char *path = entry->row->path;
            dt_text_add(out, "%*s%.*s:\n", 2 * depth, "", (int)word_length, word);
            print_section(settings, path, (size_t)(word - path) + word_length, depth + 1, out);
        }
    }
}

void dt_settings_print(const dt_settings *settings, dt_text *out)
{
    size_t before = out->length;
    print_section(settings, "", 0, 0, out);
    if (out->length == before) dt_text_add(out, "{}\n"); /* nothing has a value: an empty file would be an error */
}

static bool has_default(const dt_entry *entry)
{
    dt_text own = {0}, usual = {0};
    if (entry->own.origin == DT_FROM_NOWHERE || entry->usual.origin == DT_FROM_NOWHERE) return false;
    dt_value_print(entry->row, &entry->own, &own);
    dt_value_print(entry->row, &entry->usual, &usual);
    bool same = own.data && usual.data && strcmp(own.data, usual.data) == 0;
    dt_text_free(&own);
    dt_text_free(&usual);
    return same;
}

bool dt_setting_is_default(const dt_settings *settings, const char *path)
{
    const dt_entry *entry = dt_entry_find(settings, path);
    return entry && !entry->names && has_default(entry);
}

/* A file may repeat a default that nothing reads: resolved settings do, and nobody chose it there. */
static bool repeats_default(const dt_entry *entry) { return entry->own.place.line && has_default(entry); }

static void print_inactive(const dt_entry *entry, dt_place place, const char *name, dt_text *out)
{
    char source[DT_QUOTE_ROOM];
    if (place.line)
        dt_text_add(out, "%s:%d:%d: %s%s%s\n", place.source, place.line, place.column, entry->row->path,
                    name ? "." : "", name ? name : "");
    else dt_text_add(out, "%s\n", dt_place_quote(source, place.source));
}

static bool in_sections(const char *path, const char *const *sections)
{
    if (!sections) return true;
    for (; *sections; sections++) {
        size_t length = strlen(*sections);
        if (!strncmp(path, *sections, length) && path[length] == '.') return true;
    }
    return false;
}

size_t dt_settings_inactive(const dt_settings *settings, const dt_inactive_options *options, dt_text *out)
{
    size_t count = 0;
    for (size_t i = 0; i < settings->count; i++) {
        const dt_entry *entry = &settings->entries[i];
        if (!in_sections(entry->row->path, options->sections)) continue;
        bool asked = !options->words_only || !entry->own.place.line;
        if (asked && entry->own.origin == DT_FROM_USER && !entry->read && !repeats_default(entry)) {
            print_inactive(entry, entry->own.place, NULL, out);
            count++;
        }
        for (const dt_named_value *named = entry->names; named; named = named->next) {
            if (named->read || (options->words_only && named->value.place.line)) continue;
            print_inactive(entry, named->value.place, named->name, out);
            count++;
        }
    }
    return count;
}
