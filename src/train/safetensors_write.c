/* Writing safetensors. */
#include "base/json.h"
#include "train/safetensors.h"

static const char *const type_names[DT_DTYPES] = {
    [DT_F32] = "F32",         [DT_F64] = "F64", [DT_BF16] = "BF16", [DT_F8E4M3] = "F8_E4M3",
    [DT_F8E5M2] = "F8_E5M2",  [DT_U8] = "U8",   [DT_I32] = "I32",   [DT_I64] = "I64",
};

static int64_t item_bytes(const dt_safetensors_item *item)
{
    return dt_shape_count(&item->shape) * (int64_t)dt_dtype_size(item->dtype);
}

static json_t *metadata_json(const char *const *metadata)
{
    json_t *object = json_object();
    for (; metadata && metadata[0]; metadata += 2)
        if (json_object_set_new(object, metadata[0], json_string(metadata[1]))) goto failed;
    return object;
failed:
    json_decref(object);
    return NULL;
}

static json_t *shape_json(const dt_shape *shape)
{
    json_t *dims = json_array();
    for (int i = 0; i < shape->rank; i++)
        if (json_array_append_new(dims, json_integer(shape->dim[i]))) goto failed;
    return dims;
failed:
    json_decref(dims);
    return NULL;
}

static json_t *item_json(const dt_safetensors_item *item, int64_t begin)
{
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", type_names[item->dtype], "shape", shape_json(&item->shape),
                     "data_offsets", (json_int_t)begin, (json_int_t)(begin + item_bytes(item)));
}

/* Out of memory is also the answer to a name that is not UTF-8. */
static dt_status header_text(const dt_safetensors_item *items, int count, const char *const *metadata, dt_text *out)
{
    int64_t begin = 0;
    json_t *header = json_object();
    bool failed = metadata && json_object_set_new(header, "__metadata__", metadata_json(metadata));
    for (int i = 0; i < count && !failed; i++) {
        failed = json_object_set_new(header, items[i].name, item_json(&items[i], begin));
        begin += item_bytes(&items[i]);
    }
    dt_status status = failed ? dt_fail_memory((unsigned long long)count * sizeof *items, "the header of tensors")
                              : dt_json_print(header, JSON_COMPACT, out);
    json_decref(header);
    return status;
}

/* The length, the header, and spaces so that the data begins at a multiple of 8. */
static dt_status write_header(dt_outfile *file, const dt_text *text)
{
    uint64_t length = text->length, padded = (length + 7) / 8 * 8;
    unsigned char prefix[8];
    for (int i = 0; i < 8; i++) prefix[i] = (unsigned char)(padded >> 8 * i);
    DT_TRY(dt_outfile_add(file, prefix, sizeof prefix));
    DT_TRY(dt_outfile_add(file, text->data, length));
    return dt_outfile_add(file, "       ", padded - length);
}

dt_status dt_safetensors_write(dt_outfile *file, const dt_safetensors_item *items, int count,
                               const char *const *metadata)
{
    dt_text text = {0};
    dt_status status = header_text(items, count, metadata, &text);
    if (!status) status = write_header(file, &text);
    for (int i = 0; i < count && !status; i++)
        status = dt_outfile_add(file, items[i].data, (size_t)item_bytes(&items[i]));
    dt_text_free(&text);
    return status;
}
