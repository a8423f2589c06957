/* What a preparation keeps in its folder to go on after an interruption. */
#ifndef DT_DATA_PREPARE_STATE_H
#define DT_DATA_PREPARE_STATE_H

#include "data/prepare.h"

typedef struct dt_prepare_state {
    uint64_t key;   /* of tokenizer, files and options: those of another preparation differ */
    uint64_t times; /* of the files' modification: those of an edited one differ */
    bool begun; /* there is a prepare.json */
    bool done;
    dt_corpus_place place;
    int64_t shards[2]; /* finished, of the training and the eval split */
    dt_prepare_counts counts;
} dt_prepare_state;

/* Reads OUT/prepare.json, if it is there: `state`, whose key and times are set, stays as it is otherwise. DT_ERR_USAGE
 * where it is of another preparation, or files were modified since. */
DT_MUST_USE dt_status dt_prepare_state_read(const char *out, dt_prepare_state *);
DT_MUST_USE dt_status dt_prepare_state_write(const char *out, const dt_prepare_state *);

/* The path of a shard: split 0 is the training split, 1 the eval split. */
DT_MUST_USE dt_status dt_prepare_shard_path(const char *out, int split, int64_t number, dt_text *path);
/* Are the shards that the state counts there, with sound headers and tables? And where nothing was begun, is there none
 * yet? Otherwise the failure names one, and the remedy. */
DT_MUST_USE dt_status dt_prepare_check_shards(const char *out, const dt_prepare_state *);

#endif
