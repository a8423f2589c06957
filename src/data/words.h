/* Cutting text into the words that byte pair encodings act on: the pre-tokenizers of GPT-2 and of Llama 3, as scanners
 * written by hand. The regular expressions that they stand for:
 *
 *   GPT-2    's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
 *   Llama 3  (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|
 *            \s+(?!\S)|\s+
 *
 * A byte that is not part of valid UTF-8 counts as a character that is neither letter, number nor space. */
#ifndef DT_DATA_WORDS_H
#define DT_DATA_WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DT_PATTERN_GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define DT_PATTERN_LLAMA3                                                                      \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The bytes of the character that a text, which is not empty, begins with: 1 where it is not valid UTF-8, and *code is
 * UINT32_MAX. */
size_t dt_utf8_next(const char *text, size_t bytes, uint32_t *code);
/* The same of the character that a text, which is not empty, ends with. */
size_t dt_utf8_last(const char *text, size_t bytes, uint32_t *code);
/* The last place, not before the last character of a text, that is inside of no character, whatever follows; bytes that
 * are no UTF-8 count as characters of one byte. */
size_t dt_utf8_cut(const char *text, size_t bytes);

/* The bytes of the word that a text, which is not empty, begins with; at least 1. */
size_t dt_word_gpt2(const char *text, size_t bytes);
size_t dt_word_llama3(const char *text, size_t bytes);

/* Are the words of a text, whatever follows it, those of its first `at` bytes and those of the others? 0 < at < bytes.
 * These say so of some places only. At the ends of lines: */
bool dt_cuts_line_gpt2(const char *text, size_t bytes, size_t at);
bool dt_cuts_line_llama3(const char *text, size_t bytes, size_t at);
/* Behind letters or numbers, with either pattern. */
bool dt_cuts_words(const char *text, size_t bytes, size_t at);

#endif
