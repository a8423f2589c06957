/* How likely a language model holds a text to follow another: the log-probability of its tokens. Texts wait for others
 * of about their length and are computed together, each by itself: what a text gets depends on its length and on the
 * model's context, but not on what stands beside it. */
#ifndef DT_TRAIN_SCORE_H
#define DT_TRAIN_SCORE_H

#include "data/tokenizer.h"
#include "train/train.h"

typedef struct dt_scorer dt_scorer;

/* The session was made with options.scores; it and the tokenizer outlive the scorer. DT_ERR_USAGE where the tokenizer
 * has tokens that the model does not know. */
DT_MUST_USE dt_status dt_scorer_create(dt_session *, const dt_tokenizer *, dt_scorer **out);
void dt_scorer_free(dt_scorer *); /* NULL is allowed */
/* `*out` will be, once dt_scorer_finish has returned, the sum of the log-probabilities of the tokens that `choice`, not
 * empty, adds to those of `context`, in nats; NaN or infinite where the model's logits are. Both are encoded as one
 * text; from the first token on that the context alone does not have, all are of the choice. Without a token before
 * these, the tokenizer's begin or end of a document stands there. Of a text longer than the model's context the end is
 * kept; DT_ERR_DATA where the choice itself has more tokens. */
DT_MUST_USE dt_status dt_scorer_add(dt_scorer *, const char *context, const char *choice, double *out);
/* Computes what waits still. */
DT_MUST_USE dt_status dt_scorer_finish(dt_scorer *);

#endif
