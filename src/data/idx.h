/* The IDX format of the MNIST family: a magic number 00 00 08 D (unsigned bytes, D dimensions), D big-endian 32-bit
 * sizes, then the bytes; plain or gzip. Source: http://yann.lecun.com/exdb/mnist/, "THE IDX FILE FORMAT". */
#ifndef DT_DATA_IDX_H
#define DT_DATA_IDX_H

#include <stdint.h>

#include "base/status.h"

enum { DT_IDX_DIMS = 3 };

typedef struct dt_idx {
    int64_t size[DT_IDX_DIMS]; /* sizes not present are 1 */
    uint8_t *bytes;            /* free with free() */
} dt_idx;

/* Reads a file that must have `dims` dimensions (1 .. 3), none of them 0 or above `most` [dims] (whose product is no
 * more than 2^62), and exactly the bytes that they claim. Sizes are refused before the bytes are read: a small gzip
 * file can hold very many. */
DT_MUST_USE dt_status dt_idx_read(const char *path, int dims, const int64_t *most, dt_idx *out);

#endif
