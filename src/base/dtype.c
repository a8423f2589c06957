/* The table of element types. */
#include "base/dtype.h"

#include <assert.h>

static const struct {
    const char *name;
    size_t size;
    bool is_float;
} dtypes[DT_DTYPES] = {
    [DT_F32] = {"f32", 4, true},        [DT_F64] = {"f64", 8, true},        [DT_BF16] = {"bf16", 2, true},
    [DT_F8E4M3] = {"f8e4m3", 1, true},  [DT_F8E5M2] = {"f8e5m2", 1, true},  [DT_U8] = {"u8", 1, false},
    [DT_I32] = {"i32", 4, false},       [DT_I64] = {"i64", 8, false},
};

size_t dt_dtype_size(dt_dtype dtype)
{
    assert(dtype < DT_DTYPES);
    return dtypes[dtype].size;
}

const char *dt_dtype_name(dt_dtype dtype)
{
    assert(dtype < DT_DTYPES);
    return dtypes[dtype].name;
}

bool dt_dtype_is_float(dt_dtype dtype)
{
    assert(dtype < DT_DTYPES);
    return dtypes[dtype].is_float;
}

dt_dtype dt_dtype_wide(dt_dtype dtype)
{
    return dt_dtype_is_float(dtype) && dt_dtype_size(dtype) < dt_dtype_size(DT_F32) ? DT_F32 : dtype;
}
