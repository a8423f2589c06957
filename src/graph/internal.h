/* What the files of graph/ share; nobody else includes it. */
#ifndef DT_GRAPH_INTERNAL_H
#define DT_GRAPH_INTERNAL_H

#include "graph/graph.h"
#include "graph/op.h"
#include "graph/store.h"

typedef struct dt_list { /* a growing array of pointers */
    void **at;
    int count, room;
} dt_list;
DT_MUST_USE dt_status dt_list_add(dt_list *, void *);
DT_MUST_USE dt_status dt_list_set(dt_list *, int index, void *); /* grows by NULLs as needed */
void dt_list_free(dt_list *);

typedef struct dt_graph_output_entry {
    const char *name;
    dt_tensor *tensor;
} dt_graph_output_entry;

struct dt_graph {
    dt_arena *arena;
    dt_store *store;
    bool training;
    int read_buffer;
    dt_status status;
    char *message; /* of the first failure, in the arena */
    dt_list tensors, outputs, fields, units, scopes;
    dt_list params, states; /* their tensors: by param->index * DT_BUFFERS + buffer, and by state->index */
    dt_node *first, *last, *before; /* `before`: the insertion point, NULL: the end */
    int node_count;
    int unit;                /* the open one, -1: none */
    int64_t feed_bytes;
    const dt_node *origin;   /* new nodes take scope and unit from it, if set ... */
    bool backward;           /* ... and are marked as part of the backward pass */
};

/* What 48-bit addresses reach, 128 TiB: no tensor, buffer or arena may have more bytes, so that sums and products of
 * such sizes stay far from the end of int64_t. */
#define DT_MOST_BYTES ((int64_t)1 << 47)
/* Fails the graph where a tensor would be larger. */
bool dt_graph_check_size(dt_graph *, dt_dtype, const dt_shape *);

/* dt_fail for the graph: keeps the thread's message as the graph's. */
void *dt_graph_fail_status(dt_graph *, dt_status);

/* The name under the current scope, in the graph's arena. */
const char *dt_graph_full_name(dt_graph *, const char *name);

/* Registers the unit with the store (or checks that it is the one that the store knows). */
DT_MUST_USE dt_status dt_store_unit_add(dt_store *, int index, const char *name);

/* Device address of a persistent tensor; NULL when the store has no such memory. */
void *dt_store_address(const dt_store *, const dt_tensor *);

#endif
