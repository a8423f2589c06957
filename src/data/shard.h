/* A stretch of tokens that lies in one file or in memory, read by position. Reading is safe from several threads. */
#ifndef DT_DATA_SHARD_H
#define DT_DATA_SHARD_H

#include <stdint.h>

#include "base/status.h"

typedef struct dt_shard {
    char *path;              /* for messages */
    int64_t tokens;
    int64_t bytes;           /* of text that they stand for; -1: not told */
    int64_t vocabulary;      /* every token is below it, as its maker says; 0: not told */
    uint64_t tokenizer;      /* hash of the tokenizer (data/tokenizer.h); 0: not told */
    int width;               /* bytes of a token: 1, 2 or 4, little-endian */
    uint8_t *memory;         /* all tokens; NULL: they are in the file */
    uint64_t *document_ends; /* ascending, each one behind a document's last token; NULL: not told */
    int64_t documents;
} dt_shard;

/* Takes over `memory` (from malloc) also when it fails. */
DT_MUST_USE dt_status dt_shard_of_memory(const char *path, uint8_t *memory, int64_t tokens, int width, dt_shard **out);
void dt_shard_free(dt_shard *); /* NULL is allowed */
/* Tokens first .. first+count-1, all inside the shard. */
DT_MUST_USE dt_status dt_shard_read(const dt_shard *, int64_t first, int64_t count, int32_t *out);
/* Where the document that holds `token` begins; 0 where the shard does not tell of documents. */
int64_t dt_shard_document(const dt_shard *, int64_t token);

#endif
