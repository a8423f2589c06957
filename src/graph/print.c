/* The graph as text, one node a line: golden tests and `plan --graph`. */
#include "graph/internal.h"

static void print_name(dt_text *out, const dt_tensor *t)
{
    if (!t) dt_text_add(out, "-");
    else if (t->kind == DT_VALUE) dt_text_add(out, "%%%d", t->id);
    else if (t->kind == DT_GRADIENT) dt_text_add(out, "grad(%s)", t->name);
    else dt_text_add(out, "%s", t->name);
}

static const char *const streams[DT_STREAMS] = {"compute", "comm", "copy"};

static void print_node(dt_text *out, const dt_node *n)
{
    char shape[96];
    for (int k = 0; k < n->output_count; k++) {
        if (k) dt_text_add(out, ", ");
        print_name(out, n->out[k]);
        if (n->out[k] && n->out[k]->maker)
            dt_text_add(out, ":%s%s", dt_dtype_name(n->out[k]->dtype), dt_shape_text(&n->out[k]->shape, shape));
        if ((n->accumulates >> k) & 1u) dt_text_add(out, " +=");
    }
    dt_text_add(out, "%s%s(", n->output_count ? " = " : "", n->op->name);
    for (int i = 0; i < n->input_count; i++) {
        if (i) dt_text_add(out, ", ");
        print_name(out, n->in[i]);
    }
    if (n->op->flags & DT_OP_JOIN) dt_text_add(out, "%s", streams[*(const dt_stream *)n->attr]);
    dt_text_add(out, ")");
    if (n->stream != DT_STREAM_COMPUTE) dt_text_add(out, " on %s", streams[n->stream]);
    dt_text_add(out, "%s%s%s%s\n", *n->scope ? "  # " : "", n->scope, n->backward ? " (backward)" : "",
                n->again_of ? " (recomputed)" : "");
}

void dt_graph_print(const dt_graph *g, dt_text *out)
{
    for (const dt_node *n = g->first; n; n = n->next) print_node(out, n);
    for (int i = 0; i < g->outputs.count; i++) {
        const dt_graph_output_entry *entry = g->outputs.at[i];
        dt_text_add(out, "output %s = %%%d\n", entry->name, entry->tensor->id);
    }
}
