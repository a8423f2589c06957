/* What the kernels need of an element type: vectors, fused multiply-add, exp, tanh, erf, sums in fixed lanes. No
 * include guard: each_type.h includes it once per type.
 *
 * The elementary functions for float are branch-free, so that loops over them vectorize; tests/kernels holds them to
 * 4e-7 relative. Those for double are the C library's: float64 is the reference, not the fast path. */
#define DT_VEC DT_FN(dt_vec)
#define DT_LANES ((int64_t)(DT_VECTOR_BYTES / sizeof(DT_REAL)))

typedef DT_REAL DT_VEC __attribute__((vector_size(DT_VECTOR_BYTES)));

static inline DT_VEC DT_FN(load)(const DT_REAL *x)
{
    DT_VEC v;
    memcpy(&v, x, sizeof v);
    return v;
}

static inline void DT_FN(store)(DT_REAL *x, DT_VEC v) { memcpy(x, &v, sizeof v); }
static inline DT_VEC DT_FN(splat)(DT_REAL x) { return x - (DT_VEC){0}; } /* -0 - 0 is -0 */

#if DT_REAL_IS_FLOAT
#define DT_X86_FN(name) name##_ps
#else
#define DT_X86_FN(name) name##_pd
#endif

/* a b + c, rounded once where the processor can; -ffp-contract=off keeps the compiler from choosing. */
static inline DT_VEC DT_FN(fma_vec)(DT_VEC a, DT_VEC b, DT_VEC c)
{
#if defined(__AVX512F__)
    return DT_X86_FN(_mm512_fmadd)(a, b, c);
#elif defined(__FMA__)
    return DT_X86_FN(_mm256_fmadd)(a, b, c);
#else
    return a * b + c;
#endif
}
#undef DT_X86_FN

static inline DT_REAL DT_FN(fma)(DT_REAL a, DT_REAL b, DT_REAL c)
{
#if defined(__FMA__) || defined(__aarch64__)
    return DT_REAL_IS_FLOAT ? (DT_REAL)__builtin_fmaf((float)a, (float)b, (float)c) : (DT_REAL)__builtin_fma(a, b, c);
#else
    return a * b + c;
#endif
}

static inline DT_REAL DT_FN(sum_lanes)(DT_VEC v)
{
    DT_REAL lane[DT_LANES < 4 ? 4 : DT_LANES] = {0};
    memcpy(lane, &v, sizeof v);
#pragma GCC unroll 16
    for (int l = 4; l < (int)DT_LANES; l++) lane[l % 4] += lane[l];
    return (lane[0] + lane[1]) + (lane[2] + lane[3]);
}

/* Sums in the order of the lanes of four vectors. */
static inline DT_REAL DT_FN(sum)(int64_t n, const DT_REAL *x)
{
    DT_VEC part[4] = {{0}};
    int64_t i = 0;
    for (; i + 4 * DT_LANES <= n; i += 4 * DT_LANES)
        for (int l = 0; l < 4; l++) part[l] += DT_FN(load)(x + i + l * DT_LANES);
    for (; i + DT_LANES <= n; i += DT_LANES) part[0] += DT_FN(load)(x + i);
    DT_REAL total = DT_FN(sum_lanes)((part[0] + part[1]) + (part[2] + part[3]));
    for (; i < n; i++) total += x[i];
    return total;
}

static inline DT_REAL DT_FN(dot)(int64_t n, const DT_REAL *x, const DT_REAL *y)
{
    DT_VEC part[4] = {{0}};
    int64_t i = 0;
    for (; i + 4 * DT_LANES <= n; i += 4 * DT_LANES)
        for (int l = 0; l < 4; l++)
            part[l] = DT_FN(fma_vec)(DT_FN(load)(x + i + l * DT_LANES), DT_FN(load)(y + i + l * DT_LANES), part[l]);
    for (; i + DT_LANES <= n; i += DT_LANES)
        part[0] = DT_FN(fma_vec)(DT_FN(load)(x + i), DT_FN(load)(y + i), part[0]);
    DT_REAL total = DT_FN(sum_lanes)((part[0] + part[1]) + (part[2] + part[3]));
    for (; i < n; i++) total = DT_FN(fma)(x[i], y[i], total);
    return total;
}

/* The larger of each pair of lanes; b's where a's is NaN or equal. */
static inline DT_VEC DT_FN(larger)(DT_VEC a, DT_VEC b)
{
    __auto_type takes_a = a > b;
    return (DT_VEC)((takes_a & (__typeof__(takes_a))a) | (~takes_a & (__typeof__(takes_a))b));
}

static inline DT_REAL DT_FN(largest_lane)(DT_VEC v)
{
    DT_REAL lane[DT_LANES < 4 ? 4 : DT_LANES] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
    memcpy(lane, &v, sizeof v);
#pragma GCC unroll 16
    for (int l = 4; l < (int)DT_LANES; l++) lane[l % 4] = lane[l] > lane[l % 4] ? lane[l] : lane[l % 4];
    DT_REAL a = lane[1] > lane[0] ? lane[1] : lane[0], b = lane[3] > lane[2] ? lane[3] : lane[2];
    return b > a ? b : a;
}

/* The largest of x[n]. NaNs are passed over: the exponentials that follow bring them back. */
static inline DT_REAL DT_FN(largest)(int64_t n, const DT_REAL *x)
{
    DT_VEC tops = DT_FN(splat)(-INFINITY);
    int64_t i = 0;
    for (; i + DT_LANES <= n; i += DT_LANES) tops = DT_FN(larger)(DT_FN(load)(x + i), tops);
    DT_REAL top = DT_FN(largest_lane)(tops);
    for (; i < n; i++) top = x[i] > top ? x[i] : top;
    return top;
}

/* y = y gamma + beta, where given. */
static inline void DT_FN(affine)(int64_t n, const DT_REAL *restrict gamma, const DT_REAL *restrict beta,
                                 DT_REAL *restrict y)
{
    if (gamma && beta)
        for (int64_t j = 0; j < n; j++) y[j] = y[j] * gamma[j] + beta[j];
    else if (gamma)
        for (int64_t j = 0; j < n; j++) y[j] *= gamma[j];
    else if (beta)
        for (int64_t j = 0; j < n; j++) y[j] += beta[j];
}

#if DT_REAL_IS_FLOAT

static inline float dt_float_of_bits(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t dt_bits_of_float(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* exp(x) = 2^n exp(r), |r| <= ln(2)/2, with the polynomial of Cephes' expf (Moshier). Results below 2.7e-38 are 0:
 * their half would not be a normal number, which some processors multiply slowly. */
static inline float exp_f32(float x)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer, kept in the low bits */
    float bounded = x < -86.5f ? -86.5f : x > 89.0f ? 89.0f : x;
    float shifted = fma_f32(bounded, 1.44269504f, shift), n = shifted - shift;
    float r = fma_f32(n, -0.693359375f, bounded);
    r = fma_f32(n, 2.12194440e-4f, r);
    float p = fma_f32(1.9875691500e-4f, r, 1.3981999507e-3f);
    p = fma_f32(p, r, 8.3334519073e-3f);
    p = fma_f32(p, r, 4.1665795894e-2f);
    p = fma_f32(p, r, 1.6666665459e-1f);
    p = fma_f32(p, r, 5.0000001201e-1f);
    p = fma_f32(p, r * r, r) + 1.0f;
    /* n reaches 128, one more than an exponent holds: 2^(n-1), then twice that */
    float half = p * dt_float_of_bits((dt_bits_of_float(shifted) + 126) << 23);
    return x < -86.5f ? 0.0f : half + half;
}

/* An odd polynomial over an even one, coefficients from Eigen (ptanh); ±1 from where tanh rounds to nearly that. */
static inline float tanh_f32(float x)
{
    float s = x * x;
    float p = fma_f32(s, -2.76076847742355e-16f, 2.00018790482477e-13f);
    p = fma_f32(s, p, -8.60467152213735e-11f);
    p = fma_f32(s, p, 5.12229709037114e-08f);
    p = fma_f32(s, p, 1.48572235717979e-05f);
    p = fma_f32(s, p, 6.37261928875436e-04f);
    p = fma_f32(s, p, 4.89352455891786e-03f);
    float q = fma_f32(s, 1.19825839466702e-06f, 1.18534705686654e-04f);
    q = fma_f32(s, q, 2.26843463243900e-03f);
    q = fma_f32(s, q, 4.89352518554385e-03f);
    return __builtin_fabsf(x) > 7.905f ? __builtin_copysignf(1.0f, x) : x * p / q;
}

/* The same for erf (Eigen's perf). */
static inline float erf_f32(float x)
{
    float s = x * x;
    float p = fma_f32(s, -2.72614225801306e-10f, 2.77068142495902e-08f);
    p = fma_f32(s, p, -2.10102402082508e-06f);
    p = fma_f32(s, p, -5.69250639462346e-05f);
    p = fma_f32(s, p, -7.34990630326855e-04f);
    p = fma_f32(s, p, -2.95459980854025e-03f);
    p = fma_f32(s, p, -1.60960333262415e-02f);
    float q = fma_f32(s, -1.45660718464996e-05f, -2.13374055278905e-04f);
    q = fma_f32(s, q, -1.68282697438203e-03f);
    q = fma_f32(s, q, -7.37332916720468e-03f);
    q = fma_f32(s, q, -1.42647390514189e-02f);
    return __builtin_fabsf(x) > 3.83f ? __builtin_copysignf(1.0f, x) : x * p / q;
}

static inline float sqrt_f32(float x) { return __builtin_sqrtf(x); }
static inline float log_f32(float x) { return logf(x); }

#else

static inline double exp_f64(double x) { return exp(x); }
static inline double tanh_f64(double x) { return tanh(x); }
static inline double erf_f64(double x) { return erf(x); }
static inline double sqrt_f64(double x) { return __builtin_sqrt(x); }
static inline double log_f64(double x) { return log(x); }

#endif
