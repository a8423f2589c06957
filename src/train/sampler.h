/* Choosing the next token from its logits, on the host.
 *
 * In this order: tokens that the text already has are made less likely (Keskar et al., "CTRL", 2019), logits are
 * divided by the temperature, the `top_k` largest are kept, and of their probabilities the fewest that together reach
 * `top_p` (Holtzman et al., "The curious case of neural text degeneration", 2020); one is drawn of what is left. Of
 * equal logits the lower token goes first. A draw is a function of (seed, text, number), so it depends on nothing that
 * runs beside. */
#ifndef DT_TRAIN_SAMPLER_H
#define DT_TRAIN_SAMPLER_H

#include <stdint.h>

#include "base/status.h"

typedef struct dt_sampling {
    double temperature;        /* 0: always the most likely token */
    int64_t top_k;             /* 0: all */
    double top_p;              /* 1: all */
    double repetition_penalty; /* 1: none; positive logits are divided by it, others multiplied */
    uint64_t seed;
} dt_sampling;

typedef struct dt_sampler dt_sampler;
/* For so many texts side by side, each in a sequence of its own. */
DT_MUST_USE dt_status dt_sampler_create(const dt_sampling *, int64_t vocabulary, int64_t sequences, dt_sampler **out);
void dt_sampler_free(dt_sampler *);
void dt_sampler_clear(dt_sampler *, int64_t sequence); /* another text begins there */
/* The sequence's text goes on with these tokens; those beyond the vocabulary are never drawn and not kept. */
DT_MUST_USE dt_status dt_sampler_add(dt_sampler *, int64_t sequence, const int32_t *tokens, int64_t count);
/* Of logits[vocabulary], for token number `number` of text number `text`, which the sequence holds. DT_ERR_NUMERIC
 * where a logit is NaN or plus infinity, or all are minus infinity. */
DT_MUST_USE dt_status dt_sampler_draw(dt_sampler *, int64_t sequence, const float *logits, uint64_t text,
                                      uint64_t number, int32_t *out);

#endif
