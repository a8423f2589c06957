/* recompute: backward nodes read recomputed copies of forward values instead of kept ones.
 *
 * `cheap` recomputes the outputs of operators flagged cheap right before their first backward reader. `block`
 * recomputes everything made inside a unit in front of the unit's first backward node, and keeps only what crosses
 * from one unit into another. Copies run the same kernels on the same bits, so results do not change. */
#include <stdlib.h>

#include "passes/passes.h"

typedef struct recompute {
    dt_graph *g;
    dt_recompute level;
    dt_node **unit_start; /* by unit: its first backward node */
} recompute;

static dt_tensor **reader_slot(dt_node *n, const dt_tensor *t)
{
    for (int i = 0; i < n->input_count; i++)
        if (n->in[i] == t) return &n->in[i];
    return NULL;
}

static dt_node *first_backward_reader(const dt_graph *g, const dt_tensor *t)
{
    for (dt_node *n = dt_graph_first(g); n; n = n->next)
        if (n->backward && reader_slot(n, t)) return n;
    return NULL;
}

static bool crosses_units(const dt_graph *g, const dt_tensor *t)
{
    for (dt_node *n = dt_graph_first(g); n; n = n->next)
        if (!n->backward && n->unit != t->maker->unit && reader_slot(n, t)) return true;
    return false;
}

/* Where the copy of node `n` goes, or NULL if its outputs are kept. */
static dt_node *copy_before(const recompute *r, const dt_node *n)
{
    dt_node *at = NULL;
    if (n->backward || (n->op->flags & DT_OP_EFFECT)) return NULL;
    if (r->level == DT_RECOMPUTE_CHEAP && !(n->op->flags & (DT_OP_CHEAP | DT_OP_VIEW))) return NULL;
    if (r->level == DT_RECOMPUTE_BLOCK && n->unit < 0) return NULL;
    for (int k = 0; k < n->output_count; k++) {
        dt_node *reader = n->out[k] ? first_backward_reader(r->g, n->out[k]) : NULL;
        if (reader && r->level == DT_RECOMPUTE_BLOCK && crosses_units(r->g, n->out[k])) return NULL;
        if (reader && (!at || reader->position < at->position)) at = reader;
    }
    return at && r->level == DT_RECOMPUTE_BLOCK ? r->unit_start[n->unit] : at;
}

static void redirect_backward(const dt_node *original, dt_node *copy)
{
    for (dt_node *n = copy->next; n; n = n->next)
        for (int i = 0; n->backward && i < n->input_count; i++)
            for (int k = 0; k < original->output_count; k++)
                if (original->out[k] && n->in[i] == original->out[k]) n->in[i] = copy->out[k];
}

/* Copies are made from the last forward node to the first: a copy becomes a backward reader of its inputs, which are
 * then looked at in their turn, and goes in front of all copies made before it. */
static dt_status copy_node(recompute *r, dt_node *n, dt_node *at)
{
    dt_graph_insert_before(r->g, at);
    dt_node *copy = dt_node_clone(r->g, n, n->in);
    dt_graph_insert_before(r->g, NULL);
    if (!copy) return dt_graph_status(r->g);
    dt_graph_number(r->g);
    if (r->level == DT_RECOMPUTE_BLOCK) r->unit_start[n->unit] = copy;
    redirect_backward(n, copy);
    return DT_OK;
}

static void find_unit_starts(recompute *r)
{
    for (dt_node *n = dt_graph_first(r->g); n; n = n->next)
        if (n->backward && n->unit >= 0 && !r->unit_start[n->unit]) r->unit_start[n->unit] = n;
}

static dt_node *last_forward(const dt_graph *g)
{
    dt_node *last = NULL;
    for (dt_node *n = dt_graph_first(g); n && !n->backward; n = n->next) last = n;
    return last;
}

dt_status dt_pass_recompute(dt_graph *g, dt_recompute level)
{
    DT_TRY(dt_graph_status(g));
    if (level == DT_RECOMPUTE_NONE) return DT_OK;
    recompute r = {.g = g, .level = level};
    r.unit_start = calloc((size_t)dt_graph_units(g) + 1, sizeof *r.unit_start);
    if (!r.unit_start) return dt_fail_memory(sizeof *r.unit_start, "recomputation");
    dt_graph_number(g);
    find_unit_starts(&r);
    dt_status status = DT_OK;
    for (dt_node *n = last_forward(g); n && !status; n = n->prev) {
        dt_node *at = copy_before(&r, n);
        if (at) status = copy_node(&r, n, at);
    }
    free(r.unit_start);
    return status;
}
