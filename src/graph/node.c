/* Tensors and nodes: making them, the ordered list, and who reads what. */
#include <assert.h>
#include <string.h>

#include "graph/internal.h"

dt_tensor *dt_tensor_new(dt_graph *g, dt_tensor_kind kind, dt_dtype dtype, const dt_shape *shape, const char *name)
{
    if (!dt_graph_check_size(g, dtype, shape)) return NULL;
    dt_tensor *t = dt_arena_alloc(g->arena, sizeof *t);
    dt_status status = t ? dt_list_add(&g->tensors, t) : DT_ERR_MEMORY;
    if (status) return dt_graph_fail_status(g, status);
    t->id = g->tensors.count - 1;
    t->name = name;
    t->kind = kind;
    t->dtype = dtype;
    t->shape = *shape;
    return t;
}

dt_tensor *dt_node_output(dt_graph *g, dt_node *node, int k, dt_dtype dtype, const dt_shape *shape)
{
    assert(k < node->op->max_outputs && k < DT_MAX_OUTPUTS);
    if ((node->op->wide_outputs >> k) & 1u) dtype = dt_dtype_wide(dtype);
    dt_tensor *t = dt_tensor_new(g, DT_VALUE, dtype, shape, node->op->name);
    if (!t) return NULL;
    t->maker = node;
    t->maker_output = k;
    node->out[k] = t;
    if (node->output_count <= k) node->output_count = k + 1;
    return t;
}

/* --- uses --- */

static void begin_use(dt_node *node, int input)
{
    dt_use *use = &node->use[input];
    dt_tensor *t = node->in[input];
    if (!t) return;
    *use = (dt_use){.node = node, .next = t->uses};
    if (t->uses) t->uses->prev = use;
    t->uses = use;
}

static void end_use(dt_node *node, int input)
{
    dt_use *use = &node->use[input];
    dt_tensor *t = node->in[input];
    if (!t) return;
    if (use->prev) use->prev->next = use->next;
    else t->uses = use->next;
    if (use->next) use->next->prev = use->prev;
}

void dt_node_set_input(dt_node *node, int input, dt_tensor *t)
{
    end_use(node, input);
    node->in[input] = t;
    begin_use(node, input);
}

void dt_graph_replace_uses(dt_graph *g, dt_tensor *old, dt_tensor *with, const dt_node *except)
{
    for (dt_use *use = old->uses, *next; use; use = next) {
        next = use->next;
        if (use->node != except) dt_node_set_input(use->node, (int)(use - use->node->use), with);
    }
    for (int i = 0; i < g->outputs.count; i++) {
        dt_graph_output_entry *output = g->outputs.at[i];
        if (output->tensor == old) output->tensor = with;
    }
}

dt_node *dt_graph_only_reader(const dt_graph *g, const dt_tensor *t)
{
    if (!t->uses || t->uses->next) return NULL;
    for (int i = 0; i < g->outputs.count; i++)
        if (((dt_graph_output_entry *)g->outputs.at[i])->tensor == t) return NULL;
    return t->uses->node;
}

/* --- the list --- */

static void link_node(dt_graph *g, dt_node *node, dt_node *next)
{
    dt_node *prev = next ? next->prev : g->last;
    node->prev = prev;
    node->next = next;
    if (prev) prev->next = node;
    else g->first = node;
    if (next) next->prev = node;
    else g->last = node;
    g->node_count++;
}

static void unlink_node(dt_graph *g, dt_node *node)
{
    if (node->prev) node->prev->next = node->next;
    else g->first = node->next;
    if (node->next) node->next->prev = node->prev;
    else g->last = node->prev;
    node->prev = node->next = NULL;
    g->node_count--;
}

void dt_graph_remove(dt_graph *g, dt_node *node)
{
    if (g->before == node) g->before = node->next;
    for (int i = 0; i < node->input_count; i++) end_use(node, i);
    unlink_node(g, node);
}

void dt_graph_move_behind(dt_graph *g, dt_node *node, dt_node *at)
{
    unlink_node(g, node);
    link_node(g, node, at->next);
}

void dt_graph_insert_before(dt_graph *g, dt_node *at) { g->before = at; }

void dt_graph_like(dt_graph *g, const dt_node *node)
{
    g->origin = node;
    g->backward = node && node->backward;
}

void dt_graph_number(dt_graph *g)
{
    int position = 0;
    for (dt_node *n = g->first; n; n = n->next) n->position = position++;
}

/* --- nodes --- */

static dt_node *node_new(dt_graph *g, const dt_op *op, const void *attr)
{
    dt_node *node = dt_arena_alloc(g->arena, sizeof *node);
    void *copy = node && op->attr_size ? dt_arena_alloc(g->arena, op->attr_size) : NULL;
    if (!node || (op->attr_size && !copy)) return dt_graph_fail_status(g, DT_ERR_MEMORY);
    if (copy) memcpy(copy, attr, op->attr_size);
    node->op = op;
    node->attr = copy;
    node->scope = dt_graph_scope(g);
    node->unit = g->origin ? g->origin->unit : g->unit;
    node->backward = g->backward;
    node->stream = DT_STREAM_COMPUTE;
    return node;
}

/* A gradient flows through outputs of an operator that has a gradient rule and an input that needs one. */
static void mark_needs_grad(dt_node *node)
{
    bool needs = false;
    for (int i = 0; i < node->input_count; i++) needs |= node->in[i] && node->in[i]->needs_grad;
    if (!needs || !node->op->grad || node->backward) return;
    for (int k = 0; k < node->output_count; k++)
        if (node->out[k] && dt_dtype_is_float(node->out[k]->dtype)) node->out[k]->needs_grad = true;
}

dt_node *dt_node_add(dt_graph *g, const dt_op *op, const void *attr, dt_tensor *const *inputs, int input_count,
                     unsigned wanted)
{
    if (g->status) return NULL;
    assert(input_count <= DT_MAX_INPUTS);
    dt_node *node = node_new(g, op, attr);
    if (!node) return NULL;
    node->input_count = input_count;
    for (int i = 0; i < input_count; i++) node->in[i] = inputs[i];
    if (!op->shape(g, node, wanted) || g->status) {
        if (!g->status) dt_graph_fail(g, "operator %s refused its inputs", op->name);
        return NULL;
    }
    mark_needs_grad(node);
    for (int i = 0; i < input_count; i++) begin_use(node, i);
    link_node(g, node, g->before);
    return node;
}

dt_tensor *dt_apply(dt_graph *g, const dt_op *op, const void *attr, dt_tensor *const *inputs, int input_count)
{
    dt_node *node = dt_node_add(g, op, attr, inputs, input_count, 1u);
    return node ? node->out[0] : NULL;
}

dt_node *dt_node_again(dt_graph *g, const dt_node *node, const dt_op *op, const void *attr, dt_tensor *const *inputs,
                       int input_count, unsigned wanted)
{
    g->origin = node;
    g->backward = true;
    dt_node *again = dt_node_add(g, op, attr, inputs, input_count, wanted);
    dt_graph_like(g, NULL);
    if (!again) return NULL;
    again->again_of = node;
    for (int k = 0; k < again->output_count; k++)
        if (again->out[k]) again->out[k]->dtype = node->out[k]->dtype; /* the cast pass may have changed it */
    return again;
}
