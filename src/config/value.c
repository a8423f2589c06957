/* Scalars and lists of scalars read as typed values. */
#include "config/value.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool dt_value_is_null(const dt_yaml *node)
{
    return node->kind == DT_YAML_SCALAR && node->plain &&
           (strcmp(node->text, "null") == 0 || strcmp(node->text, "~") == 0);
}

static dt_status fail_type(const dt_yaml *node, const char *path, const char *wanted)
{
    char found[DT_YAML_DESCRIBE_ROOM];
    const char *kind = node->kind == DT_YAML_SCALAR && !node->plain ? "the text " : "";
    return dt_place_fail(node->place, path, "must be %s, not %s%s", wanted, kind, dt_yaml_describe(node, found));
}

static dt_status fail_empty(const dt_yaml *node, const char *path, const char *wanted)
{
    return dt_place_fail(node->place, path, "has no value: write %s, or null for the default", wanted);
}

static dt_status check_plain(const dt_yaml *node, const char *path, const char *wanted)
{
    if (node->kind != DT_YAML_SCALAR || !node->plain) return fail_type(node, path, wanted);
    return node->text[0] ? DT_OK : fail_empty(node, path, wanted);
}

static dt_status read_bool(const char *path, const dt_yaml *node, bool *out)
{
    DT_TRY(check_plain(node, path, "true or false"));
    *out = strcmp(node->text, "true") == 0;
    return *out || strcmp(node->text, "false") == 0 ? DT_OK : fail_type(node, path, "true or false");
}

static size_t skip_digits(const char **text)
{
    size_t count = strspn(*text, "0123456789");
    *text += count;
    return count;
}

static void skip_sign(const char **text) { *text += **text == '+' || **text == '-'; }

static bool is_integer(const char *text)
{
    skip_sign(&text);
    return skip_digits(&text) > 0 && !*text;
}

/* Decimal notation only: strtod would also take nan, inf and hexadecimal numbers. */
static bool is_real(const char *text)
{
    skip_sign(&text);
    size_t digits = skip_digits(&text);
    if (*text == '.') {
        text++;
        digits += skip_digits(&text);
    }
    if (!digits) return false;
    if (*text != 'e' && *text != 'E') return !*text;
    text++;
    skip_sign(&text);
    return skip_digits(&text) > 0 && !*text;
}

void dt_value_print_range(const dt_setting_row *row, dt_text *out)
{
    bool low = (row->min != 0 || row->max != 0) && row->min > -INFINITY;
    bool high = (row->min != 0 || row->max != 0) && row->max < INFINITY;
    if (low && high) dt_text_add(out, "from %.15g to %.15g", row->min, row->max);
    else if (low) dt_text_add(out, "at least %.15g", row->min);
    else if (high) dt_text_add(out, "at most %.15g", row->max);
}

static dt_status check_range(const dt_setting_row *row, const char *path, const dt_yaml *node, double value)
{
    bool limited = row->min != 0 || row->max != 0;
    if (!limited || (value >= row->min && value <= row->max)) return DT_OK;
    dt_text range = {0};
    dt_value_print_range(row, &range);
    dt_status status = dt_text_status(&range);
    if (!status) status = fail_type(node, path, range.data);
    dt_text_free(&range);
    return status;
}

static dt_status read_int(const dt_setting_row *row, const char *path, const dt_yaml *node, int64_t *out)
{
    DT_TRY(check_plain(node, path, "a whole number"));
    if (!is_integer(node->text)) return fail_type(node, path, "a whole number");
    errno = 0;
    *out = strtoll(node->text, NULL, 10);
    if (errno == ERANGE) return fail_type(node, path, "a whole number of at most 64 bits");
    return check_range(row, path, node, (double)*out);
}

static dt_status read_real(const dt_setting_row *row, const char *path, const dt_yaml *node, double *out)
{
    DT_TRY(check_plain(node, path, "a number"));
    if (!is_real(node->text)) return fail_type(node, path, "a number");
    errno = 0;
    *out = strtod(node->text, NULL);
    if (errno == ERANGE && *out == 0) return fail_type(node, path, "a number that is not too small to tell from 0");
    if (!isfinite(*out)) return fail_type(node, path, "a finite number");
    return check_range(row, path, node, *out);
}

static dt_status read_text(const char *path, const dt_yaml *node, const char **out)
{
    char found[DT_QUOTE_ROOM];
    if (node->kind != DT_YAML_SCALAR) return fail_type(node, path, "a text");
    if (!node->text[0]) return fail_empty(node, path, "a text");
    if (strlen(node->text) > DT_VALUE_TEXT_BYTES)
        return dt_place_fail(node->place, path, "'%s' has %zu bytes, more than the %d allowed",
                             dt_place_quote(found, node->text), strlen(node->text), DT_VALUE_TEXT_BYTES);
    *out = node->text;
    return DT_OK;
}

static bool has_control(const char *text)
{
    while (*text && (unsigned char)*text >= 0x20 && *text != 0x7F) text++;
    return *text;
}

/* A text that names one file or folder inside another. */
static dt_status check_name(const char *path, const dt_yaml *node)
{
    const char *text = node->text;
    bool plain = !strchr(text, '/') && strcmp(text, ".") != 0 && strcmp(text, "..") != 0 && !has_control(text);
    if (plain && strlen(text) <= NAME_MAX) return DT_OK;
    return fail_type(node, path, "a plain name (no '/', not . or .., no control characters, at most 255 bytes)");
}

static dt_status fail_choice(const dt_setting_row *row, const char *path, const dt_yaml *node, size_t count)
{
    dt_text list = {0};
    char found[DT_QUOTE_ROOM];
    for (size_t i = 0; i < count; i++)
        dt_text_add(&list, "%s'%s'", i == 0 ? "" : i + 1 < count ? ", " : " or ", row->choices[i]);
    const char *nearest = dt_text_nearest(node->text, row->choices, count);
    if (nearest) dt_text_add(&list, "; did you mean '%s'?", nearest);
    dt_status status = dt_text_status(&list);
    dt_place_quote(found, node->text);
    if (!status) status = dt_place_fail(node->place, path, "'%s' is none of %s", found, list.data);
    dt_text_free(&list);
    return status;
}

static dt_status read_choice(const dt_setting_row *row, const char *path, const dt_yaml *node, int *out)
{
    const char *word = NULL;
    DT_TRY(read_text(path, node, &word));
    size_t count = 0;
    for (; row->choices[count]; count++) {
        if (strcmp(row->choices[count], word) != 0) continue;
        *out = (int)count;
        return DT_OK;
    }
    return fail_choice(row, path, node, count);
}

static dt_status read_reals(const dt_setting_row *row, const char *path, const dt_yaml *node, dt_arena *arena,
                            dt_value *out)
{
    if (node->kind != DT_YAML_LIST) return fail_type(node, path, "a list of numbers like [0.9, 0.999]");
    out->list.count = 0;
    out->list.items = dt_arena_alloc(arena, DT_VALUE_REALS * sizeof(double));
    if (!out->list.items) return DT_ERR_MEMORY;
    for (const dt_yaml *item = node->first; item; item = item->next) {
        if (out->list.count == DT_VALUE_REALS)
            return dt_place_fail(item->place, path, "has more than %d numbers", DT_VALUE_REALS);
        DT_TRY(read_real(row, path, item, &out->list.items[out->list.count++]));
    }
    return DT_OK;
}

dt_status dt_value_read(const dt_setting_row *row, const char *path, const dt_yaml *node, dt_arena *arena,
                        dt_value *out)
{
    switch (row->type) {
    case DT_SETTING_BOOL: return read_bool(path, node, &out->truth);
    case DT_SETTING_INT: return read_int(row, path, node, &out->integer);
    case DT_SETTING_REAL: return read_real(row, path, node, &out->real);
    case DT_SETTING_TEXT:
        DT_TRY(read_text(path, node, &out->text));
        return row->name ? check_name(path, node) : DT_OK;
    case DT_SETTING_CHOICE: return read_choice(row, path, node, &out->choice);
    case DT_SETTING_REALS: break;
    }
    return read_reals(row, path, node, arena, out);
}
