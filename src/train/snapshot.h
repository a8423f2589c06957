/* A copy in host memory of what a checkpoint holds of a store. It is taken between updates; training may then go on
 * while another thread writes it to the disk. */
#ifndef DT_TRAIN_SNAPSHOT_H
#define DT_TRAIN_SNAPSHOT_H

#include "graph/store.h"

typedef struct dt_snapshot dt_snapshot;

/* What one of several ranks keeps of the snapshot that all take together. */
typedef struct dt_snapshot_share {
    unsigned *buffers; /* of each parameter, by index: a bit set over dt_buffer */
    bool states;       /* the states that are saved */
} dt_snapshot_share;

/* Takes host memory for these buffers (bit set over dt_buffer), as far as the store has them, and for all states that
 * are saved, or for this share of it all (NULL: everything). The store, its memory taken, must outlive the snapshot. */
DT_MUST_USE dt_status dt_snapshot_create(const dt_store *, unsigned buffers, const dt_snapshot_share *,
                                         dt_snapshot **out);
void dt_snapshot_free(dt_snapshot *); /* NULL is allowed */
/* Copies; nothing that writes the store may be under way. May be called again and again; on several ranks, by all of
 * them at once, whatever their shares, and with the same buffers. */
DT_MUST_USE dt_status dt_snapshot_take(dt_snapshot *);

/* What follows may be called from any thread between two calls of dt_snapshot_take. */

/* For names, types and shapes. */
const dt_store *dt_snapshot_store(const dt_snapshot *);
/* The copied elements, in the store's type; NULL: not in this rank's share. */
const void *dt_snapshot_param(const dt_snapshot *, const dt_param *, dt_buffer);
const void *dt_snapshot_state(const dt_snapshot *, const dt_state *);

#endif
