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
    DT_REAL lane[DT_LANES];
    memcpy(lane, &v, sizeof v);
    for (int64_t half = DT_LANES / 2; half > 0; half /= 2)
        for (int64_t i = 0; i < half; i++) lane[i] += lane[i + half];
    return lane[0];
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

/* The largest of x[n], n >= 1. NaNs are passed over: the exponentials that follow bring them back. */
static inline DT_REAL DT_FN(largest)(int64_t n, const DT_REAL *x)
{
    DT_REAL lane[DT_LANES], top = -INFINITY;
    for (int64_t l = 0; l < DT_LANES; l++) lane[l] = -INFINITY;
    int64_t i = 0;
    for (; i + DT_LANES <= n; i += DT_LANES)
        for (int64_t l = 0; l < DT_LANES; l++) lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
    for (; i < n; i++) top = x[i] > top ? x[i] : top;
    for (int64_t l = 0; l < DT_LANES; l++) top = lane[l] > top ? lane[l] : top;
    return top;
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

/* exp(x) = 2^n exp(r), |r| <= ln(2)/2, with the polynomial of Cephes' expf (Moshier). Results below the smallest
 * normal number are 0. */
static inline float exp_f32(float x)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer, kept in the low bits */
    float bounded = x < -87.33654f ? -87.33654f : x > 89.0f ? 89.0f : x;
    float shifted = fma_f32(bounded, 1.44269504f, shift), n = shifted - shift;
    float r = fma_f32(n, -0.693359375f, bounded);
    r = fma_f32(n, 2.12194440e-4f, r);
    float p = fma_f32(1.9875691500e-4f, r, 1.3981999507e-3f);
    p = fma_f32(p, r, 8.3334519073e-3f);
    p = fma_f32(p, r, 4.1665795894e-2f);
    p = fma_f32(p, r, 1.6666665459e-1f);
    p = fma_f32(p, r, 5.0000001201e-1f);
    p = fma_f32(p, r * r, r) + 1.0f;
    /* n reaches 128, one more than an exponent holds: half of it is applied twice */
    uint32_t whole = dt_bits_of_float(shifted) - dt_bits_of_float(shift) + 256, half = whole >> 1;
    float y = p * dt_float_of_bits((half - 1) << 23) * dt_float_of_bits((whole - half - 1) << 23);
    return x < -87.33654f ? 0.0f : y;
}

/* Small arguments by Cephes' tanhf polynomial, the others by 1 - 2 / (exp(2x) + 1). */
static inline float tanh_f32(float x)
{
    float a = __builtin_fabsf(x), s = x * x;
    float p = fma_f32(-5.70498872745e-3f, s, 2.06390887954e-2f);
    p = fma_f32(p, s, -5.37397155531e-2f);
    p = fma_f32(p, s, 1.33314422036e-1f);
    p = fma_f32(p, s, -3.33332819422e-1f);
    float small = fma_f32(p * s, x, x);
    float large = 1.0f - 2.0f / (exp_f32(2.0f * a) + 1.0f);
    return a < 0.625f ? small : __builtin_copysignf(large, x);
}

/* Two minimax polynomials: of erf(x) itself near 0, of log(1 - erf|x|) beyond (after N. Juffa). */
static inline float erf_f32(float x)
{
    float a = __builtin_fabsf(x), s = x * x;
    float far = a > 4.0f ? 4.0f : a; /* erf rounds to 1 from 3.92 on; a NaN passes */
    float far2 = far * far;
    float q = fma_f32(-1.72853470e-5f, far, 3.83197126e-4f);
    float u = fma_f32(-3.88396438e-3f, far, 2.42546219e-2f);
    q = fma_f32(q, far2, u);
    q = fma_f32(q, far, -1.06777877e-1f);
    q = fma_f32(q, far, -6.34846687e-1f);
    q = fma_f32(q, far, -1.28717512e-1f);
    q = fma_f32(q, far, -far);
    float large = __builtin_copysignf(1.0f - exp_f32(q), x);
    float p = fma_f32(-5.96761703e-4f, s, 4.99119423e-3f);
    p = fma_f32(p, s, -2.67681349e-2f);
    p = fma_f32(p, s, 1.12819925e-1f);
    p = fma_f32(p, s, -3.76125336e-1f);
    p = fma_f32(p, s, 1.28379166e-1f);
    float small = fma_f32(p, x, x);
    return a > 0.927734375f ? large : small;
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
