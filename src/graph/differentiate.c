/* Reverse-mode differentiation: walks the forward nodes backwards and lets each operator's rule emit the nodes of its
 * gradient. Several uses of a tensor add up in a fixed order, the last use first. A parameter's gradient goes into its
 * slot as soon as the first user of the parameter, which is the last one visited, has contributed. */
#include <assert.h>
#include <stdlib.h>

#include "graph/internal.h"

typedef struct backward {
    dt_graph *g;
    const dt_grad_ops *ops;
    dt_tensor **grad;        /* by id of the forward tensor */
    const dt_node **earliest; /* by id: the first node that reads a parameter */
} backward;

static void contribute(backward *b, dt_tensor *to, dt_tensor *gradient)
{
    assert(dt_shape_count(&to->shape) == dt_shape_count(&gradient->shape));
    dt_tensor **slot = &b->grad[to->id];
    *slot = *slot ? b->ops->add(b->g, *slot, gradient) : gradient;
}

static void visit(backward *b, dt_node *node)
{
    dt_tensor *dout[DT_MAX_OUTPUTS] = {0}, *din[DT_MAX_INPUTS] = {0};
    bool any = false;
    for (int k = 0; k < node->output_count; k++) {
        dout[k] = node->out[k] ? b->grad[node->out[k]->id] : NULL;
        any |= dout[k] != NULL;
    }
    if (any && node->op->grad) {
        node->op->grad(b->g, node, dout, din);
        for (int i = 0; i < node->input_count; i++)
            if (din[i] && node->in[i] && node->in[i]->needs_grad) contribute(b, node->in[i], din[i]);
    }
}

/* Parameters that `node` is the first to read have all their contributions now. */
static void finish_params(backward *b, const dt_node *node)
{
    for (int i = 0; i < node->input_count; i++) {
        dt_tensor *t = node->in[i];
        if (!t || t->kind != DT_PARAM || b->earliest[t->id] != node || !b->grad[t->id]) continue;
        dt_tensor *slot = dt_param_gradient(b->g, t);
        if (slot) b->ops->accumulate(b->g, slot, b->grad[t->id]);
        b->grad[t->id] = NULL;
    }
}

static void find_earliest(backward *b)
{
    for (const dt_node *n = b->g->last; n; n = n->prev)
        for (int i = 0; i < n->input_count; i++)
            if (n->in[i]) b->earliest[n->in[i]->id] = n;
}

static void walk_back(backward *b, dt_tensor *loss)
{
    dt_node *last = b->g->last;
    b->g->backward = true;
    b->g->origin = loss->maker;
    b->grad[loss->id] = b->ops->fill(b->g, loss->dtype, &loss->shape, 1.0);
    for (dt_node *n = last, *prev; n && !b->g->status; n = prev) {
        prev = n->prev; /* new nodes go behind `last`, so this walk meets forward nodes only */
        b->g->origin = n;
        visit(b, n);
        if (!b->g->status) finish_params(b, n);
    }
    dt_graph_like(b->g, NULL);
}

dt_status dt_graph_differentiate(dt_graph *g, dt_tensor *loss, const dt_grad_ops *ops)
{
    DT_TRY(dt_graph_status(g));
    if (!loss->maker || dt_shape_count(&loss->shape) != 1)
        return dt_fail(DT_ERR_USAGE, "the loss to differentiate must be one computed number");
    size_t count = (size_t)g->tensors.count;
    backward b = {g, ops, calloc(count, sizeof *b.grad), calloc(count, sizeof *b.earliest)};
    dt_status status = DT_OK;
    if (!b.grad || !b.earliest) {
        status = dt_fail_memory(count * sizeof *b.grad, "differentiation");
    } else {
        find_earliest(&b);
        walk_back(&b, loss);
        status = dt_graph_status(g);
    }
    free(b.grad);
    free(b.earliest);
    return status;
}
