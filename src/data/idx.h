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

/* Reads a file that must have `dims` dimensions (1 .. 3), none of them 0, and exactly the bytes that they claim. */
DT_MUST_USE dt_status dt_idx_read(const char *path, int dims, dt_idx *out);

#endif
