/* The graph as text, one node a line: golden tests and `plan --graph`. */
#include "graph/internal.h"

static void print_tensor(dt_text *out, const dt_tensor *t)
{
    char shape[96];
    if (!t) dt_text_add(out, "-");
    else if (t->kind == DT_VALUE) dt_text_add(out, "%%%d", t->id);
    else if (t->kind == DT_GRADIENT) dt_text_add(out, "grad(%s)", t->name);
    else dt_text_add(out, "%s", t->name);
    if (t && t->maker) dt_text_add(out, ":%s%s", dt_dtype_name(t->dtype), dt_shape_text(&t->shape, shape));
}

static void print_node(dt_text *out, const dt_node *n)
{
    for (int k = 0; k < n->output_count; k++) {
        if (k) dt_text_add(out, ", ");
        print_tensor(out, n->out[k]);
        if ((n->accumulates >> k) & 1u) dt_text_add(out, " +=");
    }
    dt_text_add(out, "%s%s(", n->output_count ? " = " : "", n->op->name);
    for (int i = 0; i < n->input_count; i++) {
        const dt_tensor *t = n->in[i];
        if (i) dt_text_add(out, ", ");
        if (!t) dt_text_add(out, "-");
        else if (t->kind == DT_VALUE) dt_text_add(out, "%%%d", t->id);
        else if (t->kind == DT_GRADIENT) dt_text_add(out, "grad(%s)", t->name);
        else dt_text_add(out, "%s", t->name);
    }
    dt_text_add(out, ")%s%s%s%s\n", *n->scope ? "  # " : "", n->scope, n->backward ? " (backward)" : "",
                n->clone_of ? " (recomputed)" : "");
}

void dt_graph_print(const dt_graph *g, dt_text *out)
{
    for (const dt_node *n = g->first; n; n = n->next) print_node(out, n);
    for (int i = 0; i < g->outputs.count; i++) {
        const dt_graph_output_entry *entry = g->outputs.at[i];
        dt_text_add(out, "output %s = %%%d\n", entry->name, entry->tensor->id);
    }
}
