/* The growing string and the nearest word. */
#include "base/text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Room for `more` bytes and the final NUL. */
static bool reserve(dt_text *text, size_t more)
{
    if (text->failed) return false;
    if (more < text->capacity - text->length) return true;
    size_t capacity = text->capacity ? text->capacity : 64;
    while (capacity - text->length <= more) {
        if (capacity > SIZE_MAX / 2) goto failed;
        capacity *= 2;
    }
    char *data = realloc(text->data, capacity);
    if (!data) goto failed;
    text->data = data;
    text->capacity = capacity;
    return true;
failed:
    text->failed = true;
    return false;
}

void dt_text_add_va(dt_text *text, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length < 0) text->failed = true;
    else if (reserve(text, (size_t)length)) {
        vsnprintf(text->data + text->length, (size_t)length + 1, format, again);
        text->length += (size_t)length;
    }
    va_end(again);
}

void dt_text_add(dt_text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    dt_text_add_va(text, format, args);
    va_end(args);
}

void dt_text_add_bytes(dt_text *text, const void *bytes, size_t count)
{
    if (!reserve(text, count)) return;
    if (count) memcpy(text->data + text->length, bytes, count);
    text->length += count;
    text->data[text->length] = '\0';
}

dt_status dt_text_status(const dt_text *text)
{
    return text->failed ? dt_fail_memory(text->length, "a text that grows") : DT_OK;
}

void dt_text_free(dt_text *text)
{
    free(text->data);
    *text = (dt_text){0};
}

bool dt_text_ends_in(const char *text, const char *suffix)
{
    size_t length = strlen(text), tail = strlen(suffix);
    return length > tail && !strcmp(text + length - tail, suffix);
}

size_t dt_text_whole(const char *text, size_t bytes)
{
    for (size_t back = 1; back <= 3 && back <= bytes; back++) {
        unsigned char c = (unsigned char)text[bytes - back];
        size_t length = c >= 0xF0 && c < 0xF5 ? 4 : c >= 0xE0 && c < 0xF0 ? 3 : c >= 0xC2 && c < 0xE0 ? 2 : 1;
        if (length > back) return bytes - back;
        if (c < 0x80 || c >= 0xC0) return bytes;
    }
    return bytes;
}

int dt_text_control(const char *text)
{
    unsigned char c = (unsigned char)text[0], next = c ? (unsigned char)text[1] : 0;
    if (c == 0xC2 && next >= 0x80 && next < 0xA0) return 2; /* U+0080 to U+009F, of which one begins escapes */
    return c && (c < 0x20 || c == 0x7F);
}

enum { WORD_LIMIT = 96 }; /* longer words are not worth a suggestion */

static int least(int a, int b) { return a < b ? a : b; }

/* The number of insertions, deletions, replacements and swaps of neighbours that make `a` into `b`. */
static int edit_distance(const char *a, int a_length, const char *b, int b_length)
{
    int rows[3][WORD_LIMIT + 1]; /* of the table: two above, above, this */
    for (int j = 0; j <= b_length; j++) rows[0][j] = j;
    for (int i = 1; i <= a_length; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (int j = 1; j <= b_length; j++) {
            int replaced = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(replaced, least(above[j], row[j - 1]) + 1);
            bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) row[j] = least(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

const char *dt_text_nearest(const char *word, const char *const *candidates, size_t count)
{
    size_t length = strnlen(word, WORD_LIMIT + 1);
    if (length == 0 || length > WORD_LIMIT) return NULL;
    int best = 1 + least((int)length / 3, 3); /* a distance must be below this */
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        size_t other = strlen(candidates[i]);
        if (other > WORD_LIMIT) continue;
        int distance = edit_distance(word, (int)length, candidates[i], (int)other);
        if (distance >= best) continue;
        best = distance;
        nearest = candidates[i];
    }
    return nearest;
}
