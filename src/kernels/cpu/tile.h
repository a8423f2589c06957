/* Small matrix products, the inner part of matmul and attention: c[m,n] = or += a[m,k] b[k,n] with b packed into
 * panels. No include guard: it belongs to a template (each_type.h) and follows real.h.
 *
 * A panel is k rows of DT_TILE_VECTORS vectors (of one, where at most one is left), zero beyond n, so that the
 * innermost loop loads whole vectors of b, broadcasts elements of a, and keeps its tile of c in registers. Each
 * element of c is summed over k in order. */
#define DT_PANEL ((int64_t)DT_TILE_VECTORS * DT_LANES)

/* Columns of b that the panel at column j takes, of n. */
static inline int64_t DT_FN(panel_width)(int64_t n, int64_t j) { return n - j <= DT_LANES ? DT_LANES : DT_PANEL; }

/* n rounded up to whole panels. */
static inline int64_t DT_FN(packed_width)(int64_t n)
{
    int64_t last = n / DT_PANEL * DT_PANEL;
    return last < n ? last + DT_FN(panel_width)(n, last) : last;
}

/* packed = panels of b[k,n], whose rows are `stride` apart. */
static void DT_FN(pack_rows)(int64_t k, int64_t n, const DT_REAL *b, int64_t stride, DT_REAL *packed)
{
    for (int64_t j = 0; j < n; j += DT_PANEL) {
        int64_t width = DT_FN(panel_width)(n, j), used = dt_min(width, n - j);
        for (int64_t p = 0; p < k; p++, packed += width) {
            const DT_REAL *from = b + p * stride + j;
            if (used == width) {
                for (int64_t l = 0; l < width; l += DT_LANES) DT_FN(store)(packed + l, DT_FN(load)(from + l));
                continue;
            }
            memset(packed, 0, (size_t)width * sizeof *packed);
            memcpy(packed, from, (size_t)used * sizeof *packed);
        }
    }
}

#if DT_REAL_IS_FLOAT
/* A 4x4 block of `from`, transposed. */
static inline void transpose_block_f32(const float *from, int64_t stride, float *to, int64_t width)
{
    typedef float quad __attribute__((vector_size(16)));
    quad r[4], s[4];
    for (int i = 0; i < 4; i++) memcpy(&r[i], from + i * stride, sizeof r[i]);
    s[0] = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
    s[1] = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    s[2] = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    s[3] = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    r[0] = __builtin_shufflevector(s[0], s[1], 0, 1, 4, 5);
    r[1] = __builtin_shufflevector(s[0], s[1], 2, 3, 6, 7);
    r[2] = __builtin_shufflevector(s[2], s[3], 0, 1, 4, 5);
    r[3] = __builtin_shufflevector(s[2], s[3], 2, 3, 6, 7);
    for (int i = 0; i < 4; i++) memcpy(to + i * width, &r[i], sizeof r[i]);
}
#else
/* The same in four 2x2 blocks. */
static inline void transpose_block_f64(const double *from, int64_t stride, double *to, int64_t width)
{
    typedef double pair __attribute__((vector_size(16)));
    for (int i = 0; i < 4; i += 2)
        for (int j = 0; j < 4; j += 2) {
            pair r[2], s[2];
            for (int l = 0; l < 2; l++) memcpy(&r[l], from + (i + l) * stride + j, sizeof r[l]);
            s[0] = __builtin_shufflevector(r[0], r[1], 0, 2);
            s[1] = __builtin_shufflevector(r[0], r[1], 1, 3);
            for (int l = 0; l < 2; l++) memcpy(to + (j + l) * width + i, &s[l], sizeof s[l]);
        }
}
#endif

/* packed = panels of the transpose of b[n,k], whose rows are `stride` apart. */
static void DT_FN(pack_columns)(int64_t k, int64_t n, const DT_REAL *b, int64_t stride, DT_REAL *packed)
{
    for (int64_t j = 0; j < n; j += DT_PANEL) {
        int64_t width = DT_FN(panel_width)(n, j), used = dt_min(width, n - j), l = 0;
        if (used < width) memset(packed, 0, (size_t)(k * width) * sizeof *packed);
        for (; l + 4 <= used; l += 4) {
            const DT_REAL *from = b + (j + l) * stride;
            int64_t p = 0;
            for (; p + 4 <= k; p += 4) DT_FN(transpose_block)(from + p, stride, packed + p * width + l, width);
            for (; p < k; p++)
                for (int64_t i = 0; i < 4; i++) packed[p * width + l + i] = from[i * stride + p];
        }
        for (; l < used; l++)
            for (int64_t p = 0; p < k; p++) packed[p * width + l] = b[(j + l) * stride + p];
        packed += k * width;
    }
}

/* A matrix of which element (i, p) is at[i * row + p * step]; one of the two is 1. */
typedef struct DT_FN(strided) {
    const DT_REAL *at;
    int64_t row, step;
} DT_FN(strided);

/* One tile of c: `rows` of DT_TILE_ROWS rows and `cols` of `vectors` vectors. Rows that are lacking repeat the last
 * one and are not stored. */
static inline __attribute__((always_inline)) void DT_FN(tile)(int64_t k, const DT_REAL *a, int64_t row, int64_t step,
                                                              const DT_REAL *panel, int vectors, DT_REAL *c,
                                                              int64_t stride, int64_t rows, int64_t cols, bool add)
{
    DT_VEC sum[DT_TILE_ROWS][DT_TILE_VECTORS] = {{{0}}};
    const DT_REAL *at[DT_TILE_ROWS];
    for (int64_t i = 0; i < DT_TILE_ROWS; i++) at[i] = a + dt_min(i, rows - 1) * row;
    for (int64_t p = 0; p < k; p++, panel += vectors * DT_LANES) {
        DT_VEC b[DT_TILE_VECTORS];
        for (int l = 0; l < vectors; l++) b[l] = DT_FN(load)(panel + l * DT_LANES);
#pragma GCC unroll 16
        for (int i = 0; i < DT_TILE_ROWS; i++) {
            DT_VEC x = DT_FN(splat)(at[i][p * step]);
#pragma GCC unroll 4
            for (int l = 0; l < vectors; l++) sum[i][l] = DT_FN(fma_vec)(x, b[l], sum[i][l]);
        }
    }
    if (cols == vectors * DT_LANES) {
#pragma GCC unroll 16
        for (int i = 0; i < DT_TILE_ROWS; i++) {
            if (i == rows) break;
#pragma GCC unroll 4
            for (int l = 0; l < vectors; l++) {
                DT_REAL *to = c + i * stride + l * DT_LANES;
                DT_FN(store)(to, add ? DT_FN(load)(to) + sum[i][l] : sum[i][l]);
            }
        }
        return;
    }
    DT_REAL edge[DT_TILE_ROWS][DT_PANEL];
#pragma GCC unroll 16
    for (int i = 0; i < DT_TILE_ROWS; i++)
#pragma GCC unroll 4
        for (int l = 0; l < vectors; l++) DT_FN(store)(edge[i] + l * DT_LANES, sum[i][l]);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) c[i * stride + j] = add ? c[i * stride + j] + edge[i][j] : edge[i][j];
}

/* c[m,n] = (+=) a b over the steps from `first` to `end` of k, for b packed; rows of c are `stride` apart. */
static void DT_FN(product_steps)(int64_t m, int64_t n, int64_t k, int64_t first, int64_t end, DT_FN(strided) a,
                                 const DT_REAL *packed, DT_REAL *c, int64_t stride, bool add)
{
    for (int64_t j = 0; j < n; j += DT_PANEL) {
        int64_t width = DT_FN(panel_width)(n, j), cols = dt_min(width, n - j), steps = end - first;
        const DT_REAL *panel = packed + first * width;
        for (int64_t i = 0; i < m; i += DT_TILE_ROWS) {
            const DT_REAL *at = a.at + i * a.row + first * a.step;
            DT_REAL *to = c + i * stride + j;
            int64_t rows = dt_min(DT_TILE_ROWS, m - i);
            if (width == DT_PANEL && a.step == 1)
                DT_FN(tile)(steps, at, a.row, 1, panel, DT_TILE_VECTORS, to, stride, rows, cols, add);
            else if (width == DT_PANEL)
                DT_FN(tile)(steps, at, 1, a.step, panel, DT_TILE_VECTORS, to, stride, rows, cols, add);
            else if (a.step == 1)
                DT_FN(tile)(steps, at, a.row, 1, panel, 1, to, stride, rows, cols, add);
            else
                DT_FN(tile)(steps, at, 1, a.step, panel, 1, to, stride, rows, cols, add);
        }
        packed += k * width;
    }
}

/* c[m,n] = (+=) a b for b packed; rows of c are `stride` apart. */
static void DT_FN(product)(int64_t m, int64_t n, int64_t k, DT_FN(strided) a, const DT_REAL *packed, DT_REAL *c,
                           int64_t stride, bool add)
{
    DT_FN(product_steps)(m, n, k, 0, k, a, packed, c, stride, add);
}

/* The same where of row i of a only the steps of span[i] count, as attention under a mask needs it: the others are left
 * out and not multiplied by 0, which would be NaN where b is not finite. What rows of a tile have in common goes
 * first. */
static inline void DT_FN(product_spans)(const dt_row_span *span, int64_t m, int64_t n, int64_t k, DT_FN(strided) a,
                                        const DT_REAL *packed, DT_REAL *c, int64_t stride, bool add)
{
    for (int64_t i = 0; i < m; i += DT_TILE_ROWS, a.at += DT_TILE_ROWS * a.row, c += DT_TILE_ROWS * stride) {
        int64_t rows = dt_min(DT_TILE_ROWS, m - i), first = 0, last = k;
        for (int64_t l = 0; l < rows; l++) {
            first = dt_max(first, span[i + l].begin);
            last = dt_min(last, span[i + l].end);
        }
        last = dt_max(first, last);
        DT_FN(product_steps)(rows, n, k, first, last, a, packed, c, stride, add);
        for (int64_t l = 0; l < rows; l++) {
            dt_row_span own = span[i + l];
            dt_row_span before = {own.begin, dt_min(first, own.end)}, after = {dt_max(last, own.begin), own.end};
            DT_FN(strided) row = {a.at + l * a.row, a.row, a.step};
            if (before.begin < before.end)
                DT_FN(product_steps)(1, n, k, before.begin, before.end, row, packed, c + l * stride, stride, true);
            if (after.begin < after.end)
                DT_FN(product_steps)(1, n, k, after.begin, after.end, row, packed, c + l * stride, stride, true);
        }
    }
}
