/* order: what writes a state stands behind its last reader. So a program reads a state at its value before the
 * program, whatever was built in which order and recomputed where. */
#include "ops/list.h"
#include "passes/passes.h"

static bool writes_state(const dt_node *n) { return n->op == &dt_op_assign || n->op == &dt_op_cache_append; }
static bool is_target(const dt_use *use) { return writes_state(use->node) && use == &use->node->use[0]; }

/* The last node that reads the memory of `t`, which a view of it shares, if it stands behind `last`; else `last`. */
static dt_node *last_reader(const dt_tensor *t, dt_node *last)
{
    for (const dt_use *use = t->uses; use; use = use->next) {
        if (is_target(use)) continue;
        if (use->node->op->flags & DT_OP_VIEW) last = last_reader(use->node->out[0], last);
        else if (use->node->position > last->position) last = use->node;
    }
    return last;
}

/* Moves each write behind the last reader of its state; was any moved? */
static bool move_writes(dt_graph *g)
{
    bool moved = false;
    dt_graph_number(g);
    for (dt_node *n = dt_graph_first(g), *next; n; n = next) {
        next = n->next;
        dt_node *last = writes_state(n) ? last_reader(n->in[0], n) : n;
        if (last == n) continue;
        dt_graph_move_behind(g, n, last);
        n->position = last->position; /* the walk meets it again and leaves it there */
        moved = true;
    }
    return moved;
}

static int count_writes(const dt_graph *g)
{
    int count = 0;
    for (const dt_node *n = dt_graph_first(g); n; n = n->next) count += writes_state(n);
    return count;
}

/* A write may read the state of another one. Where k of them so wait for one another in a row, the k-th stands right
 * after k rounds. */
dt_status dt_pass_order(dt_graph *g)
{
    DT_TRY(dt_graph_status(g));
    int rounds = count_writes(g);
    while (move_writes(g))
        if (rounds-- == 0) {
            dt_graph_fail(g, "states are assigned from one another in a circle; assign from a copy of one of them");
            break;
        }
    return dt_graph_status(g);
}
