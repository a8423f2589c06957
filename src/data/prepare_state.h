/* What a preparation keeps in its folder to go on after an interruption. */
#ifndef DT_DATA_PREPARE_STATE_H
#define DT_DATA_PREPARE_STATE_H

#include "data/prepare.h"

/* What a preparation is made of, as hashes: those of another preparation differ. */
typedef struct dt_prepare_source {
    const dt_corpus *corpus; /* to name files */
    uint64_t tokenizer;
    uint64_t files;   /* their paths and sizes */
    uint64_t times;   /* of their modification */
    uint64_t input;   /* the beginning of standard input; 0: it is not among the files */
    uint64_t options; /* that decide on the shards, but for: */
    uint64_t unsound; /* a dt_unsound; what was written under DT_UNSOUND_STOP is all sound and goes with any other */
    uint64_t key;     /* of tokenizer, files and options at once, as states of version 1 have it */
} dt_prepare_source;

typedef struct dt_prepare_state {
    dt_prepare_source source;
    bool begun; /* there is a prepare.json */
    bool done;
    dt_corpus_place place;
    int64_t shards[2]; /* finished, of the training and the eval split */
    dt_prepare_counts counts;
} dt_prepare_state;

/* Reads OUT/prepare.json, if it is there: `state`, whose source is set, stays as it is otherwise. DT_ERR_USAGE where it
 * is of another preparation, saying in what they differ. */
DT_MUST_USE dt_status dt_prepare_state_read(const char *out, dt_prepare_state *);
DT_MUST_USE dt_status dt_prepare_state_write(const char *out, const dt_prepare_state *);

/* The path of a shard: split 0 is the training split, 1 the eval split. */
DT_MUST_USE dt_status dt_prepare_shard_path(const char *out, int split, int64_t number, dt_text *path);
/* Are the shards that the state counts there, with sound headers and tables? And where nothing was begun, is there none
 * yet? Otherwise the failure names one, and the remedy. */
DT_MUST_USE dt_status dt_prepare_check_shards(const char *out, const dt_prepare_state *);

#endif
