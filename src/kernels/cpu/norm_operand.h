/* What a norm is taken of, for one element type; follows real.h in a template. */

/* `n` elements from `at` on: those of x or, where there is a residual, their sums with it, which are put into `sum`. */
static inline const DT_REAL *DT_FN(norm_operand)(int64_t at, int64_t n, const void *x, const void *residual, void *sum)
{
    const DT_REAL *a = (const DT_REAL *)x + at;
    if (!residual) return a;
    const DT_REAL *b = (const DT_REAL *)residual + at;
    DT_REAL *to = (DT_REAL *)sum + at;
    for (int64_t j = 0; j < n; j++) to[j] = a[j] + b[j];
    return to;
}
