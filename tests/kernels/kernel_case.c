#include "kernel_case.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"

static const char *const set_names[] = {"baseline", "x86-64-v3", "x86-64-v4"};
static const int thread_counts[] = {1, 2, 5};

static void *allocate(int64_t bytes)
{
    void *memory = aligned_alloc(64, (size_t)(bytes + 127) / 64 * 64);
    assert_non_null(memory);
    return memory;
}

static double read_value(dt_dtype t, const void *x, int64_t i)
{
    return t == DT_F64 ? ((const double *)x)[i] : (double)((const float *)x)[i];
}

static void write_value(dt_dtype t, void *x, int64_t i, double value)
{
    if (t == DT_F64)
        ((double *)x)[i] = value;
    else
        ((float *)x)[i] = (float)value;
}

/* The inputs of a run in type t and, rounded to it, as doubles; and what naive loops make of them. */
typedef struct run_data {
    case_sizes sizes;
    void *in[CASE_INPUTS], *out[CASE_OUTPUTS], *first[CASE_OUTPUTS], *scratch;
    double *exact_in[CASE_INPUTS], *exact_out[CASE_OUTPUTS];
} run_data;

static void fill_input(const kernel_case *c, dt_dtype t, run_data *r, int i, bool with_nan)
{
    int64_t n = r->sizes.in[i];
    r->in[i] = allocate(n * 8);
    r->exact_in[i] = allocate(n * 8);
    for (int64_t e = 0; e < n; e++) {
        double u = dt_random_uniform(7, DT_PURPOSE_SYNTHETIC, (uint64_t)i, 0, (uint64_t)e);
        double value = c->positive ? 0.5 + 1.5 * u : 4 * u - 2;
        if (with_nan && i == 0 && e == 2 * n / 3) value = NAN;
        write_value(t, r->in[i], e, value);
        r->exact_in[i][e] = read_value(t, r->in[i], e);
    }
}

static run_data prepare(const kernel_case *c, const int64_t *d, dt_dtype t, bool with_nan)
{
    run_data r = {0};
    c->size(d, t, 5, &r.sizes);
    r.scratch = allocate(r.sizes.scratch);
    for (int i = 0; i < r.sizes.inputs; i++) fill_input(c, t, &r, i, with_nan);
    for (int i = 0; i < r.sizes.outputs; i++) {
        r.out[i] = allocate(r.sizes.out[i] * 8);
        r.first[i] = allocate(r.sizes.out[i] * 8);
        r.exact_out[i] = allocate(r.sizes.out[i] * 8);
        for (int64_t e = 0; e < r.sizes.out[i]; e++) r.exact_out[i][e] = 0;
    }
    c->expect(d, r.exact_in, r.exact_out);
    return r;
}

static void release(run_data *r)
{
    free(r->scratch);
    for (int i = 0; i < r->sizes.inputs; i++) free(r->in[i]), free(r->exact_in[i]);
    for (int i = 0; i < r->sizes.outputs; i++) free(r->out[i]), free(r->first[i]), free(r->exact_out[i]);
}

static void compare(const kernel_case *c, const kernel_call *call, const run_data *r, int output, int shape,
                    bool with_nan)
{
    double most = 0.1, tolerance = call->t == DT_F64 ? 1e-12 : 1e-5; /* 0.1: sums may nearly cancel */
    for (int64_t e = 0; e < r->sizes.out[output]; e++) most = fmax(most, fabs(r->exact_out[output][e]));
    if (r->sizes.adds[output]) most += 0.25;
    for (int64_t e = 0; e < r->sizes.out[output]; e++) {
        double want = r->exact_out[output][e] + (r->sizes.adds[output] ? 0.25 : 0);
        double got = read_value(call->t, call->out[output], e);
        if (isnan(want) ? isnan(got) : got == want || fabs(got - want) <= tolerance * most) continue;
        if (isnan(got) && with_nan && c->nan_spreads) continue;
        fail_msg("%s (%s, %s), shape %d, output %d, element %lld: %.17g, not %.17g", c->name, call->set->name,
                 dt_dtype_name(call->t), shape, output, (long long)e, got, want);
    }
}

/* One call into poisoned outputs; with more than one thread it must repeat the bits of the first. */
static void run_once(const kernel_case *c, kernel_call *call, run_data *r, int shape, bool with_nan)
{
    for (int i = 0; i < r->sizes.inputs; i++) call->in[i] = r->in[i];
    for (int i = 0; i < r->sizes.outputs; i++) {
        call->out[i] = r->out[i];
        for (int64_t e = 0; e < r->sizes.out[i]; e++) write_value(call->t, r->out[i], e, r->sizes.adds[i] ? 0.25 : NAN);
    }
    memset(r->scratch, 0xff, (size_t)r->sizes.scratch); /* NaN in both types */
    call->scratch = r->scratch;
    c->call(c->shapes[shape], call);
    for (int i = 0; i < r->sizes.outputs; i++) {
        size_t bytes = (size_t)r->sizes.out[i] * dt_dtype_size(call->t);
        compare(c, call, r, i, shape, with_nan);
        if (call->threads == 1)
            memcpy(r->first[i], r->out[i], bytes);
        else if (memcmp(r->first[i], r->out[i], bytes) != 0)
            fail_msg("%s (%s, %s), shape %d, output %d differs with %d threads", c->name, call->set->name,
                     dt_dtype_name(call->t), shape, i, call->threads);
    }
}

static void run_threads(const kernel_case *c, const dt_kernels *set, dt_dtype t, int shape, bool with_nan)
{
    run_data r = prepare(c, c->shapes[shape], t, with_nan);
    for (size_t i = 0; i < sizeof thread_counts / sizeof thread_counts[0]; i++) {
        kernel_call call = {.set = set, .t = t, .threads = thread_counts[i]};
        assert_int_equal(dt_pool_create(call.threads, &call.queue.pool), DT_OK);
        run_once(c, &call, &r, shape, with_nan);
        dt_pool_free(call.queue.pool);
    }
    release(&r);
}

void kernel_case_run(const kernel_case *c)
{
    for (size_t s = 0; s < sizeof set_names / sizeof set_names[0]; s++) {
        const dt_kernels *set = dt_cpu_kernels_named(set_names[s]);
        if (!set) continue;
        for (int shape = 0; shape < CASE_SHAPES && c->shapes[shape][0] != 0; shape++)
            for (int run = 0; run < 4; run++) run_threads(c, set, run & 1 ? DT_F64 : DT_F32, shape, run >= 2);
    }
}
