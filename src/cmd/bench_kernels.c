/* The CPU kernels one by one. A case is one function: it asks for its arrays in order, says its work, and calls the
 * kernel. The same function runs in float32, which is timed, and in float64, which is the check: inputs are the same
 * numbers, and every output may differ by no more than a bound, measured by the largest value of the float64 one. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/bench.h"

enum { MOST_ARRAYS = 12, LEAST_REPEATS = 3, MOST_REPEATS = 200 };
static const double target_seconds = 0.2, bound = 2e-5;

typedef struct array {
    int64_t count;
    bool output;
    void *data;
} array;

/* One case in one type. */
typedef struct trial {
    const dt_kernels *kernels;
    dt_queue queue;
    dt_device_info device;
    dt_bench_shapes shape;
    dt_dtype type;
    array arrays[MOST_ARRAYS];
    int made, asked; /* arrays there are, arrays that this call asked for so far */
    size_t lacking;  /* bytes that an array could not have; 0: all are there */
    double flops, elements; /* of the declared work: elements read and written */
} trial;

/* --- what cases ask for --- */

/* Uniform numbers, float32 in both types; a linear congruential generator is good enough here, and fast. */
static void fill(const trial *t, array *a, uint64_t seed, double low, double high)
{
    for (int64_t i = 0; i < a->count; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        float value = (float)(low + (high - low) * 0x1p-31 * (double)(seed >> 33));
        if (t->type == DT_F32) ((float *)a->data)[i] = value;
        else ((double *)a->data)[i] = value;
    }
}

static void *ask(trial *t, int64_t count, bool output, double low, double high)
{
    if (t->asked < t->made) return t->arrays[t->asked++].data;
    array *a = &t->arrays[t->made++];
    size_t bytes = (size_t)count * dt_dtype_size(t->type);
    *a = (array){count, output, malloc(bytes)};
    t->asked = t->made;
    if (a->data) fill(t, a, (uint64_t)t->made, low, high);
    else t->lacking = bytes;
    return a->data;
}

/* Uniform in [-1, 1); outputs start so too, for kernels that update them. */
static void *in(trial *t, int64_t count) { return ask(t, count, false, -1, 1); }
static void *out(trial *t, int64_t count) { return ask(t, count, true, -1, 1); }
static void *positive(trial *t, int64_t count) { return ask(t, count, false, 0.5, 1.5); }
/* Memory that is no result. */
static void *scratch(trial *t, int64_t bytes)
{
    return ask(t, bytes / (int64_t)dt_dtype_size(t->type) + 1, false, 0, 0);
}

/* Declares the work; false when an array could not be had. */
static bool work(trial *t, double flops, double elements)
{
    t->flops = flops;
    t->elements = elements;
    return !t->lacking;
}

static int64_t rows(const trial *t) { return t->shape.batch * t->shape.tokens; }

/* --- cases --- */

static void product(trial *t, int64_t n, int64_t k, bool transpose_a, bool transpose_b, dt_activation act)
{
    int64_t m = rows(t);
    if (transpose_a) m = t->shape.channels, k = rows(t); /* a weight's gradient */
    dt_matmul_args p = {.m = m, .n = n, .k = k, .transpose_a = transpose_a, .transpose_b = transpose_b, .act = act};
    p.a = in(t, m * k);
    p.b = in(t, k * n);
    p.c = out(t, m * n);
    if (act) p.bias = in(t, n), p.pre = out(t, m * n);
    if (!work(t, 2.0 * (double)m * (double)n * (double)k, (double)(m * k + k * n + m * n * (act ? 2 : 1)))) return;
    t->kernels->matmul(&t->queue, t->type, &p);
}
static void linear(trial *t) { product(t, t->shape.hidden, t->shape.channels, false, true, DT_ACT_NONE); }
static void linear_gelu(trial *t) { product(t, t->shape.hidden, t->shape.channels, false, true, DT_ACT_GELU); }
static void linear_input_grad(trial *t) { product(t, t->shape.channels, t->shape.hidden, false, false, DT_ACT_NONE); }
static void linear_weight_grad(trial *t) { product(t, t->shape.hidden, 0, true, false, DT_ACT_NONE); }

static void column_sum(trial *t)
{
    int64_t n = t->shape.hidden;
    const void *x = in(t, rows(t) * n);
    void *y = out(t, n), *room = scratch(t, t->kernels->column_sum_scratch(&t->device, t->type, rows(t), n));
    if (!work(t, (double)(rows(t) * n), (double)(rows(t) * n + n))) return;
    t->kernels->column_sum(&t->queue, t->type, rows(t), n, x, y, false, room);
}

static void add(trial *t)
{
    int64_t n = rows(t) * t->shape.channels;
    const void *a = in(t, n), *b = in(t, n);
    void *y = out(t, n);
    if (work(t, (double)n, 3.0 * (double)n)) t->kernels->add(&t->queue, t->type, n, a, b, y);
}

static void gelu(trial *t)
{
    int64_t n = rows(t) * t->shape.hidden;
    const void *x = in(t, n);
    void *y = out(t, n);
    if (work(t, 12.0 * (double)n, 2.0 * (double)n)) t->kernels->gelu(&t->queue, t->type, DT_ACT_GELU, n, x, y);
}

static void gelu_grad(trial *t)
{
    int64_t n = rows(t) * t->shape.hidden;
    const void *x = in(t, n), *dy = in(t, n);
    void *dx = out(t, n);
    if (work(t, 20.0 * (double)n, 3.0 * (double)n)) t->kernels->gelu_grad(&t->queue, t->type, DT_ACT_GELU, n, x, dy, dx);
}

static void row_norm(trial *t, bool center)
{
    int64_t c = t->shape.channels, n = rows(t) * c;
    dt_row_norm_args p = {.rows = rows(t), .channels = c, .center = center, .epsilon = 1e-6};
    p.x = in(t, n), p.residual = in(t, n), p.gamma = in(t, c), p.beta = center ? in(t, c) : NULL;
    p.sum = out(t, n), p.y = out(t, n), p.mean = center ? out(t, rows(t)) : NULL, p.rstd = out(t, rows(t));
    if (work(t, 9.0 * (double)n, 4.0 * (double)n)) t->kernels->row_norm(&t->queue, t->type, &p);
}
static void layer_norm(trial *t) { row_norm(t, true); }
static void rms_norm(trial *t) { row_norm(t, false); }

static void layer_norm_grad(trial *t)
{
    int64_t c = t->shape.channels, n = rows(t) * c;
    dt_row_norm_grad_args p = {.rows = rows(t), .channels = c, .center = true};
    p.x = in(t, n), p.gamma = in(t, c), p.mean = in(t, rows(t)), p.rstd = positive(t, rows(t)), p.dy = in(t, n);
    p.dx = out(t, n), p.dgamma = out(t, c), p.dbeta = out(t, c);
    p.scratch = scratch(t, t->kernels->row_norm_grad_scratch(&t->device, t->type, rows(t), c));
    if (work(t, 14.0 * (double)n, 3.0 * (double)n)) t->kernels->row_norm_grad(&t->queue, t->type, &p);
}

static void dyt(trial *t)
{
    int64_t c = t->shape.channels, n = rows(t) * c;
    dt_point_norm_args p = {.rows = rows(t), .channels = c, .kind = DT_POINTWISE_dyt};
    p.x = in(t, n), p.residual = in(t, n), p.alpha = positive(t, 1), p.gamma = in(t, c), p.beta = in(t, c);
    p.sum = out(t, n), p.y = out(t, n);
    if (work(t, 16.0 * (double)n, 4.0 * (double)n)) t->kernels->point_norm(&t->queue, t->type, &p);
}

static void dyt_grad(trial *t)
{
    int64_t c = t->shape.channels, n = rows(t) * c;
    dt_point_norm_grad_args p = {.rows = rows(t), .channels = c, .kind = DT_POINTWISE_dyt};
    p.x = in(t, n), p.alpha = positive(t, 1), p.gamma = in(t, c), p.dy = in(t, n), p.dsum = in(t, n);
    p.dx = out(t, n), p.dalpha = out(t, 1), p.dgamma = out(t, c), p.dbeta = out(t, c);
    p.scratch = scratch(t, t->kernels->point_norm_grad_scratch(&t->device, t->type, rows(t), c));
    if (work(t, 22.0 * (double)n, 4.0 * (double)n)) t->kernels->point_norm_grad(&t->queue, t->type, &p);
}

static dt_attention_args attention_arrays(trial *t)
{
    const dt_bench_shapes *s = &t->shape;
    int64_t n = rows(t) * s->channels, size = s->channels / s->heads;
    dt_attention_args p = {.batch = s->batch, .tokens = s->tokens, .heads = s->heads, .size = size};
    p.scale = 1 / sqrt((double)size);
    p.qkv = in(t, 3 * n), p.out = out(t, n), p.lse = out(t, s->batch * s->heads * s->tokens);
    return p;
}

/* of one of the products q k^T and p v */
static double attention_flops(const trial *t)
{
    return 2.0 * (double)rows(t) * (double)t->shape.tokens * (double)t->shape.channels;
}

static void attention(trial *t)
{
    dt_attention_args p = attention_arrays(t);
    p.scratch = scratch(t, t->kernels->attention_scratch(&t->device, t->type, &p));
    if (!work(t, 2 * attention_flops(t), 4.0 * (double)(rows(t) * t->shape.channels))) return;
    t->kernels->attention(&t->queue, t->type, &p);
}

/* The backward pass reads what the forward pass has put into out and lse, so both are run and told as work. */
static void attention_both(trial *t)
{
    dt_attention_args p = attention_arrays(t);
    int64_t n = rows(t) * t->shape.channels;
    int64_t forward = t->kernels->attention_scratch(&t->device, t->type, &p);
    int64_t backward = t->kernels->attention_grad_scratch(&t->device, t->type, &p);
    p.dout = in(t, n), p.dqkv = out(t, 3 * n);
    p.scratch = scratch(t, forward > backward ? forward : backward);
    if (!work(t, 7 * attention_flops(t), 12.0 * (double)n)) return;
    t->kernels->attention(&t->queue, t->type, &p);
    t->kernels->attention_grad(&t->queue, t->type, &p);
}

static void softmax_xent(trial *t)
{
    int64_t b = t->shape.batch * 8, v = t->shape.classes, n = b * v; /* a few rows more, to be measurable */
    const void *x = in(t, n), *target = positive(t, n), *weight = positive(t, b);
    void *prob = out(t, n), *loss = out(t, 1), *room = scratch(t, t->kernels->reduce_scratch(&t->device, b));
    if (!work(t, 12.0 * (double)n, 3.0 * (double)n)) return;
    t->kernels->softmax_xent(&t->queue, t->type, b, v, x, target, weight, prob, loss, room);
}

/* Over as many elements as a block's matrices have. */
static void adamw(trial *t)
{
    static const double one = 1, lr = 1e-3, correction = 0.1;
    static const int32_t finite = 1;
    int64_t n = 4 * t->shape.channels * t->shape.channels + 2 * t->shape.channels * t->shape.hidden;
    const dt_segment_span span = {.count = n, .lr_scale = 1, .decay = 1};
    dt_update_args p = {.count = n, .spans = &span, .span_count = 1, .scale = &one, .finite = &finite, .lr = &lr,
                       .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8, .weight_decay = 0.05,
                       .correction1 = &correction, .correction2 = &correction};
    p.grad = in(t, n), p.value = out(t, n), p.moment1 = out(t, n), p.moment2 = ask(t, n, true, 0.5, 1.5);
    if (work(t, 14.0 * (double)n, 7.0 * (double)n)) t->kernels->adamw(&t->queue, t->type, &p);
}

static const struct {
    const char *name;
    void (*run)(trial *);
} cases[] = {
    {"product", linear},
    {"product, bias, GELU", linear_gelu},
    {"product, input's gradient", linear_input_grad},
    {"product, weight's gradient", linear_weight_grad},
    {"column sum (bias gradient)", column_sum},
    {"add", add},
    {"GELU", gelu},
    {"GELU, gradient", gelu_grad},
    {"add, LayerNorm", layer_norm},
    {"LayerNorm, gradient", layer_norm_grad},
    {"add, RMSNorm", rms_norm},
    {"add, DyT", dyt},
    {"DyT, gradient", dyt_grad},
    {"attention", attention},
    {"attention, both passes", attention_both},
    {"softmax, cross-entropy", softmax_xent},
    {"AdamW", adamw},
};

/* --- running and telling --- */

static void run_case(size_t index, trial *t)
{
    t->asked = 0;
    cases[index].run(t);
}

static void free_arrays(trial *t)
{
    for (int i = 0; i < t->made; i++) free(t->arrays[i].data);
}

static double output_error(const array *single, const array *exact)
{
    const float *x = single->data;
    const double *y = exact->data;
    double most = 0, size = 0;
    for (int64_t i = 0; i < exact->count; i++) {
        double error = fabs((double)x[i] - y[i]);
        if (error > most || isnan(error)) most = error; /* a NaN stays: nothing is larger */
        if (fabs(y[i]) > size) size = fabs(y[i]);
    }
    return most == 0 ? 0 : most / size;
}

/* The largest over all outputs. */
static double case_error(const trial *single, const trial *exact)
{
    double most = 0;
    for (int i = 0; i < exact->made; i++) {
        if (!exact->arrays[i].output) continue;
        double error = output_error(&single->arrays[i], &exact->arrays[i]);
        if (error > most || isnan(error)) most = error;
    }
    return most;
}

static double time_case(size_t index, trial *t)
{
    double seconds[MOST_REPEATS], total = 0;
    int count = 0;
    while (count < MOST_REPEATS && (count < LEAST_REPEATS || total < target_seconds)) {
        double start = dt_clock();
        run_case(index, t);
        seconds[count] = dt_clock() - start;
        total += seconds[count++];
    }
    return dt_median(seconds, count);
}

static void print_case(size_t index, const trial *t, double seconds, double error, const dt_roof *roof)
{
    double bytes = t->elements * (double)dt_dtype_size(t->type);
    double least = fmax(t->flops / roof->flops, bytes / roof->bytes);
    printf("%-28s %9.3f %9.1f %8.1f %7.0f   %.1e\n", cases[index].name, 1e3 * seconds, 1e-9 * t->flops / seconds,
           1e-9 * bytes / seconds, 100 * least / seconds, error);
    fflush(stdout);
}

static dt_status bench_case(size_t index, const trial *base, const dt_roof *roof)
{
    trial single = *base, exact = *base;
    single.type = DT_F32;
    exact.type = DT_F64;
    run_case(index, &single);
    run_case(index, &exact);
    dt_status status = DT_OK;
    double error = NAN;
    if (single.lacking || exact.lacking)
        status = dt_fail_memory(single.lacking ? single.lacking : exact.lacking, cases[index].name);
    else error = case_error(&single, &exact);
    if (!status) print_case(index, &single, time_case(index, &single), error, roof);
    if (!status && !(error <= bound))
        status = dt_fail(DT_ERR_NUMERIC, "%s differs from float64 by %.1e of its largest value, more than %.0e",
                         cases[index].name, error, bound);
    free_arrays(&single);
    free_arrays(&exact);
    return status;
}

static void print_head(const trial *t, const dt_roof *roof)
{
    const dt_bench_shapes *s = &t->shape;
    printf("kernels %s, %d thread%s, float32; batch %lld, tokens %lld, channels %lld, heads %lld, hidden %lld, "
           "classes %lld\n", t->kernels->name, t->device.threads, t->device.threads == 1 ? "" : "s",
           (long long)s->batch, (long long)s->tokens, (long long)s->channels, (long long)s->heads,
           (long long)s->hidden, (long long)s->classes);
    dt_roof_print(roof);
    printf("\n");
    printf("%-28s %9s %9s %8s %7s   error against float64\n", "kernel", "ms", "GFLOP/s", "GB/s", "roof %");
}

static dt_status bench_all(const trial *t)
{
    dt_roof roof;
    DT_TRY(dt_roof_measure(t->queue.pool, t->kernels, &roof));
    print_head(t, &roof);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) DT_TRY(bench_case(i, t, &roof));
    return DT_OK;
}

dt_status dt_bench_kernels(const dt_bench_shapes *shapes, int threads)
{
    trial t = {.kernels = dt_cpu_kernels_best(), .shape = *shapes};
    DT_TRY(dt_pool_create(threads, &t.queue.pool));
    t.device.threads = dt_pool_threads(t.queue.pool);
    dt_status status = bench_all(&t);
    dt_pool_free(t.queue.pool);
    return status;
}
