/* The IDX reader. */
#include "data/idx.h"

#include <inttypes.h>
#include <stdlib.h>

#include "data/unpack.h"

enum { UNSIGNED_BYTES = 0x08 };

static uint32_t big_endian(const uint8_t *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static dt_status read_magic(dt_unpack *file, const char *path, int dims)
{
    uint8_t bytes[4];
    DT_TRY(dt_unpack_read(file, bytes, sizeof bytes));
    uint32_t magic = big_endian(bytes), wanted = UNSIGNED_BYTES << 8 | (uint32_t)dims;
    if (magic == wanted) return DT_OK;
    return dt_fail(DT_ERR_DATA, "'%s' is not an IDX file of bytes in %d dimensions: its magic number is %#010" PRIx32
                   ", not %#010" PRIx32, path, dims, magic, wanted);
}

/* *total: the product of the sizes. */
static dt_status read_sizes(dt_unpack *file, const char *path, int dims, const int64_t *most, int64_t *size,
                            int64_t *total)
{
    *total = 1;
    for (int d = 0; d < DT_IDX_DIMS; d++) {
        uint8_t bytes[4] = {0, 0, 0, 1};
        if (d < dims) DT_TRY(dt_unpack_read(file, bytes, sizeof bytes));
        size[d] = big_endian(bytes);
        if (!size[d]) return dt_fail(DT_ERR_DATA, "'%s' is empty: dimension %d of its header is 0", path, d);
        if (d < dims && size[d] > most[d])
            return dt_fail(DT_ERR_DATA, "'%s' cannot be true: dimension %d of its header is %lld, more than %lld", path,
                           d, (long long)size[d], (long long)most[d]);
        *total *= size[d];
    }
    return DT_OK;
}

dt_status dt_idx_read(const char *path, int dims, const int64_t *most, dt_idx *out)
{
    dt_unpack *file;
    dt_status status;
    int64_t total;
    *out = (dt_idx){.bytes = NULL};
    DT_TRY(dt_unpack_open(path, &file));
    DT_TRY_GOTO(read_magic(file, path, dims), done);
    DT_TRY_GOTO(read_sizes(file, path, dims, most, out->size, &total), done);
    DT_TRY_GOTO(dt_unpack_read_new(file, total, &out->bytes), done);
    DT_TRY_GOTO(dt_unpack_end(file), done);
done:
    dt_unpack_close(file);
    if (status) {
        free(out->bytes);
        out->bytes = NULL;
    }
    return status;
}
