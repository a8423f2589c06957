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

#include <stddef.h>
#include <stdint.h>

#define DT_PATTERN_GPT2 "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define DT_PATTERN_LLAMA3                                                                      \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|" \
    "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* The bytes of the character that a text, which is not empty, begins with: 1 where it is not valid UTF-8, and *code is
 * UINT32_MAX. */
size_t dt_utf8_next(const char *text, size_t bytes, uint32_t *code);

/* The bytes of the word that a text, which is not empty, begins with; at least 1. */
size_t dt_word_gpt2(const char *text, size_t bytes);
size_t dt_word_llama3(const char *text, size_t bytes);

#endif
