/* Accuracy of exp, tanh, erf and GELU of every instruction set, swept through the kernels that use them, against the C
 * library in double; and how they and attention behave at infinities and NaN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "kernels/cpu/kernels.h"

static const char *const set_names[] = {"baseline", "x86-64-v3", "x86-64-v4"};

enum { POINTS = 200003 };

typedef struct sweep {
    const char *name;
    void (*apply)(const dt_kernels *, dt_dtype t, const void *x, void *y); /* POINTS elements */
    double (*exact)(double);
    double low, high;
    double float_error, double_error; /* relative, plus that of `floor` */
    double floor;
} sweep;

static const dt_queue no_pool = {0};

static void apply_point(const dt_kernels *set, dt_pointwise kind, dt_dtype t, const void *x, void *y)
{
    dt_point_norm_args p = {.rows = 1, .channels = POINTS, .kind = kind, .x = x, .y = y};
    set->point_norm(&no_pool, t, &p);
}

static void apply_tanh(const dt_kernels *set, dt_dtype t, const void *x, void *y)
{
    apply_point(set, DT_POINTWISE_dyt, t, x, y);
}

static void apply_erf(const dt_kernels *set, dt_dtype t, const void *x, void *y)
{
    apply_point(set, DT_POINTWISE_derf, t, x, y);
}

static void apply_sigmoid(const dt_kernels *set, dt_dtype t, const void *x, void *y)
{
    apply_point(set, DT_POINTWISE_sigmoid, t, x, y);
}

static void apply_isru(const dt_kernels *set, dt_dtype t, const void *x, void *y)
{
    apply_point(set, DT_POINTWISE_isru, t, x, y);
}

static void apply_gelu(const dt_kernels *set, dt_dtype t, const void *x, void *y)
{
    set->gelu(&no_pool, t, DT_ACT_GELU, POINTS, x, y);
}

static double sigmoid_of(double x) { return 1 / (1 + exp(-x)); }
static double isru_of(double x) { return x / sqrt(1 + x * x); }
static double gelu_of(double x) { return 0.5 * x * erfc(-x * M_SQRT1_2); }

static const sweep sweeps[] = {
    {"tanh", apply_tanh, tanh, -12, 12, 4e-7, 1e-15},
    {"tanh near 0", apply_tanh, tanh, -1e-3, 1e-3, 4e-7, 1e-15},
    {"erf", apply_erf, erf, -6, 6, 4e-7, 1e-15},
    {"erf near 0", apply_erf, erf, -1e-3, 1e-3, 4e-7, 1e-15},
    {"sigmoid, and so exp", apply_sigmoid, sigmoid_of, -86, 86, 4e-7, 1e-15},
    {"isru", apply_isru, isru_of, -50, 50, 4e-7, 1e-15},
    {"gelu", apply_gelu, gelu_of, -8, 8, 1e-6, 1e-14, 2},
};

static void check_sweep(const sweep *s, const dt_kernels *set, dt_dtype t)
{
    size_t size = dt_dtype_size(t);
    void *x = malloc(POINTS * size), *y = malloc(POINTS * size);
    assert_true(x && y);
    for (int i = 0; i < POINTS; i++) {
        double value = s->low + (s->high - s->low) * i / (POINTS - 1);
        if (t == DT_F64)
            ((double *)x)[i] = value;
        else
            ((float *)x)[i] = (float)value;
    }
    s->apply(set, t, x, y);
    for (int i = 0; i < POINTS; i++) {
        double at = t == DT_F64 ? ((double *)x)[i] : (double)((float *)x)[i], exact = s->exact(at);
        double got = t == DT_F64 ? ((double *)y)[i] : (double)((float *)y)[i];
        double bound = (t == DT_F64 ? s->double_error : s->float_error) * (fabs(exact) + s->floor);
        if (!(fabs(got - exact) <= bound))
            fail_msg("%s(%.9g) by %s in %s: %.17g, not %.17g", s->name, at, set->name, dt_dtype_name(t), got, exact);
    }
    free(x);
    free(y);
}

static void test_sweep(void **state)
{
    for (size_t i = 0; i < sizeof set_names / sizeof set_names[0]; i++) {
        const dt_kernels *set = dt_cpu_kernels_named(set_names[i]);
        if (!set) continue;
        check_sweep(*state, set, DT_F32);
        check_sweep(*state, set, DT_F64);
    }
}

/* f at -infinity, infinity and NaN; the slope, by the gradient with dy = 1, is 0, 0 and NaN. */
static void check_limits(const dt_kernels *set, dt_pointwise kind, double low)
{
    float x[3] = {-INFINITY, INFINITY, NAN}, ones[3] = {1, 1, 1}, y[3], dx[3], sums[5];
    char scratch[256];
    assert_true(dt_cpu_point_norm_grad_scratch(NULL, DT_F32, 1, 3) <= (int64_t)sizeof scratch);
    dt_point_norm_args forward = {.rows = 1, .channels = 3, .kind = kind, .x = x, .y = y};
    dt_point_norm_grad_args backward = {.rows = 1, .channels = 3, .kind = kind, .x = x, .dy = ones, .dx = dx,
                                       .dalpha = sums, .scratch = scratch};
    set->point_norm(&no_pool, DT_F32, &forward);
    set->point_norm_grad(&no_pool, DT_F32, &backward);
    if (y[0] != (float)low || y[1] != 1 || !isnan(y[2]) || dx[0] != 0 || dx[1] != 0 || !isnan(dx[2]))
        fail_msg("kind %d by %s: f %g %g %g, slope %g %g %g", (int)kind, set->name, (double)y[0], (double)y[1],
                 (double)y[2], (double)dx[0], (double)dx[1], (double)dx[2]);
}

static void test_limits(void **state)
{
    for (size_t i = 0; i < sizeof set_names / sizeof set_names[0]; i++) {
        const dt_kernels *set = dt_cpu_kernels_named(set_names[i]);
        if (!set) continue;
        check_limits(set, DT_POINTWISE_dyt, -1);
        check_limits(set, DT_POINTWISE_hardtanh, -1);
        check_limits(set, DT_POINTWISE_sigmoid, 0);
        check_limits(set, DT_POINTWISE_derf, -1);
        check_limits(set, DT_POINTWISE_isru, -1);
    }
}

/* A score of minus infinity has probability 0. */
static void test_masked_scores(void **state)
{
    for (size_t i = 0; i < sizeof set_names / sizeof set_names[0]; i++) {
        const dt_kernels *set = dt_cpu_kernels_named(set_names[i]);
        if (!set) continue;
        float x[3] = {0, -INFINITY, 0}, target[3] = {0.5f, 0, 0.5f}, weight = 1, prob[3], loss;
        double scratch[8];
        set->softmax_xent(&no_pool, DT_F32, 1, 3, x, target, &weight, prob, &loss, scratch);
        assert_true(prob[0] == 0.5f && prob[1] == 0 && prob[2] == 0.5f);
    }
}

enum { TOKENS = 150, SIZE = 5 }; /* two tiles, rows and columns to spare */

/* Are these columns of qkv or its gradient finite in the rows from `first` to `end`, and not in row `bad`? */
static bool is_finite_but(const float *x, int stride, int column, int count, int first, int end, int bad)
{
    for (int i = first; i < end; i++)
        for (int e = column; e < column + count; e++)
            if (!isfinite(x[i * stride + e])) return false;
    return isnan(x[bad * stride + column]);
}

static void spoil(float *row, int first, int count)
{
    for (int e = first; e < first + count; e++) row[e] = NAN;
}

/* Causal attention over TOKENS, both ways, where the rows `late` of k and v and `early` of q and dout are NaN. */
static void attend(const dt_kernels *set, const int32_t *starts, int late, int early, float *out, float *dqkv)
{
    static float qkv[TOKENS * 3 * SIZE], dout[TOKENS * SIZE], lse[TOKENS];
    for (int i = 0; i < TOKENS * 3 * SIZE; i++) qkv[i] = (float)(i % 7) - 3;
    for (int i = 0; i < TOKENS * SIZE; i++) dout[i] = (float)(i % 5) - 2;
    if (late >= 0) spoil(qkv + late * 3 * SIZE, SIZE, 2 * SIZE);
    if (early >= 0) spoil(qkv + early * 3 * SIZE, 0, SIZE), spoil(dout + early * SIZE, 0, SIZE);
    dt_attention_args p = {.batch = 1, .tokens = TOKENS, .heads = 1, .kv_heads = 1, .size = SIZE, .causal = true,
                           .documents = starts != NULL, .starts = starts, .scale = 0.5, .qkv = qkv, .out = out,
                           .lse = lse, .dout = dout, .dqkv = dqkv};
    const dt_device_info info = {.threads = 1};
    int64_t forward = dt_cpu_attention_scratch(&info, DT_F32, &p);
    int64_t backward = dt_cpu_attention_grad_scratch(&info, DT_F32, &p);
    p.scratch = malloc((size_t)(forward > backward ? forward : backward));
    assert_non_null(p.scratch);
    set->attention(&no_pool, DT_F32, &p);
    set->attention_grad(&no_pool, DT_F32, &p);
    free(p.scratch);
}

/* A later token that is not finite reaches no earlier row, and a row's gradient no later key. */
static void test_causal_nan(void **state)
{
    static float out[TOKENS * SIZE], dqkv[TOKENS * 3 * SIZE];
    for (size_t i = 0; i < sizeof set_names / sizeof set_names[0]; i++) {
        const dt_kernels *set = dt_cpu_kernels_named(set_names[i]);
        if (!set) continue;
        for (int bad = 0; bad < TOKENS; bad++) {
            attend(set, NULL, bad, -1, out, dqkv);
            assert_true(is_finite_but(out, SIZE, 0, SIZE, 0, bad, bad));
            assert_true(is_finite_but(dqkv, 3 * SIZE, 0, SIZE, 0, bad, bad));
            attend(set, NULL, -1, bad, out, dqkv);
            assert_true(is_finite_but(dqkv, 3 * SIZE, SIZE, 2 * SIZE, bad + 1, TOKENS, bad));
        }
    }
}

/* Nor does one reach other documents. */
static void test_document_nan(void **state)
{
    static const int begins[] = {0, 1, 37, 40, 129, TOKENS};
    static float out[TOKENS * SIZE], dqkv[TOKENS * 3 * SIZE];
    int32_t starts[TOKENS];
    for (int d = 0; begins[d] < TOKENS; d++)
        for (int t = begins[d]; t < begins[d + 1]; t++) starts[t] = begins[d];
    for (size_t i = 0; i < sizeof set_names / sizeof set_names[0]; i++) {
        const dt_kernels *set = dt_cpu_kernels_named(set_names[i]);
        for (int d = 0; set && begins[d] < TOKENS; d++) {
            int bad = begins[d];
            attend(set, starts, bad, bad, out, dqkv);
            assert_true(is_finite_but(out, SIZE, 0, SIZE, 0, bad, bad));
            assert_true(is_finite_but(out, SIZE, 0, SIZE, begins[d + 1], TOKENS, bad));
            assert_true(is_finite_but(dqkv, 3 * SIZE, 0, 3 * SIZE, 0, bad, bad));
            assert_true(is_finite_but(dqkv, 3 * SIZE, 0, 3 * SIZE, begins[d + 1], TOKENS, bad));
        }
    }
}

static void test_names(void **state)
{
    assert_non_null(dt_cpu_kernels_named("baseline"));
    assert_null(dt_cpu_kernels_named("x86-64-v5"));
    assert_ptr_equal(dt_cpu_kernels_named(dt_cpu_kernels_best()->name), dt_cpu_kernels_best());
}

int main(void)
{
    enum { SWEEPS = sizeof sweeps / sizeof sweeps[0] };
    struct CMUnitTest tests[SWEEPS + 5];
    for (int i = 0; i < SWEEPS; i++)
        tests[i] = (struct CMUnitTest){.name = sweeps[i].name, .test_func = test_sweep,
                                       .initial_state = (void *)&sweeps[i]};
    tests[SWEEPS] = (struct CMUnitTest)cmocka_unit_test(test_limits);
    tests[SWEEPS + 1] = (struct CMUnitTest)cmocka_unit_test(test_masked_scores);
    tests[SWEEPS + 2] = (struct CMUnitTest)cmocka_unit_test(test_causal_nan);
    tests[SWEEPS + 3] = (struct CMUnitTest)cmocka_unit_test(test_names);
    tests[SWEEPS + 4] = (struct CMUnitTest)cmocka_unit_test(test_document_nan);
    return _cmocka_run_group_tests("functions", tests, SWEEPS + 5, NULL, NULL);
}
