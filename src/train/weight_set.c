/* Opening a set of weights, comparing it with a model and filling the model's parameters. */
#include "train/weight_set.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"

struct dt_weight_set {
    char *path;
    dt_safetensors **file;
    int count;
};

/* --- opening --- */

static dt_status add_file(dt_weight_set *set, const char *path)
{
    dt_safetensors **grown = realloc(set->file, ((size_t)set->count + 1) * sizeof *grown);
    if (!grown) return dt_fail_memory(sizeof *grown, path);
    set->file = grown;
    DT_TRY(dt_safetensors_open(path, &set->file[set->count]));
    set->count++;
    return DT_OK;
}

/* The open file of that path, opened now if it was not yet. */
static dt_status file_at(dt_weight_set *set, const char *path, dt_safetensors **out)
{
    int i = 0;
    while (i < set->count && strcmp(dt_safetensors_path(set->file[i]), path) != 0) i++;
    if (i == set->count) DT_TRY(add_file(set, path));
    *out = set->file[i];
    return DT_OK;
}

static dt_status add_mapped(dt_weight_set *set, const char *name, const json_t *file_name)
{
    const char *file = json_string_value(file_name);
    if (!file || !*file || strchr(file, '/'))
        return dt_fail(DT_ERR_DATA, "'%s': tensor '%s' is not mapped to a file name", set->path, name);
    const char *slash = strrchr(set->path, '/');
    dt_text path = {0};
    if (slash) dt_text_add_bytes(&path, set->path, (size_t)(slash + 1 - set->path));
    dt_text_add(&path, "%s", file);
    dt_safetensors *tensors;
    dt_status status = dt_text_status(&path);
    if (!status) status = file_at(set, path.data, &tensors);
    if (!status && !dt_safetensors_find(tensors, name))
        status = dt_fail(DT_ERR_DATA, "'%s': tensor '%s' is not in '%s'", set->path, name, file);
    dt_text_free(&path);
    return status;
}

/* {"metadata": {...}, "weight_map": {tensor: file}} */
static dt_status open_index(dt_weight_set *set)
{
    enum { MAX_INDEX = 1 << 26 };
    json_t *index, *map, *file;
    const char *name;
    DT_TRY(dt_json_read(set->path, MAX_INDEX, &index));
    dt_status status = dt_json_member(index, "weight_map", JSON_OBJECT, set->path, &map);
    if (!status)
        json_object_foreach(map, name, file)
            if (!status) status = add_mapped(set, name, file);
    int64_t tensors = 0;
    for (int i = 0; i < set->count; i++) tensors += dt_safetensors_count(set->file[i]);
    if (!status && tensors != (int64_t)json_object_size(map))
        status = dt_fail(DT_ERR_DATA, "'%s' maps %zu tensors, its files hold %lld", set->path, json_object_size(map),
                         (long long)tensors);
    json_decref(index);
    return status;
}

dt_status dt_weight_set_open(const char *path, dt_weight_set **out)
{
    dt_status status;
    dt_weight_set *set = calloc(1, sizeof *set);
    if (set) set->path = strdup(path);
    if (!set || !set->path) {
        free(set);
        return dt_fail_memory(strlen(path) + 1, path);
    }
    size_t length = strlen(path);
    if (length > 5 && !strcmp(path + length - 5, ".json")) status = open_index(set);
    else status = add_file(set, path);
    if (status) dt_weight_set_close(set);
    else *out = set;
    return status;
}

void dt_weight_set_close(dt_weight_set *set)
{
    if (!set) return;
    for (int i = 0; i < set->count; i++) dt_safetensors_close(set->file[i]);
    free(set->file);
    free(set->path);
    free(set);
}

int dt_weight_set_files(const dt_weight_set *set) { return set->count; }

const char *dt_weight_set_file(const dt_weight_set *set, int index) { return dt_safetensors_path(set->file[index]); }

bool dt_weight_set_has(const dt_store *store, dt_buffer buffer)
{
    return dt_store_data(store, DT_GROUP_MATRIX, buffer) || dt_store_data(store, DT_GROUP_VECTOR, buffer);
}

static const dt_safetensor *find(const dt_weight_set *set, const char *name, const dt_safetensors **file)
{
    const dt_safetensor *tensor = NULL;
    for (int i = 0; i < set->count && !tensor; i++) {
        tensor = dt_safetensors_find(set->file[i], name);
        *file = set->file[i];
    }
    return tensor;
}

/* --- comparing --- */

enum { NAMED = 4 }; /* so many of each kind are named in a message */
typedef struct difference {
    const char *kind;
    dt_text names;
    int count;
} difference;
typedef struct comparison {
    const dt_weights_options *options;
    difference missing, shape, unknown;
    bool in_head; /* some difference is one that new_head would allow */
} comparison;

static void note(difference *kind, const char *name, const char *more)
{
    if (kind->count < NAMED) dt_text_add(&kind->names, "%s%s%s", kind->count ? ", " : "", name, more);
    kind->count++;
}

static bool is_head(const dt_weights_options *options, const char *name)
{
    const char *prefix = options->head_prefix;
    return prefix && !strncmp(name, prefix, strlen(prefix));
}

static bool fits(const dt_param *param, const dt_safetensor *tensor)
{
    return tensor && dt_shape_equal(&tensor->shape, &param->published_shape);
}

static void compare_param(comparison *c, const dt_param *param, const dt_safetensor *tensor)
{
    if (fits(param, tensor)) return;
    if (is_head(c->options, param->name)) {
        c->in_head = true;
        if (c->options->new_head) return;
    }
    if (!tensor) {
        note(&c->missing, param->name, "");
        return;
    }
    char there[96], here[96], both[256];
    snprintf(both, sizeof both, " (%s in the file, %s here)", dt_shape_text(&tensor->shape, there),
             dt_shape_text(&param->published_shape, here));
    note(&c->shape, param->name, both);
}

static bool is_unread(const dt_weights_options *options, const char *name)
{
    size_t length = strlen(name);
    for (const char *const *end = options->unread; end && *end; end++) {
        size_t tail = strlen(*end);
        if (length >= tail && !strcmp(name + length - tail, *end)) return true;
    }
    return false;
}

static bool is_twin(const dt_weights_options *options, const char *name)
{
    return options->twins && !strcmp(options->twins[0], name);
}

static void compare_unknown(comparison *c, const dt_store *store, const dt_safetensors *file)
{
    for (int i = 0; i < dt_safetensors_count(file); i++) {
        const char *name = dt_safetensors_at(file, i)->name;
        if (dt_store_find(store, name) || (c->options->new_head && is_head(c->options, name))) continue;
        if (is_unread(c->options, name) || is_twin(c->options, name)) continue;
        note(&c->unknown, name, "");
    }
}

static void add_difference(dt_text *out, const difference *kind)
{
    if (!kind->count) return;
    dt_text_add(out, "; %s: %s", kind->kind, kind->names.data ? kind->names.data : "");
    if (kind->count > NAMED) dt_text_add(out, " and %d more", kind->count - NAMED);
}

static dt_status comparison_status(const dt_weight_set *set, const comparison *c)
{
    if (!c->missing.count && !c->shape.count && !c->unknown.count) return DT_OK;
    dt_text text = {0};
    add_difference(&text, &c->missing);
    add_difference(&text, &c->shape);
    add_difference(&text, &c->unknown);
    if (c->in_head && !c->options->new_head) dt_text_add(&text, " (init.new_head=true starts with a new head)");
    dt_status status = dt_text_status(&text);
    if (!status) status = dt_fail(DT_ERR_DATA, "'%s' does not fit this model%s", set->path, text.data);
    dt_text_free(&text);
    return status;
}

static dt_status same_values(const dt_safetensors *const files[2], const dt_safetensor *const tensors[2],
                             dt_dtype type, bool *same)
{
    size_t bytes = (size_t)dt_shape_count(&tensors[0]->shape) * dt_dtype_size(type);
    char *values[2] = {malloc(bytes), malloc(bytes)};
    dt_status status = values[0] && values[1] ? DT_OK : dt_fail_memory(bytes, tensors[0]->name);
    for (int i = 0; i < 2 && !status; i++) status = dt_safetensors_read(files[i], tensors[i], type, values[i]);
    *same = !status && !memcmp(values[0], values[1], bytes);
    free(values[0]);
    free(values[1]);
    return status;
}

/* A head of its own would be lost where the model takes the embedding for it. */
static dt_status check_twins(const dt_weight_set *set, const dt_store *store, const dt_weights_options *options)
{
    const dt_safetensors *files[2];
    const dt_safetensor *tensors[2];
    if (!options->twins || dt_store_find(store, options->twins[0])) return DT_OK;
    for (int i = 0; i < 2; i++) tensors[i] = find(set, options->twins[i], &files[i]);
    if (!tensors[0] || !tensors[1]) return DT_OK;
    bool same = dt_shape_equal(&tensors[0]->shape, &tensors[1]->shape);
    if (same) DT_TRY(same_values(files, tensors, dt_store_type(store), &same));
    if (same) return DT_OK;
    return dt_fail(DT_ERR_DATA, "'%s': %s is not %s, which a tied model has for it: model.tied=false reads both",
                   set->path, options->twins[0], options->twins[1]);
}

static dt_status compare(const dt_weight_set *set, const dt_store *store, const dt_weights_options *options)
{
    const dt_safetensors *file;
    comparison c = {.options = options, .missing.kind = "missing in the file", .shape.kind = "of another shape",
                    .unknown.kind = "not in the model"};
    for (int i = 0; i < dt_store_params(store); i++) {
        const dt_param *param = dt_store_param(store, i);
        compare_param(&c, param, find(set, param->name, &file));
    }
    for (int i = 0; i < set->count; i++) compare_unknown(&c, store, set->file[i]);
    dt_status status = comparison_status(set, &c);
    dt_text_free(&c.missing.names);
    dt_text_free(&c.shape.names);
    dt_text_free(&c.unknown.names);
    return status;
}

/* --- filling --- */

static dt_status fill_param(const dt_weight_set *set, dt_store *store, const dt_param *param, dt_buffer to, void *host,
                            dt_log *log)
{
    const dt_safetensors *file;
    const dt_safetensor *tensor = find(set, param->name, &file);
    if (!fits(param, tensor)) {
        dt_log_info(log, "%s keeps its initial values: it is a new head", param->name);
        return DT_OK;
    }
    int64_t first, count;
    dt_store_writes(store, param, to, &first, &count);
    DT_TRY(dt_safetensors_read_some(file, tensor, first, count, dt_store_type(store), host));
    return dt_store_write(store, param, to, dt_store_type(store), host);
}

dt_status dt_weight_set_fill(const dt_weight_set *set, dt_store *store, dt_buffer to,
                             const dt_weights_options *options, dt_log *log)
{
    DT_TRY(compare(set, store, options));
    DT_TRY(check_twins(set, store, options));
    int64_t room = 1;
    for (int i = 0; i < dt_store_params(store); i++)
        if (dt_store_param(store, i)->count > room) room = dt_store_param(store, i)->count;
    size_t bytes = (size_t)room * dt_dtype_size(dt_store_type(store));
    void *host = malloc(bytes);
    dt_status status = host ? DT_OK : dt_fail_memory(bytes, set->path);
    for (int i = 0; i < dt_store_params(store) && !status; i++)
        status = fill_param(set, store, dt_store_param(store, i), to, host, log);
    free(host);
    return status;
}
