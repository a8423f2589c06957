/* DyT: f(u) = tanh(u), f'(u) = 1 - f(u)². No include guard: see pointwise.h. */
DT_POINT_FN DT_REAL DT_FN(dyt_value)(DT_REAL u) { return DT_TANH(u); }
DT_POINT_FN DT_REAL DT_FN(dyt_slope)(DT_REAL u, DT_REAL f) { return 1 - f * f; }
