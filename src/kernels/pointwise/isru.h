/* f(u) = u / sqrt(1 + u²), f'(u) = (1 + u²)^(-3/2). No include guard: see pointwise.h.
 * Beyond 1e9 f is ±1 and f' vanishes in either type; the clip keeps u² finite. */
DT_POINT_FN DT_REAL DT_FN(isru_value)(DT_REAL u)
{
    DT_REAL bounded = u < (DT_REAL)-1e9 ? (DT_REAL)-1e9 : u > (DT_REAL)1e9 ? (DT_REAL)1e9 : u;
    return bounded / DT_SQRT(1 + bounded * bounded);
}
DT_POINT_FN DT_REAL DT_FN(isru_slope)(DT_REAL u, DT_REAL f)
{
    DT_REAL root = 1 / DT_SQRT(1 + u * u);
    return root * root * root;
}
