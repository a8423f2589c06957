/* The safetensors format: a little-endian u64 with the length of a JSON header, the header (name to type, shape and
 * offsets of each tensor), then the tensors' bytes without holes.
 * Source: https://github.com/huggingface/safetensors, "Format" in its README. */
#ifndef DT_TRAIN_SAFETENSORS_H
#define DT_TRAIN_SAFETENSORS_H

#include "graph/graph.h"
#include "train/checkpoint_file.h"

typedef struct dt_safetensor {
    const char *name;
    const char *type; /* as the format spells it: "F32", "BF16", ... */
    dt_shape shape;
    uint64_t offset; /* of its first byte, from the start of the file */
    uint64_t bytes;
} dt_safetensor;

typedef struct dt_safetensors dt_safetensors;

/* Opens a file, or bytes that stay the caller's and must outlive it (`path` then only names them in messages). The
 * whole header is checked before anything is returned: lengths against the size of the file, types, shapes, offsets
 * that cover the data once and without a hole. DT_ERR_DATA names the file and the fact. Nothing is allocated beyond a
 * constant multiple of the header's length. */
DT_MUST_USE dt_status dt_safetensors_open(const char *path, dt_safetensors **out);
DT_MUST_USE dt_status dt_safetensors_open_bytes(const void *bytes, size_t size, const char *path, dt_safetensors **out);
void dt_safetensors_close(dt_safetensors *); /* NULL is allowed */
const char *dt_safetensors_path(const dt_safetensors *);
int dt_safetensors_count(const dt_safetensors *);
const dt_safetensor *dt_safetensors_at(const dt_safetensors *, int index); /* sorted by name */
const dt_safetensor *dt_safetensors_find(const dt_safetensors *, const char *name); /* NULL when there is none */
/* All elements, converted to `dtype` where both are floats (F16, BF16, F32, F64 to DT_F32, DT_F64); any other pair of
 * types must be the same. */
DT_MUST_USE dt_status dt_safetensors_read(const dt_safetensors *, const dt_safetensor *, dt_dtype, void *host);
/* Elements first .. first + count - 1 alone, to the places of `host` that they have among all. */
DT_MUST_USE dt_status dt_safetensors_read_some(const dt_safetensors *, const dt_safetensor *, int64_t first,
                                               int64_t count, dt_dtype, void *host);

/* What is to be written. */
typedef struct dt_safetensors_item {
    const char *name; /* UTF-8, unique */
    dt_dtype dtype;
    dt_shape shape;
    const void *data; /* its elements, in host memory */
} dt_safetensors_item;

/* Writes header and data of `count` items. `metadata` are key-value pairs for the member __metadata__, ended by NULL;
 * NULL: none. */
DT_MUST_USE dt_status dt_safetensors_write(dt_outfile *, const dt_safetensors_item *, int count,
                                           const char *const *metadata);

#endif
