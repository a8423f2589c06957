/* A trial: one graph with a loss, taken through the passes, planned and run, so that tests can compare losses and
 * gradients between options. */
#ifndef DT_TESTS_TRIAL_H
#define DT_TESTS_TRIAL_H

#include "graph/program.h"
#include "passes/passes.h"

typedef struct trial_options {
    dt_pass_options passes;
    dt_plan_options plan;
    int threads;
    dt_backend backend;
    bool cudnn; /* attention by cuDNN wherever it takes the shape */
    dt_status (*prepare)(dt_device *, void *context); /* before the graph is built; may be NULL */
} trial_options;

/* Builds a graph and returns its loss. */
typedef dt_tensor *(*trial_build)(dt_graph *, void *context);
/* Fills the feed slot, a host copy of it where the device has memory of its own, before every run. */
typedef void (*trial_feed)(const dt_program *, char *slot, void *context);

typedef struct trial {
    dt_device *device;
    dt_comm *comm;
    dt_store *store;
    dt_program *program;
    void *arena;
    char *slot;
} trial;

DT_MUST_USE dt_status trial_open(trial *, trial_build, void *context, const trial_options *);
DT_MUST_USE dt_status trial_run(trial *, trial_feed, void *context, bool accumulate);
double trial_loss(const trial *);
/* All gradients behind one another, as stored; *bytes their length. NULL on failure. Free with free(). */
void *trial_gradients(const trial *, size_t *bytes);
void trial_close(trial *);

/* The largest difference over the largest value of two float64 arrays. */
double trial_error(const double *a, const double *b, size_t count);

#endif
