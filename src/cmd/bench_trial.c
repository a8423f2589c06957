/* Arrays of trials: made on the device from numbers that depend on their place alone, and compared. */
#include "cmd/bench_trial.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Numbers repeat after so many elements: long arrays are copied together on the device. */
enum { PERIOD = 999 << 10 };

/* --- elements --- */

/* bfloat16 is the upper half of float32; what is put into it fits there. */
static void put(dt_dtype type, void *data, int64_t i, double value)
{
    float single = (float)value;
    uint32_t bits;
    switch (type) {
    case DT_F64: ((double *)data)[i] = single; break; /* the same number in both */
    case DT_BF16:
        memcpy(&bits, &single, sizeof bits);
        ((uint16_t *)data)[i] = (uint16_t)(bits >> 16);
        break;
    default: ((float *)data)[i] = single;
    }
}

static double get(dt_dtype type, const void *data, int64_t i)
{
    float single;
    uint32_t bits;
    switch (type) {
    case DT_F64: return ((const double *)data)[i];
    case DT_BF16:
        bits = (uint32_t)((const uint16_t *)data)[i] << 16;
        memcpy(&single, &bits, sizeof single);
        return single;
    default: return ((const float *)data)[i];
    }
}

/* --- filling --- */

/* What an array holds at first. */
typedef struct content {
    const void *given; /* these bytes, or */
    bool poison;       /* NaN in every type, or */
    double low, high;  /* uniform numbers */
} content;

static size_t bytes_of(const dt_bench_array *a) { return (size_t)a->count * dt_dtype_size(a->type); }

/* A linear congruential generator is good enough here, and fast. Multiples of 1/128 below 2 fit into bfloat16. */
static void write_numbers(dt_dtype type, void *host, int64_t count, uint64_t seed, bool coarse, const content *c)
{
    for (int64_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        double value = c->low + (c->high - c->low) * 0x1p-31 * (double)(seed >> 33);
        put(type, host, i, coarse ? floor(value * 128) / 128 : value);
    }
}

static dt_status upload(dt_device *device, void *to, const void *host, size_t bytes)
{
    DT_TRY(dt_device_upload(device, DT_STREAM_COMPUTE, to, host, bytes));
    return dt_device_sync(device, DT_STREAM_COMPUTE);
}

dt_status dt_bench_repeat(dt_device *device, char *data, size_t filled, size_t bytes)
{
    while (filled < bytes) {
        size_t more = filled < bytes - filled ? filled : bytes - filled;
        DT_TRY(dt_device_copy(device, DT_STREAM_COMPUTE, data + filled, data, more));
        filled += more;
    }
    return dt_device_sync(device, DT_STREAM_COMPUTE);
}

static dt_status fill(dt_bench_trial *t, const dt_bench_array *a, const content *c)
{
    if (!a->count) return DT_OK;
    if (c->given) return upload(t->device, a->data, c->given, bytes_of(a));
    int64_t count = a->count < PERIOD ? a->count : PERIOD;
    size_t bytes = (size_t)count * dt_dtype_size(a->type);
    void *host = malloc(bytes);
    if (!host) return dt_fail_memory(bytes, "a benchmark's numbers");
    if (c->poison) memset(host, 0xff, bytes);
    else write_numbers(a->type, host, count, (uint64_t)t->made, t->coarse, c);
    dt_status status = upload(t->device, a->data, host, bytes);
    free(host);
    return status ? status : dt_bench_repeat(t->device, a->data, bytes, bytes_of(a));
}

static void *ask(dt_bench_trial *t, dt_dtype type, int64_t count, bool output, content c)
{
    if (t->status) return NULL;
    if (t->asked < t->made) return t->arrays[t->asked++].data;
    assert(t->made < DT_BENCH_ARRAYS);
    dt_bench_array *a = &t->arrays[t->made];
    *a = (dt_bench_array){count, type, output, NULL};
    t->status = dt_device_alloc(t->device, DT_MEMORY_ARENA, bytes_of(a), &a->data);
    if (t->status) return NULL;
    t->asked = ++t->made;
    t->status = fill(t, a, &c);
    return a->data;
}

/* --- what cases ask for --- */

static dt_dtype wide(const dt_bench_trial *t) { return dt_dtype_wide(t->type); }

void *dt_bench_in(dt_bench_trial *t, int64_t count)
{
    return ask(t, t->type, count, false, (content){.low = -1, .high = 1});
}

void *dt_bench_positive(dt_bench_trial *t, int64_t count)
{
    return ask(t, t->type, count, false, (content){.low = 0.5, .high = 1.5});
}

void *dt_bench_wide_in(dt_bench_trial *t, int64_t count)
{
    return ask(t, wide(t), count, false, (content){.low = -1, .high = 1});
}

void *dt_bench_wide_positive(dt_bench_trial *t, int64_t count)
{
    return ask(t, wide(t), count, false, (content){.low = 0.5, .high = 1.5});
}

void *dt_bench_out(dt_bench_trial *t, int64_t count)
{
    return ask(t, t->type, count, true, (content){.poison = true});
}

void *dt_bench_wide_out(dt_bench_trial *t, int64_t count)
{
    return ask(t, wide(t), count, true, (content){.poison = true});
}

void *dt_bench_wide_update(dt_bench_trial *t, int64_t count, double low, double high)
{
    return ask(t, wide(t), count, true, (content){.low = low, .high = high});
}

void *dt_bench_scratch(dt_bench_trial *t, int64_t bytes)
{
    return ask(t, DT_U8, bytes, false, (content){.poison = true});
}

void *dt_bench_given(dt_bench_trial *t, const void *bytes, int64_t count)
{
    return ask(t, DT_U8, count, false, (content){.given = bytes});
}

void *dt_bench_numbers(dt_bench_trial *t, int64_t count, dt_bench_fill write)
{
    if (t->status || t->asked < t->made) return ask(t, DT_I32, count, false, (content){0});
    size_t bytes = (size_t)count * sizeof(int32_t);
    int32_t *host = malloc(bytes);
    t->status = host ? write(t, host, count) : dt_fail_memory(bytes, "a benchmark's numbers");
    void *data = ask(t, DT_I32, count, false, (content){.given = host});
    free(host);
    return data;
}

bool dt_bench_work(dt_bench_trial *t, double flops, double bytes)
{
    t->flops = flops;
    t->bytes = bytes;
    return !t->status;
}

/* --- trials --- */

dt_status dt_bench_trial_open(dt_device *device, const dt_bench_shapes *shape, dt_dtype type, bool coarse,
                              dt_bench_trial *out)
{
    *out = (dt_bench_trial){.device = device, .kernels = dt_kernels_of(dt_device_backend(device)), .shape = *shape,
                            .type = type, .coarse = coarse};
    return dt_device_query(device, &out->info);
}

dt_status dt_bench_trial_run(dt_bench_trial *t, const dt_bench_case *c)
{
    t->asked = 0;
    c->run(t);
    return t->status;
}

static double output_error(dt_dtype type, const void *data, const dt_bench_array *exact)
{
    double most = 0, size = 0;
    for (int64_t i = 0; i < exact->count; i++) {
        double want = get(exact->type, exact->data, i), error = fabs(get(type, data, i) - want);
        if (error > most || isnan(error)) most = error; /* a NaN stays: nothing is larger */
        if (fabs(want) > size) size = fabs(want);
    }
    return most == 0 ? 0 : most / size;
}

static dt_status array_error(dt_bench_trial *t, const dt_bench_array *a, const dt_bench_array *exact, double *error)
{
    void *host = malloc(bytes_of(a));
    if (!host) return dt_fail_memory(bytes_of(a), "a benchmark's result");
    dt_status status = dt_device_download(t->device, DT_STREAM_COMPUTE, host, a->data, bytes_of(a));
    if (!status) status = dt_device_sync(t->device, DT_STREAM_COMPUTE);
    if (!status) *error = output_error(a->type, host, exact);
    free(host);
    return status;
}

dt_status dt_bench_trial_error(dt_bench_trial *t, const dt_bench_trial *exact, double *most)
{
    *most = 0;
    for (int i = 0; i < t->made; i++) {
        double error = NAN;
        if (!t->arrays[i].output) continue;
        DT_TRY(array_error(t, &t->arrays[i], &exact->arrays[i], &error));
        if (error > *most || isnan(error)) *most = error;
    }
    return DT_OK;
}

void dt_bench_trial_close(dt_bench_trial *t)
{
    for (int i = 0; i < t->made; i++)
        dt_device_free(t->device, DT_MEMORY_ARENA, t->arrays[i].data, bytes_of(&t->arrays[i]));
    t->made = 0;
}
