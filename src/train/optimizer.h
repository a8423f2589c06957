/* The optimizers: which buffers they keep, how they join the update program, and the span table that tells their
 * kernels what holds where in a flat buffer. */
#ifndef DT_TRAIN_OPTIMIZER_H
#define DT_TRAIN_OPTIMIZER_H

#include "config/settings.h"
#include "graph/store.h"
#include "ops/ops.h"

extern const char *const dt_optimizer_names[]; /* choices of optim.kind, NULL-terminated */

struct dt_optimizer_entry;

/* What one kernel updates: a whole group, or, where ranks share, this rank's piece of a bucket. */
typedef struct dt_update_part {
    dt_group group;
    const dt_bucket *bucket; /* NULL: the whole group */
    dt_segment_span *spans;  /* device memory; NULL in plans */
    int64_t span_count;
} dt_update_part;
dt_tensor *dt_part_tensor(dt_graph *, const dt_update_part *, dt_buffer);

typedef struct dt_optimizer {
    const struct dt_optimizer_entry *entry; /* NULL: none; it keeps no buffers and updates nothing */
    dt_update_attr attr;   /* but for the spans */
    dt_update_part *parts; /* once dt_optimizer_spans made them */
    int part_count;
    double layer_decay;
    bool decays_all;   /* optim.decay: every parameter, and not matrices and embeddings alone */
    dt_device *device; /* whose memory holds the span tables; NULL while there are none */
} dt_optimizer;

DT_MUST_USE dt_status dt_optimizer_create(const dt_settings *, dt_optimizer *out);
void dt_optimizer_free(dt_optimizer *);
/* dt_buffer bits that the optimizer needs beside value and gradient. */
unsigned dt_optimizer_buffers(const dt_optimizer *);

extern const char *const dt_optimizer_decays[]; /* choices of optim.decay, NULL-terminated */

/* Makes the parts of a laid-out store and their span tables: decay by role, as optim.decay says; the learning rate of
 * unit u of U is scaled by layer_decay^(U - 1 - u), also written to param->lr_scale. `device` NULL: counted (plans), not made. */
DT_MUST_USE dt_status dt_optimizer_spans(dt_optimizer *, dt_store *, dt_device *);
int64_t dt_optimizer_span_bytes(const dt_optimizer *);
/* The host's copy of the table of elements first .. first + elements - 1 of a group, counted from there, for the device
 * and for tests; freed with free(). Neighbours alike are one span, and gaps between parameters belong to the span
 * before them: their zeros stay zeros. */
DT_MUST_USE dt_status dt_optimizer_span_table(const dt_store *, dt_group, int64_t first, int64_t elements,
                                              bool decays_all, dt_segment_span **out, int64_t *count);

/* Adds the update of all parts to the graph, and where there are working copies, theirs; then, where ranks keep whole
 * what they updated a piece of, its gathering. `scale` and `finite` come
 * from dt_grad_norm; the learning rate and what else depends on the step are inputs that dt_optimizer_values fills. */
void dt_optimizer_build(const dt_optimizer *, dt_graph *, dt_tensor *scale, dt_tensor *finite, bool working);
/* The inputs' values for the update after `step` others; `put` is called once for each. */
typedef void (*dt_optimizer_put)(void *context, const char *name, double value);
void dt_optimizer_values(const dt_optimizer *, int64_t step, double lr, dt_optimizer_put, void *context);

#endif
