/* What must hold of a whole tiny model in float64, whatever its family: gradients are the slopes of the loss, and
 * passes and plans change nothing. Failures are cmocka's. */
#ifndef DT_TESTS_WHOLE_MODEL_H
#define DT_TESTS_WHOLE_MODEL_H

#include "support/trial.h"

typedef struct whole_model {
    const char *name; /* in messages */
    trial_build build;
    trial_feed feed;
    void *context; /* of both */
    int probes;    /* elements of a parameter that are moved, spread over it */
} whole_model;

/* Every gradient against finite differences, within 1e-6 of the parameter's largest. */
void whole_model_check_gradients(const whole_model *);
/* The gradients of the unrewritten graph within 1e-11; of shuffled plans and of recomputation, the same bits. */
void whole_model_check_rewrites(const whole_model *);

#endif
