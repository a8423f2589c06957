/* Reading safetensors: every fact of the header is checked before a tensor is handed out. Data is read with pread, so
 * a file that shrinks meanwhile is an error and not a signal. */
#include "train/safetensors.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"

enum { LENGTH_BYTES = 8, MAX_HEADER = 100000000 /* the format's own limit */ };

struct dt_safetensors {
    char *path;
    int fd;               /* -1: `bytes` hold it */
    const char *bytes;
    uint64_t size, data;  /* of the file; where the tensors begin */
    json_t *header;       /* owns the tensors' names */
    dt_safetensor *tensor;
    int count;
};

/* --- element types --- */

static double decode_f32(const void *p)
{
    float value;
    memcpy(&value, p, sizeof value);
    return value;
}

static double decode_f64(const void *p)
{
    double value;
    memcpy(&value, p, sizeof value);
    return value;
}

/* bfloat16 is the upper half of a float32 */
static double decode_bf16(const void *p)
{
    uint16_t half;
    memcpy(&half, p, sizeof half);
    uint32_t word = (uint32_t)half << 16;
    return decode_f32(&word);
}

/* IEEE binary16: 1 sign, 5 exponent (bias 15), 10 fraction bits */
static double decode_f16(const void *p)
{
    uint16_t half;
    memcpy(&half, p, sizeof half);
    int exponent = half >> 10 & 31, fraction = half & 1023;
    double size;
    if (exponent == 31) size = fraction ? NAN : INFINITY;
    else if (exponent == 0) size = ldexp(fraction, -24);
    else size = ldexp(fraction + 1024, exponent - 25);
    return half >> 15 ? -size : size;
}

typedef struct type_row {
    const char *name;
    uint64_t size;
    int native; /* the dt_dtype with the same bytes, or -1 */
    double (*decode)(const void *);
} type_row;

static const type_row types[] = {
    {"F32", 4, DT_F32, decode_f32}, {"F64", 8, DT_F64, decode_f64}, {"BF16", 2, DT_BF16, decode_bf16},
    {"F16", 2, -1, decode_f16},     {"F8_E4M3", 1, DT_F8E4M3, NULL}, {"F8_E5M2", 1, DT_F8E5M2, NULL},
    {"U8", 1, DT_U8, NULL},         {"I32", 4, DT_I32, NULL},       {"I64", 8, DT_I64, NULL},
    {"BOOL", 1, -1, NULL},          {"I8", 1, -1, NULL},            {"I16", 2, -1, NULL},
    {"U16", 2, -1, NULL},           {"U32", 4, -1, NULL},           {"U64", 8, -1, NULL},
};

static const type_row *find_type(const char *name)
{
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (!strcmp(types[i].name, name)) return &types[i];
    return NULL;
}

/* --- bytes --- */

static dt_status read_at(const dt_safetensors *file, uint64_t offset, void *out, size_t count)
{
    if (file->fd < 0) {
        memcpy(out, file->bytes + offset, count);
        return DT_OK;
    }
    char *to = out;
    while (count) {
        ssize_t got = pread(file->fd, to, count, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return dt_fail(DT_ERR_IO, "cannot read '%s': %s", file->path, strerror(errno));
        if (got == 0) return dt_fail(DT_ERR_DATA, "'%s' became shorter while it was read", file->path);
        to += got;
        offset += (uint64_t)got;
        count -= (size_t)got;
    }
    return DT_OK;
}

static uint64_t little_endian(const unsigned char bytes[LENGTH_BYTES])
{
    uint64_t value = 0;
    for (int i = LENGTH_BYTES - 1; i >= 0; i--) value = value << 8 | bytes[i];
    return value;
}

/* --- the header --- */

/* No header is so long that the eight bytes of its length read as text. */
static bool is_text(const unsigned char prefix[LENGTH_BYTES])
{
    for (int i = 0; i < LENGTH_BYTES; i++) {
        unsigned char c = prefix[i];
        if (c == 0x7f || (c < 0x20 && c != '\n' && c != '\r' && c != '\t')) return false;
    }
    return true;
}

static dt_status read_header(dt_safetensors *file)
{
    unsigned char prefix[LENGTH_BYTES];
    if (file->size < LENGTH_BYTES)
        return dt_fail(DT_ERR_DATA, "'%s' is not a safetensors file: it has %llu bytes, the header's length needs 8",
                       file->path, (unsigned long long)file->size);
    DT_TRY(read_at(file, 0, prefix, LENGTH_BYTES));
    if (is_text(prefix))
        return dt_fail(DT_ERR_DATA, "'%s' is not a safetensors file but a text%s", file->path,
                       prefix[0] == '{' ? ", JSON by its first character" : "");
    uint64_t length = little_endian(prefix);
    if (length > MAX_HEADER || length > file->size - LENGTH_BYTES)
        return dt_fail(DT_ERR_DATA, "'%s' is not a whole safetensors file: its header should have %llu bytes, "
                       "the file has %llu", file->path, (unsigned long long)length, (unsigned long long)file->size);
    file->data = LENGTH_BYTES + length;
    char *text = malloc(length + 1);
    if (!text) return dt_fail_memory(length + 1, file->path);
    dt_status status = read_at(file, LENGTH_BYTES, text, length);
    if (!status) status = dt_json_parse(text, length, file->path, &file->header);
    if (!status && (!json_is_object(file->header) || text[0] != '{'))
        status = dt_fail(DT_ERR_DATA, "'%s' is not a safetensors file: its header is not a JSON object", file->path);
    free(text);
    return status;
}

static dt_status check_metadata(const dt_safetensors *file, const json_t *metadata)
{
    const char *key;
    json_t *value;
    if (!json_is_object(metadata)) return dt_fail(DT_ERR_DATA, "'%s': __metadata__ is not an object", file->path);
    json_object_foreach((json_t *)metadata, key, value)
        if (!json_is_string(value))
            return dt_fail(DT_ERR_DATA, "'%s': '%s' of __metadata__ is not a text", file->path, key);
    return DT_OK;
}

/* Bytes that the type and the shape ask for; fills out->shape. */
static dt_status read_shape(const json_t *dims, const char *where, uint64_t *bytes, dt_shape *shape)
{
    if (json_array_size(dims) > DT_MAX_DIMS)
        return dt_fail(DT_ERR_DATA, "%s: has %zu dimensions, more than %d", where, json_array_size(dims), DT_MAX_DIMS);
    shape->rank = (int)json_array_size(dims);
    for (int i = 0; i < shape->rank; i++) {
        const json_t *dim = json_array_get(dims, (size_t)i);
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return dt_fail(DT_ERR_DATA, "%s: dimension %d is not a whole number of at least 0", where, i);
        shape->dim[i] = json_integer_value(dim);
        if (__builtin_mul_overflow(*bytes, (uint64_t)shape->dim[i], bytes) || *bytes > INT64_MAX)
            return dt_fail(DT_ERR_DATA, "%s: its shape is too large", where);
    }
    return DT_OK;
}

static dt_status read_offsets(const dt_safetensors *file, const json_t *pair, const char *where, dt_safetensor *out)
{
    const json_t *first = json_array_get(pair, 0), *end = json_array_get(pair, 1);
    if (json_array_size(pair) != 2 || !json_is_integer(first) || !json_is_integer(end))
        return dt_fail(DT_ERR_DATA, "%s: data_offsets is not a pair of whole numbers", where);
    int64_t from = json_integer_value(first), to = json_integer_value(end);
    if (from < 0 || to < from || (uint64_t)to > file->size - file->data)
        return dt_fail(DT_ERR_DATA, "%s: its data_offsets [%lld, %lld] lie outside the %llu bytes of data", where,
                       (long long)from, (long long)to, (unsigned long long)(file->size - file->data));
    out->offset = file->data + (uint64_t)from;
    out->bytes = (uint64_t)(to - from);
    return DT_OK;
}

static dt_status read_entry(const dt_safetensors *file, const char *name, const json_t *entry, dt_safetensor *out)
{
    char where[512];
    const char *type;
    json_t *dims, *offsets;
    snprintf(where, sizeof where, "'%.300s': tensor '%.150s'", file->path, name);
    DT_TRY(dt_json_text(entry, "dtype", where, &type));
    DT_TRY(dt_json_member(entry, "shape", JSON_ARRAY, where, &dims));
    DT_TRY(dt_json_member(entry, "data_offsets", JSON_ARRAY, where, &offsets));
    const type_row *row = find_type(type);
    if (!row) return dt_fail(DT_ERR_DATA, "%s: the type '%.40s' is not known", where, type);
    uint64_t bytes = row->size;
    DT_TRY(read_shape(dims, where, &bytes, &out->shape));
    DT_TRY(read_offsets(file, offsets, where, out));
    if (bytes != out->bytes)
        return dt_fail(DT_ERR_DATA, "%s: its type and shape need %llu bytes, its data_offsets give %llu", where,
                       (unsigned long long)bytes, (unsigned long long)out->bytes);
    out->name = name;
    out->type = row->name;
    return DT_OK;
}

static int by_offset(const void *a, const void *b)
{
    const dt_safetensor *x = a, *y = b;
    if (x->offset != y->offset) return x->offset < y->offset ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const dt_safetensor *)a)->name, ((const dt_safetensor *)b)->name);
}

/* Every byte of the data belongs to exactly one tensor. */
static dt_status check_cover(dt_safetensors *file)
{
    uint64_t end = file->data;
    qsort(file->tensor, (size_t)file->count, sizeof *file->tensor, by_offset);
    for (int i = 0; i < file->count; i++) {
        const dt_safetensor *t = &file->tensor[i];
        if (t->offset != end)
            return dt_fail(DT_ERR_DATA, "'%s': tensor '%s' %s", file->path, t->name,
                           t->offset < end ? "overlaps another one" : "begins behind a hole");
        end += t->bytes;
    }
    if (end != file->size)
        return dt_fail(DT_ERR_DATA, "'%s': %llu bytes at the end belong to no tensor", file->path,
                       (unsigned long long)(file->size - end));
    return DT_OK;
}

static dt_status read_entries(dt_safetensors *file)
{
    const char *name;
    json_t *entry;
    size_t room = json_object_size(file->header);
    file->tensor = calloc(room + 1, sizeof *file->tensor);
    if (!file->tensor) return dt_fail_memory((room + 1) * sizeof *file->tensor, file->path);
    json_object_foreach(file->header, name, entry) {
        if (!strcmp(name, "__metadata__")) DT_TRY(check_metadata(file, entry));
        else DT_TRY(read_entry(file, name, entry, &file->tensor[file->count++]));
    }
    DT_TRY(check_cover(file));
    qsort(file->tensor, (size_t)file->count, sizeof *file->tensor, by_name);
    return DT_OK;
}

/* --- the interface --- */

static dt_status create(const char *path, dt_safetensors **out)
{
    *out = calloc(1, sizeof **out);
    if (*out) (*out)->path = strdup(path);
    if (!*out || !(*out)->path) {
        free(*out);
        return dt_fail_memory(sizeof **out, path);
    }
    (*out)->fd = -1;
    return DT_OK;
}

/* Keeps `file` when its header is right. */
static dt_status finish_open(dt_safetensors *file, dt_safetensors **out)
{
    dt_status status = read_header(file);
    if (!status) status = read_entries(file);
    if (status) dt_safetensors_close(file);
    else *out = file;
    return status;
}

dt_status dt_safetensors_open(const char *path, dt_safetensors **out)
{
    int64_t size;
    dt_safetensors *file;
    DT_TRY(dt_file_size(path, &size));
    DT_TRY(create(path, &file));
    file->size = (uint64_t)size;
    file->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (file->fd >= 0) return finish_open(file, out);
    dt_status status = dt_fail(DT_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    dt_safetensors_close(file);
    return status;
}

dt_status dt_safetensors_open_bytes(const void *bytes, size_t size, const char *path, dt_safetensors **out)
{
    dt_safetensors *file;
    DT_TRY(create(path, &file));
    file->bytes = bytes;
    file->size = size;
    return finish_open(file, out);
}

void dt_safetensors_close(dt_safetensors *file)
{
    if (!file) return;
    if (file->fd >= 0) close(file->fd);
    json_decref(file->header);
    free(file->tensor);
    free(file->path);
    free(file);
}

const char *dt_safetensors_path(const dt_safetensors *file) { return file->path; }
int dt_safetensors_count(const dt_safetensors *file) { return file->count; }
const dt_safetensor *dt_safetensors_at(const dt_safetensors *file, int index) { return &file->tensor[index]; }

const dt_safetensor *dt_safetensors_find(const dt_safetensors *file, const char *name)
{
    dt_safetensor key = {.name = name};
    return bsearch(&key, file->tensor, (size_t)file->count, sizeof key, by_name);
}

static void convert(const type_row *type, const char *from, size_t count, dt_dtype dtype, void *to)
{
    for (size_t i = 0; i < count; i++) {
        double value = type->decode(from + i * type->size);
        if (dtype == DT_F32) ((float *)to)[i] = (float)value;
        else ((double *)to)[i] = value;
    }
}

/* `from` bytes into the file. */
static dt_status read_converted(const dt_safetensors *file, uint64_t from, uint64_t bytes, const type_row *type,
                                dt_dtype dtype, char *to)
{
    enum { BLOCK = 16384 };
    char block[BLOCK];
    for (uint64_t done = 0; done < bytes;) {
        uint64_t now = bytes - done < BLOCK ? bytes - done : BLOCK;
        DT_TRY(read_at(file, from + done, block, now));
        convert(type, block, now / type->size, dtype, to);
        to += now / type->size * dt_dtype_size(dtype);
        done += now;
    }
    return DT_OK;
}

dt_status dt_safetensors_read_some(const dt_safetensors *file, const dt_safetensor *tensor, int64_t first,
                                   int64_t count, dt_dtype dtype, void *host)
{
    const type_row *type = find_type(tensor->type);
    uint64_t from = tensor->offset + (uint64_t)first * type->size, bytes = (uint64_t)count * type->size;
    char *to = (char *)host + (size_t)first * dt_dtype_size(dtype);
    if (type->native == (int)dtype) return read_at(file, from, to, bytes);
    if (type->decode && (dtype == DT_F32 || dtype == DT_F64))
        return read_converted(file, from, bytes, type, dtype, to);
    return dt_fail(DT_ERR_DATA, "'%s': tensor '%s' is of type %s, which cannot be read as %s", file->path, tensor->name,
                   tensor->type, dt_dtype_name(dtype));
}

dt_status dt_safetensors_read(const dt_safetensors *file, const dt_safetensor *tensor, dt_dtype dtype, void *host)
{
    return dt_safetensors_read_some(file, tensor, 0, dt_shape_count(&tensor->shape), dtype, host);
}
