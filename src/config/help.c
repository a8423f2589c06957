/* The table of all rows as text for --help. */
#include <stdio.h>
#include <string.h>

#include "config/value.h"

static size_t section_length(const char *path)
{
    const char *dot = strchr(path, '.');
    return dot ? (size_t)(dot - path) : 0;
}

static const dt_setting_row *row_at(const dt_setting_table *tables, size_t index)
{
    while (index >= tables->count) index -= tables++->count;
    return &tables->rows[index];
}

static bool same_section(const dt_setting_row *a, const dt_setting_row *b)
{
    size_t length = section_length(a->path);
    return section_length(b->path) == length && strncmp(a->path, b->path, length) == 0;
}

static void print_type(const dt_setting_row *row, dt_text *out)
{
    static const char *const names[] = {
        [DT_SETTING_BOOL] = "true or false", [DT_SETTING_INT] = "whole number",  [DT_SETTING_REAL] = "number",
        [DT_SETTING_TEXT] = "text",          [DT_SETTING_REALS] = "list of numbers",
    };
    if (row->type != DT_SETTING_CHOICE) dt_text_add(out, "%s", names[row->type]);
    for (size_t i = 0; row->type == DT_SETTING_CHOICE && row->choices[i]; i++)
        dt_text_add(out, "%s%s", i ? " | " : "", row->choices[i]);
    size_t length = out->length;
    dt_text_add(out, " ");
    dt_value_print_range(row, out);
    if (out->length == length + 1 && out->data) out->data[--out->length] = '\0'; /* no range */
    if (row->named) dt_text_add(out, ", or a map from names");
}

static void print_row(const dt_setting_row *row, dt_text *out)
{
    dt_text_add(out, "  %-28s %s\n%31s(", row->path, row->help, "");
    print_type(row, out);
    if (row->replaces) dt_text_add(out, "; in place of %s", row->replaces);
    if (row->value) dt_text_add(out, "; default %s", row->value[0] ? row->value : "\"\"");
    dt_text_add(out, ")\n");
}

void dt_settings_help(const dt_setting_table *tables, size_t table_count, dt_text *out)
{
    size_t rows = 0;
    for (size_t t = 0; t < table_count; t++) rows += tables[t].count;
    for (size_t first = 0; first < rows; first++) {
        const dt_setting_row *row = row_at(tables, first);
        bool printed = false;
        for (size_t i = 0; i < first && !printed; i++) printed = same_section(row, row_at(tables, i));
        if (printed) continue;
        int length = (int)section_length(row->path);
        if (length) dt_text_add(out, "%.*s\n", length, row->path);
        for (size_t i = first; i < rows; i++)
            if (same_section(row, row_at(tables, i))) print_row(row_at(tables, i), out);
    }
}
