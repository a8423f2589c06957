/* Declaration and layout of parameters, states and units. Their memory is store_memory.c. */
#include "graph/store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "graph/store_internal.h"

enum { DT_PARAM_ALIGN = 16 }; /* elements: 64 bytes of float32 */
#define DT_PARAM_MOST ((int64_t)1 << 34) /* elements: where the streams of base/random.h end */

static int64_t padded(int64_t count) { return (count + DT_PARAM_ALIGN - 1) / DT_PARAM_ALIGN * DT_PARAM_ALIGN; }

dt_store_unit *dt_store_unit_at(const dt_store *store, int unit)
{
    return store->units.at[unit];
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
    store->ranks = 1;
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
    dt_list_free(&store->buckets);
    free(store->hashed);
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
    static const char *const names[DT_BUFFERS] = {"value", "gradient", "moment1", "moment2", "ema", "working"};
    return names[buffer];
}

dt_status dt_store_unit_add(dt_store *store, int index, const char *name)
{
    if (index < store->units.count) {
        const char *known = dt_store_unit_at(store, index)->name;
        if (!strcmp(known, name)) return DT_OK;
        return dt_fail(DT_ERR_USAGE, "unit %d is '%s' here and '%s' in the first graph", index, name, known);
    }
    dt_store_unit *unit = dt_arena_alloc(store->arena, sizeof *unit);
    if (!unit || !(unit->name = dt_arena_copy_text(store->arena, name))) return DT_ERR_MEMORY;
    return dt_list_add(&store->units, unit);
}

/* --- parameters by name --- */

/* The place of `name`, or the empty place where it belongs; `hash_room` is not 0. */
static const dt_param **hash_place(const dt_store *store, const char *name)
{
    size_t at = dt_hash_text(name) & (store->hash_room - 1);
    while (store->hashed[at] && strcmp(store->hashed[at]->name, name)) at = (at + 1) & (store->hash_room - 1);
    return &store->hashed[at];
}

/* Room for one more parameter in a table at most half full. */
static dt_status hash_reserve(dt_store *store)
{
    size_t room = store->hash_room ? 2 * store->hash_room : 256;
    if (2 * ((size_t)store->params.count + 1) <= store->hash_room) return DT_OK;
    const dt_param **table = calloc(room, sizeof *table);
    if (!table) return dt_fail_memory(room * sizeof *table, "the names of parameters");
    free(store->hashed);
    store->hashed = table;
    store->hash_room = room;
    for (int i = 0; i < store->params.count; i++) {
        const dt_param *param = store->params.at[i];
        *hash_place(store, param->name) = param;
    }
    return DT_OK;
}

dt_param *dt_store_find(const dt_store *store, const char *name)
{
    return store->hash_room ? (dt_param *)*hash_place(store, name) : NULL;
}

/* --- declaration --- */

static bool is_matrix(dt_role role) { return role == DT_ROLE_MATRIX || role == DT_ROLE_EMBEDDING; }

static dt_param *param_create(dt_graph *g, const char *name, const dt_shape *shape, const dt_param_options *options)
{
    dt_store *store = g->store;
    dt_param *param = dt_arena_alloc(store->arena, sizeof *param);
    char *kept = param ? dt_arena_copy_text(store->arena, name) : NULL;
    if (!kept) return NULL;
    *param = (dt_param){.name = kept,
                        .index = store->params.count,
                        .role = options->role,
                        .group = is_matrix(options->role) ? DT_GROUP_MATRIX : DT_GROUP_VECTOR,
                        .unit = g->unit,
                        .shape = *shape,
                        .published_shape = options->published ? *options->published : *shape,
                        .init = options->init,
                        .frozen = options->frozen,
                        .lr_scale = 1};
    param->count = dt_shape_count(&param->published_shape);
    return param;
}

/* The place in its unit, until the layout: behind the parameters before it. A joined one follows the last without a
 * gap. */
static void param_place(dt_store *store, dt_param *param, const dt_param *joined_to)
{
    int64_t *end = &dt_store_unit_at(store, param->unit)->count[param->group];
    param->offset = joined_to ? joined_to->offset + joined_to->count : *end;
    *end = padded(param->offset + dt_shape_count(&param->shape));
}

/* Inside a unit, parameters keep the order in which they were declared. Messages take the name in its scope, with which
 * they begin anyway. */
static dt_param *param_declare(dt_graph *g, const char *name, const char *full, const dt_shape *shape,
                               const dt_param_options *options, const dt_param *joined_to)
{
    dt_store *store = g->store;
    if (store->laid_out) return dt_graph_fail(g, "parameter %s is not in the first graph of this run", name);
    if (g->unit < 0) return dt_graph_fail(g, "parameter %s is declared outside any unit", name);
    if (!dt_graph_check_size(g, DT_F64, shape)) return NULL;
    if (dt_shape_count(shape) > DT_PARAM_MOST)
        return dt_graph_fail(g, "parameter %s has %lld numbers, more than the %lld that can be drawn; "
                             "choose a smaller model", name,
                             (long long)dt_shape_count(shape), (long long)DT_PARAM_MOST);
    dt_status status = hash_reserve(store);
    dt_param *param = status ? NULL : param_create(g, full, shape, options);
    if (!status) status = param ? dt_list_add(&store->params, param) : DT_ERR_MEMORY;
    if (status) return dt_graph_fail_status(g, status);
    *hash_place(store, param->name) = param;
    param_place(store, param, joined_to);
    return param;
}

/* The parameter `name` under the current scope, declared where it is not yet. */
static dt_param *param_find(dt_graph *g, const char *name, const dt_shape *shape, const dt_param_options *options,
                            const dt_param *joined_to)
{
    if (g->status) return NULL;
    const char *full = dt_graph_full_name(g, name);
    if (!full) return dt_graph_fail_status(g, DT_ERR_MEMORY);
    dt_param *param = dt_store_find(g->store, full);
    if (!param) return param_declare(g, name, full, shape, options, joined_to);
    char here[96], there[96];
    if (dt_shape_equal(&param->shape, shape)) return param;
    return dt_graph_fail(g, "parameter %s is %s here and %s in the first graph", name, dt_shape_text(shape, here),
                         dt_shape_text(&param->shape, there));
}

/* The tensor at `index` of one of the graph's lists, made where there is none yet. */
static dt_tensor *tensor_at(dt_graph *g, dt_list *list, int index, dt_tensor_kind kind, dt_dtype dtype,
                            const dt_shape *shape, const char *name)
{
    if (index < list->count && list->at[index]) return list->at[index];
    dt_tensor *t = dt_tensor_new(g, kind, dtype, shape, name);
    dt_status status = t ? dt_list_set(list, index, t) : DT_OK;
    return status ? dt_graph_fail_status(g, status) : t;
}

static dt_tensor *tensor_of_param(dt_graph *g, const dt_param *param, int buffer, dt_tensor_kind kind, dt_dtype dtype,
                                  const dt_shape *shape)
{
    int index = param->index * DT_BUFFERS + buffer;
    dt_tensor *t = tensor_at(g, &g->params, index, kind, dtype, shape, param->name);
    if (!t) return NULL;
    t->param = param;
    t->buffer = buffer;
    return t;
}

static dt_tensor *value_of_param(dt_graph *g, const dt_param *param, const dt_shape *shape)
{
    dt_tensor *t = param ? tensor_of_param(g, param, g->read_buffer, DT_PARAM, DT_F32, shape) : NULL;
    if (t) t->needs_grad = !param->frozen && t->buffer == DT_BUFFER_VALUE;
    return t;
}

dt_tensor *dt_param_tensor(dt_graph *g, const char *name, dt_shape shape, dt_param_options options)
{
    return value_of_param(g, param_find(g, name, &shape, &options, NULL), &shape);
}

dt_tensor *dt_param_joined(dt_graph *g, const dt_param_part *parts, int count, int64_t columns,
                           dt_param_options options)
{
    const dt_param *first = NULL, *last = NULL;
    int64_t rows = 0;
    for (int i = 0; i < count; i++) {
        options.init = parts[i].init;
        last = param_find(g, parts[i].name, &DT_SHAPE(parts[i].rows, columns), &options, last);
        if (!last) return NULL;
        if (i == 0) first = last;
        rows += parts[i].rows;
    }
    return value_of_param(g, first, &DT_SHAPE(rows, columns));
}

dt_tensor *dt_param_gradient(dt_graph *g, const dt_tensor *of)
{
    dt_dtype type = dt_param_gradient_type(g, of);
    return tensor_of_param(g, of->param, DT_BUFFER_GRADIENT, DT_GRADIENT, type, &of->shape);
}

static bool is_narrow(const dt_store *store, int group) { return store->narrow_gradients && group == DT_GROUP_MATRIX; }

dt_dtype dt_param_gradient_type(const dt_graph *g, const dt_tensor *of)
{
    return is_narrow(g->store, of->param->group) ? DT_BF16 : dt_dtype_wide(of->dtype);
}

static dt_state *state_declare(dt_graph *g, const char *name, dt_dtype dtype, const dt_shape *shape, bool saved)
{
    dt_store *store = g->store;
    dt_state *state = dt_arena_alloc(store->arena, sizeof *state);
    char *kept = state ? dt_arena_copy_text(store->arena, name) : NULL;
    dt_status status = kept ? dt_list_add(&store->states, state) : DT_ERR_MEMORY;
    if (status) return dt_graph_fail_status(g, status);
    int index = store->states.count - 1;
    *state = (dt_state){.name = kept, .index = index, .dtype = dtype, .shape = *shape, .saved = saved};
    return state;
}

dt_tensor *dt_state_tensor(dt_graph *g, const char *name, dt_dtype dtype, dt_shape shape, bool saved)
{
    if (g->status) return NULL;
    if (!name) return dt_graph_fail_status(g, DT_ERR_MEMORY);
    dt_state *state = NULL;
    for (int i = 0; i < g->store->states.count && !state; i++)
        if (!strcmp(((dt_state *)g->store->states.at[i])->name, name)) state = g->store->states.at[i];
    if (!state) state = state_declare(g, name, dtype, &shape, saved);
    if (!state) return NULL;
    if (!dt_shape_equal(&state->shape, &shape))
        return dt_graph_fail(g, "state %s has another shape than in an earlier graph", name);
    dt_tensor *t = tensor_at(g, &g->states, state->index, DT_STATE, dtype, &shape, state->name);
    if (t) t->state = state;
    return t;
}

static dt_tensor *range_tensor(dt_graph *g, int group, dt_buffer buffer, int64_t at, int64_t count, const char *name)
{
    dt_dtype type = dt_store_buffer_type(g->store, group, buffer);
    dt_tensor *t = name ? dt_tensor_new(g, DT_BUFFER, type, &DT_SHAPE(count), name) : NULL;
    if (!t) return dt_graph_fail_status(g, DT_ERR_MEMORY);
    t->group = group;
    t->buffer = (int)buffer;
    t->at = at;
    return t;
}

static const char *group_name(int group) { return group == DT_GROUP_MATRIX ? "matrices" : "vectors"; }

dt_tensor *dt_buffer_tensor(dt_graph *g, dt_group group, dt_buffer buffer)
{
    if (g->status) return NULL;
    const char *name = dt_arena_format(g->arena, "%s.%s", group_name((int)group), dt_buffer_name(buffer));
    return range_tensor(g, (int)group, buffer, 0, dt_store_kept_count(g->store, (int)group, buffer), name);
}

static const char *bucket_name(const dt_graph *g, const dt_bucket *bucket, const char *what, dt_buffer buffer)
{
    return dt_arena_format(g->arena, "%s.%d-%d.%s%s", group_name((int)bucket->group), bucket->first_unit,
                           bucket->end_unit - 1, what, dt_buffer_name(buffer));
}

dt_tensor *dt_bucket_tensor(dt_graph *g, const dt_bucket *bucket, dt_buffer buffer)
{
    if (g->status) return NULL;
    assert(dt_store_keeps_whole(g->store, bucket->group, buffer));
    return range_tensor(g, (int)bucket->group, buffer, bucket->offset, bucket->count,
                        bucket_name(g, bucket, "", buffer));
}

dt_tensor *dt_piece_tensor(dt_graph *g, const dt_bucket *bucket, dt_buffer buffer)
{
    if (g->status) return NULL;
    return range_tensor(g, (int)bucket->group, buffer, dt_store_piece_at(g->store, bucket, buffer), bucket->piece,
                        bucket_name(g, bucket, "piece.", buffer));
}

static dt_status fail_too_many(void)
{
    return dt_fail(DT_ERR_USAGE, "the parameters would be larger than any memory; choose a smaller model "
                   "(model.width, model.depth)");
}

static dt_status place_units(dt_store *store)
{
    for (int i = 0; i < store->buckets.count; i++) {
        const dt_bucket *bucket = store->buckets.at[i];
        int64_t offset = bucket->offset;
        for (int u = bucket->first_unit; u < bucket->end_unit; u++) {
            dt_store_unit *unit = dt_store_unit_at(store, u);
            unit->offset[bucket->group] = offset;
            offset += unit->count[bucket->group];
        }
        store->count[bucket->group] = bucket->offset + bucket->count;
        if (store->count[bucket->group] > DT_MOST_BYTES / (int64_t)sizeof(double)) return fail_too_many();
    }
    return DT_OK;
}

dt_status dt_store_layout(dt_store *store, dt_dtype type)
{
    if (store->laid_out) return DT_OK;
    store->type = type;
    DT_TRY(dt_store_make_buckets(store));
    DT_TRY(place_units(store));
    for (int i = 0; i < store->params.count; i++) {
        dt_param *param = store->params.at[i];
        param->offset += dt_store_unit_at(store, param->unit)->offset[param->group];
    }
    store->laid_out = true;
    return DT_OK;
}

dt_dtype dt_store_type(const dt_store *store) { return store->type; }
int64_t dt_store_count(const dt_store *store, dt_group group) { return store->count[group]; }
int dt_store_params(const dt_store *store) { return store->params.count; }
dt_param *dt_store_param(const dt_store *store, int index) { return store->params.at[index]; }
int dt_store_units(const dt_store *store) { return store->units.count; }
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

void dt_store_narrow_gradients(dt_store *store) { store->narrow_gradients = true; }

dt_dtype dt_store_buffer_type(const dt_store *store, int group, dt_buffer buffer)
{
    bool narrow = buffer == DT_BUFFER_WORKING || (buffer == DT_BUFFER_GRADIENT && is_narrow(store, group));
    return narrow ? DT_BF16 : store->type;
}

int64_t dt_store_group_bytes(const dt_store *store, int group, dt_buffer buffer)
{
    if (buffer == DT_BUFFER_WORKING && group != DT_GROUP_MATRIX) return 0;
    int64_t size = (int64_t)dt_dtype_size(dt_store_buffer_type(store, group, buffer));
    return dt_store_kept_count(store, group, buffer) * size;
}

int64_t dt_store_bytes(const dt_store *store, dt_buffer buffer)
{
    return dt_store_group_bytes(store, DT_GROUP_MATRIX, buffer) + dt_store_group_bytes(store, DT_GROUP_VECTOR, buffer);
}
