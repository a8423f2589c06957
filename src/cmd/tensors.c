/* Prints a safetensors file's tensors with their moments. */
#include "cmd/tensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "cmd/foreign.h"
#include "train/safetensors.h"

typedef struct moments {
    double mean, deviation, least, most, norm;
    int64_t finite;
} moments;

/* Of the finite values; two passes, so that the deviation keeps its digits. */
static moments measure(const double *values, int64_t count)
{
    moments m = {.least = INFINITY, .most = -INFINITY};
    double sum = 0, squares = 0, spread = 0;
    for (int64_t i = 0; i < count; i++) {
        if (!isfinite(values[i])) continue;
        m.finite++;
        sum += values[i];
        squares += values[i] * values[i];
        m.least = fmin(m.least, values[i]);
        m.most = fmax(m.most, values[i]);
    }
    m.mean = m.finite ? sum / (double)m.finite : NAN;
    if (!m.finite) m.least = m.most = NAN;
    for (int64_t i = 0; i < count; i++)
        if (isfinite(values[i])) spread += (values[i] - m.mean) * (values[i] - m.mean);
    m.deviation = m.finite ? sqrt(spread / (double)m.finite) : NAN;
    m.norm = sqrt(squares);
    return m;
}

static bool is_float(const dt_safetensor *tensor)
{
    static const char *const types[] = {"F64", "F32", "F16", "BF16"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strcmp(tensor->type, types[i]) == 0) return true;
    return false;
}

static dt_status read_values(const dt_safetensors *file, const dt_safetensor *tensor, double **out)
{
    size_t bytes = (size_t)dt_shape_count(&tensor->shape) * sizeof **out;
    *out = malloc(bytes ? bytes : 1);
    if (!*out) return dt_fail_memory(bytes, tensor->name);
    dt_status status = dt_safetensors_read(file, tensor, DT_F64, *out);
    if (status) free(*out);
    return status;
}

static dt_status print_tensor(const dt_safetensors *file, const dt_safetensor *tensor, int width)
{
    char shape[96];
    double *values;
    int64_t count = dt_shape_count(&tensor->shape);
    dt_foreign_print(tensor->name, -1, width);
    printf(" %-5s %-20s", tensor->type, dt_shape_text(&tensor->shape, shape));
    if (is_float(tensor) && count > 0) {
        DT_TRY(read_values(file, tensor, &values));
        moments m = measure(values, count);
        free(values);
        printf(" %11.4g %11.4g %11.4g %11.4g %11.4g", m.mean, m.deviation, m.least, m.most, m.norm);
        if (m.finite < count) printf("  %lld not finite", (long long)(count - m.finite));
    }
    printf("\n");
    return DT_OK;
}

/* blocks.2 before blocks.10 */
static int by_name(const void *a, const void *b)
{
    const dt_safetensor *const *x = a, *const *y = b;
    return strverscmp((*x)->name, (*y)->name);
}

static bool is_alpha(const dt_safetensor *tensor)
{
    const char *dot = strrchr(tensor->name, '.');
    return dot && strcmp(dot, ".alpha") == 0 && dt_shape_count(&tensor->shape) == 1 && is_float(tensor);
}

static dt_status print_alphas(const dt_safetensors *file, const dt_safetensor *const *sorted, int count)
{
    bool any = false;
    for (int i = 0; i < count; i++) {
        if (!is_alpha(sorted[i])) continue;
        double alpha;
        DT_TRY(dt_safetensors_read(file, sorted[i], DT_F64, &alpha));
        if (!any) printf("\nalpha by site\n");
        any = true;
        printf("  ");
        dt_foreign_print(sorted[i]->name, (int)(strlen(sorted[i]->name) - strlen(".alpha")), 32);
        printf(" %10.6f\n", alpha);
    }
    return DT_OK;
}

static dt_status print_sorted(const dt_safetensors *file, const dt_safetensor **sorted, int count)
{
    int64_t elements = 0;
    int width = 4;
    for (int i = 0; i < count; i++) {
        sorted[i] = dt_safetensors_at(file, i);
        elements += dt_shape_count(&sorted[i]->shape);
        int length = (int)strlen(sorted[i]->name);
        if (length > width && length <= 64) width = length;
    }
    qsort(sorted, (size_t)count, sizeof *sorted, by_name);
    printf("\n");
    dt_foreign_print(dt_safetensors_path(file), -1, 0);
    printf(": %d tensors, %lld elements\n", count, (long long)elements);
    printf("%-*s %-5s %-20s %11s %11s %11s %11s %11s\n", width, "name", "type", "shape", "mean", "deviation", "least",
           "most", "norm");
    for (int i = 0; i < count; i++) DT_TRY(print_tensor(file, sorted[i], width));
    return print_alphas(file, sorted, count);
}

dt_status dt_tensors_print(const char *path)
{
    dt_safetensors *file;
    DT_TRY(dt_safetensors_open(path, &file));
    int count = dt_safetensors_count(file);
    size_t bytes = ((size_t)count + 1) * sizeof(dt_safetensor *);
    const dt_safetensor **sorted = malloc(bytes);
    dt_status status = sorted ? print_sorted(file, sorted, count) : dt_fail_memory(bytes, path);
    free(sorted);
    dt_safetensors_close(file);
    return status;
}
