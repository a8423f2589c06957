/* How likely a language model holds a text to follow another: the log-probability of its tokens, by the eval program.
 * Choices are scored one at a time: a sequence of a whole context keeps a device busy, and what a choice gets cannot
 * depend on what stands beside it. */
#ifndef DT_TRAIN_SCORE_H
#define DT_TRAIN_SCORE_H

#include "data/tokenizer.h"
#include "train/train.h"

typedef struct dt_scorer dt_scorer;

/* The session is one for evaluation with eval.batch=1; it and the tokenizer outlive the scorer. DT_ERR_USAGE where it
 * is not of tokens, or the tokenizer has tokens that the model does not know. */
DT_MUST_USE dt_status dt_scorer_create(dt_session *, const dt_tokenizer *, dt_scorer **out);
void dt_scorer_free(dt_scorer *); /* NULL is allowed */
/* The sum of the log-probabilities of the tokens that `choice`, not empty, adds to those of `context`, in nats. Both are
 * encoded as one text; from the first token on that the context alone does not have, all are of the choice. Without a
 * token before these, the tokenizer's begin or end of a document stands there. Of a text longer than the model's
 * context the end is kept; DT_ERR_DATA where the choice itself has more tokens. */
DT_MUST_USE dt_status dt_scorer_run(dt_scorer *, const char *context, const char *choice, double *out);

#endif
