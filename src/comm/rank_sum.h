/* Sums of the same array of several ranks, in the order of ranks. */
#ifndef DT_COMM_RANK_SUM_H
#define DT_COMM_RANK_SUM_H

#include <stdint.h>

#include "base/dtype.h"

/* out[i] = terms[0][i] + terms[1][i] + ..., added from the left, each [count]; `out` may be one of the terms. In
 * the type itself: f32, f64, and i32 and i64, which wrap around; bf16 in float32, rounded once at the end. No other. */
void dt_rank_sum(dt_dtype, int term_count, const void *const *terms, int64_t count, void *out);

#endif
