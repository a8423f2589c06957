/* How work is cut into tasks: by the shapes alone, so that results do not depend on the number of threads. */
#ifndef DT_KERNELS_CPU_SPLIT_H
#define DT_KERNELS_CPU_SPLIT_H

#include <stdint.h>

enum {
    DT_CHUNK = 16384,      /* elements of one task of an element-wise kernel */
    DT_MOST_PARTIALS = 256 /* partial results of one reduction */
};

/* Which elements of a row of a matrix count: begin .. end - 1. */
typedef struct dt_row_span {
    int64_t begin, end;
} dt_row_span;

static inline int64_t dt_min(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t dt_max(int64_t a, int64_t b) { return a > b ? a : b; }
static inline int64_t dt_ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t dt_round_up(int64_t a, int64_t unit) { return dt_ceil_div(a, unit) * unit; }

/* Consecutive pieces of `size` items each, the last one shorter. */
typedef struct dt_split {
    int64_t items, size, count;
} dt_split;

static inline dt_split dt_split_by(int64_t items, int64_t size)
{
    return (dt_split){items, size, dt_ceil_div(items, size)};
}

static inline int64_t dt_split_begin(dt_split s, int64_t piece) { return piece * s.size; }
static inline int64_t dt_split_end(dt_split s, int64_t piece) { return dt_min((piece + 1) * s.size, s.items); }

static inline dt_split dt_split_elements(int64_t n) { return dt_split_by(n, DT_CHUNK); }

/* Rows of `width` elements each, for kernels that keep no partial results. */
static inline dt_split dt_split_rows(int64_t rows, int64_t width)
{
    return dt_split_by(rows, dt_max(1, DT_CHUNK / dt_max(1, width)));
}

/* Pieces of at least `least` items with one partial result each. */
static inline dt_split dt_split_partials(int64_t items, int64_t least)
{
    return dt_split_by(items, dt_max(least, dt_ceil_div(items, DT_MOST_PARTIALS)));
}

/* The reduction over rows in column sums: one partial row per piece. */
static inline dt_split dt_split_column_sum(int64_t rows) { return dt_split_partials(rows, 32); }

#endif
