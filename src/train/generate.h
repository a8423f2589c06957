/* Texts that go on from prompts: the loop over tokens. */
#ifndef DT_TRAIN_GENERATE_H
#define DT_TRAIN_GENERATE_H

#include "data/tokenizer.h"
#include "train/sampler.h"
#include "train/train.h"

typedef struct dt_generate_options {
    dt_sampling sampling;
    int64_t tokens;     /* of a text, at most, beside its prompt */
    int64_t vocabulary; /* the tokenizer's: only tokens below it are drawn */
    int32_t end;        /* the token that ends a text, and does not count as part of it; -1: none does */
    /* Called in order for each text, from several texts in turn. A failure ends all. */
    dt_status (*token)(void *context, int64_t text, int32_t token);
    dt_status (*done)(void *context, int64_t text, bool ended); /* by its end token, or by its length */
    void *context;
} dt_generate_options;

/* generate.* and the seed. What else there is to say is the caller's. */
dt_generate_options dt_generate_read(const dt_settings *);

/* Goes on from each of the prompts, as many side by side as the session has sequences. A text that outgrows the model's
 * context goes on from the last half of it. DT_ERR_USAGE for a tokenizer with more tokens than the model, and for a
 * prompt that is empty, longer than the context, or holds a token that the model does not have. */
DT_MUST_USE dt_status dt_generate(dt_session *, const dt_tokens *prompts, int64_t count, const dt_generate_options *);

extern const dt_setting_table dt_generate_settings; /* generate.* */

#endif
