/* The store's layout in memory, shared by store.c and store_memory.c. */
#ifndef DT_GRAPH_STORE_INTERNAL_H
#define DT_GRAPH_STORE_INTERNAL_H

#include "graph/internal.h"

typedef struct dt_store_unit {
    const char *name;
    int64_t count[DT_GROUPS];  /* elements of its range of each group, gaps included */
    int64_t offset[DT_GROUPS]; /* where that begins, after the layout */
} dt_store_unit;

struct dt_store {
    dt_arena *arena;
    dt_list params, states, units, buckets;
    const dt_param **hashed; /* parameters by name: open addressing in `hash_room` places, a power of two */
    size_t hash_room;
    bool laid_out, narrow_gradients;
    dt_dtype type;
    int64_t count[DT_GROUPS];
    dt_device *device;
    void *data[DT_GROUPS][DT_BUFFERS];
    dt_share share;
    int ranks, rank;
    void *staging; /* device memory for what is read of others' pieces */
};

void dt_store_release_memory(dt_store *);
dt_dtype dt_store_buffer_type(const dt_store *, int group, dt_buffer);
int64_t dt_store_kept_count(const dt_store *, int group, dt_buffer); /* elements on this rank */
int64_t dt_store_group_bytes(const dt_store *, int group, dt_buffer);
/* To nearest, ties to even, as the GPU rounds; a NaN stays one. */
uint16_t dt_store_round_bf16(float);

DT_MUST_USE dt_status dt_store_make_buckets(dt_store *);
dt_store_unit *dt_store_unit_at(const dt_store *, int unit);

#endif
