/* communicate: adds up every unit's gradients over the ranks as soon as its last contributor has run. A world of one
 * takes the same pass; its collectives do nothing. */
#include <stdlib.h>

#include "ops/list.h"
#include "passes/passes.h"

/* The gradient slot that the node writes last, or NULL. */
static dt_tensor *slot_of(const dt_node *n)
{
    dt_tensor *slot = NULL;
    if (n->op == &dt_op_accumulate) slot = n->in[0];
    for (int k = 0; k < n->output_count; k++)
        if (n->out[k] && n->out[k]->kind == DT_GRADIENT) slot = n->out[k];
    return slot;
}

static void reduce_unit(dt_graph *g, dt_node *last, const dt_tensor *slot)
{
    dt_graph_like(g, last);
    dt_graph_insert_before(g, last->next);
    for (int group = 0; group < DT_GROUPS; group++)
        dt_all_reduce(g, dt_unit_gradients(g, slot->param->unit, (dt_group)group, dt_dtype_wide(slot->dtype)));
    dt_graph_insert_before(g, NULL);
    dt_graph_like(g, NULL);
}

dt_status dt_pass_communicate(dt_graph *g)
{
    DT_TRY(dt_graph_status(g));
    int units = dt_graph_store(g) ? dt_store_units(dt_graph_store(g)) : 0; /* a graph may read others than it opens */
    dt_node **last = calloc((size_t)units + 1, sizeof *last); /* contributor, by unit */
    if (!last) return dt_fail_memory(((size_t)units + 1) * sizeof *last, "the communicate pass");
    for (dt_node *n = dt_graph_first(g); n; n = n->next) {
        const dt_tensor *slot = slot_of(n);
        if (slot) last[slot->param->unit] = n;
    }
    for (int unit = 0; unit < units; unit++)
        if (last[unit]) reduce_unit(g, last[unit], slot_of(last[unit]));
    free(last);
    return dt_graph_status(g);
}
