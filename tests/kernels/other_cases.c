/* Element-wise kernels, reductions, images, tokens, drops and updates. */
#include <math.h>
#include <string.h>

#include "base/random.h"
#include "kernel_case.h"

/* d = n. out: a + b, -0.75 a, a copy, the sum, add in place. */
static void element_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    *s = (case_sizes){.inputs = 2, .outputs = 5, .in = {d[0], d[0]}, .out = {d[0], d[0], d[0], 1, d[0]},
                      .scratch = dt_cpu_reduce_scratch(NULL, d[0])};
}

static void element_call(const int64_t *d, const kernel_call *c)
{
    c->set->add(&c->queue, c->t, false, d[0], c->in[0], c->in[1], c->out[0]);
    c->set->scale(&c->queue, c->t, d[0], -0.75, c->in[0], c->out[1]);
    c->set->copy(&c->queue, d[0] * (int64_t)dt_dtype_size(c->t), c->in[0], c->out[2]);
    c->set->sum(&c->queue, c->t, d[0], c->in[0], c->out[3], c->scratch);
    c->set->copy(&c->queue, d[0] * (int64_t)dt_dtype_size(c->t), c->in[1], c->out[4]);
    c->set->add(&c->queue, c->t, false, d[0], c->in[0], c->out[4], c->out[4]);
}

static void element_expect(const int64_t *d, double *const *in, double **out)
{
    for (int64_t i = 0; i < d[0]; i++) {
        out[0][i] = out[4][i] = in[0][i] + in[1][i];
        out[1][i] = -0.75 * in[0][i];
        out[2][i] = in[0][i];
        out[3][0] += in[0][i];
    }
}

/* Casts, d = n: through each type and back, so that what is left is what the narrowest holds. */
static void cast_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    *s = (case_sizes){.inputs = 1, .outputs = 3, .in = {1}, .out = {d[0], d[0], d[0]}, .scratch = 8 * d[0]};
}

static void cast_call(const int64_t *d, const kernel_call *c)
{
    uint8_t bytes[256];
    for (int64_t i = 0; i < d[0]; i++) bytes[i] = (uint8_t)(i * 3);
    c->set->cast(&c->queue, DT_U8, c->t, d[0], bytes, c->out[0]);
    c->set->cast(&c->queue, c->t, DT_I32, d[0], c->out[0], c->scratch);
    c->set->cast(&c->queue, DT_I32, c->t, d[0], c->scratch, c->out[1]);
    c->set->cast(&c->queue, c->t, DT_F64, d[0], c->out[1], c->scratch);
    c->set->cast(&c->queue, DT_F64, c->t, d[0], c->scratch, c->out[2]);
}

static void cast_expect(const int64_t *d, double *const *in, double **out)
{
    for (int64_t i = 0; i < d[0]; i++) out[0][i] = out[1][i] = out[2][i] = (uint8_t)(i * 3);
}

/* Reductions: d = rows, n. out: column sums, added and not; the root of the sum of squares. */
static void column_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    int64_t columns = dt_cpu_column_sum_scratch(NULL, t, d[0], d[1]), all = dt_cpu_reduce_scratch(NULL, d[0] * d[1]);
    *s = (case_sizes){.inputs = 1, .outputs = 3, .in = {d[0] * d[1]}, .out = {d[1], d[1], 2},
                      .scratch = columns > all ? columns : all};
    s->adds[1] = true;
}

static void column_call(const int64_t *d, const kernel_call *c)
{
    double squares;
    c->set->column_sum(&c->queue, c->t, d[0], d[1], c->in[0], c->out[0], false, c->scratch);
    c->set->column_sum(&c->queue, c->t, d[0], d[1], c->in[0], c->out[1], true, c->scratch);
    c->set->square_sum(&c->queue, c->t, d[0] * d[1], c->in[0], &squares, false, c->scratch);
    c->set->cast(&c->queue, DT_F64, c->t, 1, &squares, c->out[2]);
    c->set->square_sum(&c->queue, c->t, d[0] * d[1], c->in[0], &squares, true, c->scratch);
    c->set->cast(&c->queue, DT_F64, c->t, 1, &squares, (char *)c->out[2] + dt_dtype_size(c->t));
}

static void column_expect(const int64_t *d, double *const *in, double **out)
{
    for (int64_t i = 0; i < d[0] * d[1]; i++) {
        out[0][i % d[1]] += in[0][i];
        out[1][i % d[1]] += in[0][i];
        out[2][0] += in[0][i] * in[0][i];
        out[2][1] += 2 * in[0][i] * in[0][i];
    }
}

/* Images: d = batch, channels, rows, cols, p. out: normalised bytes, patches, and the images again. */
static int64_t image_elements(const int64_t *d) { return d[0] * d[1] * d[2] * d[3] * d[4] * d[4]; }

static void image_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    int64_t n = image_elements(d);
    *s = (case_sizes){.inputs = 1, .outputs = 3, .in = {n}, .out = {n, n, n}, .scratch = n};
}

static const double channel_mean[] = {0.25, 0.5, 0.4}, channel_std[] = {0.5, 0.25, 0.3};

static void image_call(const int64_t *d, const kernel_call *c)
{
    int64_t n = image_elements(d);
    uint8_t *bytes = c->scratch;
    for (int64_t i = 0; i < n; i++) bytes[i] = (uint8_t)(i * 37);
    c->set->normalize(&c->queue, c->t, d[0], d[1], n / d[0] / d[1], channel_mean, channel_std, bytes, c->out[0]);
    c->set->patchify(&c->queue, c->t, d[0], d[1], d[2], d[3], d[4], c->in[0], c->out[1]);
    c->set->unpatchify(&c->queue, c->t, d[0], d[1], d[2], d[3], d[4], c->out[1], c->out[2]);
}

static void image_expect(const int64_t *d, double *const *in, double **out)
{
    int64_t n = image_elements(d), p = d[4], width = d[3] * p, height = d[2] * p;
    for (int64_t i = 0; i < n; i++) {
        int64_t x = i % width, y = i / width % height, c = i / width / height % d[1], b = i / width / height / d[1];
        int64_t patch = (b * d[2] + y / p) * d[3] + x / p;
        out[0][i] = ((uint8_t)(i * 37) / 255.0 - channel_mean[c]) / channel_std[c];
        out[1][((patch * d[1] + c) * p + y % p) * p + x % p] = in[0][i];
        out[2][i] = in[0][i];
    }
}

/* Tokens: d = batch, tokens, channels, class token, first, count.
 * Inputs: x, class token, position, dy, dmean. out: y; dx, dcls, dposition; mean of x, its gradient. */
static void token_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    int64_t n = d[0] * d[1] * d[2], all = d[0] * (d[1] + d[3]) * d[2], c = d[2];
    *s = (case_sizes){.inputs = 5, .outputs = 6, .in = {n, c, (d[1] + d[3]) * c, all, d[0] * c},
                      .out = {all, n, c, (d[1] + d[3]) * c, d[0] * c, n}};
    s->adds[2] = s->adds[3] = true;
}

static void token_call(const int64_t *d, const kernel_call *c)
{
    c->set->embed_tokens(&c->queue, c->t, false, d[0], d[1], d[2], c->in[0], d[3] ? c->in[1] : NULL, c->in[2],
                         c->out[0]);
    c->set->embed_tokens_grad(&c->queue, c->t, false, d[0], d[1], d[2], d[3], c->in[3], c->out[1],
                              d[3] ? c->out[2] : NULL, c->out[3], true, true, NULL);
    c->set->token_mean(&c->queue, c->t, d[0], d[1], d[2], d[4], d[5], c->in[0], c->out[4]);
    c->set->token_mean_grad(&c->queue, c->t, d[0], d[1], d[2], d[4], d[5], c->in[4], c->out[5]);
}

static void token_expect(const int64_t *d, double *const *in, double **out)
{
    int64_t rows = d[1] + d[3], n = d[2];
    for (int64_t i = 0; i < d[0] * rows * n; i++) {
        int64_t j = i % n, row = i / n % rows, b = i / n / rows, from = (b * d[1] + row - d[3]) * n + j;
        bool is_class = row < d[3], counts = row - d[3] >= d[4] && row - d[3] < d[4] + d[5];
        out[0][i] = (is_class ? in[1][j] : in[0][from]) + in[2][row * n + j];
        out[3][row * n + j] += in[3][i];
        if (is_class) out[2][j] += in[3][i];
        if (is_class) continue;
        out[1][from] = in[3][i];
        out[4][b * n + j] += counts ? in[0][from] / (double)d[5] : 0;
        out[5][from] = counts ? in[4][b * n + j] / (double)d[5] : 0;
    }
}

/* Drops: d = samples, per sample, rate in percent. out: dropout, drop path in place. */
static void drop_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    int64_t n = d[0] * d[1];
    *s = (case_sizes){.inputs = 1, .outputs = 2, .in = {n}, .out = {n, n}};
}

enum { MOST_SAMPLES = 16, STEP = 5, SITE = 3, SEED = 99 };

static void drop_call(const int64_t *d, const kernel_call *c)
{
    int64_t step = STEP, sample[MOST_SAMPLES];
    for (int64_t i = 0; i < d[0]; i++) sample[i] = 1000 + i;
    dt_drop_args x = {d[0], d[1], (double)d[2] / 100, SEED, SITE, &step, sample, c->in[0], c->out[0]};
    c->set->dropout(&c->queue, c->t, &x);
    c->set->copy(&c->queue, d[0] * d[1] * (int64_t)dt_dtype_size(c->t), c->in[0], c->out[1]);
    x.x = x.y = c->out[1];
    c->set->drop_path(&c->queue, c->t, &x);
}

static bool kept(const int64_t *d, dt_purpose purpose, int64_t sample, int64_t element)
{
    uint64_t stream = STEP | (uint64_t)SITE << 32;
    dt_random4 r = dt_philox(SEED, purpose, stream, 1000 + (uint64_t)sample, (uint32_t)(element / 4));
    return dt_uniform(r.word[element % 4]) >= (float)d[2] / 100;
}

static void drop_expect(const int64_t *d, double *const *in, double **out)
{
    for (int64_t i = 0; i < d[0] * d[1]; i++) {
        double scaled = in[0][i] / (1 - (double)d[2] / 100);
        out[0][i] = kept(d, DT_PURPOSE_DROPOUT, i / d[1], i % d[1]) ? scaled : 0;
        out[1][i] = kept(d, DT_PURPOSE_DROP_PATH, i / d[1], 0) ? scaled : 0;
    }
}

/* Updates: d = n, option (1: Nesterov, 2: the step must not commit). Inputs: grad, value, moment1, moment2.
 * out: AdamW's value and moments; SGD's value and moment; the average. Elements from n/2 on belong to three spans:
 * decayed, frozen, and with half the learning rate. */
enum { NESTEROV = 1, REFUSED = 2 };

static void update_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    *s = (case_sizes){.inputs = 4, .outputs = 6, .in = {d[0], d[0], d[0], d[0]},
                      .out = {d[0], d[0], d[0], d[0], d[0], d[0]}};
}

static void make_spans(const int64_t *d, dt_segment_span spans[3])
{
    int64_t part = d[0] / 4, rest = d[0] - 3 * part;
    spans[0] = (dt_segment_span){0, part, 1, 1, 0, 0};
    spans[1] = (dt_segment_span){part, part, 1, 1, 1, 0};
    spans[2] = (dt_segment_span){3 * part, rest, 0.5f, 0, 0, 0};
}

static const double update_scale = 0.5, update_lr = 0.01, correction1 = 0.271, correction2 = 0.003;

static void update_call(const int64_t *d, const kernel_call *c)
{
    dt_segment_span spans[3];
    make_spans(d, spans);
    int32_t finite = d[1] != REFUSED;
    size_t bytes = (size_t)d[0] * dt_dtype_size(c->t);
    for (int o = 0; o < 6; o++) memcpy(c->out[o], c->in[(int[]){1, 2, 3, 1, 2, 2}[o]], bytes);
    dt_update_args u = {.count = d[0], .spans = spans, .span_count = 3, .grad = c->in[0], .scale = &update_scale,
                       .finite = &finite, .lr = &update_lr, .beta1 = 0.9, .beta2 = 0.99, .epsilon = 1e-8,
                       .weight_decay = 0.05, .nesterov = d[1] == NESTEROV, .correction1 = &correction1,
                       .correction2 = &correction2, .value = c->out[0], .moment1 = c->out[1], .moment2 = c->out[2]};
    c->set->adamw(&c->queue, c->t, &u);
    u.value = c->out[3], u.moment1 = c->out[4];
    c->set->sgd(&c->queue, c->t, &u);
    c->set->ema(&c->queue, c->t, d[0], 0.9, &finite, c->in[1], c->out[5]);
}

static void update_element(const int64_t *d, const dt_segment_span *span, int64_t i, double *const *in, double **out)
{
    double g = in[0][i] * update_scale, lr = update_lr * (double)span->lr_scale, decay = 0.05 * (double)span->decay;
    double m = 0.9 * in[2][i] + (1 - 0.9) * g, v = 0.99 * in[3][i] + (1 - 0.99) * g * g;
    out[0][i] = in[1][i] * (1 - lr * decay) - lr * (m / correction1) / (sqrt(v / correction2) + 1e-8);
    out[1][i] = m;
    out[2][i] = v;
    g += decay * in[1][i];
    m = 0.9 * in[2][i] + g;
    out[3][i] = in[1][i] - lr * (d[1] == NESTEROV ? g + 0.9 * m : m);
    out[4][i] = m;
}

static void update_expect(const int64_t *d, double *const *in, double **out)
{
    dt_segment_span spans[3];
    make_spans(d, spans);
    for (int64_t i = 0; i < d[0]; i++) {
        for (int o = 0; o < 6; o++) out[o][i] = in[(int[]){1, 2, 3, 1, 2, 2}[o]][i];
        if (d[1] == REFUSED) continue;
        for (int s = 0; s < 3; s++)
            if (!spans[s].frozen && i >= spans[s].offset && i < spans[s].offset + spans[s].count)
                update_element(d, &spans[s], i, in, out);
        out[5][i] += (1 - 0.9) * (in[1][i] - in[2][i]);
    }
}

const kernel_case other_cases[] = {
    {"element-wise", element_size, element_call, element_expect, {{1}, {17}, {50001}}},
    {"cast", cast_size, cast_call, cast_expect, {{1}, {85}}},
    {"reductions", column_size, column_call, column_expect, {{1, 1}, {65, 300}, {1000, 7}}},
    {"images", image_size, image_call, image_expect, {{1, 1, 1, 1, 1}, {3, 3, 2, 5, 4}, {2, 1, 4, 4, 7}}},
    {"tokens", token_size, token_call, token_expect,
     {{1, 1, 1, 0, 0, 1}, {5, 16, 65, 1, 0, 16}, {3, 9, 20, 0, 2, 4}}},
    {"drops", drop_size, drop_call, drop_expect, {{3, 70, 50}, {16, 20000, 10}, {2, 5, 0}}},
    {"updates", update_size, update_call, update_expect, {{9, 0}, {40001, 0}, {40001, NESTEROV}, {77, REFUSED}}, true},
    {NULL}};
