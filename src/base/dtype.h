/* Element types of tensors and of files. */
#ifndef DT_BASE_DTYPE_H
#define DT_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum dt_dtype {
    DT_F32,
    DT_F64,
    DT_BF16,
    DT_F8E4M3,
    DT_F8E5M2,
    DT_U8,
    DT_I32,
    DT_I64,
    DT_DTYPES
} dt_dtype;

size_t dt_dtype_size(dt_dtype);      /* bytes of one element */
const char *dt_dtype_name(dt_dtype); /* "f32", "bf16", ... */
bool dt_dtype_is_float(dt_dtype);
/* The type of arithmetic on it, of statistics and of parameters' gradients: float32 for the narrower floats. */
dt_dtype dt_dtype_wide(dt_dtype);

#endif
