/* Texts side by side on the device, each with a cache of its own: tokens in, the logits behind the last one out. The
 * session was made with options.sequences; its programs are `prefill`, of DT_PREFILL_TOKENS tokens at a time, and
 * `decode`, of one. */
#ifndef DT_TRAIN_GENERATOR_H
#define DT_TRAIN_GENERATOR_H

#include "train/session.h"

typedef struct dt_generator dt_generator;
/* The session must outlive it. All sequences are empty. */
DT_MUST_USE dt_status dt_generator_create(dt_session *, dt_generator **out);
void dt_generator_free(dt_generator *); /* NULL is allowed */

int64_t dt_generator_capacity(const dt_generator *); /* tokens that a sequence can have: the model's context */
int64_t dt_generator_length(const dt_generator *, int64_t sequence);
void dt_generator_clear(dt_generator *, int64_t sequence);
/* Adds counts[i] tokens to sequence i, as many as it has room for at most; those with 0 are left as they are. */
DT_MUST_USE dt_status dt_generator_add(dt_generator *, const int32_t *const *tokens, const int64_t *counts);
/* Of the token behind those of a sequence, [classes], as of when tokens were last added to it. */
const float *dt_generator_logits(const dt_generator *, int64_t sequence);

#endif
