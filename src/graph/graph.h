/* Tensors, nodes and the graph they form. The graph names no operator: a node points to a `struct dt_op`
 * (graph/op.h) that says what it does.
 *
 * Building. Model code calls builder functions (ops/ops.h); each appends nodes to the graph's one ordered list and
 * returns a tensor. An error sticks to the graph: NULL in gives NULL out, and dt_graph_status reports the first bad
 * operator with its scope and shapes. Everything is owned by the graph's arena and dies with it.
 *
 * Element types while building. Model code writes DT_F32 for "the working float type"; the cast pass turns the graph
 * into the types of the precision mode.
 *
 * Shape letters everywhere: B batch, T tokens, C channels, H heads, D head size, V vocabulary or classes. */
#ifndef DT_GRAPH_GRAPH_H
#define DT_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/dtype.h"
#include "base/text.h"
#include "device/device.h"

enum { DT_MAX_DIMS = 6, DT_MAX_INPUTS = 10, DT_MAX_OUTPUTS = 6 };

typedef struct dt_graph dt_graph;
typedef struct dt_node dt_node;
typedef struct dt_op dt_op;
typedef struct dt_store dt_store;
typedef struct dt_param dt_param;
typedef struct dt_state dt_state;

typedef struct dt_shape {
    int rank;
    int64_t dim[DT_MAX_DIMS];
} dt_shape;

#define DT_SHAPE(...) \
    ((dt_shape){sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), {__VA_ARGS__}})
#define DT_SCALAR ((dt_shape){0, {0}}) /* one element */

int64_t dt_shape_count(const dt_shape *);                 /* elements */
int64_t dt_shape_rows(const dt_shape *);                  /* product of all dimensions but the last */
int64_t dt_shape_last(const dt_shape *);                  /* the last dimension, 1 for a scalar */
bool dt_shape_equal(const dt_shape *, const dt_shape *);
const char *dt_shape_text(const dt_shape *, char out[96]); /* "[64, 17, 192]"; what does not fit is "..." */

typedef enum dt_tensor_kind {
    DT_VALUE,    /* made by a node; lives in the arena, or in persistent memory where `bound` says */
    DT_PARAM,    /* a parameter: a range of the store's value buffer */
    DT_GRADIENT, /* a parameter's range of the store's gradient buffer */
    DT_STATE,    /* a state tensor of the store */
    DT_BUFFER,   /* a flat buffer of the store (all values, all gradients, a moment, ...), or a range of it */
} dt_tensor_kind;

typedef struct dt_tensor dt_tensor;

/* One input of a node of the graph, in the list of those that read the same tensor. */
typedef struct dt_use {
    dt_node *node;
    struct dt_use *prev, *next;
} dt_use;

struct dt_tensor {
    int id; /* index in the graph */
    const char *name;
    dt_tensor_kind kind;
    dt_dtype dtype;
    dt_shape shape;
    dt_node *maker; /* NULL for the persistent kinds */
    int maker_output;
    bool needs_grad;
    bool trunk; /* part of the residual stream, which may be kept in a wider type than the rest */
    dt_use *uses; /* the inputs that read it, once each, in no particular order */
    const dt_param *param; /* DT_PARAM, DT_GRADIENT */
    dt_state *state;       /* DT_STATE */
    int group, buffer;     /* DT_BUFFER: which one; DT_PARAM: the buffer it is read from (value or EMA) */
    int64_t at;            /* DT_BUFFER: its first element there */
    dt_tensor *inside;     /* DT_PARAM, DT_GRADIENT: lies not in the store but in this tensor of the arena, ... */
    int64_t inside_at;     /* ... from that byte on; NULL otherwise */

    /* Set by the plan. A tensor made by a view operator, or in place, shares its root's memory from the start. */
    dt_tensor *root;
    int64_t root_at;     /* its first byte there */
    int64_t offset;      /* of a root: bytes from the arena's start */
    int first, last;     /* of a root: positions of its maker and of its last reader */
    void *data;          /* once the program is bound */
};

struct dt_node {
    const dt_op *op;
    int input_count, output_count;
    dt_tensor *in[DT_MAX_INPUTS]; /* optional inputs may be NULL; changed by dt_node_set_input only */
    dt_use use[DT_MAX_INPUTS];    /* of each input: its place among the tensor's uses */
    dt_tensor *out[DT_MAX_OUTPUTS]; /* outputs nobody asked for are NULL */
    const void *attr;             /* the operator's own attributes, op->attr_size bytes, or NULL */
    const char *scope;            /* "blocks.3.attn": for messages, profiles, plan --graph */
    int unit;                     /* of the model; -1 outside any */
    bool backward;                /* emitted by differentiation */
    const dt_node *again_of;      /* makes outputs of this node again, for the backward pass */
    dt_stream stream;
    unsigned accumulates;         /* bit k: output k is a gradient slot, added to but in the first micro-batch; bit 0 of
                                     an accumulate node: so is what it writes */
    void *workspace;              /* set by the plan and the binding */
    int64_t workspace_bytes, workspace_offset;
    dt_node *prev, *next;         /* the ordered list */
    int position;
};

/* `store` (graph/store.h) is where dt_param and dt_state_tensor look up or declare; NULL for graphs without them.
 * `training` is what models ask to choose between dropout and nothing. */
DT_MUST_USE dt_status dt_graph_create(dt_store *store, bool training, dt_graph **out);
void dt_graph_free(dt_graph *);
DT_MUST_USE dt_status dt_graph_status(const dt_graph *);
bool dt_graph_training(const dt_graph *);
/* From now on dt_param_tensor reads this buffer of the store (graph/store.h): values, which is the default, or EMA. */
void dt_graph_read_buffer(dt_graph *, int buffer);
dt_store *dt_graph_store(const dt_graph *);
dt_arena *dt_graph_arena(const dt_graph *);
/* The sticky failure: the first call wins; returns NULL so that builders can `return dt_graph_fail(...)`. */
DT_PRINTF(2, 3) void *dt_graph_fail(dt_graph *, const char *format, ...);
bool dt_graph_failed(const dt_graph *);

/* Scopes nest and name what is built: dt_scope_begin(g, "blocks.%d", i) ... dt_scope_end(g). */
DT_PRINTF(2, 3) void dt_scope_begin(dt_graph *, const char *format, ...);
void dt_scope_end(dt_graph *);
const char *dt_graph_scope(const dt_graph *);
/* A unit (the grain of recomputation, ZeRO and profiling) is a scope too; units do not nest. An empty name opens the
 * unit without a scope (what stands before the first and after the last block). */
DT_PRINTF(2, 3) void dt_unit_begin(dt_graph *, const char *format, ...);
void dt_unit_end(dt_graph *);
int dt_graph_units(const dt_graph *);

/* The lists. */
dt_node *dt_graph_first(const dt_graph *);
int dt_graph_node_count(const dt_graph *);
int dt_graph_tensor_count(const dt_graph *);
dt_tensor *dt_graph_tensor(const dt_graph *, int id);

/* For builders: a node of `op` with its attributes copied; outputs whose bit in `wanted` is clear stay NULL. Runs the
 * operator's shape rule, which fills shapes and types. NULL on failure. The node goes to the end of the list, or to
 * the insertion point that a pass has set. */
dt_node *dt_node_add(dt_graph *, const dt_op *op, const void *attr, dt_tensor *const *inputs, int input_count,
                     unsigned wanted);
/* dt_node_add for operators with one output. */
dt_tensor *dt_apply(dt_graph *, const dt_op *op, const void *attr, dt_tensor *const *inputs, int input_count);

/* For passes. From dt_graph_like on, new nodes take scope, unit and direction from `node`, until called with NULL. */
void dt_graph_like(dt_graph *, const dt_node *node);
/* dt_node_add for a node that makes outputs of `node` again, under the same numbers: in the scope and unit of `node`,
 * as part of the backward pass. */
dt_node *dt_node_again(dt_graph *, const dt_node *node, const dt_op *op, const void *attr, dt_tensor *const *inputs,
                       int input_count, unsigned wanted);
void dt_graph_insert_before(dt_graph *, dt_node *at); /* NULL: at the end again */
void dt_graph_remove(dt_graph *, dt_node *);
void dt_graph_move_behind(dt_graph *, dt_node *, dt_node *at);
void dt_node_set_input(dt_node *, int input, dt_tensor *);
/* Every use of `old`, as input of a node other than `except` or as output, becomes one of `with`. */
void dt_graph_replace_uses(dt_graph *, dt_tensor *old, dt_tensor *with, const dt_node *except);
/* The node with the only input that reads it; NULL where there are none or several, or where it is an output. */
dt_node *dt_graph_only_reader(const dt_graph *, const dt_tensor *);
void dt_graph_number(dt_graph *); /* renews node->position */
/* Makes a tensor of the current graph that no node has made yet. Fails the graph where no memory could hold it. */
dt_tensor *dt_tensor_new(dt_graph *, dt_tensor_kind, dt_dtype, const dt_shape *, const char *name);

/* Outputs are named, kept until the program ends, and readable by the host (graph/program.h). */
void dt_graph_output(dt_graph *, const char *name, dt_tensor *);
int dt_graph_output_count(const dt_graph *);
dt_tensor *dt_graph_output_at(const dt_graph *, int index, const char **name);

/* Reserves room in the feed slot (see ops/input.c and graph/program.h); returns the byte offset. */
int64_t dt_graph_feed_reserve(dt_graph *, const char *name, dt_dtype, const dt_shape *);
typedef struct dt_feed_field {
    const char *name;
    dt_dtype dtype;
    dt_shape shape;
    int64_t offset, bytes;
} dt_feed_field;
int dt_graph_feed_count(const dt_graph *);
const dt_feed_field *dt_graph_feed_at(const dt_graph *, int index);

/* Reverse mode from a scalar: appends the nodes that add dloss/dp into the gradient slot of every parameter that
 * needs one. Each gradient rule emits ordinary nodes; several uses of a tensor are added in a fixed order (last use
 * first). The callbacks keep the graph from naming operators. */
typedef struct dt_grad_ops {
    dt_tensor *(*fill)(dt_graph *, dt_dtype, const dt_shape *, double value);
    dt_tensor *(*add)(dt_graph *, dt_tensor *, dt_tensor *);
    /* slot += gradient (or = in the first micro-batch) */
    void (*accumulate)(dt_graph *, dt_tensor *slot, dt_tensor *gradient);
} dt_grad_ops;
DT_MUST_USE dt_status dt_graph_differentiate(dt_graph *, dt_tensor *loss, const dt_grad_ops *);

/* The graph as text, one node a line, in order: golden tests and `plan --graph`. */
void dt_graph_print(const dt_graph *, dt_text *out);

#endif
