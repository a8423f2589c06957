/* Norms: with row statistics and point-wise. */
#include <math.h>

#include "kernel_case.h"

/* Row norm: d = rows, channels, center, options. Inputs: x, residual, gamma, beta. */
enum { RESIDUAL = 1, GAMMA = 2, BETA = 4, ADD = 8, IN_PLACE = 16 };

static void row_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    int64_t n = d[0] * d[1];
    *s = (case_sizes){.inputs = 4, .outputs = 4, .in = {n, n, d[1], d[1]}, .out = {n, n, d[0], d[0]}};
}

static void row_call(const int64_t *d, const kernel_call *c)
{
    dt_row_norm_args x = {.rows = d[0], .channels = d[1], .center = d[2], .epsilon = 1e-6, .x = c->in[0],
                         .y = c->out[0], .mean = c->out[2], .rstd = c->out[3]};
    if (d[3] & RESIDUAL) x.residual = c->in[1], x.sum = c->out[1];
    if (d[3] & GAMMA) x.gamma = c->in[2];
    if (d[3] & BETA) x.beta = c->in[3];
    c->set->row_norm(&c->queue, c->t, &x);
    if (!(d[3] & RESIDUAL)) c->set->copy(&c->queue, d[0] * d[1] * (int64_t)dt_dtype_size(c->t), c->in[0], c->out[1]);
    if (!d[2]) c->set->scale(&c->queue, c->t, d[0], 0, c->in[3], c->out[2]);
}

/* mean and rstd of a row */
static void row_statistics(const int64_t *d, const double *x, double *mean, double *rstd)
{
    double sum = 0, spread = 0;
    for (int64_t j = 0; j < d[1]; j++) sum += x[j];
    *mean = d[2] ? sum / (double)d[1] : 0;
    for (int64_t j = 0; j < d[1]; j++) spread += (x[j] - *mean) * (x[j] - *mean);
    *rstd = 1 / sqrt(spread / (double)d[1] + 1e-6);
}

static void row_expect(const int64_t *d, double *const *in, double **out)
{
    for (int64_t i = 0; i < d[0]; i++) {
        double *sum = out[1] + i * d[1];
        for (int64_t j = 0; j < d[1]; j++) sum[j] = in[0][i * d[1] + j] + (d[3] & RESIDUAL ? in[1][i * d[1] + j] : 0);
        row_statistics(d, sum, &out[2][i], &out[3][i]);
        for (int64_t j = 0; j < d[1]; j++)
            out[0][i * d[1] + j] = (sum[j] - out[2][i]) * out[3][i] * (d[3] & GAMMA ? in[2][j] : 1) +
                                   (d[3] & BETA ? in[3][j] : 0);
    }
}

/* Its gradient: the same d. Inputs: x, dy, dsum, gamma, then mean and rstd made by the forward kernel. */
static void row_grad_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    int64_t n = d[0] * d[1];
    *s = (case_sizes){.inputs = 4, .outputs = 5, .in = {n, n, n, d[1]}, .out = {n, d[1], d[1], d[0], d[0]},
                      .scratch = dt_cpu_row_norm_grad_scratch(NULL, t, d[0], d[1])};
    s->adds[1] = s->adds[2] = d[3] & ADD;
}

static void row_grad_call(const int64_t *d, const kernel_call *c)
{
    dt_row_norm_args forward = {.rows = d[0], .channels = d[1], .center = d[2], .epsilon = 1e-6, .x = c->in[0],
                               .y = c->out[0], .mean = c->out[3], .rstd = c->out[4]};
    c->set->row_norm(&c->queue, c->t, &forward);
    if (!d[2]) c->set->scale(&c->queue, c->t, d[0], 0, c->in[1], c->out[3]);
    dt_row_norm_grad_args x = {.rows = d[0], .channels = d[1], .center = d[2], .x = c->in[0], .mean = c->out[3],
                              .rstd = c->out[4], .dy = c->in[1], .dx = c->out[0], .dgamma = c->out[1],
                              .dbeta = c->out[2], .accumulate_gamma = d[3] & ADD, .accumulate_beta = d[3] & ADD,
                              .scratch = c->scratch};
    if (d[3] & RESIDUAL) x.dsum = c->in[2];
    if (d[3] & GAMMA) x.gamma = c->in[3];
    if (d[3] & IN_PLACE) {
        c->set->copy(&c->queue, d[0] * d[1] * (int64_t)dt_dtype_size(c->t), c->in[1], c->out[0]);
        x.dy = c->out[0];
    }
    c->set->row_norm_grad(&c->queue, c->t, &x);
}

static void row_grad_expect(const int64_t *d, double *const *in, double **out)
{
    for (int64_t i = 0; i < d[0]; i++) {
        const double *x = in[0] + i * d[1], *dy = in[1] + i * d[1], n = (double)d[1];
        double mean, rstd, mean_g = 0, mean_gh = 0;
        row_statistics(d, x, &mean, &rstd);
        out[3][i] = mean, out[4][i] = rstd;
        for (int64_t j = 0; j < d[1]; j++) {
            double g = dy[j] * (d[3] & GAMMA ? in[3][j] : 1), h = (x[j] - mean) * rstd;
            mean_g += d[2] ? g / n : 0;
            mean_gh += g * h / n;
            out[1][j] += dy[j] * h;
            out[2][j] += dy[j];
        }
        for (int64_t j = 0; j < d[1]; j++) {
            double g = dy[j] * (d[3] & GAMMA ? in[3][j] : 1), h = (x[j] - mean) * rstd;
            out[0][i * d[1] + j] = rstd * (g - mean_g - h * mean_gh) + (d[3] & RESIDUAL ? in[2][i * d[1] + j] : 0);
        }
    }
}

/* Point-wise norm: d = rows, channels, kind + 1, options. Inputs: x, residual, gamma, beta, alpha, shift. */
enum { ALPHA = 32, SHIFT = 64 };

static void point_value(int64_t kind, double u, double *f, double *slope)
{
    double s = 1 / (1 + exp(-u));
    switch (kind) {
    case DT_POINTWISE_dyt: *f = tanh(u), *slope = 1 - *f * *f; break;
    case DT_POINTWISE_hardtanh: *f = u < -1 ? -1 : u > 1 ? 1 : u, *slope = isnan(u) ? u : fabs(u) < 1; break;
    case DT_POINTWISE_sigmoid: *f = s, *slope = s * (1 - s); break;
    case DT_POINTWISE_identity: *f = u, *slope = 1; break;
    case DT_POINTWISE_derf: *f = erf(u), *slope = 2 / sqrt(M_PI) * exp(-u * u); break;
    default: *f = u / sqrt(1 + u * u), *slope = pow(1 + u * u, -1.5);
    }
}

static void point_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    int64_t n = d[0] * d[1];
    *s = (case_sizes){.inputs = 6, .outputs = 2, .in = {n, n, d[1], d[1], 1, 1}, .out = {n, n}};
}

static void point_call(const int64_t *d, const kernel_call *c)
{
    dt_point_norm_args x = {.rows = d[0], .channels = d[1], .kind = (dt_pointwise)(d[2] - 1), .x = c->in[0],
                           .y = c->out[0]};
    if (d[3] & RESIDUAL) x.residual = c->in[1], x.sum = c->out[1];
    if (d[3] & GAMMA) x.gamma = c->in[2];
    if (d[3] & BETA) x.beta = c->in[3];
    if (d[3] & ALPHA) x.alpha = c->in[4];
    if (d[3] & SHIFT) x.shift = c->in[5];
    c->set->point_norm(&c->queue, c->t, &x);
    if (!(d[3] & RESIDUAL)) c->set->copy(&c->queue, d[0] * d[1] * (int64_t)dt_dtype_size(c->t), c->in[0], c->out[1]);
}

static void point_expect(const int64_t *d, double *const *in, double **out)
{
    double alpha = d[3] & ALPHA ? in[4][0] : 1, shift = d[3] & SHIFT ? in[5][0] : 0, f, slope;
    for (int64_t i = 0; i < d[0] * d[1]; i++) {
        int64_t j = i % d[1];
        out[1][i] = in[0][i] + (d[3] & RESIDUAL ? in[1][i] : 0);
        point_value(d[2] - 1, alpha * out[1][i] + shift, &f, &slope);
        out[0][i] = f * (d[3] & GAMMA ? in[2][j] : 1) + (d[3] & BETA ? in[3][j] : 0);
    }
}

/* Its gradient. Inputs: x, dy, dsum, gamma, alpha, shift; outputs: dx, dalpha, dshift, dgamma, dbeta. */
static void point_grad_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    int64_t n = d[0] * d[1];
    *s = (case_sizes){.inputs = 6, .outputs = 5, .in = {n, n, n, d[1], 1, 1}, .out = {n, 1, 1, d[1], d[1]},
                      .scratch = dt_cpu_point_norm_grad_scratch(NULL, t, d[0], d[1])};
    for (int i = 1; i < 5; i++) s->adds[i] = d[3] & ADD;
}

static void point_grad_call(const int64_t *d, const kernel_call *c)
{
    bool add = d[3] & ADD;
    dt_point_norm_grad_args x = {.rows = d[0], .channels = d[1], .kind = (dt_pointwise)(d[2] - 1), .x = c->in[0],
                                .dy = c->in[1], .dx = c->out[0], .dalpha = c->out[1], .dshift = c->out[2],
                                .dgamma = c->out[3], .dbeta = c->out[4], .accumulate_alpha = add,
                                .accumulate_shift = add, .accumulate_gamma = add, .accumulate_beta = add,
                                .scratch = c->scratch};
    if (d[3] & RESIDUAL) x.dsum = c->in[2];
    if (d[3] & GAMMA) x.gamma = c->in[3];
    if (d[3] & ALPHA) x.alpha = c->in[4];
    if (d[3] & SHIFT) x.shift = c->in[5];
    if (d[3] & IN_PLACE) {
        c->set->copy(&c->queue, d[0] * d[1] * (int64_t)dt_dtype_size(c->t), c->in[1], c->out[0]);
        x.dy = c->out[0];
    }
    c->set->point_norm_grad(&c->queue, c->t, &x);
}

static void point_grad_expect(const int64_t *d, double *const *in, double **out)
{
    double alpha = d[3] & ALPHA ? in[4][0] : 1, shift = d[3] & SHIFT ? in[5][0] : 0, f, slope;
    for (int64_t i = 0; i < d[0] * d[1]; i++) {
        int64_t j = i % d[1];
        double x = in[0][i], dy = in[1][i];
        point_value(d[2] - 1, alpha * x + shift, &f, &slope);
        double s = dy * slope * (d[3] & GAMMA ? in[3][j] : 1);
        out[0][i] = alpha * s + (d[3] & RESIDUAL ? in[2][i] : 0);
        out[1][0] += s * x;
        out[2][0] += s;
        out[3][j] += dy * f;
        out[4][j] += dy;
    }
}

#define EACH_KIND(rows, channels, options)                                                                 \
    {rows, channels, 1, options}, {rows, channels, 2, options}, {rows, channels, 3, options},              \
        {rows, channels, 4, options}, {rows, channels, 5, options}, {rows, channels, 6, options}

const kernel_case norm_cases[] = {
    {"row_norm", row_size, row_call, row_expect,
     {{1, 1, 1}, {7, 64, 1, GAMMA | BETA}, {300, 65, 1, RESIDUAL | GAMMA | BETA}, {33, 100, 0, RESIDUAL | GAMMA},
      {5, 1000, 0}, {70, 768, 1}}},
    {"row_norm_grad", row_grad_size, row_grad_call, row_grad_expect,
     {{7, 64, 1, GAMMA}, {300, 65, 1, RESIDUAL | GAMMA | ADD}, {33, 100, 0, RESIDUAL | GAMMA | IN_PLACE}, {5, 1000, 0},
      {97, 300, 1, GAMMA | IN_PLACE}}},
    {"point_norm", point_size, point_call, point_expect,
     {EACH_KIND(33, 65, ALPHA | GAMMA | BETA), EACH_KIND(300, 64, RESIDUAL | ALPHA | SHIFT | GAMMA)}},
    {"point_norm bare", point_size, point_call, point_expect, {EACH_KIND(1, 7, 0)}},
    {"point_norm_grad", point_grad_size, point_grad_call, point_grad_expect,
     {EACH_KIND(33, 65, ALPHA | GAMMA), EACH_KIND(300, 300, RESIDUAL | ALPHA | SHIFT | GAMMA | ADD | IN_PLACE)}},
    {"point_norm_grad bare", point_grad_size, point_grad_call, point_grad_expect, {EACH_KIND(1, 7, 0)}},
    {NULL}};
