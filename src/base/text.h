/* Growing strings, and the small text helpers that messages and tables need. */
#ifndef DT_BASE_TEXT_H
#define DT_BASE_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* Start with {0}; release with dt_text_free. Out of memory sets `failed` and makes further appends do nothing, so
 * that one check at the end (dt_text_status) suffices. `data` is NULL until something was appended. */
typedef struct dt_text {
    char *data;
    size_t length, capacity;
    bool failed;
} dt_text;

DT_PRINTF(2, 3) void dt_text_add(dt_text *, const char *format, ...);
void dt_text_add_va(dt_text *, const char *format, va_list args);
void dt_text_add_bytes(dt_text *, const void *bytes, size_t count);
DT_MUST_USE dt_status dt_text_status(const dt_text *);
void dt_text_free(dt_text *);

/* Does it end in `suffix`, with something before that? */
bool dt_text_ends_in(const char *text, const char *suffix);

/* The candidate nearest to `word` by edit distance, or NULL where none is near enough to be worth suggesting. */
const char *dt_text_nearest(const char *word, const char *const *candidates, size_t count);

/* Of bytes that more may follow, how many to show: all but the beginning of a UTF-8 character at their end that is not
 * there whole yet. */
size_t dt_text_whole(const char *text, size_t bytes);

/* How many bytes the control character has that `text` begins with, as a terminal reads UTF-8: 0 (none), 1, or 2. */
int dt_text_control(const char *text);

/* "1.50 GiB", "17.6 GFLOP", "86.6 M" (an empty unit): `out` holds at least 32 bytes; returns out. */
char *dt_text_bytes(char *out, double bytes);
char *dt_text_count(char *out, double count, const char *unit);
char *dt_text_duration(char *out, double seconds); /* "1:02:03", "2:03", "4.2 s"; "n/a" if negative or not finite */

#endif
