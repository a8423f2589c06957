/* Byte pair encoding (Sennrich, Haddow, Birch 2016): a vocabulary, and merges of two tokens to one in the order in
 * which they were learned. A word begins as its smallest tokens; the merge learned first of all that are possible, the
 * leftmost of equal ones, is made until none is. */
#ifndef DT_DATA_BPE_H
#define DT_DATA_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

/* Strings to numbers: a table of open addresses into one block of bytes. */
typedef struct dt_string_map {
    struct dt_string_slot {
        uint32_t hash;
        int32_t value; /* -1: free */
        uint32_t at, length;
    } *slot;
    uint32_t mask, used;
    dt_text bytes;
} dt_string_map;
DT_MUST_USE dt_status dt_string_map_add(dt_string_map *, const char *key, size_t length, int32_t value);
int32_t dt_string_map_find(const dt_string_map *, const char *key, size_t length); /* -1: not there */
void dt_string_map_free(dt_string_map *);

typedef struct dt_merge {
    uint64_t pair; /* left << 32 | right; UINT64_MAX: free */
    int32_t rank, token;
} dt_merge;

/* What stands between a text and the words that merges act on. */
typedef enum dt_word_rule {
    DT_WORDS_GPT2,   /* the pattern of GPT-2 */
    DT_WORDS_LLAMA3, /* the pattern of Llama 3 */
    DT_WORDS_NONE,   /* bytes, the whole text at once */
    DT_WORDS_SPACE   /* characters with byte fallback, spaces written as U+2581 */
} dt_word_rule;

typedef struct dt_bpe {
    dt_word_rule rule;
    bool whole_words;   /* a word that is a token is not taken apart (ignore_merges) */
    bool prefix_space;  /* a space before the text (add_prefix_space, or Llama 2's first word) */
    bool prefix_twice;  /* ... also before one that begins with a space */
    bool prefix_first;  /* ... only at the very beginning, not behind special tokens */
    bool strip_space;   /* decoding leaves out the first space */
    dt_string_map ids;  /* the vocabulary: bytes, or with DT_WORDS_SPACE names as they stand in the file */
    int32_t size;       /* of the vocabulary: tokens are below it */
    uint32_t *at;       /* [size + 1]: where in `bytes` a token's bytes begin; at[t] == at[t + 1]: no such token */
    dt_text bytes;
    int32_t byte[256];  /* the token of a byte: its own, or its fallback */
    dt_merge *merge;    /* a table of open addresses */
    uint64_t merge_mask;
    int64_t merges;
    bool cut_spaces;    /* no merge goes across a change from other characters to U+2581: words can be cut there */
    bool cut_lines;     /* with DT_WORDS_SPACE: no merge takes a '\n', so that texts can be cut in front of it */
    struct dt_special {
        int32_t token;
        uint32_t length;
        char *name;
    } *special;         /* longest first, once all is read */
    int specials;
    int32_t end, begin;
    uint64_t hash;
} dt_bpe;

void dt_bpe_free(dt_bpe *);
/* Room for so many merges. */
DT_MUST_USE dt_status dt_bpe_reserve_merges(dt_bpe *, int64_t merges);
/* The next merge: of equal pairs the last counts. */
void dt_bpe_add_merge(dt_bpe *, int32_t left, int32_t right, int32_t token);
const dt_merge *dt_bpe_find(const dt_bpe *, int32_t left, int32_t right); /* NULL: they do not merge */

typedef struct dt_bpe_scratch { /* starts with {0} */
    void *memory;
    size_t room;
} dt_bpe_scratch;
/* Merges token[count] in place; *count becomes what is left. */
DT_MUST_USE dt_status dt_bpe_merge(const dt_bpe *, dt_bpe_scratch *, int32_t *token, int64_t *count);

#endif
