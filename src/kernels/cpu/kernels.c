/* Which instruction set runs here, and how much scratch memory the kernels need, which is the same for all sets. */
#include "kernels/cpu/kernels.h"

#include <string.h>

#include "kernels/cpu/attention_layout.h"
#include "kernels/cpu/split.h"

extern const dt_kernels dt_cpu_baseline_table;
#ifdef __x86_64__
extern const dt_kernels dt_cpu_v3_table, dt_cpu_v4_table;

/* All of a level counts: a hypervisor may hide parts of it. Compilers that cannot ask for a level ask for its parts. */
static bool runs_v3(void)
{
#if !defined(__clang__) && __GNUC__ >= 12
    return __builtin_cpu_supports("x86-64-v3");
#else
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
           __builtin_cpu_supports("bmi2");
#endif
}

static bool runs_v4(void)
{
    return runs_v3() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#endif

static bool runs_anywhere(void) { return true; }

/* The best first. */
static const struct {
    const dt_kernels *table;
    bool (*runs)(void);
} sets[] = {
#ifdef __x86_64__
    {&dt_cpu_v4_table, runs_v4},
    {&dt_cpu_v3_table, runs_v3},
#endif
    {&dt_cpu_baseline_table, runs_anywhere},
};

const dt_kernels *dt_cpu_kernels_best(void)
{
    size_t i = 0;
    while (!sets[i].runs()) i++;
    return sets[i].table;
}

const dt_kernels *dt_cpu_kernels_named(const char *name)
{
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++)
        if (strcmp(sets[i].table->name, name) == 0) return sets[i].runs() ? sets[i].table : NULL;
    return NULL;
}

static int64_t bytes_of(dt_dtype t, int64_t elements) { return elements * (int64_t)dt_dtype_size(t); }

int64_t dt_cpu_matmul_scratch(const dt_device_info *info, dt_dtype t, const dt_matmul_args *x) { return 0; }

int64_t dt_cpu_column_sum_scratch(const dt_device_info *info, dt_dtype t, int64_t rows, int64_t n)
{
    return bytes_of(t, dt_split_column_sum(rows).count * n);
}

int64_t dt_cpu_row_norm_grad_scratch(const dt_device_info *info, dt_dtype t, int64_t rows, int64_t channels)
{
    return bytes_of(t, dt_split_column_sum(rows).count * 2 * channels);
}

int64_t dt_cpu_point_norm_grad_scratch(const dt_device_info *info, dt_dtype t, int64_t rows, int64_t channels)
{
    return bytes_of(t, dt_split_column_sum(rows).count * 4 * channels);
}

int64_t dt_cpu_attention_scratch(const dt_device_info *info, dt_dtype t, const dt_attention_args *x)
{
    return bytes_of(t, info->threads * dt_attention_scratch(dt_attention_layout_of(x->tokens, x->size)));
}

int64_t dt_cpu_attention_grad_scratch(const dt_device_info *info, dt_dtype t, const dt_attention_args *x)
{
    return bytes_of(t, info->threads * dt_attention_grad_scratch(dt_attention_layout_of(x->tokens, x->size)));
}

int64_t dt_cpu_attention_cached_scratch(const dt_device_info *info, dt_dtype t, const dt_attention_cached_args *x)
{
    return bytes_of(t, info->threads * (x->capacity + x->tokens));
}

int64_t dt_cpu_embedding_grad_scratch(const dt_device_info *info, dt_dtype t, int64_t count, int64_t channels)
{
    return 0;
}

int64_t dt_cpu_embed_tokens_grad_scratch(const dt_device_info *info, dt_dtype t, int64_t batch, int64_t tokens,
                                         int64_t channels)
{
    return 0;
}

int64_t dt_cpu_reduce_scratch(const dt_device_info *info, int64_t n)
{
    return dt_split_partials(n, 1).count * (int64_t)sizeof(double);
}
