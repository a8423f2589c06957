/* recompute: backward nodes read values made again instead of kept ones.
 *
 * `cheap` makes the outputs of operators flagged cheap again right before their first backward reader, where that keeps
 * no input alive that would not be kept anyway. `block` makes everything of a unit again in front of the unit's first
 * backward node, and keeps only what another unit's backward pass reads. Both make a value again from another output
 * of its node where that is the smaller thing to keep: a norm from the sum that it made on the way, a GELU from its
 * argument. The same functions of the same numbers, so results do not change by a bit. Under `block`, the unit whose
 * backward pass comes first keeps what it has: what would be made again is there still. */
#include <stdlib.h>

#include "ops/list.h"
#include "passes/passes.h"

typedef struct recompute {
    dt_graph *g;
    dt_recompute level;
    dt_node **front; /* by position of an original node: the first of the nodes put before it, or itself */
    bool *cheap;     /* by position: can the node be made again without keeping more? */
    int *unit_start; /* by unit: the position of its first backward node, -1: none */
    int last_unit;   /* whose backward pass comes first */
} recompute;

/* A node that makes outputs of another one again. */
typedef struct recipe {
    const dt_op *op;
    const void *attr;
    dt_tensor *in[DT_MAX_INPUTS];
    int input_count;
    unsigned outputs; /* bit set */
} recipe;

static recipe whole(const dt_node *n)
{
    recipe out = {.op = n->op, .attr = n->attr, .input_count = n->input_count};
    for (int i = 0; i < n->input_count; i++) out.in[i] = n->in[i];
    for (int k = 0; k < n->output_count; k++) out.outputs |= n->out[k] ? 1u << k : 0;
    return out;
}

static bool is_norm_of_sum(const dt_node *n)
{
    return (n->op == &dt_op_row_norm || n->op == &dt_op_point_norm) && n->out[DT_NORM_SUM];
}

static bool keeps_gelu_argument(const dt_node *n) { return n->op == &dt_op_matmul && n->out[DT_MATMUL_PRE]; }

/* All outputs but one, from that one. */
static bool from_output(const dt_node *n, recipe *out)
{
    if (is_norm_of_sum(n)) {
        *out = whole(n);
        out->in[DT_NORM_X] = n->out[DT_NORM_SUM];
        out->in[DT_NORM_RESIDUAL] = NULL;
        out->outputs &= ~(1u << DT_NORM_SUM);
        return true;
    }
    if (!keeps_gelu_argument(n)) return false;
    const dt_matmul_attr *attr = n->attr;
    *out = (recipe){.op = &dt_op_gelu, .attr = &attr->act, .in = {n->out[DT_MATMUL_PRE]}, .input_count = 1,
                    .outputs = 1u << DT_MATMUL_C};
    return true;
}

/* --- cheap --- */

static bool read_backward(const dt_tensor *t)
{
    for (const dt_use *use = t->uses; use; use = use->next)
        if (use->node->backward) return true;
    return false;
}

/* Is it there in the backward pass, or made again? */
static bool is_at_hand(const recompute *r, const dt_tensor *t)
{
    return !t || t->kind != DT_VALUE || read_backward(t) || r->cheap[t->maker->position];
}

static bool is_cheap(const recompute *r, const dt_node *n)
{
    if (is_norm_of_sum(n) || keeps_gelu_argument(n)) return true;
    if (n->op->flags & DT_OP_VIEW) return n->in[0]->maker && r->cheap[n->in[0]->maker->position];
    bool cheap = n->op->flags & DT_OP_CHEAP;
    for (int i = 0; i < n->input_count && cheap; i++) cheap = is_at_hand(r, n->in[i]);
    return cheap;
}

static bool recipe_cheap(const recompute *r, const dt_node *n, recipe *out)
{
    if (!r->cheap[n->position]) return false;
    if (!from_output(n, out)) *out = whole(n);
    return true;
}

/* --- block --- */

static bool read_by_other_unit(const dt_tensor *t, int unit)
{
    for (const dt_use *use = t->uses; use; use = use->next)
        if (use->node->backward && use->node->unit != unit) return true;
    return false;
}

static bool made_in_other_unit(const dt_tensor *t, int unit) { return t && t->maker && t->maker->unit != unit; }

static bool is_crossing(const dt_node *n, unsigned outputs)
{
    for (int k = 0; k < n->output_count; k++)
        if (((outputs >> k) & 1u) && n->out[k] && read_by_other_unit(n->out[k], n->unit)) return true;
    return false;
}

/* Keeping one sum saves keeping the two values of other units that it adds. */
static bool recipe_block(const recompute *r, const dt_node *n, recipe *out)
{
    if (n->unit < 0 || n->unit == r->last_unit) return false;
    bool sum_is_less = is_norm_of_sum(n) && made_in_other_unit(n->in[DT_NORM_X], n->unit) &&
                       made_in_other_unit(n->in[DT_NORM_RESIDUAL], n->unit);
    *out = whole(n);
    if ((sum_is_less || is_crossing(n, out->outputs)) && !from_output(n, out)) return false;
    return !is_crossing(n, out->outputs);
}

/* --- both --- */

/* The position before which the outputs are needed again, -1: nowhere. */
static int first_reader(const dt_node *n, unsigned outputs)
{
    int first = -1;
    for (int k = 0; k < n->output_count; k++) {
        if (!((outputs >> k) & 1u) || !n->out[k]) continue;
        for (const dt_use *use = n->out[k]->uses; use; use = use->next)
            if (use->node->backward && (first < 0 || use->node->position < first)) first = use->node->position;
    }
    return first;
}

/* The copies before a node stand in the order of the nodes that they copy, as the walk goes from the last to the first;
 * so the new one is in front of its readers. */
static dt_status add_copy(recompute *r, dt_node *n, const recipe *by, int position)
{
    dt_graph_insert_before(r->g, r->front[position]);
    dt_node *copy = dt_node_again(r->g, n, by->op, by->attr, by->in, by->input_count, by->outputs);
    dt_graph_insert_before(r->g, NULL);
    if (!copy) return dt_graph_status(r->g);
    copy->position = position;
    r->front[position] = copy;
    for (int k = 0; k < n->output_count; k++) {
        if (!((by->outputs >> k) & 1u) || !n->out[k]) continue;
        for (dt_use *use = n->out[k]->uses, *next; use; use = next) {
            next = use->next;
            if (use->node->backward) dt_node_set_input(use->node, (int)(use - use->node->use), copy->out[k]);
        }
    }
    return DT_OK;
}

static dt_status visit(recompute *r, dt_node *n)
{
    recipe by;
    if (n->op->flags & DT_OP_EFFECT) return DT_OK;
    bool again = r->level == DT_RECOMPUTE_CHEAP ? recipe_cheap(r, n, &by) : recipe_block(r, n, &by);
    int position = again ? first_reader(n, by.outputs) : -1;
    if (position < 0) return DT_OK;
    return add_copy(r, n, &by, r->level == DT_RECOMPUTE_BLOCK ? r->unit_start[n->unit] : position);
}

/* Fills the arrays; returns the last forward node. */
static dt_node *survey(recompute *r)
{
    dt_node *last = NULL;
    dt_graph_number(r->g);
    for (int unit = 0; unit < dt_graph_units(r->g); unit++) r->unit_start[unit] = -1;
    for (dt_node *n = dt_graph_first(r->g); n; n = n->next) {
        r->front[n->position] = n;
        r->cheap[n->position] = !n->backward && !(n->op->flags & DT_OP_EFFECT) && is_cheap(r, n);
        if (!n->backward) last = n;
        else if (r->last_unit < 0) r->last_unit = n->unit;
        if (n->backward && n->unit >= 0 && r->unit_start[n->unit] < 0) r->unit_start[n->unit] = n->position;
    }
    return last;
}

dt_status dt_pass_recompute(dt_graph *g, dt_recompute level)
{
    DT_TRY(dt_graph_status(g));
    if (level == DT_RECOMPUTE_NONE) return DT_OK;
    size_t nodes = (size_t)dt_graph_node_count(g) + 1, units = (size_t)dt_graph_units(g) + 1;
    recompute r = {g, level, calloc(nodes, sizeof *r.front), calloc(nodes, sizeof *r.cheap),
                   calloc(units, sizeof *r.unit_start), -1};
    dt_status status = DT_OK;
    if (!r.front || !r.cheap || !r.unit_start) status = dt_fail_memory(nodes * sizeof *r.front, "recomputation");
    for (dt_node *n = status ? NULL : survey(&r); n && !status; n = n->prev) status = visit(&r, n);
    free(r.front);
    free(r.cheap);
    free(r.unit_start);
    return status;
}
