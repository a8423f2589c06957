/* The functions of all kinds for one element type. No include guard: whoever includes it, once per type, has defined
 *   DT_REAL      the element type
 *   DT_FN(name)  the name of a function for that type
 *   DT_POINT_FN  what stands before a function: static inline, or static __device__ inline
 *   DT_TANH, DT_EXP, DT_ERF, DT_SQRT
 * A kind `name` is a header name.h with name_value(u) = f(u) and name_slope(u, f) = f'(u), where f = f(u) is given
 * because most slopes are cheap in it. Both return NaN for NaN and have no branches, so that loops over them
 * vectorize. */
#include "kernels/pointwise/derf.h"
#include "kernels/pointwise/dyt.h"
#include "kernels/pointwise/hardtanh.h"
#include "kernels/pointwise/identity.h"
#include "kernels/pointwise/isru.h"
#include "kernels/pointwise/sigmoid.h"
