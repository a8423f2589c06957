/* A stretch of tokens that lies in one file or in memory, read by position. Reading is safe from several threads. */
#ifndef DT_DATA_SHARD_H
#define DT_DATA_SHARD_H

#include <stdbool.h>
#include <stddef.h>
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

    int fd;                  /* of a file; -1 */
    int64_t data_at, data_end; /* where in the file the tokens are */
    uint64_t data_sum;       /* of the file's tokens as stored; 0: not told */
    uint64_t *frame_at;      /* of compressed tokens: where in the file each frame begins, and the last ends; NULL */
    int64_t frame_tokens;
    uint64_t *tables;        /* what frame_at and document_ends point into */
} dt_shard;

/* Takes over `memory` (from malloc) also when it fails. */
DT_MUST_USE dt_status dt_shard_of_memory(const char *path, uint8_t *memory, int64_t tokens, int width, dt_shard **out);
/* A file: our own format (data/shard_format.h), llm.c's with its header of 256 integers, or, under a name that ends in
 * .bin, nanoGPT's bare 16-bit numbers. The file stays open. DT_ERR_DATA says what is not sound. */
DT_MUST_USE dt_status dt_shard_open(const char *path, dt_shard **out);
void dt_shard_free(dt_shard *); /* NULL is allowed */
bool dt_shard_is_name(const char *name); /* of a file that training reads where it lies in data.path */
/* Reads the whole file and holds it against its checksum; nothing to do where there is none. */
DT_MUST_USE dt_status dt_shard_check(const dt_shard *);
/* Tokens first .. first+count-1, all inside the shard. */
DT_MUST_USE dt_status dt_shard_read(const dt_shard *, int64_t first, int64_t count, int32_t *out);
/* Where the document that holds `token` begins; 0 where the shard does not tell of documents. */
int64_t dt_shard_document(const dt_shard *, int64_t token);

/* Writing our own format. The file has its name once it is finished; before, that name and ".part". */
typedef struct dt_shard_writer dt_shard_writer;
typedef struct dt_shard_options {
    uint64_t tokenizer;
    int64_t vocabulary;
    bool compress;
} dt_shard_options;
DT_MUST_USE dt_status dt_shard_writer_create(const char *path, const dt_shard_options *, dt_shard_writer **out);
/* Part of a document: its tokens, and the bytes of text that they stand for. */
DT_MUST_USE dt_status dt_shard_writer_add(dt_shard_writer *, const int32_t *tokens, int64_t count, int64_t bytes);
DT_MUST_USE dt_status dt_shard_writer_end(dt_shard_writer *); /* of a document */
int64_t dt_shard_writer_tokens(const dt_shard_writer *);
/* Writes tables and header, syncs, renames. */
DT_MUST_USE dt_status dt_shard_writer_finish(dt_shard_writer *);
void dt_shard_writer_free(dt_shard_writer *); /* removes what was not finished; NULL is allowed */

#endif
