/* The file format of shards, version 1. All numbers are little-endian.
 *
 *     0     header, 128 bytes: struct dt_shard_header
 *     128   tokens: u16 or u32 one behind the other, or zstd frames of frame_tokens tokens each (the last may have
 *           fewer)
 *     tables_at:
 *           u64 frame_at[frames + 1]     where in the file each frame begins; the last: where the tokens' part ends
 *           u64 document_ends[documents] ascending: the number of the token behind each document; the last is `tokens`
 *     end of file
 *
 * Checksums are XXH3 (64 bits, seed 0): of the stored tokens' part, of the tables, and of the header before its own. */
#ifndef DT_DATA_SHARD_FORMAT_H
#define DT_DATA_SHARD_FORMAT_H

#include <stdint.h>

#define DT_SHARD_MAGIC "DTTOKENS"
enum { DT_SHARD_VERSION = 1, DT_SHARD_FRAME = 1 << 16 };

typedef struct dt_shard_header {
    char magic[8];
    uint32_t version;
    uint32_t width;         /* bytes of a token: 2 or 4 */
    uint64_t tokenizer;     /* dt_tokenizer_hash */
    uint32_t vocabulary;    /* every token is below it */
    uint32_t compression;   /* 0 none, 1 zstd */
    uint64_t tokens, bytes; /* bytes of text that the tokens stand for */
    uint64_t documents;
    uint64_t frames;        /* 0 when not compressed */
    uint64_t frame_tokens;  /* 0 when not compressed */
    uint64_t tables_at;
    uint64_t data_sum, tables_sum;
    uint8_t reserved[24];   /* 0 */
    uint64_t header_sum;
} dt_shard_header;
_Static_assert(sizeof(dt_shard_header) == 128, "the header has no holes");

#endif
