/* Writing a set of weights: one file, or parts behind an index. */
#include <stdlib.h>
#include <string.h>

#include "train/checkpoint_manifest.h"
#include "train/weight_set.h"

/* Parameters first .. first + count - 1 of one buffer. */
typedef struct part {
    const dt_snapshot *from;
    const dt_store *store; /* of the snapshot */
    dt_buffer buffer;
    int first, count;
} part;

static dt_status write_items(dt_outfile *file, const part *p, const char *const *metadata)
{
    size_t bytes = ((size_t)p->count + 1) * sizeof(dt_safetensors_item);
    dt_safetensors_item *items = malloc(bytes);
    if (!items) return dt_fail_memory(bytes, "writing weights");
    for (int i = 0; i < p->count; i++) {
        const dt_param *param = dt_store_param(p->store, p->first + i);
        items[i] = (dt_safetensors_item){param->name, dt_store_type(p->store), param->published_shape,
                                         dt_snapshot_param(p->from, param, p->buffer)};
    }
    dt_status status = dt_safetensors_write(file, items, p->count, metadata);
    free(items);
    return status;
}

dt_status dt_weight_file_write(const char *path, const dt_snapshot *from, dt_buffer buffer, int first, int count,
                               const char *const *metadata, dt_file_sum *sum)
{
    dt_outfile *file;
    part p = {from, dt_snapshot_store(from), buffer, first, count};
    DT_TRY(dt_outfile_create(path, false, &file));
    dt_status status = write_items(file, &p, metadata);
    if (!status) return dt_outfile_finish(file, sum);
    dt_outfile_abort(file);
    return status;
}

static dt_status write_listed(const char *folder, const char *name, const part *p, json_t *files)
{
    static const char *const metadata[] = {"format", "pt", NULL}; /* readers in Python ask for it */
    char *path;
    dt_file_sum sum;
    DT_TRY(dt_path_join(folder, name, &path));
    dt_status status = dt_weight_file_write(path, p->from, p->buffer, p->first, p->count, metadata, &sum);
    free(path);
    return status ? status : dt_manifest_add(files, name, &sum);
}

/* How many parameters from `first` on fit into one file; at least one. */
static int part_count(const dt_store *store, int first, int64_t file_bytes)
{
    int64_t bytes = 0;
    int i = first;
    for (; i < dt_store_params(store); i++) {
        bytes += dt_store_param(store, i)->count * (int64_t)dt_dtype_size(dt_store_type(store));
        if (file_bytes > 0 && bytes > file_bytes && i > first) break;
    }
    return i - first;
}

/* {"metadata": {"total_size": bytes}, "weight_map": {tensor: file}} */
static dt_status write_index(const char *folder, const char *stem, json_t *map, int64_t bytes, json_t *files)
{
    char name[64], *path = NULL;
    dt_text text = {0};
    dt_file_sum sum;
    snprintf(name, sizeof name, "%s.safetensors.index.json", stem);
    json_t *index = json_pack("{s:{s:I}, s:O}", "metadata", "total_size", (json_int_t)bytes, "weight_map", map);
    dt_status status = dt_json_print(index, JSON_INDENT(2), &text);
    json_decref(index);
    if (!status) status = dt_path_join(folder, name, &path);
    if (!status) status = dt_outfile_write(path, text.data, text.length, &sum);
    if (!status) status = dt_manifest_add(files, name, &sum);
    free(path);
    dt_text_free(&text);
    return status;
}

static dt_status map_part(json_t *map, const part *p, const char *file, int64_t *bytes)
{
    for (int i = 0; i < p->count; i++) {
        const dt_param *param = dt_store_param(p->store, p->first + i);
        if (json_object_set_new(map, param->name, json_string(file)))
            return dt_fail_memory(strlen(file), "the index of the weights");
        *bytes += param->count * (int64_t)dt_dtype_size(dt_store_type(p->store));
    }
    return DT_OK;
}

static dt_status write_parts(const char *folder, const char *stem, part p, int parts, int64_t file_bytes, json_t *files)
{
    char name[64];
    int64_t bytes = 0;
    dt_status status = DT_OK;
    json_t *map = json_object();
    for (int k = 1; k <= parts && !status; k++, p.first += p.count) {
        p.count = part_count(p.store, p.first, file_bytes);
        snprintf(name, sizeof name, "%s-%05d-of-%05d.safetensors", stem, k, parts);
        status = write_listed(folder, name, &p, files);
        if (!status) status = map_part(map, &p, name, &bytes);
    }
    if (!status) status = write_index(folder, stem, map, bytes, files);
    json_decref(map);
    return status;
}

dt_status dt_weight_set_write(const char *folder, const char *stem, const dt_snapshot *from, dt_buffer buffer,
                              int64_t file_bytes, json_t *files)
{
    char name[64];
    int parts = 0;
    const dt_store *store = dt_snapshot_store(from);
    part all = {from, store, buffer, 0, dt_store_params(store)};
    for (int first = 0; first < all.count; first += part_count(store, first, file_bytes)) parts++;
    if (parts > 1) return write_parts(folder, stem, all, parts, file_bytes, files);
    snprintf(name, sizeof name, "%s.safetensors", stem);
    return write_listed(folder, name, &all, files);
}
