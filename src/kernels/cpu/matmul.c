/* Matrix products with their epilogues.
 *
 * The output is cut into tiles, one task each. A task packs a stretch of b for its columns into panels on its stack
 * (128 KiB, which the second-level cache holds), multiplies, goes on with the next stretch of k, and applies the
 * epilogue while the tile is in cache. Bytes: a once per column tile, b once per row tile, c once.
 *
 * This is our own product, not the BLAS library's: for models of width 64 packing and epilogue are a good part of the
 * time, and a library that meets a processor younger than its list falls back to its oldest kernel (OpenBLAS 0.3.21 on
 * Emerald Rapids: 28 GFLOP/s a core, and 136 when told to take its AVX-512 kernel; here 116 to 146). */
#ifndef DT_REAL

#define DT_TEMPLATE "kernels/cpu/matmul.c"
#include "kernels/cpu/each_type.h"

dt_status DT_SET(matmul)(const dt_queue *q, dt_dtype t, const dt_matmul_args *x)
{
    return DT_BY_TYPE(matmul, q->pool, x);
}

#else

#include "kernels/cpu/gelu.h"
#include "kernels/cpu/tile.h"

#define STRETCH ((int64_t)256)
#define MOST_ROWS ((int64_t)128)
#define MOST_COLS ((int64_t)(512 / sizeof(DT_REAL)))

typedef struct DT_FN(matmul_job) {
    const dt_matmul_args *x;
    dt_split rows, cols;
} DT_FN(matmul_job);

/* The row of c whose product is v[count], from column `col` on. */
static void DT_FN(epilogue)(const dt_matmul_args *x, int64_t row, int64_t col, int64_t count, DT_REAL *v)
{
    const DT_REAL *bias = x->bias, *before = x->act_grad_of, *residual = x->residual;
    DT_REAL *pre = x->pre, *c = x->c;
    int64_t at = row * x->n + col;
    if (bias)
        for (int64_t j = 0; j < count; j++) v[j] += bias[col + j];
    if (pre) memcpy(pre + at, v, (size_t)count * sizeof *v);
    if (before)
        DT_FN(activate_grad)(x->act, count, before + at, v, v);
    else if (x->act != DT_ACT_NONE)
        DT_FN(activate)(x->act, count, v, v);
    if (residual)
        for (int64_t j = 0; j < count; j++) v[j] += residual[at + j];
    if (x->accumulate)
        for (int64_t j = 0; j < count; j++) c[at + j] += v[j];
    else
        memcpy(c + at, v, (size_t)count * sizeof *v);
}

static void DT_FN(matmul_task)(void *arg, int64_t task, int worker)
{
    const DT_FN(matmul_job) *job = arg;
    const dt_matmul_args *x = job->x;
    _Alignas(64) DT_REAL packed[STRETCH * MOST_COLS];
    _Alignas(64) DT_REAL tile[MOST_ROWS * MOST_COLS];
    int64_t row_piece = task / job->cols.count, col_piece = task % job->cols.count;
    int64_t row = dt_split_begin(job->rows, row_piece), m = dt_split_end(job->rows, row_piece) - row;
    int64_t col = dt_split_begin(job->cols, col_piece), n = dt_split_end(job->cols, col_piece) - col;
    const DT_REAL *a = x->a, *b = x->b;
    if (x->k == 0) memset(tile, 0, sizeof tile);
    for (int64_t p = 0; p < x->k; p += STRETCH) {
        int64_t k = dt_min(STRETCH, x->k - p);
        if (x->transpose_b)
            DT_FN(pack_columns)(k, n, b + col * x->k + p, x->k, packed);
        else
            DT_FN(pack_rows)(k, n, b + p * x->n + col, x->n, packed);
        DT_FN(strided) part = x->transpose_a ? (DT_FN(strided)){a + p * x->m + row, 1, x->m}
                                             : (DT_FN(strided)){a + row * x->k + p, x->k, 1};
        DT_FN(product)(m, n, k, part, packed, tile, MOST_COLS, p > 0);
    }
    for (int64_t i = 0; i < m; i++) DT_FN(epilogue)(x, row + i, col, n, tile + i * MOST_COLS);
}

/* Tiles as large as they may be, then smaller until there is work for several threads. The fewer rows, the more often b
 * is packed; narrower tiles only read a more often. */
static void DT_FN(matmul)(dt_pool *pool, const dt_matmul_args *x)
{
    if (x->m == 0 || x->n == 0) return;
    int64_t rows = MOST_ROWS, cols = dt_round_up(dt_ceil_div(x->n, dt_ceil_div(x->n, MOST_COLS)), DT_LANES);
#define TOO_FEW (dt_ceil_div(x->m, rows) * dt_ceil_div(x->n, cols) < 16)
    while (TOO_FEW && cols > MOST_COLS / 2) cols = dt_round_up(cols / 2, DT_LANES);
    while (TOO_FEW && rows > 32) rows /= 2;
    while (TOO_FEW && cols > MOST_COLS / 4) cols = dt_round_up(cols / 2, DT_LANES);
#undef TOO_FEW
    DT_FN(matmul_job) job = {x, dt_split_by(x->m, rows), dt_split_by(x->n, cols)};
    dt_pool_run(pool, job.rows.count * job.cols.count, DT_FN(matmul_task), &job);
}

#undef STRETCH
#undef MOST_ROWS
#undef MOST_COLS

#endif
