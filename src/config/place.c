/* Errors with a place. */
#include "config/place.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

enum { FACT_ROOM = 1024 };

dt_status dt_place_fail(dt_place place, const char *path, const char *format, ...)
{
    char fact[FACT_ROOM], source[DT_QUOTE_ROOM];
    va_list args;
    va_start(args, format);
    vsnprintf(fact, sizeof fact, format, args);
    va_end(args);
    if (!place.line) return dt_fail(DT_ERR_USAGE, "%s: %s", dt_place_quote(source, place.source), fact);
    const char *colon = path ? ": " : "";
    return dt_fail(DT_ERR_USAGE, "%s:%d:%d: %s%s%s", place.source, place.line, place.column, path ? path : "", colon,
                   fact);
}

char *dt_place_quote(char out[DT_QUOTE_ROOM], const char *text)
{
    static const char dots[] = "...";
    size_t length = strnlen(text, DT_QUOTE_ROOM), room = DT_QUOTE_ROOM - sizeof dots;
    bool cut = length == DT_QUOTE_ROOM;
    if (cut) length = room;
    while (cut && length && ((unsigned char)text[length] & 0xC0) == 0x80) length--; /* not inside a UTF-8 sequence */
    for (size_t i = 0; i < length; i++) out[i] = dt_text_control(text + i) == 1 ? '?' : text[i];
    strcpy(out + length, cut ? dots : "");
    return out;
}
