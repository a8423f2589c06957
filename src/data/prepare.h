/* Text to shards: reading, encoding and writing at once, with bounded memory, on all cores.
 *
 * Work goes in rounds: while the pieces of one round are encoded, those of the next are read. Which tokens are written
 * in which order depends on the corpus and the options alone, never on the number of threads. An interrupted
 * preparation goes on where it was: after each shard, and when a signal ends it, the folder's prepare.json says how far
 * the corpus was read.
 *
 * The folder then holds train-00000.tokens ..., val-00000.tokens ... with the pieces that were drawn for evaluation,
 * prepare.json, tokenizer/ with a copy of the tokenizer's files, and a lock that keeps a second process out. */
#ifndef DT_DATA_PREPARE_H
#define DT_DATA_PREPARE_H

#include "base/log.h"
#include "data/corpus.h"
#include "data/shard.h"

typedef enum dt_unsound { DT_UNSOUND_STOP, DT_UNSOUND_SKIP, DT_UNSOUND_KEEP } dt_unsound;

typedef struct dt_prepare_options {
    const char *tokenizer, *out;
    const char *const *paths;
    int path_count;
    bool json_input;        /* standard input is JSON lines */
    const char *field;      /* of JSON lines */
    double held_out;        /* share of the pieces */
    int64_t shard_tokens;   /* after which a shard ends */
    bool compress, special; /* zstd; names of special tokens in the text become them */
    dt_unsound unsound;     /* documents that are empty, not UTF-8, hold NUL, or are no sound JSON (never kept) */
    int threads;            /* 0: as many as there are processors */
    volatile const int *signal; /* not 0: save and leave; may be NULL */
    dt_log *log;
} dt_prepare_options;

typedef struct dt_prepare_counts { /* of the whole preparation */
    int64_t documents, tokens, bytes; /* written; an end token counts as a token and no byte */
    int64_t held_out_tokens, skipped; /* of the tokens; documents or parts */
    int64_t shards;
    int64_t vocabulary; /* of the tokenizer */
} dt_prepare_counts;

/* DT_ERR_STOPPED when a signal ended it; DT_ERR_USAGE where the folder holds another preparation, or shards of none, or
 * where another process works on it; DT_ERR_IO or DT_ERR_DATA where one of its finished shards is gone or not sound. */
DT_MUST_USE dt_status dt_prepare_tokens(const dt_prepare_options *, dt_prepare_counts *out);

#endif
