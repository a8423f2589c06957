/* The operator interface. An operator is a constant table entry; nodes point to it. */
#ifndef DT_GRAPH_OP_H
#define DT_GRAPH_OP_H

#include "comm/comm.h"
#include "graph/graph.h"

/* What a kernel may use while it runs. */
typedef struct dt_exec {
    dt_device *device;
    const struct dt_kernels *kernels; /* of the device's back end */
    const dt_queue *queue;            /* of the node's stream */
    dt_comm *comm; /* all ranks */
    dt_comm *sharers;  /* those that share the store with this one */
    dt_comm *replicas; /* those that have the same pieces; NULL: nobody else */
    dt_stream stream;
    const char *slot; /* this run's feed slot in device memory */
    bool accumulate;  /* false in the first micro-batch of a step: gradient slots are overwritten */
    bool last;        /* the last micro-batch of a step: gradients are reduced over the ranks */
} dt_exec;

typedef struct dt_cost {
    double flops, bytes; /* bytes that must move at least: inputs read once, outputs written once */
} dt_cost;

enum {
    DT_OP_CHEAP = 1,  /* worth recomputing rather than keeping */
    DT_OP_VIEW = 2,   /* output 0 is input 0's memory under another shape; no kernel */
    DT_OP_EFFECT = 4, /* writes something other than its outputs (state, a slot, parameters): never dead */
    DT_OP_JOIN = 8,   /* the node's stream waits for the stream that its attribute, a dt_stream, names */
    DT_OP_ROOM = 16,  /* output 0 is memory that tensors inside it fill later */
};

struct dt_op {
    const char *name;
    size_t attr_size;
    int max_outputs;
    unsigned flags;
    unsigned in_place;    /* bit i: output 0 may take the memory of input i where that input dies here */
    /* Bit i: input i, output k is of the wide type (dt_dtype_wide) of what the operator computes in, not of that type
     * itself: vectors, statistics, losses and weights, gradients of parameters. */
    unsigned wide_inputs, wide_outputs;
    /* The same of the trunk, which is the residual stream that branches are added to, where it passes through the
     * operator: all of these are of the type that it computes in, or all of the wide one. An operator that has these
     * alone computes in their type. */
    unsigned trunk_inputs, trunk_outputs;
    unsigned accumulates; /* bit k: the kernel can add to output k instead of overwriting it */
    /* Checks inputs and makes outputs (dt_node_output) for the bits in `wanted`. On failure calls dt_graph_fail. */
    bool (*shape)(dt_graph *, dt_node *, unsigned wanted);
    /* dout[k] is NULL where output k has no gradient. Sets din[i] for inputs with needs_grad. NULL: not differentiable
     * (its inputs get none). */
    void (*grad)(dt_graph *, const dt_node *, dt_tensor *const *dout, dt_tensor **din);
    dt_cost (*cost)(const dt_node *);
    int64_t (*workspace)(const dt_node *, const struct dt_kernels *, const dt_device_info *); /* bytes; NULL: none */
    dt_status (*run)(const dt_node *, const dt_exec *); /* on any back end, through its table of kernels */
};

/* For shape rules: makes output k, of the wide type of `dtype` where the operator says so. */
dt_tensor *dt_node_output(dt_graph *, dt_node *, int k, dt_dtype, const dt_shape *);

static inline bool dt_node_adds(const dt_node *node, const dt_exec *exec, int k)
{
    return ((node->accumulates >> k) & 1u) && exec->accumulate;
}

#endif
