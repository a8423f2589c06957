/* The store's layout in memory, shared by store.c and store_memory.c. */
#ifndef DT_GRAPH_STORE_INTERNAL_H
#define DT_GRAPH_STORE_INTERNAL_H

#include "graph/internal.h"

struct dt_store {
    dt_arena *arena;
    dt_list params, states, units;
    bool laid_out;
    dt_dtype type;
    int64_t count[DT_GROUPS];
    dt_device *device;
    void *data[DT_GROUPS][DT_BUFFERS];
};

void dt_store_release_memory(dt_store *);
/* Where a unit's range of a group begins, in elements. */
int64_t dt_store_unit_offset(const dt_store *, int unit, dt_group);

#endif
