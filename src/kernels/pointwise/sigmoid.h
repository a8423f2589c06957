/* f(u) = 1 / (1 + exp(-u)), f'(u) = f (1 - f). No include guard: see pointwise.h. */
DT_POINT_FN DT_REAL DT_FN(sigmoid_value)(DT_REAL u) { return 1 / (1 + DT_EXP(-u)); }
DT_POINT_FN DT_REAL DT_FN(sigmoid_slope)(DT_REAL u, DT_REAL f) { return f * (1 - f); }
