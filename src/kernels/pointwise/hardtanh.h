/* f(u) = u clipped to [-1, 1]; f'(u) is 1 inside and 0 outside and at the kinks. No include guard: see pointwise.h.
 * The comparisons are false for a NaN, which therefore passes through. */
DT_POINT_FN DT_REAL DT_FN(hardtanh_value)(DT_REAL u) { return u < -1 ? -1 : u > 1 ? 1 : u; }
DT_POINT_FN DT_REAL DT_FN(hardtanh_slope)(DT_REAL u, DT_REAL f) { return f <= -1 || f >= 1 ? 0 : 1 + 0 * f; }
