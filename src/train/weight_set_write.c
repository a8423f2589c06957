/* Writing a set of weights: one file, or parts behind an index. */
#include <stdlib.h>
#include <string.h>

#include "train/checkpoint_manifest.h"
#include "train/weight_set.h"

/* --- splitting --- */

static int64_t param_bytes(const dt_store *store, int index)
{
    return dt_store_param(store, index)->count * (int64_t)dt_dtype_size(dt_store_type(store));
}

/* The parameters from `first` on that fit into one file; at least one. */
static dt_weight_part part_from(const dt_store *store, int first, int64_t file_bytes)
{
    dt_weight_part part = {.first = first};
    for (int i = first; i < dt_store_params(store); i++) {
        int64_t bytes = part.bytes + param_bytes(store, i);
        if (file_bytes > 0 && bytes > file_bytes && i > first) break;
        part.bytes = bytes;
        part.count++;
    }
    return part;
}

dt_status dt_weight_set_split(const dt_store *store, const char *stem, int64_t file_bytes, dt_weight_part **out,
                              int *count)
{
    int params = dt_store_params(store), parts = 0;
    dt_weight_part *part = calloc((size_t)params + 1, sizeof *part);
    if (!part) return dt_fail_memory(((size_t)params + 1) * sizeof *part, "splitting weights");
    for (int first = 0; first < params; first += part[parts++].count) part[parts] = part_from(store, first, file_bytes);
    if (!parts) parts = 1; /* a file without tensors */
    if (parts == 1) snprintf(part->file, sizeof part->file, "%s.safetensors", stem);
    for (int k = 0; k < parts && parts > 1; k++)
        snprintf(part[k].file, sizeof part[k].file, "%s-%05d-of-%05d.safetensors", stem, k + 1, parts);
    *out = part;
    *count = parts;
    return DT_OK;
}

/* --- writing --- */

static dt_status write_items(dt_outfile *file, const dt_weight_part *part, const dt_snapshot *from, dt_buffer buffer,
                             const char *const *metadata)
{
    const dt_store *store = dt_snapshot_store(from);
    size_t bytes = ((size_t)part->count + 1) * sizeof(dt_safetensors_item);
    dt_safetensors_item *items = malloc(bytes);
    if (!items) return dt_fail_memory(bytes, "writing weights");
    for (int i = 0; i < part->count; i++) {
        const dt_param *param = dt_store_param(store, part->first + i);
        items[i] = (dt_safetensors_item){param->name, dt_store_type(store), param->published_shape,
                                         dt_snapshot_param(from, param, buffer)};
    }
    dt_status status = dt_safetensors_write(file, items, part->count, metadata);
    free(items);
    return status;
}

static dt_status write_part(const char *path, const dt_weight_part *part, const dt_snapshot *from, dt_buffer buffer,
                            const char *const *metadata, dt_file_sum *sum)
{
    dt_outfile *file;
    DT_TRY(dt_outfile_create(path, false, &file));
    dt_status status = write_items(file, part, from, buffer, metadata);
    if (!status) return dt_outfile_finish(file, sum);
    dt_outfile_abort(file);
    return status;
}

dt_status dt_weight_file_write(const char *path, const dt_snapshot *from, dt_buffer buffer,
                               const char *const *metadata)
{
    dt_weight_part all = part_from(dt_snapshot_store(from), 0, 0);
    return write_part(path, &all, from, buffer, metadata, NULL);
}

dt_status dt_weight_part_write(const char *folder, const dt_weight_part *part, const dt_snapshot *from,
                               dt_buffer buffer, json_t *files)
{
    static const char *const metadata[] = {"format", "pt", NULL}; /* readers in Python ask for it */
    char *path;
    dt_file_sum sum;
    DT_TRY(dt_path_join(folder, part->file, &path));
    dt_status status = write_part(path, part, from, buffer, metadata, &sum);
    free(path);
    return status ? status : dt_manifest_add(files, part->file, &sum);
}

/* --- the index --- */

void dt_weight_index_name(const char *stem, char out[static 64])
{
    snprintf(out, 64, "%s.safetensors.index.json", stem);
}

static dt_status map_part(json_t *map, const dt_weight_part *part, const dt_store *store)
{
    for (int i = 0; i < part->count; i++)
        if (json_object_set_new(map, dt_store_param(store, part->first + i)->name, json_string(part->file)))
            return dt_fail_memory(strlen(part->file), "the index of the weights");
    return DT_OK;
}

/* {"metadata": {"total_size": bytes}, "weight_map": {tensor: file}} */
static dt_status index_text(const dt_weight_part *part, int parts, const dt_store *store, dt_text *out)
{
    int64_t bytes = 0;
    dt_status status = DT_OK;
    json_t *map = json_object();
    for (int k = 0; k < parts && !status; k++) {
        status = map_part(map, &part[k], store);
        bytes += part[k].bytes;
    }
    json_t *index = json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)bytes, "weight_map", map);
    if (!status) status = dt_json_print(index, JSON_INDENT(2), out);
    json_decref(index);
    return status;
}

dt_status dt_weight_index_write(const char *folder, const char *name, const dt_weight_part *part, int parts,
                                const dt_store *store, json_t *files)
{
    char *path = NULL;
    dt_text text = {0};
    dt_file_sum sum;
    dt_status status = index_text(part, parts, store, &text);
    if (!status) status = dt_path_join(folder, name, &path);
    if (!status) status = dt_outfile_write(path, text.data, text.length, &sum);
    if (!status) status = dt_manifest_add(files, name, &sum);
    free(path);
    dt_text_free(&text);
    return status;
}

static dt_status write_all(const char *folder, const char *stem, const dt_weight_part *part, int parts,
                           const dt_snapshot *from, dt_buffer buffer)
{
    char index[64];
    json_t *files = json_object();
    dt_status status = files ? DT_OK : dt_fail_memory(sizeof *files, folder);
    for (int k = 0; k < parts && !status; k++) status = dt_weight_part_write(folder, &part[k], from, buffer, files);
    dt_weight_index_name(stem, index);
    if (!status && parts > 1)
        status = dt_weight_index_write(folder, index, part, parts, dt_snapshot_store(from), files);
    json_decref(files);
    return status;
}

dt_status dt_weight_set_write(const char *folder, const char *stem, const dt_snapshot *from, dt_buffer buffer,
                              int64_t file_bytes)
{
    int parts;
    dt_weight_part *part;
    DT_TRY(dt_weight_set_split(dt_snapshot_store(from), stem, file_bytes, &part, &parts));
    dt_status status = write_all(folder, stem, part, parts, from, buffer);
    free(part);
    return status;
}
