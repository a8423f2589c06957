/* dead nodes: removes what neither an output, an effect nor a gradient slot depends on. */
#include <stdlib.h>

#include "passes/passes.h"

static bool is_live(const dt_node *n, const bool *used)
{
    if (n->op->flags & DT_OP_EFFECT) return true;
    for (int k = 0; k < n->output_count; k++)
        if (n->out[k] && (n->out[k]->kind == DT_GRADIENT || used[n->out[k]->id])) return true;
    return false;
}

static dt_node *last_node(const dt_graph *g)
{
    dt_node *last = dt_graph_first(g);
    while (last && last->next) last = last->next;
    return last;
}

dt_status dt_pass_dead_nodes(dt_graph *g)
{
    DT_TRY(dt_graph_status(g));
    bool *used = calloc((size_t)dt_graph_tensor_count(g) + 1, sizeof *used);
    if (!used) return dt_fail_memory((size_t)dt_graph_tensor_count(g), "dead-node removal");
    for (int i = 0; i < dt_graph_output_count(g); i++) used[dt_graph_output_at(g, i, NULL)->id] = true;
    for (dt_node *n = last_node(g), *prev; n; n = prev) {
        prev = n->prev;
        if (!is_live(n, used)) {
            dt_graph_remove(g, n);
            continue;
        }
        for (int i = 0; i < n->input_count; i++)
            if (n->in[i]) used[n->in[i]->id] = true;
    }
    free(used);
    return DT_OK;
}
