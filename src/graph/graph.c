/* The graph: its life, the sticky failure, scopes and units, outputs and feed fields. Nodes are node.c. */
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

dt_status dt_list_set(dt_list *list, int index, void *item)
{
    while (list->count <= index) DT_TRY(dt_list_add(list, NULL));
    list->at[index] = item;
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
    dt_list_free(&g->params);
    dt_list_free(&g->states);
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
    dt_text_add(&text, "%s%s%s", scope, *scope ? ": " : "", line);
    g->status = DT_ERR_USAGE;
    g->message = dt_arena_copy_text(g->arena, text.data ? text.data : line);
    dt_text_free(&text);
    return NULL;
}

bool dt_graph_check_size(dt_graph *g, dt_dtype dtype, const dt_shape *shape)
{
    int64_t bytes = (int64_t)dt_dtype_size(dtype);
    bool fits = true;
    for (int i = 0; i < shape->rank && fits; i++)
        fits = shape->dim[i] >= 0 && !__builtin_mul_overflow(bytes, shape->dim[i], &bytes) && bytes <= DT_MOST_BYTES;
    char text[96];
    if (!fits)
        dt_graph_fail(g, "a tensor of shape %s would be larger than any memory; choose a smaller batch, image or model",
                      dt_shape_text(shape, text));
    return fits;
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
    if (!status && g->store) status = dt_store_unit_add(g->store, g->units.count - 1, name);
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

int64_t dt_graph_feed_reserve(dt_graph *g, const char *name, dt_dtype dtype, const dt_shape *shape)
{
    if (!dt_graph_check_size(g, dtype, shape)) return 0;
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
