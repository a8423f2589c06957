/* Matrix products and attention. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_case.h"

/* Matmul: d = m, n, k, transpose a, transpose b, epilogue. Inputs: a, b, bias, residual, the kept pre. */
enum { BIAS = 1, KEEP = 2, EXACT = 4, TANH = 8, SLOPE = 16, RESIDUAL = 32, ADD = 64 };

static void matmul_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    int64_t c = d[0] * d[1];
    *s = (case_sizes){.inputs = 5, .outputs = 2, .in = {d[0] * d[2], d[1] * d[2], d[1], c, c}, .out = {c, c}};
    s->adds[0] = d[5] & ADD;
}

static dt_activation activation_of(int64_t flags)
{
    return flags & EXACT ? DT_ACT_GELU : flags & TANH ? DT_ACT_GELU_TANH : DT_ACT_NONE;
}

static void matmul_call(const int64_t *d, const kernel_call *c)
{
    dt_matmul_args x = {.m = d[0], .n = d[1], .k = d[2], .transpose_a = d[3], .transpose_b = d[4], .a = c->in[0],
                       .b = c->in[1], .act = activation_of(d[5]), .c = c->out[0], .accumulate = d[5] & ADD};
    if (d[5] & BIAS) x.bias = c->in[2];
    if (d[5] & RESIDUAL) x.residual = c->in[3];
    if (d[5] & SLOPE) x.act_grad_of = c->in[4];
    memcpy(c->out[1], c->in[3], (size_t)(d[0] * d[1]) * dt_dtype_size(c->t));
    if (d[5] & KEEP) x.pre = c->out[1];
    c->set->matmul(&c->queue, c->t, &x);
}

static double gelu_of(double x, int64_t flags)
{
    double inner = sqrt(2 / M_PI) * (x + 0.044715 * x * x * x);
    return flags & EXACT ? 0.5 * x * erfc(-x * M_SQRT1_2) : 0.5 * x * (1 + tanh(inner));
}

static double gelu_slope_of(double x, int64_t flags)
{
    double inner = sqrt(2 / M_PI) * (x + 0.044715 * x * x * x), t = tanh(inner);
    if (flags & EXACT) return 0.5 * erfc(-x * M_SQRT1_2) + x * exp(-0.5 * x * x) / sqrt(2 * M_PI);
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * sqrt(2 / M_PI) * (1 + 3 * 0.044715 * x * x);
}

static void matmul_expect(const int64_t *d, double *const *in, double **out)
{
    for (int64_t i = 0; i < d[0]; i++)
        for (int64_t j = 0; j < d[1]; j++) {
            int64_t at = i * d[1] + j;
            double v = 0;
            for (int64_t p = 0; p < d[2]; p++)
                v += in[0][d[3] ? p * d[0] + i : i * d[2] + p] * in[1][d[4] ? j * d[2] + p : p * d[1] + j];
            if (d[5] & BIAS) v += in[2][j];
            out[1][at] = d[5] & KEEP ? v : in[3][at];
            if (d[5] & SLOPE)
                v *= gelu_slope_of(in[4][at], d[5]);
            else if (activation_of(d[5]))
                v = gelu_of(v, d[5]);
            out[0][at] = v + (d[5] & RESIDUAL ? in[3][at] : 0);
        }
}

/* GELU: d = n, flags. */
static void gelu_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    *s = (case_sizes){.inputs = 2, .outputs = 2, .in = {d[0], d[0]}, .out = {d[0], d[0]}};
}

static void gelu_call(const int64_t *d, const kernel_call *c)
{
    c->set->gelu(&c->queue, c->t, activation_of(d[1]), d[0], c->in[0], c->out[0]);
    c->set->gelu_grad(&c->queue, c->t, activation_of(d[1]), d[0], c->in[0], c->in[1], c->out[1]);
}

static void gelu_expect(const int64_t *d, double *const *in, double **out)
{
    for (int64_t i = 0; i < d[0]; i++) {
        out[0][i] = gelu_of(in[0][i], d[1]);
        out[1][i] = in[1][i] * gelu_slope_of(in[0][i], d[1]);
    }
}

/* Attention: d = batch, tokens, heads, size, causal, heads of queries to one of keys and values (0: 1), tokens of a
 * document (0: it is all one). */
typedef struct head_view {
    const double *q, *k, *v;
    int64_t stride;
} head_view;

static int64_t kv_heads_of(const int64_t *d) { return d[5] ? d[2] / d[5] : d[2]; }

static head_view view_head(const int64_t *d, const double *qkv, int64_t b, int64_t h)
{
    int64_t kv = kv_heads_of(d), stride = (d[2] + 2 * kv) * d[3];
    const double *at = qkv + b * d[1] * stride, *k = at + (d[2] + h / (d[2] / kv)) * d[3];
    return (head_view){at + h * d[3], k, k + kv * d[3], stride};
}

/* The first of the keys that row i sees; in each sample documents begin elsewhere. */
static int64_t first_key(const int64_t *d, int64_t b, int64_t i)
{
    int64_t within = (i + 3 * b) % d[6];
    return i > within ? i - within : 0;
}

/* Row i of the probabilities of a head; returns its log-sum-exp. */
static double softmax_row(const int64_t *d, head_view h, int64_t first, int64_t i, double *p)
{
    double top = -INFINITY, total = 0;
    int64_t keys = d[4] ? i + 1 : d[1];
    for (int64_t j = 0; j < d[1]; j++) p[j] = 0;
    for (int64_t j = first; j < keys; j++) {
        for (int64_t e = 0; e < d[3]; e++) p[j] += h.q[i * h.stride + e] * h.k[j * h.stride + e];
        p[j] /= sqrt((double)d[3]);
        top = fmax(top, p[j]);
    }
    for (int64_t j = first; j < keys; j++) total += p[j] = exp(p[j] - top);
    for (int64_t j = first; j < keys; j++) p[j] /= total;
    return top + log(total);
}

static void attention_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    int64_t n = d[0] * d[1] * d[2] * d[3], packed = n + 2 * d[0] * d[1] * kv_heads_of(d) * d[3];
    dt_attention_args x = {.batch = d[0], .tokens = d[1], .heads = d[2], .kv_heads = kv_heads_of(d), .size = d[3]};
    dt_device_info info = {.threads = threads};
    int64_t forward = dt_cpu_attention_scratch(&info, t, &x);
    int64_t backward = dt_cpu_attention_grad_scratch(&info, t, &x);
    *s = (case_sizes){.inputs = 2, .outputs = 3, .in = {packed, n}, .out = {n, d[0] * d[1] * d[2], packed},
                      .scratch = forward > backward ? forward : backward};
}

static void attention_call(const int64_t *d, const kernel_call *c)
{
    dt_attention_args x = {.batch = d[0], .tokens = d[1], .heads = d[2], .kv_heads = kv_heads_of(d), .size = d[3],
                          .causal = d[4], .scale = 1 / sqrt((double)d[3]), .qkv = c->in[0], .out = c->out[0],
                          .lse = c->out[1], .dout = c->in[1], .dqkv = c->out[2], .scratch = c->scratch};
    int32_t starts[2000];
    for (int64_t i = 0; i < d[0] * d[1] && d[6]; i++) starts[i] = (int32_t)first_key(d, i / d[1], i % d[1]);
    if (d[6]) x.documents = true, x.starts = starts;
    c->set->attention(&c->queue, c->t, &x);
    c->set->attention_grad(&c->queue, c->t, &x);
}

static void head_expect(const int64_t *d, double *const *in, double **out, int64_t b, int64_t h)
{
    head_view head = view_head(d, in[0], b, h), grad = view_head(d, out[2], b, h);
    double *dq = (double *)grad.q, *dk = (double *)grad.k, *dv = (double *)grad.v;
    double *p = malloc((size_t)d[1] * sizeof *p), scale = 1 / sqrt((double)d[3]);
    if (!p) abort();
    for (int64_t i = 0; i < d[1]; i++) {
        int64_t at = ((b * d[1] + i) * d[2] + h) * d[3];
        int64_t first = d[6] ? first_key(d, b, i) : 0, keys = d[4] ? i + 1 : d[1];
        const double *dout = in[1] + at;
        double *y = out[0] + at, delta = 0;
        out[1][(b * d[2] + h) * d[1] + i] = softmax_row(d, head, first, i, p);
        for (int64_t j = first; j < keys; j++) /* a masked value may be NaN */
            for (int64_t e = 0; e < d[3]; e++) y[e] += p[j] * head.v[j * head.stride + e];
        for (int64_t e = 0; e < d[3]; e++) delta += dout[e] * y[e];
        for (int64_t j = first; j < keys; j++) {
            double dp = 0;
            for (int64_t e = 0; e < d[3]; e++) dp += dout[e] * head.v[j * head.stride + e];
            double ds = scale * p[j] * (dp - delta);
            for (int64_t e = 0; e < d[3]; e++) {
                dv[j * grad.stride + e] += p[j] * dout[e];
                dq[i * grad.stride + e] += ds * head.k[j * head.stride + e];
                dk[j * grad.stride + e] += ds * head.q[i * head.stride + e];
            }
        }
    }
    free(p);
}

static void attention_expect(const int64_t *d, double *const *in, double **out)
{
    for (int64_t b = 0; b < d[0]; b++)
        for (int64_t h = 0; h < d[2]; h++) head_expect(d, in, out, b, h);
}

const kernel_case dense_cases[] = {
    {"matmul", matmul_size, matmul_call, matmul_expect,
     {{1, 1, 1}, {17, 33, 5}, {130, 140, 65, 0, 1}, {67, 49, 300, 1, 0}, {31, 70, 129, 1, 1}, {3, 300, 7, 0, 1},
      {270, 10, 64}}},
    {"matmul without k", matmul_size, matmul_call, matmul_expect, {{5, 9, 0, 0, 0, BIAS}}},
    {"matmul epilogues", matmul_size, matmul_call, matmul_expect,
     {{37, 50, 20, 0, 1, BIAS}, {37, 50, 20, 0, 1, BIAS | KEEP | EXACT}, {37, 50, 20, 0, 1, BIAS | KEEP | TANH},
      {37, 50, 20, 0, 0, EXACT | SLOPE}, {37, 50, 20, 0, 0, TANH | SLOPE}, {37, 50, 20, 0, 1, BIAS | RESIDUAL},
      {37, 50, 270, 1, 0, ADD}, {40, 64, 20, 0, 1, BIAS | KEEP | EXACT | RESIDUAL}, {64, 64, 600, 1, 0, ADD},
      {37, 50, 20, 0, 0, EXACT | SLOPE | ADD}, {40, 64, 20, 0, 0, TANH | SLOPE | ADD}}},
    {"gelu", gelu_size, gelu_call, gelu_expect, {{1, EXACT}, {20011, EXACT}, {20011, TANH}}},
    {"attention", attention_size, attention_call, attention_expect,
     {{1, 1, 1, 1}, {2, 17, 3, 16}, {1, 197, 2, 8}, {1, 33, 1, 5, 1}, {1, 34, 1, 5, 1}, {2, 300, 1, 7, 1},
      {2, 260, 1, 20}, {3, 16, 2, 64}, {1, 130, 16, 4}, {1, 128, 17, 3}}, .nan_spreads = true},
    {"attention with shared keys", attention_size, attention_call, attention_expect,
     {{2, 17, 6, 8, 1, 3}, {1, 260, 4, 20, 1, 4}, {1, 70, 36, 5, 0, 2}}, .nan_spreads = true},
    {"attention within documents", attention_size, attention_call, attention_expect,
     {{2, 17, 2, 8, 1, 0, 1}, {2, 300, 1, 7, 1, 0, 5}, {3, 290, 1, 5, 1, 0, 130}, {1, 390, 4, 20, 1, 2, 200},
      {2, 400, 2, 3, 1, 2, 129}, {1, 130, 16, 4, 1, 0, 128}, {1, 300, 1, 9, 1, 0, 500}}, .nan_spreads = true},
    {NULL}};
