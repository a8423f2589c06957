/* Inside of the tokenizers: what is open, and who reads it from files. */
#ifndef DT_DATA_TOKENIZER_KINDS_H
#define DT_DATA_TOKENIZER_KINDS_H

#include <jansson.h>
#include <string.h>

#include "data/bpe.h"
#include "data/tokenizer.h"

struct dt_tokenizer {
    bool bytes; /* each byte is a token; `bpe` is empty */
    char letter[256];
    dt_bpe bpe;
};

/* These fill a bpe that is all 0, and leave to dt_bpe_free what they took when they fail. */
DT_MUST_USE dt_status dt_tokenizer_read_json(const char *path, dt_bpe *);
DT_MUST_USE dt_status dt_tokenizer_read_gpt2(const char *encoder_path, const char *merges_path, dt_bpe *);

/* What vocabularies with byte fallback write for a space: U+2581. */
#define DT_SPACE_MARK "\xE2\x96\x81"
enum { DT_SPACE_MARK_BYTES = sizeof DT_SPACE_MARK - 1 };
static inline bool dt_has_space_mark(const char *text, size_t bytes) /* at its beginning */
{
    return bytes >= DT_SPACE_MARK_BYTES && !memcmp(text, DT_SPACE_MARK, DT_SPACE_MARK_BYTES);
}

/* What both have in common. Tokens as the files write them: of byte-level vocabularies each byte as one character. */
typedef enum dt_spelling { DT_SPELL_LETTERS, DT_SPELL_FALLBACK } dt_spelling;
/* `vocabulary` is the object of names to numbers; `added` may be NULL: an array of added tokens. */
DT_MUST_USE dt_status dt_bpe_read_vocabulary(dt_bpe *, json_t *vocabulary, json_t *added, dt_spelling,
                                             const char *path);
DT_MUST_USE dt_status dt_bpe_add_special(dt_bpe *, const char *name, int32_t token);
/* The next merge, of two names as the file writes them. */
DT_MUST_USE dt_status dt_bpe_read_merge(dt_bpe *, dt_spelling, const char *left, size_t left_length, const char *right,
                                        size_t right_length, const char *path);
/* Once all is there: the bytes' tokens, the order of special ones, what can be cut, begin and end, the hash. */
DT_MUST_USE dt_status dt_bpe_complete(dt_bpe *, dt_spelling, const char *path);

#endif
