/* accumulation: a node that makes a parameter's gradient writes it straight into the gradient slot, adding to it with
 * the operator's own means (beta = 1 in a product), and the accumulate node behind it goes. */
#include "ops/list.h"
#include "passes/passes.h"

static void redirect(dt_graph *g, dt_node *accumulate)
{
    dt_tensor *slot = accumulate->in[0], *gradient = accumulate->in[1];
    dt_node *maker = gradient->maker;
    if (!maker || !((maker->op->accumulates >> gradient->maker_output) & 1u)) return;
    if (dt_graph_only_reader(g, gradient) != accumulate) return;
    maker->out[gradient->maker_output] = slot;
    maker->accumulates |= 1u << gradient->maker_output;
    dt_graph_remove(g, accumulate);
}

dt_status dt_pass_accumulate(dt_graph *g)
{
    DT_TRY(dt_graph_status(g));
    for (dt_node *n = dt_graph_first(g), *next; n; n = next) {
        next = n->next;
        if (n->op == &dt_op_accumulate) redirect(g, n);
    }
    return DT_OK;
}
