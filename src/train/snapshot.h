/* A copy in host memory of what a checkpoint holds of a store. It is taken between updates; training may then go on
 * while another thread writes it to the disk. */
#ifndef DT_TRAIN_SNAPSHOT_H
#define DT_TRAIN_SNAPSHOT_H

#include "graph/store.h"

typedef struct dt_snapshot dt_snapshot;

/* Takes host memory for these buffers (bit set over dt_buffer), as far as the store has them, and for all states that
 * are saved. The store, its memory taken, must outlive the snapshot. */
DT_MUST_USE dt_status dt_snapshot_create(const dt_store *, unsigned buffers, dt_snapshot **out);
void dt_snapshot_free(dt_snapshot *); /* NULL is allowed */
/* Copies; nothing that writes the store may be under way. May be called again and again. */
DT_MUST_USE dt_status dt_snapshot_take(dt_snapshot *);

/* What follows may be called from any thread between two calls of dt_snapshot_take. */

/* For names, types and shapes. */
const dt_store *dt_snapshot_store(const dt_snapshot *);
bool dt_snapshot_has(const dt_snapshot *, dt_buffer);
/* The copied elements, in the store's type. */
const void *dt_snapshot_param(const dt_snapshot *, const dt_param *, dt_buffer);
const void *dt_snapshot_state(const dt_snapshot *, const dt_state *);

#endif
