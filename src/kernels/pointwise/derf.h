/* Derf: f(u) = erf(u), f'(u) = 2/sqrt(pi) exp(-u²). No include guard: see pointwise.h. */
DT_POINT_FN DT_REAL DT_FN(derf_value)(DT_REAL u) { return DT_ERF(u); }
DT_POINT_FN DT_REAL DT_FN(derf_slope)(DT_REAL u, DT_REAL f)
{
    return (DT_REAL)1.12837916709551257390 * DT_EXP(-u * u);
}
