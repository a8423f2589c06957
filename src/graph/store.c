/* Declaration and layout of parameters, states and units. Their memory is store_memory.c. */
#include "graph/store.h"

#include <stdlib.h>
#include <string.h>

#include "graph/store_internal.h"

enum { DT_PARAM_ALIGN = 16 }; /* elements: 64 bytes of float32 */

static int64_t padded(int64_t count) { return (count + DT_PARAM_ALIGN - 1) / DT_PARAM_ALIGN * DT_PARAM_ALIGN; }

/* Elements of a unit's range of a group, gaps included. */
static int64_t unit_count(const dt_store *store, int unit, dt_group group)
{
    int64_t count = 0;
    for (int i = 0; i < store->params.count; i++) {
        const dt_param *param = store->params.at[i];
        if (param->unit == unit && param->group == group) count += padded(param->count);
    }
    return count;
}

dt_status dt_store_create(dt_store **out)
{
    dt_store *store = calloc(1, sizeof *store);
    if (!store) return dt_fail_memory(sizeof *store, "the parameter store");
    dt_status status = dt_arena_create(&store->arena);
    if (status) {
        free(store);
        return status;
    }
    *out = store;
    return DT_OK;
}

void dt_store_free(dt_store *store)
{
    if (!store) return;
    dt_store_release_memory(store);
    dt_list_free(&store->params);
    dt_list_free(&store->states);
    dt_list_free(&store->units);
    dt_arena_free(store->arena);
    free(store);
}

const char *dt_role_name(dt_role role)
{
    static const char *const names[DT_ROLES] = {"matrix", "embedding", "position", "bias", "gain", "alpha"};
    return names[role];
}

const char *dt_buffer_name(dt_buffer buffer)
{
    static const char *const names[DT_BUFFERS] = {"value", "gradient", "moment1", "moment2", "ema"};
    return names[buffer];
}

dt_status dt_store_unit(dt_store *store, int index, const char *name)
{
    if (index < store->units.count) {
        if (!strcmp(store->units.at[index], name)) return DT_OK;
        return dt_fail(DT_ERR_USAGE, "unit %d is '%s' here and '%s' in the first graph", index, name,
                       (const char *)store->units.at[index]);
    }
    char *kept = dt_arena_copy_text(store->arena, name);
    return kept ? dt_list_add(&store->units, kept) : DT_ERR_MEMORY;
}

dt_param *dt_store_find(const dt_store *store, const char *name)
{
    for (int i = 0; i < store->params.count; i++) {
        dt_param *param = store->params.at[i];
        if (!strcmp(param->name, name)) return param;
    }
    return NULL;
}

static bool is_matrix(dt_role role) { return role == DT_ROLE_MATRIX || role == DT_ROLE_EMBEDDING; }

static dt_param *param_declare(dt_graph *g, const char *name, const dt_shape *shape, const dt_param_options *options)
{
    dt_store *store = g->store;
    if (store->laid_out) return dt_graph_fail(g, "parameter %s is not in the first graph of this run", name);
    dt_param *param = dt_arena_alloc(store->arena, sizeof *param);
    char *kept = param ? dt_arena_copy_text(store->arena, name) : NULL;
    dt_status status = kept ? dt_list_add(&store->params, param) : DT_ERR_MEMORY;
    if (status) return dt_graph_fail_status(g, status);
    *param = (dt_param){.name = kept,
                        .role = options->role,
                        .group = is_matrix(options->role) ? DT_GROUP_MATRIX : DT_GROUP_VECTOR,
                        .unit = g->unit,
                        .shape = *shape,
                        .published_shape = options->published ? *options->published : *shape,
                        .count = dt_shape_count(shape),
                        .init = options->init,
                        .frozen = options->frozen,
                        .lr_scale = 1};
    return param;
}

static dt_tensor *find_tensor(dt_graph *g, dt_tensor_kind kind, const void *of)
{
    for (int i = 0; i < g->tensors.count; i++) {
        dt_tensor *t = g->tensors.at[i];
        if (t->kind == kind && (kind == DT_STATE ? (const void *)t->state : (const void *)t->param) == of) return t;
    }
    return NULL;
}

dt_tensor *dt_param_tensor(dt_graph *g, const char *name, dt_shape shape, dt_param_options options)
{
    if (g->status) return NULL;
    const char *full = dt_graph_full_name(g, name);
    if (!full) return dt_graph_fail_status(g, DT_ERR_MEMORY);
    dt_param *param = dt_store_find(g->store, full);
    if (!param) param = param_declare(g, full, &shape, &options);
    if (!param) return NULL;
    char here[96], there[96];
    if (!dt_shape_equal(&param->shape, &shape))
        return dt_graph_fail(g, "parameter %s is %s here and %s in the first graph", full, dt_shape_text(&shape, here),
                             dt_shape_text(&param->shape, there));
    dt_tensor *t = find_tensor(g, DT_PARAM, param);
    if (!t) t = dt_tensor_new(g, DT_PARAM, DT_F32, &shape, param->name);
    if (!t) return NULL;
    t->param = param;
    t->buffer = g->read_buffer;
    t->needs_grad = !param->frozen;
    return t;
}

dt_tensor *dt_param_gradient(dt_graph *g, const dt_tensor *of)
{
    dt_tensor *t = find_tensor(g, DT_GRADIENT, of->param);
    if (!t) t = dt_tensor_new(g, DT_GRADIENT, of->dtype, &of->shape, of->param->name);
    if (t) t->param = of->param;
    return t;
}

static dt_state *state_declare(dt_graph *g, const char *name, dt_dtype dtype, const dt_shape *shape, bool saved)
{
    dt_store *store = g->store;
    dt_state *state = dt_arena_alloc(store->arena, sizeof *state);
    char *kept = state ? dt_arena_copy_text(store->arena, name) : NULL;
    dt_status status = kept ? dt_list_add(&store->states, state) : DT_ERR_MEMORY;
    if (status) return dt_graph_fail_status(g, status);
    *state = (dt_state){.name = kept, .dtype = dtype, .shape = *shape, .saved = saved};
    return state;
}

dt_tensor *dt_state_tensor(dt_graph *g, const char *name, dt_dtype dtype, dt_shape shape, bool saved)
{
    if (g->status) return NULL;
    dt_state *state = NULL;
    for (int i = 0; i < g->store->states.count && !state; i++)
        if (!strcmp(((dt_state *)g->store->states.at[i])->name, name)) state = g->store->states.at[i];
    if (!state) state = state_declare(g, name, dtype, &shape, saved);
    if (!state) return NULL;
    if (!dt_shape_equal(&state->shape, &shape))
        return dt_graph_fail(g, "state %s has another shape than in an earlier graph", name);
    dt_tensor *t = find_tensor(g, DT_STATE, state);
    if (!t) t = dt_tensor_new(g, DT_STATE, dtype, &shape, state->name);
    if (t) t->state = state;
    return t;
}

dt_tensor *dt_buffer_tensor(dt_graph *g, dt_group group, dt_buffer buffer)
{
    if (g->status) return NULL;
    const char *name = dt_arena_format(g->arena, "%s.%s", group == DT_GROUP_MATRIX ? "matrices" : "vectors",
                                       dt_buffer_name(buffer));
    dt_shape shape = DT_SHAPE(dt_store_count(g->store, group));
    dt_tensor *t = name ? dt_tensor_new(g, DT_BUFFER, g->store->type, &shape, name) : NULL;
    if (!t) return dt_graph_fail_status(g, DT_ERR_MEMORY);
    t->group = (int)group;
    t->buffer = (int)buffer;
    t->unit = -1;
    return t;
}

dt_tensor *dt_unit_gradients(dt_graph *g, int unit, dt_group group)
{
    int64_t count = unit_count(g->store, unit, group);
    if (g->status || !count) return NULL;
    const char *name = dt_arena_format(g->arena, "%s.%s.gradient", dt_store_unit_name(g->store, unit),
                                       group == DT_GROUP_MATRIX ? "matrices" : "vectors");
    dt_tensor *t = name ? dt_tensor_new(g, DT_BUFFER, DT_F32, &DT_SHAPE(count), name) : NULL;
    if (!t) return dt_graph_fail_status(g, DT_ERR_MEMORY);
    t->group = (int)group;
    t->buffer = DT_BUFFER_GRADIENT;
    t->unit = unit;
    return t;
}

/* Units lie behind one another; inside a unit, parameters keep the order in which they were declared. */
static int64_t lay_out_unit(dt_store *store, dt_group group, int unit, int64_t offset)
{
    for (int i = 0; i < store->params.count; i++) {
        dt_param *param = store->params.at[i];
        if (param->group != group || param->unit != unit) continue;
        param->offset = offset;
        offset += padded(param->count);
    }
    return offset;
}

int64_t dt_store_unit_offset(const dt_store *store, int unit, dt_group group)
{
    int64_t offset = 0;
    for (int before = -1; before < unit; before++) offset += unit_count(store, before, group);
    return offset;
}

dt_status dt_store_layout(dt_store *store, dt_dtype type)
{
    if (store->laid_out) return DT_OK;
    store->type = type;
    for (int group = 0; group < DT_GROUPS; group++) {
        int64_t offset = 0;
        for (int unit = -1; unit < store->units.count; unit++) offset = lay_out_unit(store, (dt_group)group, unit, offset);
        store->count[group] = offset;
    }
    store->laid_out = true;
    return DT_OK;
}

dt_dtype dt_store_type(const dt_store *store) { return store->type; }
int64_t dt_store_count(const dt_store *store, dt_group group) { return store->count[group]; }
int dt_store_params(const dt_store *store) { return store->params.count; }
dt_param *dt_store_param(const dt_store *store, int index) { return store->params.at[index]; }
int dt_store_units(const dt_store *store) { return store->units.count; }
const char *dt_store_unit_name(const dt_store *store, int unit) { return store->units.at[unit]; }
int dt_store_states(const dt_store *store) { return store->states.count; }
dt_state *dt_store_state(const dt_store *store, int index) { return store->states.at[index]; }

int64_t dt_store_trainable(const dt_store *store)
{
    int64_t count = 0;
    for (int i = 0; i < store->params.count; i++) {
        const dt_param *param = store->params.at[i];
        if (!param->frozen) count += param->count;
    }
    return count;
}

int64_t dt_store_bytes(const dt_store *store, dt_buffer buffer)
{
    (void)buffer; /* all buffers have the store's type today; bfloat16 working copies will not */
    return (store->count[0] + store->count[1]) * (int64_t)dt_dtype_size(store->type);
}
