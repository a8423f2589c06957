/* Values as YAML that reads back as the same value. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "config/value.h"

/* The shortest decimal that is this number again. */
static void print_real(double value, dt_text *out)
{
    char digits[32];
    for (int precision = 6; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        if (strtod(digits, NULL) == value) break;
    }
    dt_text_add(out, "%s", digits);
}

/* May the text stand without quotes? Only texts that no YAML reader could take for something else. */
static bool is_plain(const char *text)
{
    static const char first[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/";
    static const char rest[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/0123456789.-+";
    static const char *const reserved[] = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"};
    if (!*text || !strchr(first, *text) || text[strspn(text, rest)]) return false;
    for (size_t i = 0; i < sizeof reserved / sizeof *reserved; i++)
        if (strcasecmp(text, reserved[i]) == 0) return false;
    return true;
}

/* What cannot stand in double quotes as it is; the last three are line breaks to YAML (U+0085, U+2028, U+2029). */
static const struct {
    const char *bytes, *escape;
} escapes[] = {
    {"\"", "\\\""}, {"\\", "\\\\"}, {"\n", "\\n"}, {"\r", "\\r"}, {"\t", "\\t"},
    {"\xC2\x85", "\\N"}, {"\xE2\x80\xA8", "\\L"}, {"\xE2\x80\xA9", "\\P"},
};

/* Adds the escape of what `text` begins with, if it needs one; returns how many bytes it stands for. */
static size_t add_escape(const char *text, dt_text *out)
{
    for (size_t i = 0; i < sizeof escapes / sizeof *escapes; i++) {
        size_t length = strlen(escapes[i].bytes);
        if (strncmp(text, escapes[i].bytes, length) != 0) continue;
        dt_text_add(out, "%s", escapes[i].escape);
        return length;
    }
    return 0;
}

static void print_quoted(const char *text, dt_text *out)
{
    dt_text_add(out, "\"");
    while (*text) {
        size_t escaped = add_escape(text, out);
        if (!escaped) dt_text_add_bytes(out, text, 1);
        text += escaped ? escaped : 1;
    }
    dt_text_add(out, "\"");
}

static void print_text(const char *text, dt_text *out)
{
    if (is_plain(text)) dt_text_add(out, "%s", text);
    else print_quoted(text, out);
}

static void print_reals(const dt_value *value, dt_text *out)
{
    dt_text_add(out, "[");
    for (size_t i = 0; i < value->list.count; i++) {
        if (i) dt_text_add(out, ", ");
        print_real(value->list.items[i], out);
    }
    dt_text_add(out, "]");
}

void dt_value_print(const dt_setting_row *row, const dt_value *value, dt_text *out)
{
    switch (row->type) {
    case DT_SETTING_BOOL: dt_text_add(out, value->truth ? "true" : "false"); break;
    case DT_SETTING_INT: dt_text_add(out, "%" PRId64, value->integer); break;
    case DT_SETTING_REAL: print_real(value->real, out); break;
    case DT_SETTING_TEXT: print_text(value->text, out); break;
    case DT_SETTING_CHOICE: print_text(row->choices[value->choice], out); break;
    case DT_SETTING_REALS: print_reals(value, out); break;
    }
}
