/* Includes the template DT_TEMPLATE once for float and once for double, each with the helpers of real.h. A family of
 * kernels is one file that includes itself this way: its first half is the template, its second the functions of the
 * table, which choose by dt_dtype. */
#include <math.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels/cpu/set.h"
#include "kernels/cpu/split.h"

#define DT_REAL float
#define DT_REAL_IS_FLOAT 1
#define DT_FN(name) name##_f32
#include "kernels/cpu/real.h"
#include DT_TEMPLATE
#undef DT_REAL
#undef DT_REAL_IS_FLOAT
#undef DT_FN

#define DT_REAL double
#define DT_REAL_IS_FLOAT 0
#define DT_FN(name) name##_f64
#include "kernels/cpu/real.h"
#include DT_TEMPLATE
#undef DT_REAL
#undef DT_REAL_IS_FLOAT
#undef DT_FN
