/* The graph: its ordered list of nodes, its tensors, outputs and feed fields, and the sticky failure. */
#include "graph/graph.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/internal.h"

dt_status dt_list_add(dt_list *list, void *item)
{
    if (list->count == list->room) {
        int room = list->room ? 2 * list->room : 32;
        void **grown = realloc(list->at, (size_t)room * sizeof *grown);
        if (!grown) return dt_fail_memory((size_t)room * sizeof *grown, "a graph");
        list->at = grown;
        list->room = room;
    }
    list->at[list->count++] = item;
    return DT_OK;
}

void dt_list_free(dt_list *list)
{
    free(list->at);
    *list = (dt_list){0};
}

dt_status dt_graph_create(dt_store *store, bool training, dt_graph **out)
{
    dt_graph *g = calloc(1, sizeof *g);
    if (!g) return dt_fail_memory(sizeof *g, "a graph");
    dt_status status = dt_arena_create(&g->arena);
    if (status) {
        free(g);
        return status;
    }
    g->store = store;
    g->training = training;
    g->read_buffer = DT_BUFFER_VALUE;
    g->unit = -1;
    *out = g;
    return DT_OK;
}

void dt_graph_free(dt_graph *g)
{
    if (!g) return;
    dt_list_free(&g->tensors);
    dt_list_free(&g->outputs);
    dt_list_free(&g->fields);
    dt_list_free(&g->units);
    dt_list_free(&g->scopes);
    dt_arena_free(g->arena);
    free(g);
}

dt_status dt_graph_status(const dt_graph *g)
{
    return g->status ? dt_fail(g->status, "%s", g->message ? g->message : "out of memory for a graph") : DT_OK;
}

bool dt_graph_failed(const dt_graph *g) { return g->status != DT_OK; }
bool dt_graph_training(const dt_graph *g) { return g->training; }
dt_store *dt_graph_store(const dt_graph *g) { return g->store; }
dt_arena *dt_graph_arena(const dt_graph *g) { return g->arena; }
void dt_graph_read_buffer(dt_graph *g, int buffer) { g->read_buffer = buffer; }
dt_node *dt_graph_first(const dt_graph *g) { return g->first; }
int dt_graph_node_count(const dt_graph *g) { return g->node_count; }
int dt_graph_tensor_count(const dt_graph *g) { return g->tensors.count; }
dt_tensor *dt_graph_tensor(const dt_graph *g, int id) { return g->tensors.at[id]; }

void *dt_graph_fail_status(dt_graph *g, dt_status status)
{
    if (!g->status) {
        g->status = status;
        g->message = dt_arena_copy_text(g->arena, dt_error_message());
    }
    return NULL;
}

void *dt_graph_fail(dt_graph *g, const char *format, ...)
{
    if (g->status) return NULL;
    dt_text text = {0};
    va_list args;
    va_start(args, format);
    char line[512];
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    const char *scope = dt_graph_scope(g);
    if (*scope)
        dt_text_add(&text, "%s: %s", scope, line);
    else
        dt_text_add(&text, "%s", line);
    g->status = DT_ERR_USAGE;
    g->message = dt_arena_copy_text(g->arena, text.data ? text.data : line);
    dt_text_free(&text);
    return NULL;
}

/* --- scopes and units --- */

const char *dt_graph_scope(const dt_graph *g)
{
    if (g->origin) return g->origin->scope;
    return g->scopes.count ? g->scopes.at[g->scopes.count - 1] : "";
}

const char *dt_graph_full_name(dt_graph *g, const char *name)
{
    const char *scope = dt_graph_scope(g);
    return *scope ? dt_arena_format(g->arena, "%s.%s", scope, name) : dt_arena_copy_text(g->arena, name);
}

static void scope_push(dt_graph *g, const char *name)
{
    const char *full = *name ? dt_graph_full_name(g, name) : dt_arena_copy_text(g->arena, dt_graph_scope(g));
    dt_status status = full ? dt_list_add(&g->scopes, (void *)full) : DT_ERR_MEMORY;
    if (status) dt_graph_fail_status(g, status);
}

void dt_scope_begin(dt_graph *g, const char *format, ...)
{
    char name[128];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    scope_push(g, name);
}

void dt_scope_end(dt_graph *g)
{
    if (g->scopes.count) g->scopes.count--;
}

void dt_unit_begin(dt_graph *g, const char *format, ...)
{
    assert(g->unit < 0);
    char name[128];
    va_list args;
    va_start(args, format);
    vsnprintf(name, sizeof name, format, args);
    va_end(args);
    char *kept = dt_arena_copy_text(g->arena, name);
    dt_status status = kept ? dt_list_add(&g->units, kept) : DT_ERR_MEMORY;
    if (!status && g->store) status = dt_store_unit(g->store, g->units.count - 1, name);
    if (status) dt_graph_fail_status(g, status);
    g->unit = g->units.count - 1;
    scope_push(g, name);
}

void dt_unit_end(dt_graph *g)
{
    g->unit = -1;
    dt_scope_end(g);
}

int dt_graph_units(const dt_graph *g) { return g->units.count; }
const char *dt_graph_unit_name(const dt_graph *g, int unit) { return g->units.at[unit]; }

/* --- tensors and nodes --- */

dt_tensor *dt_tensor_new(dt_graph *g, dt_tensor_kind kind, dt_dtype dtype, const dt_shape *shape, const char *name)
{
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
    dt_tensor *t = dt_tensor_new(g, DT_VALUE, dtype, shape, node->op->name);
    if (!t) return NULL;
    t->maker = node;
    t->maker_output = k;
    node->out[k] = t;
    if (node->output_count <= k) node->output_count = k + 1;
    return t;
}

static void link_node(dt_graph *g, dt_node *node)
{
    dt_node *next = g->before, *prev = next ? next->prev : g->last;
    node->prev = prev;
    node->next = next;
    if (prev) prev->next = node;
    else g->first = node;
    if (next) next->prev = node;
    else g->last = node;
    g->node_count++;
}

static dt_node *node_new(dt_graph *g, const dt_op *op, const void *attr)
{
    dt_node *node = dt_arena_alloc(g->arena, sizeof *node);
    void *copy = node && op->attr_size ? dt_arena_alloc(g->arena, op->attr_size) : NULL;
    const char *scope = node ? dt_arena_copy_text(g->arena, dt_graph_scope(g)) : NULL;
    if (!scope || (op->attr_size && !copy)) return dt_graph_fail_status(g, DT_ERR_MEMORY);
    if (copy) memcpy(copy, attr, op->attr_size);
    node->op = op;
    node->attr = copy;
    node->scope = scope;
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
    link_node(g, node);
    return node;
}

dt_tensor *dt_apply(dt_graph *g, const dt_op *op, const void *attr, dt_tensor *const *inputs, int input_count)
{
    dt_node *node = dt_node_add(g, op, attr, inputs, input_count, 1u);
    return node ? node->out[0] : NULL;
}

/* --- for passes --- */

void dt_graph_like(dt_graph *g, const dt_node *node)
{
    g->origin = node;
    g->backward = node && node->backward;
}

dt_node *dt_node_clone(dt_graph *g, const dt_node *node, dt_tensor *const *inputs)
{
    unsigned wanted = 0;
    for (int k = 0; k < node->output_count; k++) wanted |= node->out[k] ? 1u << k : 0;
    g->origin = node;
    g->backward = true;
    dt_node *clone = dt_node_add(g, node->op, node->attr, inputs, node->input_count, wanted);
    dt_graph_like(g, NULL);
    if (!clone) return NULL;
    clone->clone_of = (dt_node *)node;
    for (int k = 0; k < node->output_count; k++) {
        if (!node->out[k]) continue;
        clone->out[k]->dtype = node->out[k]->dtype;
        clone->out[k]->needs_grad = false;
    }
    return clone;
}

void dt_graph_insert_before(dt_graph *g, dt_node *at) { g->before = at; }

void dt_graph_remove(dt_graph *g, dt_node *node)
{
    if (node->prev) node->prev->next = node->next;
    else g->first = node->next;
    if (node->next) node->next->prev = node->prev;
    else g->last = node->prev;
    if (g->before == node) g->before = node->next;
    node->prev = node->next = NULL;
    g->node_count--;
}

void dt_graph_replace_uses(dt_graph *g, dt_tensor *old, dt_tensor *with, dt_node *except)
{
    for (dt_node *n = g->first; n; n = n->next)
        for (int i = 0; n != except && i < n->input_count; i++)
            if (n->in[i] == old) n->in[i] = with;
    for (int i = 0; i < g->outputs.count; i++) {
        dt_graph_output_entry *output = g->outputs.at[i];
        if (output->tensor == old) output->tensor = with;
    }
}

int dt_graph_uses(const dt_graph *g, const dt_tensor *t)
{
    int uses = 0;
    for (const dt_node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->input_count; i++) uses += n->in[i] == t;
    for (int i = 0; i < g->outputs.count; i++) uses += ((dt_graph_output_entry *)g->outputs.at[i])->tensor == t;
    return uses;
}

dt_node *dt_graph_only_reader(const dt_graph *g, const dt_tensor *t)
{
    if (dt_graph_uses(g, t) != 1) return NULL;
    for (dt_node *n = g->first; n; n = n->next)
        for (int i = 0; i < n->input_count; i++)
            if (n->in[i] == t) return n;
    return NULL;
}

void dt_graph_number(dt_graph *g)
{
    int position = 0;
    for (dt_node *n = g->first; n; n = n->next) n->position = position++;
}

/* --- outputs and feed --- */

void dt_graph_output(dt_graph *g, const char *name, dt_tensor *tensor)
{
    if (g->status || !tensor) return;
    dt_graph_output_entry *entry = dt_arena_alloc(g->arena, sizeof *entry);
    char *kept = entry ? dt_arena_copy_text(g->arena, name) : NULL;
    dt_status status = kept ? dt_list_add(&g->outputs, entry) : DT_ERR_MEMORY;
    if (status) {
        dt_graph_fail_status(g, status);
        return;
    }
    *entry = (dt_graph_output_entry){kept, tensor};
}

int dt_graph_output_count(const dt_graph *g) { return g->outputs.count; }

dt_tensor *dt_graph_output_at(const dt_graph *g, int index, const char **name)
{
    const dt_graph_output_entry *entry = g->outputs.at[index];
    if (name) *name = entry->name;
    return entry->tensor;
}

void dt_graph_set_output(dt_graph *g, int index, dt_tensor *tensor)
{
    ((dt_graph_output_entry *)g->outputs.at[index])->tensor = tensor;
}

int64_t dt_graph_feed_reserve(dt_graph *g, const char *name, dt_dtype dtype, const dt_shape *shape)
{
    dt_feed_field *field = dt_arena_alloc(g->arena, sizeof *field);
    char *kept = field ? dt_arena_copy_text(g->arena, name) : NULL;
    dt_status status = kept ? dt_list_add(&g->fields, field) : DT_ERR_MEMORY;
    if (status) {
        dt_graph_fail_status(g, status);
        return 0;
    }
    int64_t bytes = dt_shape_count(shape) * (int64_t)dt_dtype_size(dtype);
    *field = (dt_feed_field){kept, dtype, *shape, g->feed_bytes, bytes};
    g->feed_bytes += (bytes + 63) / 64 * 64;
    return field->offset;
}

int dt_graph_feed_count(const dt_graph *g) { return g->fields.count; }
const dt_feed_field *dt_graph_feed_at(const dt_graph *g, int index) { return g->fields.at[index]; }
int64_t dt_graph_feed_bytes(const dt_graph *g) { return g->feed_bytes; }
