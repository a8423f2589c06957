/* f(u) = u, f'(u) = 1. No include guard: see pointwise.h. */
DT_POINT_FN DT_REAL DT_FN(identity_value)(DT_REAL u) { return u; }
DT_POINT_FN DT_REAL DT_FN(identity_slope)(DT_REAL u, DT_REAL f) { return 1; }
