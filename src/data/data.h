/* Data sets and the loader.
 *
 * A data set is a registry entry: it opens files named by the settings, tells its shapes and reads samples by index; it
 * must allow reads from several threads at once. The loader turns (seed, epoch, position) into batches ahead of the
 * device, so that the position is one number and resuming is exact at any step. */
#ifndef DT_DATA_DATA_H
#define DT_DATA_DATA_H

#include "base/log.h"
#include "config/settings.h"

typedef enum dt_split { DT_SPLIT_TRAIN, DT_SPLIT_EVAL } dt_split;

typedef enum dt_sample_form { DT_FORM_IMAGES, DT_FORM_TOKENS } dt_sample_form;

typedef struct dt_data_info {
    dt_sample_form form;
    int64_t count; /* samples */

    /* images */
    int64_t channels, height, width; /* as delivered, after augmentation */
    int64_t classes;
    double mean[4], std[4]; /* per channel, of values in [0, 1]: the set's usual normalisation */

    /* tokens */
    int64_t context;       /* T: inputs of a sample, and its targets */
    int64_t vocabulary;    /* every token is below it; 0: not known before opening */
    bool documents;        /* it tells where documents begin (DT_FIELD_STARTS); false before opening */
    const char *tokenizer; /* what text is made into them by, as dt_tokenizer_open takes it; NULL: not known */
    uint64_t token_hash;   /* of the tokenizer that they were made with; 0: not known, or not before opening */
    int64_t tokens;        /* targets of the split, each counted once; 0 before opening */
    int64_t bytes;         /* of text that they stand for; 0: not known, before opening, or of the training split */
} dt_data_info;

typedef struct dt_dataset dt_dataset;
/* Opens data.kind with data.path and checks its files (sizes, magic numbers, labels in range). A missing one is an
 * error that says what to install or where to put the files. */
DT_MUST_USE dt_status dt_dataset_open(const dt_settings *, dt_split, dt_dataset **out);
void dt_dataset_close(dt_dataset *);
const dt_data_info *dt_dataset_info(const dt_dataset *);
/* Why the bytes of its text are not known, though they could be; NULL: they are, or nothing can be done about it. */
const char *dt_dataset_without_bytes(const dt_dataset *);
/* Shapes for planning without opening any file: from the kind's table entry and the settings. */
DT_MUST_USE dt_status dt_dataset_describe(const dt_settings *, dt_split, dt_data_info *out);

/* Positions of an epoch over `samples` training samples: whole batches of data.batch; what is left at the end is left
 * out, or padded to one more batch, as data.drop_last says. DT_ERR_USAGE where that is nothing. */
DT_MUST_USE dt_status dt_epoch_positions(const dt_settings *, int64_t samples, int64_t *out);

/* Host memory that both splits take while open: images and labels of kinds that keep them there. As published, without
 * opening any file. */
DT_MUST_USE dt_status dt_dataset_memory(const dt_settings *, int64_t *out);

/* What a batch consists of, in the names under which programs declare their feeds. Padding at the end of an epoch (of
 * the eval split, and of the training split without data.drop_last) has weight 0, label 0, image 0, tokens 0, targets
 * -1.
 *
 * Target t of a sample is the token behind its token t. A target of -1 is not counted: it has no loss, no gradient and
 * no place in a mean. Samples of weight 1 have such in the eval split only: at the end of the tokens, and where windows
 * overlap (data.eval_stride), so that every token of the split is a target once. */
typedef enum dt_field {
    DT_FIELD_IMAGES,  /* u8 [B, C, H, W] */
    DT_FIELD_LABELS,  /* i32 [B] */
    DT_FIELD_TOKENS,  /* i32 [B, T] */
    DT_FIELD_TARGETS, /* i32 [B, T] */
    DT_FIELD_ORDER,   /* i32 [B*T]: the flat positions b*T + t sorted by (token, position), padding included: an
                         embedding's gradient adds up each token's run in this order */
    DT_FIELD_STARTS,  /* i32 [B, T]: where in the sample the document of token t begins, at least 0 and at most t */
    DT_FIELD_WEIGHT,  /* f32 [B] */
    DT_FIELD_SAMPLE,  /* i64 [B]: global sample index in the epoch's order, for per-sample randomness */
    DT_FIELDS
} dt_field;
extern const char *const dt_field_names[DT_FIELDS]; /* "images", "labels", ... */

/* A batch is written straight into a feed slot's image (host memory of the caller). */
typedef struct dt_batch_fields {
    int64_t at[DT_FIELDS]; /* byte offsets inside the slot image; -1: not wanted, and not written */
} dt_batch_fields;

/* Fills the wanted fields of a batch of this shape with made-up samples of weight 1, without a data set. */
DT_MUST_USE dt_status dt_batch_make_up(const dt_data_info *, const dt_batch_fields *, int64_t batch, void *slot);

typedef struct dt_loader_options {
    dt_split split;
    uint64_t seed;
    int64_t batch;         /* samples of one micro-batch on this rank */
    int64_t start;         /* positions already consumed since the beginning of the run (train): updates * data.batch */
    int rank, ranks;       /* samples of a global micro-batch are dealt to ranks in order */
    int workers;           /* decoding threads, at least 1 */
    int ahead;             /* slot images in the ring, at least 2 */
    void *const *slots;    /* `ahead` host buffers of the caller, alive as long as the loader */
    dt_batch_fields fields;
    const char *damaged;   /* data.damaged: "stop" or "replace" */
} dt_loader_options;

typedef struct dt_batch {
    int slot;            /* which of the slots holds it; -1: the eval pass has ended */
    int64_t samples;     /* real ones of this rank, not padding */
    int64_t epoch;       /* of its first sample */
    int64_t first;       /* position of its first sample over all ranks since the beginning of the run (eval: pass) */
} dt_batch;

typedef struct dt_loader dt_loader;
/* Train: an endless permuted stream over epochs of dt_epoch_positions; these count padding too, so that position and
 * epoch follow from the number of updates alone. Eval: one pass in file order per dt_loader_rewind. The data set
 * and the log (may be NULL) must outlive the loader. */
DT_MUST_USE dt_status dt_loader_create(dt_dataset *, const dt_settings *, const dt_loader_options *, dt_log *,
                                       dt_loader **out);
void dt_loader_free(dt_loader *); /* ends its threads */
/* Blocks until the next batch is there; *wait gets the seconds spent blocked. At the end of an eval pass batch->slot is
 * -1 and batch->samples 0. A failed batch fails again when asked again. */
DT_MUST_USE dt_status dt_loader_next(dt_loader *, dt_batch *out, double *wait);
void dt_loader_release(dt_loader *, int slot); /* the slot may be filled again; not after an error or slot -1 */
DT_MUST_USE dt_status dt_loader_rewind(dt_loader *); /* eval: start over; every slot was released */

extern const dt_setting_table dt_data_settings;
/* One line per kind, for doctor and --help: name, what it is, whether it is found at its default place. */
void dt_data_list(dt_text *out);

#endif
