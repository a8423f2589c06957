/* Kernels of language models: gates, rotations, rows of tables, the loss of a token. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernel_case.h"

/* d = rows, n: SwiGLU, its gradient, and in place of its input; times a number, and that gradient, added up and not. */
static void gate_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    int64_t n = d[0] * d[1];
    *s = (case_sizes){.inputs = 3, .outputs = 6, .in = {2 * n, n, 1}, .out = {n, 2 * n, 2 * n, n, n, 1},
                      .scratch = dt_cpu_reduce_scratch(NULL, n)};
    s->adds[5] = true;
}

static void gate_call(const int64_t *d, const kernel_call *c)
{
    int64_t n = d[0] * d[1];
    c->set->swiglu(&c->queue, c->t, d[0], d[1], c->in[0], c->out[0]);
    c->set->swiglu_grad(&c->queue, c->t, d[0], d[1], c->in[0], c->in[1], c->out[1]);
    memcpy(c->out[2], c->in[0], (size_t)(2 * n) * dt_dtype_size(c->t));
    c->set->swiglu_grad(&c->queue, c->t, d[0], d[1], c->out[2], c->in[1], c->out[2]);
    c->set->scale_by(&c->queue, c->t, n, c->in[1], c->in[2], c->out[3]);
    c->set->scale_by_grad(&c->queue, c->t, n, c->in[0], c->in[2], c->in[1], c->out[4], c->out[5], true, c->scratch);
}

static void gate_expect(const int64_t *d, double *const *in, double **out)
{
    for (int64_t i = 0; i < d[0] * d[1]; i++) {
        int64_t at = i / d[1] * 2 * d[1] + i % d[1];
        double g = in[0][at], u = in[0][at + d[1]], dy = in[1][i], s = 1 / (1 + exp(-g));
        out[0][i] = g * s * u;
        out[1][at] = out[2][at] = dy * u * s * (1 + g * (1 - s));
        out[1][at + d[1]] = out[2][at + d[1]] = dy * g * s;
        out[3][i] = out[4][i] = in[2][0] * dy;
        out[5][0] += in[0][i] * dy;
    }
}

/* Text: d = batch, tokens, heads, size, rows of the table. out: all heads but the last rotated, and back in place; rows
 * of a table, the table's gradient, and the same once more. */
static int32_t token_of(const int64_t *d, int64_t i) { return (int32_t)(i * i % d[4]); }

static void text_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    int64_t width = d[2] * d[3], n = d[0] * d[1] * width;
    *s = (case_sizes){.inputs = 2, .outputs = 5, .in = {n, d[4] * width},
                      .out = {n, n, n, d[4] * width, d[4] * width}};
    s->adds[4] = true;
}

static void text_call(const int64_t *d, const kernel_call *c)
{
    int64_t count = d[0] * d[1], width = d[2] * d[3], at = 0;
    dt_rope_args rope = {d[0], d[1], d[2], d[2] - 1, d[3], {0}, c->in[0], c->out[0]};
    int32_t *tokens = malloc((size_t)count * sizeof *tokens), *order = malloc((size_t)count * sizeof *order);
    if (!tokens || !order) abort();
    for (int64_t i = 0; i < count; i++) tokens[i] = token_of(d, i);
    for (int32_t token = 0; token < d[4]; token++)
        for (int64_t i = 0; i < count; i++)
            if (tokens[i] == token) order[at++] = (int32_t)i;
    dt_embedding_grad_args grad = {count, d[4], width, tokens, order, c->in[0], c->out[3], false, NULL};
    for (int64_t i = 0; i < d[3] / 2; i++) rope.frequency[i] = 1 / (double)(i + 1);
    c->set->rope(&c->queue, c->t, &rope);
    for (int64_t i = 0; i < d[3] / 2; i++) rope.frequency[i] *= -1;
    memcpy(c->out[1], c->out[0], (size_t)(count * width) * dt_dtype_size(c->t));
    rope.x = rope.y = c->out[1];
    c->set->rope(&c->queue, c->t, &rope);
    c->set->embedding(&c->queue, c->t, count, width, c->in[1], tokens, c->out[2]);
    c->set->embedding_grad(&c->queue, c->t, &grad);
    grad.dtable = c->out[4];
    grad.accumulate = true;
    c->set->embedding_grad(&c->queue, c->t, &grad);
    free(order);
    free(tokens);
}

static void text_expect(const int64_t *d, double *const *in, double **out)
{
    int64_t width = d[2] * d[3], half = d[3] / 2;
    for (int64_t i = 0; i < d[0] * d[1] * width; i++) {
        int64_t token = i / width, column = i % width, at = i % d[3], pair = at % half, first = i - at + pair;
        double angle = (double)(token % d[1]) / (double)(pair + 1), a = in[0][first], b = in[0][first + half];
        double turned = at < half ? a * cos(angle) - b * sin(angle) : b * cos(angle) + a * sin(angle);
        bool spoiled = isnan(a) || isnan(b);
        out[0][i] = column / d[3] < d[2] - 1 ? turned : in[0][i];
        out[1][i] = column / d[3] < d[2] - 1 && spoiled ? NAN : in[0][i];
        out[2][i] = in[1][token_of(d, token) * width + column];
        out[3][token_of(d, token) * width + column] += in[0][i];
        out[4][token_of(d, token) * width + column] += in[0][i];
    }
}

/* d = rows, width, classes. out: loss and count, the gradient, the same in place. */
static int32_t target_of(const int64_t *d, int64_t row) { return row % 4 == 1 ? -1 : (int32_t)(row * row % d[2]); }

static void loss_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    int64_t n = d[0] * d[1];
    *s = (case_sizes){.inputs = 1, .outputs = 3, .in = {n}, .out = {2, n, n},
                      .scratch = 2 * dt_cpu_reduce_scratch(NULL, d[0])};
}

static void loss_call(const int64_t *d, const kernel_call *c)
{
    int32_t *targets = malloc((size_t)d[0] * sizeof *targets);
    if (!targets) abort();
    for (int64_t i = 0; i < d[0]; i++) targets[i] = target_of(d, i);
    dt_token_loss_args x = {d[0], d[1], d[2], c->in[0], targets, c->out[1], c->out[0],
                            (char *)c->out[0] + dt_dtype_size(c->t), c->scratch};
    c->set->token_loss(&c->queue, c->t, &x);
    memcpy(c->out[2], c->in[0], (size_t)(d[0] * d[1]) * dt_dtype_size(c->t));
    x.logits = x.dlogits = c->out[2];
    c->set->token_loss(&c->queue, c->t, &x);
    free(targets);
}

static void loss_expect(const int64_t *d, double *const *in, double **out)
{
    for (int64_t row = 0; row < d[0]; row++) {
        const double *x = in[0] + row * d[1];
        int32_t target = target_of(d, row);
        double total = 0;
        if (target < 0) continue;
        for (int64_t j = 0; j < d[2]; j++) total += exp(x[j]);
        out[0][0] += log(total) - x[target];
        out[0][1]++;
        for (int64_t j = 0; j < d[2]; j++)
            out[1][row * d[1] + j] = out[2][row * d[1] + j] = exp(x[j]) / total - (j == target ? 1 : 0);
    }
}

const kernel_case text_cases[] = {
    {"gates", gate_size, gate_call, gate_expect, {{1, 1}, {17, 33}, {130, 200}}},
    {"rotations and tables", text_size, text_call, text_expect,
     {{1, 1, 1, 2, 1}, {2, 65, 3, 6, 5}, {3, 400, 2, 64, 17}, {1, 30, 3, 100, 50}}},
    {"token loss", loss_size, loss_call, loss_expect, {{1, 1, 1}, {37, 64, 61}, {700, 11, 11}, {5, 1024, 1001}}},
    {NULL}};
