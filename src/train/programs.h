/* The graphs of training and evaluation; session.c makes programs of them.
 *
 * One update is `pass`, run for each micro-batch, then `update`. Passes add to the gradient slots and to the running
 * sums `sums.*` (states of the store that no checkpoint holds: they are zero between updates). `update` reads both,
 * commits the step if its gradient norm is finite, and puts the sums back to zero. */
#ifndef DT_TRAIN_PROGRAMS_H
#define DT_TRAIN_PROGRAMS_H

#include "data/data.h"
#include "models/model.h"
#include "train/optimizer.h"
#include "train/recipe.h"

typedef struct dt_build {
    const dt_model *model;
    const dt_data_info *info;
    const dt_recipe *recipe;
    dt_store *store;
    const dt_optimizer *optimizer; /* update alone needs it */
} dt_build;

/* Feed: images u8[B,C,H,W], labels i32[B], weight f32[B], or tokens and targets i32[B,T], order i32[B*T] and, where the
 * model masks documents, starts i32[B,T]; sample i64[B], step i64[1]. The graph is given before any pass ran, since the
 * store's layout follows from it; `*loss`, also the output loss, is what to differentiate: the sum over samples, or
 * over targets that count. */
DT_MUST_USE dt_status dt_build_pass(const dt_build *, dt_graph **out, dt_tensor **loss);
/* What ranks ask of each other with every step, added up over them: a count of ranks each. */
enum { DT_ASK_SIGNAL, DT_ASK_FAILED, DT_ASKS }; /* was sent a signal; cannot write what is to be reported */

/* Feed: what the optimizer reads, and with several ranks asks f64[DT_ASKS]. Outputs: norm, loss, count (f64), of images
 * hits f64[2] (top 1, top 5), finite i32, and these asks. All are of all ranks.
 * The state samples_seen (f64, saved) adds up the counts of committed steps. */
DT_MUST_USE dt_status dt_build_update(const dt_build *, dt_graph **out);
/* Feed: images, labels, weight, or tokens, targets, starts as above. Weights from `buffer`, which is DT_BUFFER_VALUE or
 * DT_BUFFER_EMA. Outputs: loss, count, of images hits, summed over the batches since the states eval.* were last
 * cleared. */
DT_MUST_USE dt_status dt_build_eval(const dt_build *, dt_buffer buffer, dt_graph **out);
/* Feed: tokens i32[texts, tokens]; for each text i (0 and on) targets.i i32[texts, tokens], -1 but for its own that
 * count. Outputs: loss.i f64, summed over those. */
DT_MUST_USE dt_status dt_build_scores(const dt_build *, int64_t texts, int64_t tokens, dt_graph **out);
/* Adds `tokens` tokens to each of `sequences` texts whose keys and values are in states `*.cache`. Feed: tokens
 * i32[sequences, tokens]; position i32[sequences], how many tokens each cache holds; for more than one token wanted
 * i32[sequences, 1], the number of one of all the tokens for each text. Output: logits [sequences, 1, classes and
 * padding] behind that token. */
DT_MUST_USE dt_status dt_build_next(const dt_build *, int64_t sequences, int64_t tokens, dt_graph **out);

#endif
