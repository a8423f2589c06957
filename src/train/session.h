/* What a session holds, for the files of this room; others use the calls of train/train.h. */
#ifndef DT_TRAIN_SESSION_H
#define DT_TRAIN_SESSION_H

#include "train/programs.h"
#include "train/train.h"

enum { DT_PREFILL_TOKENS = 128 };
/* Texts are scored by programs of the model's context, half of it, and so on, down to the least that is worth it. */
enum { DT_SCORE_LENGTHS = 8, DT_SCORE_LEAST = 32, DT_SCORE_TEXTS = 8 };
enum { DT_SLOTS = 2 }; /* batches in device memory: one being computed with, one being copied */

typedef enum dt_program_id {
    DT_PROGRAM_PASS,
    DT_PROGRAM_UPDATE,
    DT_PROGRAM_EVAL,
    DT_PROGRAM_EVAL_EMA, /* the same with the averaged weights; while training with train.ema */
    DT_PROGRAM_PREFILL,  /* DT_PREFILL_TOKENS of a prompt, or as many as the context has; to generate text */
    DT_PROGRAM_DECODE,   /* one token */
    DT_PROGRAM_SCORE,    /* this and those behind it, the longest first, for as many texts as make up the context but
                            DT_SCORE_TEXTS at most; to score texts */
    DT_PROGRAMS = DT_PROGRAM_SCORE + DT_SCORE_LENGTHS
} dt_program_id;

struct dt_session {
    dt_session_options options;
    dt_log *log; /* outlives the session */
    dt_backend backend;
    dt_device *device;
    dt_device_info device_info;
    dt_comm *comm;
    dt_comm *sharers, *replicas; /* split off it where groups of ranks share; else NULL */
    dt_recipe recipe;
    dt_data_info info; /* of the training split */
    dt_model *model;
    dt_store *store;
    dt_optimizer optimizer;
    dt_program *program[DT_PROGRAMS]; /* NULL where the session does not have it */
    void *arena;
    int64_t arena_bytes;
    /* A slot holds a batch, and at `update_offset` what the update reads. Host images have the same layout. */
    char *slot[DT_SLOTS];
    int64_t slot_bytes, update_offset;
};

/* Opens a split and holds its shapes against those the session was planned for, and the tokenizer of its tokens against
 * data.token_hash. */
DT_MUST_USE dt_status dt_session_open_data(const dt_session *, const dt_settings *, dt_split, dt_dataset **out);
/* Gives data.token_hash, where it has none, the value of the run's data, for the resolved settings. */
DT_MUST_USE dt_status dt_session_keep_tokenizer(dt_settings *, const dt_data_info *);

/* While programs are replayed, a fault of the GPU is reported by whatever call comes next: says how to learn where it
 * comes from. Returns `status`; the session may be NULL. */
DT_MUST_USE dt_status dt_session_explain(const dt_session *, dt_status);

/* session_memory.c */
bool dt_session_keeps_average(const dt_session *); /* train.ema, while training */
void dt_session_measure(dt_session *);             /* sizes of arena and slots, once all programs are planned */
void dt_session_release_memory(dt_session *);
/* remedies.c: tells the device which settings make each category smaller, once it is measured. */
void dt_session_advise(const dt_session *);
/* What of a slot is filled for a program: of the pass, with what its update reads. */
int64_t dt_session_slot_bytes(const dt_session *, dt_program_id);

/* slot.c */
/* Where a program finds its batch inside a slot; it gets the fields of a batch that it declares. */
dt_batch_fields dt_session_fields(const dt_session *, dt_program_id);
/* Writes all but the batch into a host image of a slot: what depends on the step alone, and what this rank asks of the
 * others (NULL: there are none). */
void dt_session_write_step(const dt_session *, char *image, int64_t step, double lr, const double asks[DT_ASKS]);

#endif
