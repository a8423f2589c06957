/* What the tests of checkpoints share: a small store with every kind of content, filled by number. */
#ifndef DT_TESTS_TOY_STORE_H
#define DT_TESTS_TOY_STORE_H

#include "train/checkpoint.h"

typedef struct toy {
    dt_device *device;
    dt_graph *graph;
    dt_store *store;
} toy;

typedef struct toy_options {
    dt_dtype type;
    bool ema, moments, states;
    int64_t classes; /* rows of head.weight */
} toy_options;

/* Parameters outside any unit, in two blocks and behind them; two saved state tensors and an unsaved one. */
void toy_open(toy *, toy_options);
void toy_close(toy *);
/* Puts numbers that depend on `seed`, the tensor and the element everywhere; the same everywhere for one seed. */
void toy_fill(toy *, int64_t seed);
/* Verifies the checkpoint and loads it. `*numerics` (may be NULL) is released with json_decref. */
dt_status toy_load(toy *, const char *path, dt_progress *, json_t **numerics);
bool toy_holds(const toy *, int64_t seed); /* all that is saved is as toy_fill(seed) left it */

#define OK(call)                                       \
    do {                                               \
        if (call) fail_msg("%s", dt_error_message());  \
    } while (0)

#endif
