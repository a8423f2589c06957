/* The bytes of a YAML text, checked before libyaml sees them, as its own messages about them have no line. */
#include <stdint.h>
#include <string.h>

#include "config/yaml.h"

/* Decodes one UTF-8 character; returns its length, 0 where there is none. */
static size_t decode(const uint8_t *bytes, size_t size, uint32_t *out)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000}; /* by length: no longer form than needed */
    uint8_t first = bytes[0];
    size_t length = first < 0x80 ? 1 : first >> 5 == 6 ? 2 : first >> 4 == 14 ? 3 : first >> 3 == 30 ? 4 : 0;
    if (length == 0 || length > size) return 0;
    uint32_t code = length == 1 ? first : first & (0x7Fu >> length);
    for (size_t i = 1; i < length; i++) {
        if (bytes[i] >> 6 != 2) return 0;
        code = code << 6 | (bytes[i] & 0x3Fu);
    }
    bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    if (surrogate || code < smallest[length] || code > 0x10FFFF) return 0;
    *out = code;
    return length;
}

static bool is_allowed(uint32_t code, bool first)
{
    if (code < 0x20) return code == '\t' || code == '\n' || code == '\r';
    if (code == 0xFEFF) return first; /* the byte order mark */
    return code != 0x7F && !(code > 0x7F && code < 0xA0 && code != 0x85) && code != 0xFFFE && code != 0xFFFF;
}

bool dt_yaml_is_clean(const char *text)
{
    const uint8_t *p = (const uint8_t *)text;
    for (size_t left = strlen(text), length; left; left -= length, p += length) {
        uint32_t code;
        length = decode(p, left, &code);
        if (!length || !is_allowed(code, false)) return false;
    }
    return true;
}

dt_status dt_yaml_check_bytes(const char *bytes, size_t size, const char *source, bool numbered)
{
    const uint8_t *p = (const uint8_t *)bytes;
    dt_place place = {source, numbered, numbered}; /* at 1:1, or without numbers */
    bool indent = true;
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t code = 0;
        length = decode(p + at, size - at, &code);
        if (!length) return dt_place_fail(place, NULL, "not UTF-8: byte 0x%02X", p[at]);
        if (code == 0) return dt_place_fail(place, NULL, "a NUL byte");
        if (!is_allowed(code, at == 0)) return dt_place_fail(place, NULL, "the control character U+%04X", code);
        if (code == '\t' && indent) return dt_place_fail(place, NULL, "a tab in the indentation: use spaces");
        bool new_line = code == '\n' || (code == '\r' && !(at + 1 < size && p[at + 1] == '\n'));
        indent = new_line || (indent && code == ' ');
        if (!numbered) continue;
        place.line += new_line;
        place.column = new_line ? 1 : place.column + 1;
    }
    return DT_OK;
}
