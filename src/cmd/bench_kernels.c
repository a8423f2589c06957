/* The kernels of a device one by one: each is checked against the CPU in float64 and then timed, beside a copy of as
 * many bytes and a large matrix product. Inputs are the same numbers on both sides, and every output may differ by no
 * more than a bound, measured by the largest value of the float64 one. On a GPU the check takes some thousand rows, for
 * which the CPU needs no minutes, and timing takes all. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cmd/bench_trial.h"

enum {
    LEAST_REPEATS = 3, MOST_REPEATS = 200, /* of calls on the CPU */
    REPLAYS = 15, MOST_LAUNCHES = 1000,    /* of recordings on a GPU, and in one of them */
    CHECKED_ROWS = 1024, CHECKED_PARAMETERS = 1 << 20,
    ROOF_SIDE = 8192
};
static const double target_seconds = 0.2, recording_seconds = 0.01;

typedef struct precision {
    dt_dtype type;
    const char *name;
    double bound;
    bool coarse; /* inputs are numbers that the type holds exactly */
} precision;
static const precision single = {DT_F32, "float32", 2e-5, false}, narrow = {DT_BF16, "bfloat16", 2e-2, true};

/* ViT-S/16 at 224 x 224, 16 images, and AdamW over a block's matrices; ViT-B/16 with 256 images, and AdamW over 100
 * million parameters; rows of 4096 channels, which norms take alone; a language model of GPT-2's size; the attention of
 * one of seven billion parameters, with a head of keys and values for each head and for each four. */
static const dt_bench_shapes vit_s = {.of = DT_BENCH_IMAGES, .batch = 16, .tokens = 196, .channels = 384, .heads = 6,
                                      .kv_heads = 6, .hidden = 1536, .classes = 1000,
                                      .parameters = 4 * 384 * 384 + 2 * 384 * 1536};
static const dt_bench_shapes vit_b = {.of = DT_BENCH_IMAGES, .batch = 256, .tokens = 197, .channels = 768,
                                      .heads = 12, .kv_heads = 12, .hidden = 3072, .classes = 1000,
                                      .parameters = 100000000};
static const dt_bench_shapes wide_rows = {.of = DT_BENCH_ROWS, .batch = 65536, .tokens = 1, .channels = 4096};
static const dt_bench_shapes text = {.of = DT_BENCH_TEXT, .batch = 32, .tokens = 1024, .channels = 768, .heads = 12,
                                     .kv_heads = 12, .hidden = 2048, .classes = 50304, .parameters = 162000000};
static const dt_bench_shapes wide_heads = {.of = DT_BENCH_HEADS, .batch = 4, .tokens = 4096, .channels = 4096,
                                           .heads = 32, .kv_heads = 32};
static const dt_bench_shapes shared_heads = {.of = DT_BENCH_HEADS, .batch = 4, .tokens = 4096, .channels = 4096,
                                             .heads = 32, .kv_heads = 8};

typedef struct bench {
    dt_device *device, *cpu; /* the same one on the CPU */
    dt_roof roof;            /* bytes: on the CPU alone */
} bench;

static bool on_cpu(const bench *b) { return b->device == b->cpu; }

/* --- checking --- */

static int64_t at_most(int64_t a, int64_t b) { return a < b ? a : b; }

static dt_bench_shapes checked_shapes(const bench *b, const dt_bench_shapes *timed)
{
    dt_bench_shapes s = *timed;
    if (on_cpu(b)) return s;
    if (s.of != DT_BENCH_IMAGES) s.tokens = at_most(s.tokens, CHECKED_ROWS);
    int64_t samples = CHECKED_ROWS / s.tokens;
    s.batch = at_most(s.batch, samples ? samples : 1);
    s.parameters = at_most(s.parameters, CHECKED_PARAMETERS);
    return s;
}

static dt_status compare(dt_bench_trial *t, dt_bench_trial *exact, const dt_bench_case *c, double *error)
{
    DT_TRY(dt_bench_trial_run(t, c));
    DT_TRY(dt_bench_trial_run(exact, c));
    return dt_bench_trial_error(t, exact, error);
}

static dt_status check_case(const bench *b, const dt_bench_case *c, const dt_bench_shapes *timed, const precision *p,
                            double *error)
{
    dt_bench_shapes shapes = checked_shapes(b, timed);
    dt_bench_trial t, exact;
    DT_TRY(dt_bench_trial_open(b->device, &shapes, p->type, p->coarse, &t));
    DT_TRY(dt_bench_trial_open(b->cpu, &shapes, DT_F64, p->coarse, &exact));
    dt_status status = compare(&t, &exact, c, error);
    dt_bench_trial_close(&t);
    dt_bench_trial_close(&exact);
    return status;
}

/* --- timing --- */

static dt_status time_call(dt_bench_trial *t, const dt_bench_case *c, double *seconds)
{
    double start = dt_clock();
    DT_TRY(dt_bench_trial_run(t, c));
    DT_TRY(dt_device_sync(t->device, DT_STREAM_COMPUTE));
    *seconds = dt_clock() - start;
    return DT_OK;
}

static dt_status time_calls(dt_bench_trial *t, const dt_bench_case *c, double *median)
{
    double seconds[MOST_REPEATS], total = 0;
    int count = 0;
    while (count < MOST_REPEATS && (count < LEAST_REPEATS || total < target_seconds)) {
        DT_TRY(time_call(t, c, &seconds[count]));
        total += seconds[count++];
    }
    *median = dt_median(seconds, count);
    return DT_OK;
}

static dt_status record(dt_bench_trial *t, const dt_bench_case *c, int launches, dt_recording **out)
{
    dt_status status = DT_OK;
    DT_TRY(dt_recording_begin(t->device));
    for (int i = 0; i < launches && !status; i++) status = dt_bench_trial_run(t, c);
    if (!status) return dt_recording_end(t->device, out);
    dt_recording_cancel(t->device);
    return status;
}

/* The first replay, which may load things, is not counted. */
static dt_status time_replays(dt_device *device, dt_recording *recording, double *median)
{
    double seconds[REPLAYS + 1];
    for (int i = 0; i <= REPLAYS; i++) {
        double start = dt_clock();
        DT_TRY(dt_recording_run(device, recording));
        DT_TRY(dt_device_sync(device, DT_STREAM_COMPUTE));
        seconds[i] = dt_clock() - start;
    }
    *median = dt_median(seconds + 1, REPLAYS);
    return DT_OK;
}

/* One launch's share of a recording of so many that starting and waiting for it do not count. */
static dt_status time_recorded(dt_bench_trial *t, const dt_bench_case *c, double *median)
{
    double once = 0, all = 0;
    dt_recording *recording = NULL;
    DT_TRY(time_call(t, c, &once));
    int launches = (int)fmin(MOST_LAUNCHES, fmax(1, recording_seconds / once));
    DT_TRY(record(t, c, launches, &recording));
    dt_status status = time_replays(t->device, recording, &all);
    dt_recording_free(t->device, recording);
    if (!status) *median = all / launches;
    return status;
}

typedef struct timing {
    double seconds, flops, bytes; /* of one call */
} timing;

static dt_status time_case(const bench *b, const dt_bench_case *c, const dt_bench_shapes *shapes, const precision *p,
                           timing *out)
{
    dt_bench_trial t;
    double first;
    DT_TRY(dt_bench_trial_open(b->device, shapes, p->type, p->coarse, &t));
    dt_status status = time_call(&t, c, &first); /* makes the arrays */
    if (!status)
        status = dt_device_records(b->device) ? time_recorded(&t, c, &out->seconds) : time_calls(&t, c, &out->seconds);
    out->flops = t.flops;
    out->bytes = t.bytes;
    dt_bench_trial_close(&t);
    return status;
}

/* --- roofs --- */

static dt_status measure_product(bench *b, const precision *p)
{
    const dt_bench_shapes square = {.batch = ROOF_SIDE, .tokens = 1, .channels = ROOF_SIDE, .hidden = ROOF_SIDE};
    timing product;
    if (on_cpu(b)) return dt_roof_measure(dt_device_pool(b->cpu), dt_kernels_of(DT_CPU), &b->roof);
    DT_TRY(time_case(b, dt_bench_product, &square, p, &product));
    b->roof.flops = product.flops / product.seconds;
    return DT_OK;
}

/* How long a copy takes that moves as many bytes, read and written. */
static dt_status copy_seconds(const bench *b, double bytes, const precision *p, double *seconds)
{
    timing copy;
    *seconds = bytes / b->roof.bytes;
    if (on_cpu(b)) return DT_OK;
    const dt_bench_shapes many = {.parameters = (int64_t)(bytes / 2 / (double)dt_dtype_size(p->type)) + 1};
    DT_TRY(time_case(b, &dt_bench_copy, &many, p, &copy));
    *seconds = copy.seconds * bytes / copy.bytes;
    return DT_OK;
}

/* --- telling --- */

static void print_row(const bench *b, const dt_bench_case *c, const timing *t, double copy, double error)
{
    double least = fmax(t->flops / b->roof.flops, copy);
    printf("%-28s %9.4f %9.1f %8.1f %7.0f %7.0f   %.1e\n", c->name, 1e3 * t->seconds, 1e-9 * t->flops / t->seconds,
           1e-9 * t->bytes / t->seconds, 100 * least / t->seconds, 100 * copy / t->seconds, error);
    fflush(stdout);
}

static dt_status bench_case(const bench *b, const dt_bench_case *c, const dt_bench_shapes *shapes, const precision *p)
{
    double error = NAN, copy = NAN;
    timing t = {0};
    dt_status status = check_case(b, c, shapes, p, &error);
    if (!status) status = time_case(b, c, shapes, p, &t);
    if (!status) status = copy_seconds(b, t.bytes, p, &copy);
    if (status) return dt_fail_in(status, "%s in %s", c->name, p->name);
    print_row(b, c, &t, copy, error);
    if (error <= p->bound) return DT_OK;
    return dt_fail(DT_ERR_NUMERIC, "%s in %s differs from float64 by %.1e of its largest value, more than %.0e",
                   c->name, p->name, error, p->bound);
}

static void print_shapes(const dt_bench_shapes *s)
{
    printf("\n");
    if (s->of == DT_BENCH_ROWS)
        printf("%lld rows of %lld channels", (long long)(s->batch * s->tokens), (long long)s->channels);
    else
        printf("batch %lld, tokens %lld, channels %lld, heads %lld", (long long)s->batch, (long long)s->tokens,
               (long long)s->channels, (long long)s->heads);
    if (s->kv_heads != s->heads) printf(" on %lld of keys and values", (long long)s->kv_heads);
    if (s->of & (DT_BENCH_IMAGES | DT_BENCH_TEXT))
        printf(", hidden %lld, classes %lld; AdamW over %lld parameters", (long long)s->hidden, (long long)s->classes,
               (long long)s->parameters);
    printf("\n");
    printf("%-28s %9s %9s %8s %7s %7s   error against float64\n", "kernel", "ms", "GFLOP/s", "GB/s", "roof %",
           "copy %");
}

static dt_status bench_shapes(const bench *b, const dt_bench_shapes *shapes, const precision *p)
{
    const dt_bench_case *const lists[] = {dt_bench_cases, dt_bench_text_cases};
    print_shapes(shapes);
    for (size_t l = 0; l < sizeof lists / sizeof *lists; l++)
        for (const dt_bench_case *c = lists[l]; c->name; c++)
            if (c->of & shapes->of) DT_TRY(bench_case(b, c, shapes, p));
    return DT_OK;
}

static dt_status print_head(const bench *b, const precision *p)
{
    dt_device_info info;
    DT_TRY(dt_device_query(b->device, &info));
    printf("kernels %s, ", dt_kernels_of(dt_device_backend(b->device))->name);
    if (on_cpu(b)) printf("%d thread%s, %s\n", info.threads, info.threads == 1 ? "" : "s", p->name);
    else printf("%s, %s\n", info.name, p->name);
    if (on_cpu(b)) dt_roof_print(&b->roof);
    else
        printf("roof: %.0f GFLOP/s in a matrix product of %d x %d by as many, and a copy of as many bytes as a\n"
               "      kernel must move, both measured now in the same way\n", 1e-9 * b->roof.flops, ROOF_SIDE,
               ROOF_SIDE);
    return DT_OK;
}

static dt_status bench_precision(bench *b, const dt_bench_shapes *shapes, const precision *p)
{
    DT_TRY(measure_product(b, p));
    DT_TRY(print_head(b, p));
    if (shapes) return bench_shapes(b, shapes, p);
    if (on_cpu(b)) return bench_shapes(b, &vit_s, p);
    DT_TRY(bench_shapes(b, &vit_b, p));
    DT_TRY(bench_shapes(b, &wide_rows, p));
    DT_TRY(bench_shapes(b, &text, p));
    if (p->type == DT_F32) return DT_OK; /* which nobody would take at the next ones, and which takes long */
    DT_TRY(bench_shapes(b, &wide_heads, p));
    return bench_shapes(b, &shared_heads, p);
}

dt_status dt_bench_kernels(dt_backend backend, const dt_bench_shapes *shapes, int threads)
{
    bench b = {0};
    DT_TRY(dt_device_open(DT_CPU, 0, threads, &b.cpu));
    b.device = b.cpu;
    dt_status status = backend == DT_CPU ? DT_OK : dt_device_open(backend, 0, threads, &b.device);
    if (!status) status = bench_precision(&b, shapes, &single);
    if (!status && !on_cpu(&b)) {
        printf("\n");
        status = bench_precision(&b, shapes, &narrow);
    }
    if (!on_cpu(&b)) dt_device_close(b.device);
    dt_device_close(b.cpu);
    return status;
}
