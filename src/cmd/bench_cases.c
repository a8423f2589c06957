/* The cases of `bench kernels`: which kernels, with which arguments, and how much work they must do at least. */
#include <math.h>

#include "cmd/bench_trial.h"

/* --- matrix products --- */

static void product(dt_bench_trial *t, int64_t n, int64_t k, bool transpose_b, dt_activation act)
{
    int64_t m = dt_bench_rows(t);
    dt_matmul_args p = {.m = m, .n = n, .k = k, .transpose_b = transpose_b, .act = act, .c_type = t->type};
    p.a = dt_bench_in(t, m * k);
    p.b = dt_bench_in(t, k * n);
    p.c = dt_bench_out(t, m * n);
    if (act) p.bias = dt_bench_wide_in(t, n), p.pre = dt_bench_out(t, m * n);
    p.scratch = dt_bench_scratch(t, t->kernels->matmul_scratch(&t->info, t->type, &p));
    double elements = (double)(m * k + k * n + m * n * (act ? 2 : 1));
    if (dt_bench_work(t, 2.0 * (double)m * (double)n * (double)k, dt_bench_size(t) * elements))
        t->status = t->kernels->matmul(dt_bench_queue(t), t->type, &p);
}

static void linear(dt_bench_trial *t) { product(t, t->shape.hidden, t->shape.channels, true, DT_ACT_NONE); }
static void linear_gelu(dt_bench_trial *t) { product(t, t->shape.hidden, t->shape.channels, true, DT_ACT_GELU); }
static void linear_input_grad(dt_bench_trial *t)
{
    product(t, t->shape.channels, t->shape.hidden, false, DT_ACT_NONE);
}

static void linear_weight_grad(dt_bench_trial *t)
{
    int64_t m = t->shape.channels, n = t->shape.hidden, k = dt_bench_rows(t);
    dt_matmul_args p = {.m = m, .n = n, .k = k, .transpose_a = true, .c_type = dt_dtype_wide(t->type)};
    p.a = dt_bench_in(t, m * k);
    p.b = dt_bench_in(t, k * n);
    p.c = dt_bench_wide_out(t, m * n);
    p.scratch = dt_bench_scratch(t, t->kernels->matmul_scratch(&t->info, t->type, &p));
    double bytes = dt_bench_size(t) * (double)(m * k + k * n) + dt_bench_wide_size(t) * (double)(m * n);
    if (dt_bench_work(t, 2.0 * (double)m * (double)n * (double)k, bytes))
        t->status = t->kernels->matmul(dt_bench_queue(t), t->type, &p);
}

static void column_sum(dt_bench_trial *t)
{
    int64_t n = t->shape.hidden, all = dt_bench_rows(t) * n;
    const void *x = dt_bench_in(t, all);
    void *y = dt_bench_wide_out(t, n);
    void *room = dt_bench_scratch(t, t->kernels->column_sum_scratch(&t->info, t->type, dt_bench_rows(t), n));
    if (dt_bench_work(t, (double)all, dt_bench_size(t) * (double)all + dt_bench_wide_size(t) * (double)n))
        t->status = t->kernels->column_sum(dt_bench_queue(t), t->type, dt_bench_rows(t), n, x, y, false, room);
}

/* --- element by element --- */

static void copy(dt_bench_trial *t)
{
    int64_t n = t->shape.parameters;
    const void *x = dt_bench_in(t, n);
    void *y = dt_bench_out(t, n);
    if (dt_bench_work(t, 0, 2 * dt_bench_size(t) * (double)n))
        t->status = t->kernels->copy(dt_bench_queue(t), n * (int64_t)dt_dtype_size(t->type), x, y);
}

static void add(dt_bench_trial *t)
{
    int64_t n = dt_bench_rows(t) * t->shape.channels;
    const void *a = dt_bench_in(t, n), *b = dt_bench_in(t, n);
    void *y = dt_bench_out(t, n);
    if (dt_bench_work(t, (double)n, 3 * dt_bench_size(t) * (double)n))
        t->status = t->kernels->add(dt_bench_queue(t), t->type, false, n, a, b, y);
}

static void gelu(dt_bench_trial *t)
{
    int64_t n = dt_bench_rows(t) * t->shape.hidden;
    const void *x = dt_bench_in(t, n);
    void *y = dt_bench_out(t, n);
    if (dt_bench_work(t, 12.0 * (double)n, 2 * dt_bench_size(t) * (double)n))
        t->status = t->kernels->gelu(dt_bench_queue(t), t->type, DT_ACT_GELU, n, x, y);
}

static void gelu_grad(dt_bench_trial *t)
{
    int64_t n = dt_bench_rows(t) * t->shape.hidden;
    const void *x = dt_bench_in(t, n), *dy = dt_bench_in(t, n);
    void *dx = dt_bench_out(t, n);
    if (dt_bench_work(t, 20.0 * (double)n, 3 * dt_bench_size(t) * (double)n))
        t->status = t->kernels->gelu_grad(dt_bench_queue(t), t->type, DT_ACT_GELU, n, x, dy, dx);
}

/* --- norms: x and y forward; x, dy and dx backward; with a residual as many and two more, or one more --- */

static void row_norm(dt_bench_trial *t, bool center, bool adds)
{
    int64_t c = t->shape.channels, n = dt_bench_rows(t) * c;
    dt_row_norm_args p = {.rows = dt_bench_rows(t), .channels = c, .center = center, .epsilon = 1e-6};
    p.x = dt_bench_in(t, n);
    if (adds) p.residual = dt_bench_in(t, n), p.sum = dt_bench_out(t, n);
    p.gamma = dt_bench_wide_in(t, c), p.beta = center ? dt_bench_wide_in(t, c) : NULL;
    p.y = dt_bench_out(t, n);
    p.mean = center ? dt_bench_wide_out(t, dt_bench_rows(t)) : NULL, p.rstd = dt_bench_wide_out(t, dt_bench_rows(t));
    if (dt_bench_work(t, 9.0 * (double)n, (adds ? 4 : 2) * dt_bench_size(t) * (double)n))
        t->status = t->kernels->row_norm(dt_bench_queue(t), t->type, &p);
}
static void layer_norm(dt_bench_trial *t) { row_norm(t, true, false); }
static void layer_norm_add(dt_bench_trial *t) { row_norm(t, true, true); }
static void rms_norm(dt_bench_trial *t) { row_norm(t, false, false); }
static void rms_norm_add(dt_bench_trial *t) { row_norm(t, false, true); }

static void row_norm_grad(dt_bench_trial *t, bool center, bool adds)
{
    int64_t c = t->shape.channels, n = dt_bench_rows(t) * c;
    dt_row_norm_grad_args p = {.rows = dt_bench_rows(t), .channels = c, .center = center};
    p.x = dt_bench_in(t, n), p.gamma = dt_bench_wide_in(t, c);
    p.mean = center ? dt_bench_wide_in(t, p.rows) : NULL, p.rstd = dt_bench_wide_positive(t, p.rows);
    p.dy = dt_bench_in(t, n), p.dsum = adds ? dt_bench_in(t, n) : NULL;
    p.dx = dt_bench_out(t, n), p.dgamma = dt_bench_wide_out(t, c);
    p.dbeta = center ? dt_bench_wide_out(t, c) : NULL;
    p.scratch = dt_bench_scratch(t, t->kernels->row_norm_grad_scratch(&t->info, t->type, dt_bench_rows(t), c));
    if (dt_bench_work(t, 14.0 * (double)n, (adds ? 4 : 3) * dt_bench_size(t) * (double)n))
        t->status = t->kernels->row_norm_grad(dt_bench_queue(t), t->type, &p);
}
static void layer_norm_grad(dt_bench_trial *t) { row_norm_grad(t, true, false); }
static void layer_norm_grad_add(dt_bench_trial *t) { row_norm_grad(t, true, true); }
static void rms_norm_grad(dt_bench_trial *t) { row_norm_grad(t, false, false); }
static void rms_norm_grad_add(dt_bench_trial *t) { row_norm_grad(t, false, true); }

static void point_norm(dt_bench_trial *t, bool adds)
{
    int64_t c = t->shape.channels, n = dt_bench_rows(t) * c;
    dt_point_norm_args p = {.rows = dt_bench_rows(t), .channels = c, .kind = DT_POINTWISE_dyt};
    p.x = dt_bench_in(t, n);
    if (adds) p.residual = dt_bench_in(t, n), p.sum = dt_bench_out(t, n);
    p.alpha = dt_bench_wide_positive(t, 1), p.gamma = dt_bench_wide_in(t, c), p.beta = dt_bench_wide_in(t, c);
    p.y = dt_bench_out(t, n);
    if (dt_bench_work(t, 16.0 * (double)n, (adds ? 4 : 2) * dt_bench_size(t) * (double)n))
        t->status = t->kernels->point_norm(dt_bench_queue(t), t->type, &p);
}
static void dyt(dt_bench_trial *t) { point_norm(t, false); }
static void dyt_add(dt_bench_trial *t) { point_norm(t, true); }

static void point_norm_grad(dt_bench_trial *t, bool adds)
{
    int64_t c = t->shape.channels, n = dt_bench_rows(t) * c;
    dt_point_norm_grad_args p = {.rows = dt_bench_rows(t), .channels = c, .kind = DT_POINTWISE_dyt};
    p.x = dt_bench_in(t, n), p.alpha = dt_bench_wide_positive(t, 1), p.gamma = dt_bench_wide_in(t, c);
    p.dy = dt_bench_in(t, n), p.dsum = adds ? dt_bench_in(t, n) : NULL;
    p.dx = dt_bench_out(t, n), p.dalpha = dt_bench_wide_out(t, 1);
    p.dgamma = dt_bench_wide_out(t, c), p.dbeta = dt_bench_wide_out(t, c);
    p.scratch = dt_bench_scratch(t, t->kernels->point_norm_grad_scratch(&t->info, t->type, dt_bench_rows(t), c));
    if (dt_bench_work(t, 22.0 * (double)n, (adds ? 4 : 3) * dt_bench_size(t) * (double)n))
        t->status = t->kernels->point_norm_grad(dt_bench_queue(t), t->type, &p);
}
static void dyt_grad(dt_bench_trial *t) { point_norm_grad(t, false); }
static void dyt_grad_add(dt_bench_trial *t) { point_norm_grad(t, true); }

/* --- attention --- */

/* Elements of queries, keys and values. */
static int64_t packed(const dt_bench_trial *t)
{
    const dt_bench_shapes *s = &t->shape;
    return dt_bench_rows(t) * (s->heads + 2 * s->kv_heads) * (s->channels / s->heads);
}

static dt_attention_args attention_arrays(dt_bench_trial *t)
{
    const dt_bench_shapes *s = &t->shape;
    int64_t head = s->channels / s->heads;
    dt_attention_args p = {.batch = s->batch, .tokens = s->tokens, .heads = s->heads, .kv_heads = s->kv_heads,
                           .size = head, .causal = s->of != DT_BENCH_IMAGES, .scale = 1 / sqrt((double)head)};
    p.qkv = dt_bench_in(t, packed(t)), p.out = dt_bench_out(t, dt_bench_rows(t) * s->channels);
    p.lse = dt_bench_wide_out(t, s->batch * s->heads * s->tokens);
    return p;
}

/* Of `products` such as q k^T and p v, half of each where attention is causal, and as many bytes as `packs` arrays of
 * the size of qkv and `arrays` of that of q. */
static bool attention_work(dt_bench_trial *t, int products, int packs, int arrays)
{
    double elements = (double)dt_bench_rows(t) * (double)t->shape.channels;
    double flops = 2.0 * products * elements * (double)t->shape.tokens;
    return dt_bench_work(t, t->shape.of == DT_BENCH_IMAGES ? flops : flops / 2,
                         dt_bench_size(t) * (packs * (double)packed(t) + arrays * elements));
}

static void attention(dt_bench_trial *t)
{
    dt_attention_args p = attention_arrays(t);
    p.scratch = dt_bench_scratch(t, t->kernels->attention_scratch(&t->info, t->type, &p));
    if (attention_work(t, 2, 1, 1)) t->status = t->kernels->attention(dt_bench_queue(t), t->type, &p);
}

/* The backward pass reads what the forward pass puts into out and lse: the first call runs that one too. */
static void attention_grad(dt_bench_trial *t)
{
    bool first = !t->made;
    dt_attention_args p = attention_arrays(t);
    p.dout = dt_bench_in(t, dt_bench_rows(t) * t->shape.channels), p.dqkv = dt_bench_out(t, packed(t));
    int64_t forward = t->kernels->attention_scratch(&t->info, t->type, &p);
    int64_t backward = t->kernels->attention_grad_scratch(&t->info, t->type, &p);
    p.scratch = dt_bench_scratch(t, forward > backward ? forward : backward);
    if (!attention_work(t, 5, 2, 2)) return;
    if (first) t->status = t->kernels->attention(dt_bench_queue(t), t->type, &p);
    if (!t->status) t->status = t->kernels->attention_grad(dt_bench_queue(t), t->type, &p);
}

/* --- the loss and the update --- */

static void softmax_xent(dt_bench_trial *t)
{
    int64_t b = t->shape.batch * 8, v = t->shape.classes, n = b * v; /* a few rows more, to be measurable */
    const void *x = dt_bench_in(t, n), *target = dt_bench_wide_positive(t, n), *weight = dt_bench_wide_positive(t, b);
    void *prob = dt_bench_out(t, n), *loss = dt_bench_wide_out(t, 1);
    void *room = dt_bench_scratch(t, t->kernels->reduce_scratch(&t->info, b));
    if (dt_bench_work(t, 12.0 * (double)n, (2 * dt_bench_size(t) + dt_bench_wide_size(t)) * (double)n))
        t->status = t->kernels->softmax_xent(dt_bench_queue(t), t->type, b, v, x, target, weight, prob, loss, room);
}

/* On bfloat16's side with the working copy, which no other type has. */
static void adamw(dt_bench_trial *t)
{
    static const double one = 1, lr = 1e-3, correction = 0.1;
    static const int32_t finite = 1;
    int64_t n = t->shape.parameters;
    const dt_segment_span span = {.count = n, .lr_scale = 1, .decay = 1};
    bool copies = t->type == DT_BF16;
    dt_update_args p = {.count = n, .span_count = 1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8,
                        .weight_decay = 0.05};
    p.spans = dt_bench_given(t, &span, sizeof span), p.scale = dt_bench_given(t, &one, sizeof one);
    p.finite = dt_bench_given(t, &finite, sizeof finite), p.lr = dt_bench_given(t, &lr, sizeof lr);
    p.correction1 = p.correction2 = dt_bench_given(t, &correction, sizeof correction);
    p.grad = dt_bench_wide_in(t, n), p.value = dt_bench_wide_update(t, n, -1, 1);
    p.moment1 = dt_bench_wide_update(t, n, -1, 1), p.moment2 = dt_bench_wide_update(t, n, 0.5, 1.5);
    p.working = copies ? dt_bench_scratch(t, n * (int64_t)dt_dtype_size(t->type)) : NULL;
    if (dt_bench_work(t, 14.0 * (double)n, (7 * dt_bench_wide_size(t) + (copies ? dt_bench_size(t) : 0)) * (double)n))
        t->status = t->kernels->adamw(dt_bench_queue(t), dt_dtype_wide(t->type), &p);
}

enum { MODELS = DT_BENCH_IMAGES | DT_BENCH_TEXT };
const dt_bench_case dt_bench_cases[] = {
    {"product", linear, MODELS},
    {"product, bias, GELU", linear_gelu, DT_BENCH_IMAGES},
    {"product, input's gradient", linear_input_grad, MODELS},
    {"product, weight's gradient", linear_weight_grad, MODELS},
    {"column sum (bias gradient)", column_sum, DT_BENCH_IMAGES},
    {"add", add, MODELS},
    {"GELU", gelu, DT_BENCH_IMAGES},
    {"GELU, gradient", gelu_grad, DT_BENCH_IMAGES},
    {"LayerNorm", layer_norm, MODELS | DT_BENCH_ROWS},
    {"LayerNorm, gradient", layer_norm_grad, MODELS | DT_BENCH_ROWS},
    {"RMSNorm", rms_norm, MODELS | DT_BENCH_ROWS},
    {"RMSNorm, gradient", rms_norm_grad, MODELS | DT_BENCH_ROWS},
    {"DyT", dyt, MODELS | DT_BENCH_ROWS},
    {"DyT, gradient", dyt_grad, MODELS | DT_BENCH_ROWS},
    {"add, LayerNorm", layer_norm_add, MODELS | DT_BENCH_ROWS},
    {"add, LayerNorm, gradient", layer_norm_grad_add, MODELS | DT_BENCH_ROWS},
    {"add, RMSNorm", rms_norm_add, MODELS | DT_BENCH_ROWS},
    {"add, RMSNorm, gradient", rms_norm_grad_add, MODELS | DT_BENCH_ROWS},
    {"add, DyT", dyt_add, MODELS | DT_BENCH_ROWS},
    {"add, DyT, gradient", dyt_grad_add, MODELS | DT_BENCH_ROWS},
    {"attention", attention, MODELS | DT_BENCH_HEADS},
    {"attention, gradient", attention_grad, MODELS | DT_BENCH_HEADS},
    {"softmax, cross-entropy", softmax_xent, DT_BENCH_IMAGES},
    {"AdamW", adamw, MODELS},
    {0},
};

const dt_bench_case dt_bench_copy = {"copy", copy, 0};
const dt_bench_case *const dt_bench_product = &dt_bench_cases[0];
