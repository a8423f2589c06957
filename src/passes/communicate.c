/* communicate: adds up every unit's gradients over the ranks as soon as its last contributor has run. A world of one
 * takes the same pass; its collectives do nothing. */
#include "ops/list.h"
#include "passes/passes.h"

static bool writes_gradient_of(const dt_node *n, int unit)
{
    for (int k = 0; k < n->output_count; k++)
        if (n->out[k] && n->out[k]->kind == DT_GRADIENT && n->out[k]->param->unit == unit) return true;
    return n->op == &dt_op_accumulate && n->in[0]->kind == DT_GRADIENT && n->in[0]->param->unit == unit;
}

static dt_node *last_contributor(const dt_graph *g, int unit)
{
    dt_node *last = NULL;
    for (dt_node *n = dt_graph_first(g); n; n = n->next)
        if (writes_gradient_of(n, unit)) last = n;
    return last;
}

dt_status dt_pass_communicate(dt_graph *g)
{
    DT_TRY(dt_graph_status(g));
    for (int unit = 0; unit < dt_graph_units(g); unit++) {
        dt_node *last = last_contributor(g, unit);
        if (!last) continue;
        dt_graph_like(g, last);
        dt_graph_insert_before(g, last->next);
        for (int group = 0; group < DT_GROUPS; group++) dt_all_reduce(g, dt_unit_gradients(g, unit, (dt_group)group));
        dt_graph_insert_before(g, NULL);
        dt_graph_like(g, NULL);
    }
    return dt_graph_status(g);
}
