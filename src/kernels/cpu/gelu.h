/* The activations and their slopes for one element type; follows real.h in a template.
 * GELU (Hendrycks and Gimpel, 2016) is x Phi(x); its tanh form approximates Phi. */
static inline DT_REAL DT_FN(gelu)(DT_REAL x)
{
    return x * ((DT_REAL)0.5 + (DT_REAL)0.5 * DT_FN(erf)(x * (DT_REAL)0.70710678118654752440));
}

/* Phi(x) + x phi(x) */
static inline DT_REAL DT_FN(gelu_slope)(DT_REAL x)
{
    DT_REAL cumulative = (DT_REAL)0.5 + (DT_REAL)0.5 * DT_FN(erf)(x * (DT_REAL)0.70710678118654752440);
    DT_REAL bounded = x < -50 ? -50 : x > 50 ? 50 : x; /* infinity times exp(-infinity) is no number */
    DT_REAL density = (DT_REAL)0.39894228040143267794 * DT_FN(exp)(bounded * bounded * (DT_REAL)-0.5);
    return cumulative + bounded * density;
}

/* 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))) */
static inline DT_REAL DT_FN(gelu_tanh)(DT_REAL x)
{
    DT_REAL u = (DT_REAL)0.79788456080286535588 * (x + (DT_REAL)0.044715 * x * x * x);
    return (DT_REAL)0.5 * x * (1 + DT_FN(tanh)(u));
}

static inline DT_REAL DT_FN(gelu_tanh_slope)(DT_REAL x)
{
    DT_REAL bounded = x < -50 ? -50 : x > 50 ? 50 : x;
    DT_REAL s = bounded * bounded;
    DT_REAL t = DT_FN(tanh)((DT_REAL)0.79788456080286535588 * (bounded + (DT_REAL)0.044715 * bounded * s));
    DT_REAL inner = (DT_REAL)0.79788456080286535588 * (1 + 3 * (DT_REAL)0.044715 * s);
    return (DT_REAL)0.5 * (1 + t) + (DT_REAL)0.5 * bounded * (1 - t * t) * inner;
}

/* y = act(x); y may be x */
static inline void DT_FN(activate)(dt_activation act, int64_t n, const DT_REAL *x, DT_REAL *y)
{
    if (act == DT_ACT_GELU)
        for (int64_t i = 0; i < n; i++) y[i] = DT_FN(gelu)(x[i]);
    else
        for (int64_t i = 0; i < n; i++) y[i] = DT_FN(gelu_tanh)(x[i]);
}

/* dx = dy act'(x); dx may be dy */
static inline void DT_FN(activate_grad)(dt_activation act, int64_t n, const DT_REAL *x, const DT_REAL *dy, DT_REAL *dx)
{
    if (act == DT_ACT_GELU)
        for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * DT_FN(gelu_slope)(x[i]);
    else
        for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * DT_FN(gelu_tanh_slope)(x[i]);
}
