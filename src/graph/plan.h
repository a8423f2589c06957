/* The memory plan of a graph: lifetimes over the ordered list, sharing by views and in-place operators, offsets. */
#ifndef DT_GRAPH_PLAN_H
#define DT_GRAPH_PLAN_H

#include "graph/internal.h"
#include "graph/program.h"

enum { DT_PLAN_ALIGN = 256 };

typedef struct dt_plan {
    int64_t bytes; /* of the arena */
    int peak;      /* the first position at which the most bytes are in use */
} dt_plan;

/* Sets root, offset, first and last of every tensor and the workspaces' offsets. */
DT_MUST_USE dt_status dt_plan_make(dt_graph *, dt_backend, const dt_device_info *, const dt_plan_options *,
                                   dt_plan *out);
int64_t dt_tensor_bytes(const dt_tensor *);

#endif
