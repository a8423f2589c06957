/* cast: gives every tensor the type that the precision mode says, and puts casts where types meet.
 *
 * Model code builds in float32. In fp64 the whole graph becomes float64; only what the host feeds keeps its type and is
 * cast behind the input. Runs before differentiation, so gradients take the types of what they belong to. */
#include "ops/list.h"
#include "passes/passes.h"

static dt_status cast_input(dt_graph *g, dt_node *input)
{
    dt_tensor *fed = input->out[0];
    dt_graph_like(g, input);
    dt_graph_insert_before(g, input->next);
    dt_tensor *wide = dt_cast(g, fed, DT_F64);
    dt_graph_insert_before(g, NULL);
    dt_graph_like(g, NULL);
    if (wide) dt_graph_replace_uses(g, fed, wide, wide->maker);
    return dt_graph_status(g);
}

static void widen(dt_tensor *t)
{
    if (t->dtype != DT_F32) return;
    t->dtype = DT_F64;
    if (t->kind == DT_STATE) t->state->dtype = DT_F64;
}

dt_status dt_pass_cast(dt_graph *g, dt_precision precision)
{
    DT_TRY(dt_graph_status(g));
    if (precision == DT_PRECISION_FP32) return DT_OK;
    for (int i = 0; i < dt_graph_tensor_count(g); i++) {
        dt_tensor *t = dt_graph_tensor(g, i);
        if (!t->maker || t->maker->op != &dt_op_input) widen(t);
    }
    for (dt_node *n = dt_graph_first(g), *next; n; n = next) {
        next = n->next;
        if (n->op == &dt_op_input && n->out[0]->dtype == DT_F32) DT_TRY(cast_input(g, n));
    }
    return DT_OK;
}
