/* Moments per unit and state tensors. One list of items serves writing and reading, so that both agree. */
#include "train/checkpoint_state.h"

#include <stdlib.h>
#include <string.h>

#include "train/checkpoint_manifest.h"
#include "train/safetensors.h"

/* What one tensor of a state file is: a parameter's range of a moment buffer, or a state tensor. */
typedef struct source {
    const dt_param *param;
    dt_buffer buffer;
    const dt_state *state;
} source;

typedef struct state_file {
    const dt_store *store;
    char name[64];
    dt_arena *arena;
    dt_safetensors_item *items;
    source *sources;
    int count, room;
} state_file;

/* --- the lists --- */

static dt_status add_item(state_file *file, const char *name, dt_dtype type, const dt_shape *shape, source from)
{
    if (!name) return DT_ERR_MEMORY;
    file->items[file->count] = (dt_safetensors_item){name, type, *shape, NULL};
    file->sources[file->count] = from;
    file->count++;
    return DT_OK;
}

static dt_status add_moments(state_file *file, const dt_param *param)
{
    for (int buffer = DT_BUFFER_MOMENT1; buffer <= DT_BUFFER_MOMENT2; buffer++) {
        if (!dt_store_data(file->store, param->group, (dt_buffer)buffer)) continue;
        const char *name = dt_arena_format(file->arena, "%s.%s", param->name, dt_buffer_name((dt_buffer)buffer));
        DT_TRY(add_item(file, name, dt_store_type(file->store), &param->published_shape,
                        (source){.param = param, .buffer = (dt_buffer)buffer}));
    }
    return DT_OK;
}

/* The parameters outside any unit count as unit -1, whose file is number 0; the last is that of the states. */
int dt_state_files(const dt_store *store) { return dt_store_units(store) + 2; }

bool dt_state_file_holds(int number, const dt_param *param) { return param->unit + 1 == number; }

static dt_status list_unit(state_file *file, int number)
{
    snprintf(file->name, sizeof file->name, "state-%04d.safetensors", number);
    for (int i = 0; i < dt_store_params(file->store); i++) {
        const dt_param *param = dt_store_param(file->store, i);
        if (dt_state_file_holds(number, param)) DT_TRY(add_moments(file, param));
    }
    return DT_OK;
}

static dt_status list_states(state_file *file)
{
    snprintf(file->name, sizeof file->name, "state.safetensors");
    for (int i = 0; i < dt_store_states(file->store); i++) {
        const dt_state *state = dt_store_state(file->store, i);
        if (state->saved) DT_TRY(add_item(file, state->name, state->dtype, &state->shape, (source){.state = state}));
    }
    return DT_OK;
}

static void list_free(state_file *file)
{
    dt_arena_free(file->arena);
    free(file->items);
    free(file->sources);
}

static dt_status list_create(const dt_store *store, int number, state_file *file)
{
    *file = (state_file){.store = store, .room = 2 * dt_store_params(store) + dt_store_states(store) + 1};
    file->items = calloc((size_t)file->room, sizeof *file->items);
    file->sources = calloc((size_t)file->room, sizeof *file->sources);
    dt_status status = DT_OK;
    if (!file->items || !file->sources)
        status = dt_fail_memory((size_t)file->room * sizeof *file->items, "a checkpoint");
    if (!status) status = dt_arena_create(&file->arena);
    if (!status) status = number < dt_state_files(store) - 1 ? list_unit(file, number) : list_states(file);
    if (status) list_free(file);
    return status;
}

static int64_t item_bytes(const state_file *file, int index)
{
    const dt_safetensors_item *item = &file->items[index];
    return dt_shape_count(&item->shape) * (int64_t)dt_dtype_size(item->dtype);
}

/* --- writing --- */

static void point_to(const dt_snapshot *snapshot, state_file *file)
{
    for (int i = 0; i < file->count; i++) {
        const source *from = &file->sources[i];
        file->items[i].data = from->param ? dt_snapshot_param(snapshot, from->param, from->buffer)
                                          : dt_snapshot_state(snapshot, from->state);
    }
}

static dt_status write_to(const char *path, const state_file *file, bool compress, dt_file_sum *sum)
{
    dt_outfile *out;
    DT_TRY(dt_outfile_create(path, compress, &out));
    dt_status status = dt_safetensors_write(out, file->items, file->count, NULL);
    if (!status) return dt_outfile_finish(out, sum);
    dt_outfile_abort(out);
    return status;
}

static dt_status write_file(const char *folder, const state_file *file, bool compress, json_t *files)
{
    char *path;
    dt_file_sum sum;
    DT_TRY(dt_path_join(folder, file->name, &path));
    dt_status status = write_to(path, file, compress, &sum);
    free(path);
    return status ? status : dt_manifest_add(files, file->name, &sum);
}

static dt_status list_to_write(const dt_store *store, int number, bool compress, state_file *file)
{
    DT_TRY(list_create(store, number, file));
    if (compress) strcat(file->name, ".zst");
    return DT_OK;
}

dt_status dt_state_file_describe(const dt_store *store, int number, bool compress, char name[static 64],
                                 int64_t *bytes)
{
    state_file file;
    DT_TRY(list_to_write(store, number, compress, &file));
    strcpy(name, file.name);
    *bytes = 0;
    for (int i = 0; i < file.count; i++) *bytes += item_bytes(&file, i);
    list_free(&file);
    return DT_OK;
}

dt_status dt_state_file_write(const char *folder, const dt_snapshot *snapshot, int number, bool compress,
                              json_t *files)
{
    state_file file;
    DT_TRY(list_to_write(dt_snapshot_store(snapshot), number, compress, &file));
    point_to(snapshot, &file);
    dt_status status = write_file(folder, &file, compress, files);
    list_free(&file);
    return status;
}

/* --- reading --- */

/* What of an item this rank keeps. */
static void wanted(const state_file *file, int index, int64_t *first, int64_t *count)
{
    const source *to = &file->sources[index];
    *first = 0;
    *count = dt_shape_count(&file->items[index].shape);
    if (to->param) dt_store_writes(file->store, to->param, to->buffer, first, count);
}

static bool wants_any(const state_file *file)
{
    int64_t first, count = 0;
    for (int i = 0; i < file->count && !count; i++) wanted(file, i, &first, &count);
    return count > 0;
}

static dt_status write_item(const state_file *file, dt_store *store, int index, const void *host)
{
    const source *to = &file->sources[index];
    if (to->param) return dt_store_write(store, to->param, to->buffer, dt_store_type(store), host);
    dt_device *device = dt_store_device(store);
    DT_TRY(dt_device_upload(device, DT_STREAM_COMPUTE, to->state->data, host, (size_t)item_bytes(file, index)));
    return dt_device_sync(device, DT_STREAM_COMPUTE);
}

static dt_status fill_item(const dt_safetensors *tensors, const state_file *file, dt_store *store, int index,
                           void *host)
{
    const dt_safetensors_item *item = &file->items[index];
    const dt_safetensor *tensor = dt_safetensors_find(tensors, item->name);
    const char *path = dt_safetensors_path(tensors);
    if (!tensor) return dt_fail(DT_ERR_DATA, "'%s' has no '%s', which this run needs", path, item->name);
    char there[96], here[96];
    if (!dt_shape_equal(&tensor->shape, &item->shape))
        return dt_fail(DT_ERR_DATA, "'%s': '%s' is %s, this run needs %s", path, item->name,
                       dt_shape_text(&tensor->shape, there), dt_shape_text(&item->shape, here));
    int64_t first, count;
    wanted(file, index, &first, &count);
    DT_TRY(dt_safetensors_read_some(tensors, tensor, first, count, item->dtype, host));
    return write_item(file, store, index, host);
}

static dt_status check_known(const dt_safetensors *tensors, const state_file *file)
{
    for (int i = 0; i < dt_safetensors_count(tensors); i++) {
        const char *name = dt_safetensors_at(tensors, i)->name;
        int k = 0;
        while (k < file->count && strcmp(file->items[k].name, name) != 0) k++;
        if (k == file->count)
            return dt_fail(DT_ERR_DATA, "'%s' has '%s', which this run has no use for", dt_safetensors_path(tensors),
                           name);
    }
    return DT_OK;
}

static dt_status fill(const dt_safetensors *tensors, const state_file *file, dt_store *store)
{
    int64_t room = 1;
    DT_TRY(check_known(tensors, file));
    for (int i = 0; i < file->count; i++)
        if (item_bytes(file, i) > room) room = item_bytes(file, i);
    void *host = malloc((size_t)room);
    dt_status status = host ? DT_OK : dt_fail_memory((size_t)room, "reading a checkpoint");
    for (int i = 0; i < file->count && !status; i++) status = fill_item(tensors, file, store, i, host);
    free(host);
    return status;
}

static dt_status read_plain(const char *path, const state_file *file, dt_store *store)
{
    dt_safetensors *tensors;
    DT_TRY(dt_safetensors_open(path, &tensors));
    dt_status status = fill(tensors, file, store);
    dt_safetensors_close(tensors);
    return status;
}

static dt_status read_compressed(const char *path, const state_file *file, dt_store *store)
{
    enum { HEADER_BYTES_PER_ITEM = 1024 }; /* a generous bound: a name, a type, a shape */
    char *bytes;
    size_t size, limit = 4096;
    dt_safetensors *tensors;
    for (int i = 0; i < file->count; i++) limit += (size_t)item_bytes(file, i) + HEADER_BYTES_PER_ITEM;
    DT_TRY(dt_zstd_read(path, limit, &bytes, &size));
    dt_status status = dt_safetensors_open_bytes(bytes, size, path, &tensors);
    if (!status) {
        status = fill(tensors, file, store);
        dt_safetensors_close(tensors);
    }
    free(bytes);
    return status;
}

/* A file is there, compressed or not, exactly when this run needs it. One that is compressed is read as a whole, by the
 * ranks that keep some of it. */
static dt_status read_file(const char *folder, const json_t *manifest, state_file *file, dt_store *store)
{
    char *path;
    bool plain = dt_manifest_lists(manifest, file->name);
    if (!plain) strcat(file->name, ".zst");
    bool listed = plain || dt_manifest_lists(manifest, file->name);
    if (!listed && !file->count) return DT_OK;
    if (!listed)
        return dt_fail(DT_ERR_DATA, "'%s' has no state for '%s', which this run needs; init.from starts a new run with "
                       "its weights", folder, file->items[0].name);
    if (!plain && file->count && !wants_any(file)) return DT_OK;
    DT_TRY(dt_path_join(folder, file->name, &path));
    dt_status status = plain ? read_plain(path, file, store) : read_compressed(path, file, store);
    free(path);
    return status;
}

dt_status dt_state_files_read(const char *folder, const json_t *manifest, dt_store *store)
{
    for (int number = 0; number < dt_state_files(store); number++) {
        state_file file;
        DT_TRY(list_create(store, number, &file));
        dt_status status = read_file(folder, manifest, &file, store);
        list_free(&file);
        if (status) return status;
    }
    return DT_OK;
}
