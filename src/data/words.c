/* The scanners. Both try the alternatives of their expression in its order; none of these ever has to go back by more
 * than one character. */
#include "data/words.h"

#include <string.h>

#include "data/unicode_table.h"

typedef enum class { OTHER, LETTER, NUMBER, SPACE } class;

static class class_of(uint32_t code)
{
    if (code == UINT32_MAX) return OTHER;
    uint32_t last = sizeof unicode_index - 1, block = code / 256 < last ? code / 256 : last;
    return unicode_block[unicode_index[block] * 64 + code % 256 / 4] >> code % 4 * 2 & 3;
}

static bool continues(const char *text, size_t bytes, size_t count)
{
    if (bytes < count) return false;
    for (size_t i = 1; i < count; i++)
        if ((text[i] & 0xC0) != 0x80) return false;
    return true;
}

size_t dt_utf8_next(const char *text, size_t bytes, uint32_t *code)
{
    const uint8_t *b = (const uint8_t *)text;
    *code = b[0];
    if (b[0] < 0x80) return 1;
    if (b[0] >= 0xC2 && b[0] < 0xE0 && continues(text, bytes, 2)) {
        *code = (b[0] & 0x1Fu) << 6 | (b[1] & 0x3Fu);
        return 2;
    }
    if (b[0] >= 0xE0 && b[0] < 0xF0 && continues(text, bytes, 3)) {
        *code = (b[0] & 0x0Fu) << 12 | (b[1] & 0x3Fu) << 6 | (b[2] & 0x3Fu);
        if (*code >= 0x800 && (*code < 0xD800 || *code > 0xDFFF)) return 3;
    } else if (b[0] >= 0xF0 && b[0] < 0xF5 && continues(text, bytes, 4)) {
        *code = (b[0] & 0x07u) << 18 | (b[1] & 0x3Fu) << 12 | (b[2] & 0x3Fu) << 6 | (b[3] & 0x3Fu);
        if (*code >= 0x10000 && *code <= 0x10FFFF) return 4;
    }
    *code = UINT32_MAX;
    return 1;
}

/* Of the last bytes that may be one character, the first. */
static size_t last_beginning(const char *text, size_t bytes)
{
    size_t at = bytes - 1;
    while (at && bytes - at < 4 && (text[at] & 0xC0) == 0x80) at--;
    return at;
}

size_t dt_utf8_last(const char *text, size_t bytes, uint32_t *code)
{
    size_t at = last_beginning(text, bytes), length = dt_utf8_next(text + at, bytes - at, code);
    if (at + length == bytes) return length;
    *code = UINT32_MAX;
    return 1;
}

size_t dt_utf8_cut(const char *text, size_t bytes)
{
    size_t at = last_beginning(text, bytes);
    return at && (uint8_t)text[at] >= 0xC0 ? at : bytes;
}

/* The class of the next character, and its bytes; at the end of the text 0 bytes. */
static class next(const char *text, size_t bytes, size_t *count)
{
    static const uint8_t ascii[128] = {
        ['\t'] = SPACE, ['\n'] = SPACE, ['\v'] = SPACE, ['\f'] = SPACE, ['\r'] = SPACE, [' '] = SPACE,
        ['0'] = NUMBER, ['1'] = NUMBER, ['2'] = NUMBER, ['3'] = NUMBER, ['4'] = NUMBER,
        ['5'] = NUMBER, ['6'] = NUMBER, ['7'] = NUMBER, ['8'] = NUMBER, ['9'] = NUMBER,
        ['A'] = LETTER, ['B'] = LETTER, ['C'] = LETTER, ['D'] = LETTER, ['E'] = LETTER, ['F'] = LETTER,
        ['G'] = LETTER, ['H'] = LETTER, ['I'] = LETTER, ['J'] = LETTER, ['K'] = LETTER, ['L'] = LETTER,
        ['M'] = LETTER, ['N'] = LETTER, ['O'] = LETTER, ['P'] = LETTER, ['Q'] = LETTER, ['R'] = LETTER,
        ['S'] = LETTER, ['T'] = LETTER, ['U'] = LETTER, ['V'] = LETTER, ['W'] = LETTER, ['X'] = LETTER,
        ['Y'] = LETTER, ['Z'] = LETTER, ['a'] = LETTER, ['b'] = LETTER, ['c'] = LETTER, ['d'] = LETTER,
        ['e'] = LETTER, ['f'] = LETTER, ['g'] = LETTER, ['h'] = LETTER, ['i'] = LETTER, ['j'] = LETTER,
        ['k'] = LETTER, ['l'] = LETTER, ['m'] = LETTER, ['n'] = LETTER, ['o'] = LETTER, ['p'] = LETTER,
        ['q'] = LETTER, ['r'] = LETTER, ['s'] = LETTER, ['t'] = LETTER, ['u'] = LETTER, ['v'] = LETTER,
        ['w'] = LETTER, ['x'] = LETTER, ['y'] = LETTER, ['z'] = LETTER};
    uint32_t code;
    *count = 0;
    if (!bytes) return OTHER;
    *count = 1;
    if ((uint8_t)*text < 128) return ascii[(uint8_t)*text];
    *count = dt_utf8_next(text, bytes, &code);
    return class_of(code);
}

/* How far characters of a class go on from `at`. */
static size_t run_of(class wanted, const char *text, size_t bytes, size_t at)
{
    for (size_t count; at < bytes && next(text + at, bytes - at, &count) == wanted; at += count) {}
    return at;
}

/* 's 't 're 've 'm 'll 'd behind an apostrophe; 0: none. U+017F folds to s. */
static size_t contraction(const char *text, size_t bytes, bool fold)
{
    char a = bytes > 1 ? text[1] : 0, b = bytes > 2 ? text[2] : 0;
    if (fold && a >= 'A' && a <= 'Z') a = (char)(a + 32);
    if (fold && b >= 'A' && b <= 'Z') b = (char)(b + 32);
    if (a == 's' || a == 't' || a == 'm' || a == 'd') return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l')) return 3;
    return fold && bytes > 2 && !memcmp(text + 1, "\xC5\xBF", 2) ? 3 : 0;
}

/* \s+(?!\S)|\s+ : white space, but for its last character where something else follows and there is more than one. */
static size_t spaces(const char *text, size_t bytes)
{
    size_t at = 0, last = 0, count;
    while (at < bytes && next(text + at, bytes - at, &count) == SPACE) {
        last = at;
        at += count;
    }
    return at == bytes || !last ? at : last;
}

size_t dt_word_gpt2(const char *text, size_t bytes)
{
    size_t count, more;
    if (*text == '\'') {
        size_t length = contraction(text, bytes, false);
        if (length) return length;
    }
    class first = next(text, bytes, &count);
    if (first != SPACE) return run_of(first, text, bytes, count);
    if (*text == ' ') {
        class second = next(text + 1, bytes - 1, &more);
        if (more && second != SPACE) return run_of(second, text, bytes, 1 + more);
    }
    return spaces(text, bytes);
}

static size_t line_ends(const char *text, size_t bytes, size_t at)
{
    while (at < bytes && (text[at] == '\r' || text[at] == '\n')) at++;
    return at;
}

static size_t three_numbers(const char *text, size_t bytes)
{
    size_t at = 0, count;
    for (int i = 0; i < 3 && at < bytes && next(text + at, bytes - at, &count) == NUMBER; i++) at += count;
    return at;
}

/* \s*[\r\n]+ : white space up to the last end of line in it; 0: there is none. */
static size_t lines(const char *text, size_t bytes)
{
    size_t at = 0, end = 0, count;
    while (at < bytes && next(text + at, bytes - at, &count) == SPACE) {
        if (text[at] == '\r' || text[at] == '\n') end = at + 1;
        at += count;
    }
    return end;
}

size_t dt_word_llama3(const char *text, size_t bytes)
{
    size_t count, more;
    if (*text == '\'') {
        size_t length = contraction(text, bytes, true);
        if (length) return length;
    }
    class first = next(text, bytes, &count);
    if (first == LETTER) return run_of(LETTER, text, bytes, count);
    if (first == NUMBER) return three_numbers(text, bytes);
    class second = next(text + count, bytes - count, &more);
    bool ends_line = *text == '\r' || *text == '\n';
    if (!ends_line && more && second == LETTER) return run_of(LETTER, text, bytes, count + more);
    if (first == OTHER) return line_ends(text, bytes, run_of(OTHER, text, bytes, count));
    if (*text == ' ' && more && second == OTHER) return line_ends(text, bytes, run_of(OTHER, text, bytes, 1 + more));
    size_t length = lines(text, bytes);
    return length ? length : spaces(text, bytes);
}

/* --- where texts can be cut --- */

static class class_before(const char *text, size_t at)
{
    uint32_t code;
    dt_utf8_last(text, at, &code);
    return class_of(code);
}

/* Is the character at `at` of another class? False where the text ends inside of it, as it may be any. */
static bool is_other_than(class unwanted, const char *text, size_t bytes, size_t at)
{
    uint32_t code;
    dt_utf8_next(text + at, bytes - at, &code);
    bool whole = code != UINT32_MAX || bytes - at >= 4;
    return whole && class_of(code) != unwanted;
}

/* No word goes on from another character to white space. */
bool dt_cuts_line_gpt2(const char *text, size_t bytes, size_t at)
{
    return (text[at] == '\n' || text[at] == '\r') && class_before(text, at) != SPACE;
}

/* No word goes on behind the end of a line but with white space. */
bool dt_cuts_line_llama3(const char *text, size_t bytes, size_t at)
{
    return text[at - 1] == '\n' && is_other_than(SPACE, text, bytes, at);
}

/* Letters and numbers end the words that they are in. */
bool dt_cuts_words(const char *text, size_t bytes, size_t at)
{
    class before = class_before(text, at);
    return (before == LETTER || before == NUMBER) && is_other_than(before, text, bytes, at);
}
