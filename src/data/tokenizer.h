/* Tokenizers: text to numbers and back.
 *
 * What is opened is `bytes` (each byte its own token; nothing is read), a folder, or a tokenizer.json of Hugging Face.
 * A folder holds tokenizer.json, or GPT-2's encoder.json and vocab.bpe (or the same as vocab.json and merges.txt).
 * Of tokenizer.json, byte pair encodings are read: byte-level with the pre-tokenizer of GPT-2 or of Llama 3, and with
 * byte fallback as in Llama 2. Anything else is DT_ERR_DATA that names what is not known.
 *
 * A tokenizer does not change once it is open and serves any number of threads; an encoder serves one. */
#ifndef DT_DATA_TOKENIZER_H
#define DT_DATA_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/text.h"

typedef struct dt_tokenizer dt_tokenizer;
DT_MUST_USE dt_status dt_tokenizer_open(const char *spec, dt_tokenizer **out);
void dt_tokenizer_close(dt_tokenizer *); /* NULL is allowed */
/* Copies the files that `spec` names into the folder OUT/tokenizer, which can be opened like `spec` then: what another
 * tokenizer has left there is removed, other files are not. Of bytes there are none to copy. DT_ERR_USAGE where
 * OUT/tokenizer is a link. */
DT_MUST_USE dt_status dt_tokenizer_copy(const char *spec, const char *out);

int64_t dt_tokenizer_vocabulary(const dt_tokenizer *); /* every token is below it */
uint64_t dt_tokenizer_hash(const dt_tokenizer *);      /* of all that decides on the result; never 0 */
enum { DT_TOKENIZER_HASH_ROOM = 17 };
char *dt_tokenizer_hash_text(uint64_t hash, char out[DT_TOKENIZER_HASH_ROOM]); /* as settings have it; returns `out` */
int32_t dt_tokenizer_end(const dt_tokenizer *);        /* the token that ends a document; -1: there is none */
int32_t dt_tokenizer_begin(const dt_tokenizer *);      /* the token that begins one, where the kind has such; -1 */
int32_t dt_tokenizer_special(const dt_tokenizer *, const char *name); /* such as <|endoftext|>; -1: not known */
/* The bytes that a token stands for; NULL for a number that is none. Those of special tokens are their names. */
const char *dt_tokenizer_token(const dt_tokenizer *, int32_t token, size_t *bytes);
/* The bytes that a token stands for in a document's text, without the space that the tokenizer puts in front of a text,
 * and some behind a special token in it. `before`: the token in front, -1 where it begins the document. A number that
 * is no token has none. */
int64_t dt_tokenizer_text_bytes(const dt_tokenizer *, int32_t token, int32_t before);
/* Appends the text of the tokens, which is not UTF-8 where they do not say such. A number that is no token is
 * DT_ERR_DATA. */
DT_MUST_USE dt_status dt_tokenizer_decode(const dt_tokenizer *, const int32_t *tokens, int64_t count, dt_text *out);

typedef struct dt_tokens { /* starts with {0}; released with free(list.token) */
    int32_t *token;
    int64_t count, room;
} dt_tokens;
DT_MUST_USE dt_status dt_tokens_reserve(dt_tokens *, int64_t more);

typedef struct dt_encoder dt_encoder;
/* `special`: names of special tokens in a text become those tokens, as with Hugging Face; otherwise they are text. */
DT_MUST_USE dt_status dt_encoder_create(const dt_tokenizer *, bool special, dt_encoder **out);
void dt_encoder_free(dt_encoder *);
/* Appends the tokens of a text, with nothing in front of it or behind. Any bytes are a text: what is not UTF-8 is kept
 * byte by byte. */
DT_MUST_USE dt_status dt_encoder_run(dt_encoder *, const char *text, size_t bytes, dt_tokens *out);
/* The same for a text in parts, cut where dt_tokenizer_cut says: the tokens of the parts, one behind the other, are
 * those of the whole. `first`: it is the first part. */
DT_MUST_USE dt_status dt_encoder_part(dt_encoder *, const char *text, size_t bytes, bool first, dt_tokens *out);
/* The last place, above 0, where the text can be cut so; 0: there is none. */
size_t dt_tokenizer_cut(const dt_tokenizer *, const char *text, size_t bytes);

#endif
