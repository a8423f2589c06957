/* A model of given settings, built into a graph of its own: what the tests of every model begin with. All of it fails
 * the test where a call fails. */
#ifndef DT_TESTS_BUILT_H
#define DT_TESTS_BUILT_H

#include "graph/program.h"
#include "models/model.h"

#define OK(call)                                       \
    do {                                               \
        if (call) fail_msg("%s", dt_error_message());  \
    } while (0)

typedef struct built {
    dt_settings *settings;
    dt_model *model;
    dt_store *store;
    dt_graph *graph;
    dt_tensor *logits;
} built;

/* Words as on the command line, NULL behind the last. Free with dt_settings_free(). */
dt_settings *settings_of(const char *const *words);
/* The model and an empty graph, for inputs; then the logits of what the inputs feed. */
built begin(const char *const *words, const dt_model_input *, bool training);
void finish(built *, const dt_model_feed *);
void release(built *);

#endif
