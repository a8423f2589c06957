/* What the rules of all operator families share: checks of a node's inputs, its cost, and access to its tensors. */
#ifndef DT_OPS_RULE_H
#define DT_OPS_RULE_H

#include "graph/op.h"

/* The inputs in `mask` that are present have one common floating-point type, or its wide type where the operator says
 * so; those of the trunk have all one of the two. Fails the graph otherwise. */
bool dt_rule_types(dt_graph *, const dt_node *, unsigned mask);
/* Input `i`, if present, has the type or shape given. `name` is what the message calls it; it shows input 0 too. */
bool dt_rule_type(dt_graph *, const dt_node *, int i, const char *name, dt_dtype);
bool dt_rule_shape(dt_graph *, const dt_node *, int i, const char *name, const dt_shape *expected);
bool dt_rule_count(dt_graph *, const dt_node *, int i, const char *name, int64_t expected); /* elements */
bool dt_rule_rank(dt_graph *, const dt_node *, int i, const char *name, int expected);
/* Most shape rules end so: output 0 like input 0. */
bool dt_rule_like_input(dt_graph *, dt_node *);

/* `flops`, and the bytes of every input read once and every output written once; an output that is added to is read
 * as well. */
dt_cost dt_rule_cost(const dt_node *, double flops);

/* `shape` with another last dimension. */
dt_shape dt_rule_with_last(const dt_shape *shape, int64_t last);
/* `x` itself when it has that shape already, else a view. */
dt_tensor *dt_rule_reshaped(dt_graph *, dt_tensor *x, const dt_shape *);

static inline bool dt_rule_wants(const dt_node *node, int input) /* a gradient for this input */
{
    return node->in[input] && node->in[input]->needs_grad;
}

/* Is `trunk` wider than `other`, which is of the type that the operator computes in? */
static inline bool dt_rule_wide_trunk(const dt_tensor *trunk, const dt_tensor *other)
{
    return trunk->dtype != other->dtype;
}

static inline int64_t dt_rule_elements(const dt_tensor *x) { return dt_shape_count(&x->shape); }

static inline int64_t dt_rule_bytes(const dt_tensor *x)
{
    return dt_rule_elements(x) * (int64_t)dt_dtype_size(x->dtype);
}

static inline void *dt_rule_data(const dt_tensor *x) { return x ? x->data : NULL; } /* of an optional tensor */

static inline bool dt_rule_wanted(unsigned wanted, int output) { return (wanted >> output) & 1u; }

#endif
