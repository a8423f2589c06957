/* Measures matrix products and copies, each a few times. */
#include "cmd/roof.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { SIDE = 1536, COPY_BYTES = 64 << 20, PRODUCTS = 5, COPIES = 9 };

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double dt_median(double *seconds, int count)
{
    qsort(seconds, (size_t)count, sizeof *seconds, by_size);
    return count % 2 ? seconds[count / 2] : (seconds[count / 2 - 1] + seconds[count / 2]) / 2;
}

static double product_seconds(dt_pool *pool, const dt_kernels *kernels, float *memory)
{
    const size_t square = (size_t)SIDE * SIDE;
    double fastest = INFINITY;
    dt_matmul_args product = {.m = SIDE, .n = SIDE, .k = SIDE,
                              .a = memory, .b = memory + square, .c = memory + 2 * square};
    for (size_t i = 0; i < 2 * square; i++) memory[i] = (float)(i % 7) - 3;
    kernels->matmul(&(dt_queue){.pool = pool}, DT_F32, &product); /* warms up */
    for (int i = 0; i < PRODUCTS; i++) {
        double start = dt_clock();
        kernels->matmul(&(dt_queue){.pool = pool}, DT_F32, &product);
        fastest = fmin(fastest, dt_clock() - start);
    }
    return fastest;
}

static double copy_seconds(dt_pool *pool, const dt_kernels *kernels, char *memory)
{
    double fastest = INFINITY;
    for (size_t i = 0; i < 2 * (size_t)COPY_BYTES; i += 4096) memory[i] = 1; /* touches every page */
    for (int i = 0; i < COPIES; i++) {
        double start = dt_clock();
        kernels->copy(&(dt_queue){.pool = pool}, COPY_BYTES, memory, memory + COPY_BYTES);
        fastest = fmin(fastest, dt_clock() - start);
    }
    return fastest;
}

dt_status dt_roof_measure(dt_pool *pool, const dt_kernels *kernels, dt_roof *out)
{
    const size_t bytes = 2 * (size_t)COPY_BYTES; /* more than three squares */
    _Static_assert(3 * sizeof(float) * SIDE * SIDE <= 2 * (size_t)COPY_BYTES, "the products fit");
    void *memory = malloc(bytes);
    if (!memory) return dt_fail_memory(bytes, "measuring this machine");
    out->flops = 2.0 * SIDE * SIDE * SIDE / product_seconds(pool, kernels, memory);
    out->bytes = 2.0 * COPY_BYTES / copy_seconds(pool, kernels, memory);
    free(memory);
    return DT_OK;
}

void dt_roof_print(const dt_roof *roof)
{
    printf("roof: %.0f GFLOP/s in a large matrix product, %.1f GB/s in a large copy, measured now\n"
           "      (more than 100 %% of it: the arrays stayed in a cache)\n", 1e-9 * roof->flops, 1e-9 * roof->bytes);
}
