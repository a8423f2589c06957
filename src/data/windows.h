/* Samples of token data sets: windows of T+1 tokens over one or several sets of shards.
 *
 * A set's shards are read end to end as one row of tokens, of which a split takes a part. Window w of the training
 * split begins at token w * stride and lies inside the split whole. The eval split's windows begin data.eval_stride
 * apart; the last may reach beyond the split's end.
 *
 * Of several sets (data.mix) each has a share of the epoch's samples. Sample g of a set, counted through all epochs, is
 * its window number permute(g div windows, g mod windows): every window once before any again, and no memory of what
 * was read. */
#ifndef DT_DATA_WINDOWS_H
#define DT_DATA_WINDOWS_H

#include "data/data.h"
#include "data/shard.h"

typedef struct dt_token_row { /* one set's shards end to end */
    dt_shard **shard;
    int64_t *first; /* [shards + 1]: the row's number of each shard's first token; behind them, its length */
    int64_t shards;
    int64_t begin, end; /* the split */
    int64_t windows;    /* of the split */
    int64_t share;      /* samples of an epoch */
} dt_token_row;

typedef struct dt_windows {
    dt_split split;
    int64_t context, stride, vocabulary;
    int32_t separator; /* ends documents where shards do not tell; -1: none does */
    int rows;
    dt_token_row *row;
    dt_text without_bytes; /* why the bytes of the eval split are not known, where files tell them; empty */
} dt_windows;

/* Reads data.context, data.stride, data.eval_stride, data.separator. */
dt_windows dt_windows_read(const dt_settings *, dt_split);
/* Adds a row that takes over the shards (the array, too), also when it fails. */
DT_MUST_USE dt_status dt_windows_add(dt_windows *, dt_shard **shard, int64_t shards);
DT_MUST_USE dt_status dt_windows_add_one(dt_windows *, dt_shard *); /* a row of one shard */
/* Leaves of the last row tokens begin .. end-1. */
void dt_windows_cut(dt_windows *, int64_t begin, int64_t end);
/* Counts samples once all rows are there: `weights` [rows] are the rows' shares of an epoch, of any sum; NULL: as many
 * as each has. Fills count, vocabulary, tokens, documents and, of the eval split, bytes of the info. DT_ERR_DATA where
 * a row is too short for one sample, or holds tokens that info->vocabulary (0: not set) does not have. */
DT_MUST_USE dt_status dt_windows_count(dt_windows *, const double *weights, dt_data_info *info);
/* The bytes of text that the targets of the eval split stand for, each counted once; 0 where they cannot be known.
 * `named`: the tokenizer, as dt_tokenizer_open takes it; NULL: bytes, or that in a folder `tokenizer` beside shards,
 * where they were made with it. `why` gets what is wrong with that one, if it alone is missing, else nothing. */
DT_MUST_USE dt_status dt_windows_count_bytes(const dt_windows *, const char *named, int64_t *out, dt_text *why);
/* Holds all tokens of shards that do not tell their vocabulary against that of the windows, once they are counted. */
DT_MUST_USE dt_status dt_windows_check(const dt_windows *);
void dt_windows_free(dt_windows *); /* what it holds */

/* Writes sample `index` of an epoch: tokens and targets [T], of which either may be NULL, starts [T] or NULL; `scratch`
 * holds T+1 tokens. `seed` and `epoch` matter for mixes alone. */
DT_MUST_USE dt_status dt_windows_fill(const dt_windows *, uint64_t seed, int64_t epoch, int64_t index, int32_t *scratch,
                                      int32_t *tokens, int32_t *targets, int32_t *starts);

#endif
