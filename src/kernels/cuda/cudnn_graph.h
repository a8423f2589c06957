/* Graphs of operations on arrays of four dimensions, in the words of cuDNN's backend API, and the plan that runs one.
 * All arithmetic is in float32. What fails sticks to the graph and is told in the end. */
#ifndef DT_KERNELS_CUDA_CUDNN_GRAPH_H
#define DT_KERNELS_CUDA_CUDNN_GRAPH_H

#include <stdint.h>

#include "device/cudnn_calls.h"

typedef cudnnBackendDescriptor_t dt_cudnn_node;
typedef struct dt_cudnn_shape {
    int64_t dim[4], stride[4];
} dt_cudnn_shape;

enum { DT_CUDNN_OPERATIONS = 32, DT_CUDNN_MADE_HERE = 1000 };

typedef struct dt_cudnn_graph {
    const dt_cudnn *c;
    dt_cudnn_plan *plan; /* owns the descriptors */
    dt_cudnn_node operations[DT_CUDNN_OPERATIONS];
    int operation_count;
    int64_t last_name;
    bool failed;
} dt_cudnn_graph;

/* An array of the caller's, whose address is given under `name`, above 0 and below DT_CUDNN_MADE_HERE, when the plan
 * runs. It starts at a multiple of 16 bytes. */
dt_cudnn_node dt_cudnn_array(dt_cudnn_graph *, int64_t name, cudnnDataType_t, const dt_cudnn_shape *);
/* A float32 of the host, read when the plan runs. */
dt_cudnn_node dt_cudnn_number(dt_cudnn_graph *, int64_t name);
/* What exists inside the graph only. */
dt_cudnn_node dt_cudnn_inner(dt_cudnn_graph *, cudnnDataType_t, const dt_cudnn_shape *);

/* Each returns `to`. */
dt_cudnn_node dt_cudnn_matmul(dt_cudnn_graph *, dt_cudnn_node x, dt_cudnn_node y, dt_cudnn_node to);
dt_cudnn_node dt_cudnn_reduce(dt_cudnn_graph *, cudnnReduceTensorOp_t, dt_cudnn_node x, dt_cudnn_node to);
dt_cudnn_node dt_cudnn_reshape(dt_cudnn_graph *, dt_cudnn_node x, dt_cudnn_node to);
/* y is NULL for functions of one. */
dt_cudnn_node dt_cudnn_apply(dt_cudnn_graph *, cudnnPointwiseMode_t, dt_cudnn_node x, dt_cudnn_node y,
                             dt_cudnn_node to);
/* to[i] is x[i] where the second index from behind is not below the last, else the number y. */
dt_cudnn_node dt_cudnn_lower(dt_cudnn_graph *, dt_cudnn_node x, dt_cudnn_node y, const dt_cudnn_shape *,
                             dt_cudnn_node to);

/* The first of the library's plans that needs at most `workspace` bytes. False where it has none: graph->plan->plan is
 * NULL then. */
bool dt_cudnn_plan_graph(dt_cudnn_graph *, int64_t workspace);

#endif
