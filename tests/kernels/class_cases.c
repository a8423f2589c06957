/* Softmax, losses and labels. */
#include <math.h>
#include <string.h>

#include "kernel_case.h"

/* d = rows, classes, in place. Inputs: scores, targets, weights [rows], dloss [1]. */
static void class_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    int64_t n = d[0] * d[1];
    *s = (case_sizes){.inputs = 4, .outputs = 3, .in = {n, n, d[0], 1}, .out = {n, n, 1},
                      .scratch = dt_cpu_reduce_scratch(NULL, d[0])};
}

/* A copy of input 0 in output `o`, to work in place. */
static const void *in_place(const int64_t *d, const kernel_call *c, const void *from, int o)
{
    if (!d[2]) return from;
    memcpy(c->out[o], from, (size_t)(d[0] * d[1]) * dt_dtype_size(c->t));
    return c->out[o];
}

/* out: log-softmax, its gradient with dy = target, cross-entropy */
static void log_softmax_call(const int64_t *d, const kernel_call *c)
{
    c->set->log_softmax(&c->queue, c->t, d[0], d[1], in_place(d, c, c->in[0], 0), c->out[0]);
    c->set->log_softmax_grad(&c->queue, c->t, d[0], d[1], c->out[0], in_place(d, c, c->in[1], 1), c->out[1]);
    c->set->cross_entropy(&c->queue, c->t, d[0], d[1], c->out[0], c->in[1], c->in[2], c->out[2], c->scratch);
}

/* Log of the sum of exponentials of a row; NaN where the row has one. */
static double log_sum(int64_t n, const double *x)
{
    double top = x[0], total = 0;
    for (int64_t j = 1; j < n; j++) top = fmax(top, x[j]);
    for (int64_t j = 0; j < n; j++) total += exp(x[j] - top);
    return top + log(total);
}

static void log_softmax_expect(const int64_t *d, double *const *in, double **out)
{
    for (int64_t i = 0; i < d[0]; i++) {
        const double *x = in[0] + i * d[1], *target = in[1] + i * d[1];
        double base = log_sum(d[1], x), sum = 0;
        for (int64_t j = 0; j < d[1]; j++) sum += target[j];
        for (int64_t j = 0; j < d[1]; j++) {
            out[0][i * d[1] + j] = x[j] - base;
            out[1][i * d[1] + j] = target[j] - exp(x[j] - base) * sum;
            out[2][0] -= in[2][i] * target[j] * (x[j] - base);
        }
    }
}

static void cross_entropy_grad_call(const int64_t *d, const kernel_call *c)
{
    c->set->cross_entropy_grad(&c->queue, c->t, d[0], d[1], c->in[1], c->in[2], c->in[3], c->out[0]);
}

static void cross_entropy_grad_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    class_size(d, t, threads, s);
    s->outputs = 1;
}

static void cross_entropy_grad_expect(const int64_t *d, double *const *in, double **out)
{
    for (int64_t i = 0; i < d[0] * d[1]; i++) out[0][i] = -in[3][0] * in[2][i / d[1]] * in[1][i];
}

static void softmax_xent_call(const int64_t *d, const kernel_call *c)
{
    c->set->softmax_xent(&c->queue, c->t, d[0], d[1], in_place(d, c, c->in[0], 0), c->in[1], c->in[2], c->out[0],
                         c->out[2], c->scratch);
    c->set->softmax_xent_grad(&c->queue, c->t, d[0], d[1], in_place(d, c, c->out[0], 1), c->in[1], c->in[2], c->in[3],
                              c->out[1]);
}

static void softmax_xent_expect(const int64_t *d, double *const *in, double **out)
{
    for (int64_t i = 0; i < d[0]; i++) {
        const double *x = in[0] + i * d[1], *target = in[1] + i * d[1];
        double base = log_sum(d[1], x), sum = 0;
        for (int64_t j = 0; j < d[1]; j++) sum += target[j];
        for (int64_t j = 0; j < d[1]; j++) {
            double p = exp(x[j] - base);
            out[0][i * d[1] + j] = p;
            out[1][i * d[1] + j] = in[3][0] * in[2][i] * (p * sum - target[j]);
            out[2][0] -= in[2][i] * target[j] * (x[j] - base);
        }
    }
}

enum { MOST_ROWS = 300 };

static void make_labels(const int64_t *d, int32_t labels[MOST_ROWS])
{
    for (int64_t i = 0; i < d[0]; i++) labels[i] = (int32_t)(i * 7 % d[1]);
}

/* One-hot and hits: d = rows, classes. Inputs: scores, weights [rows]. */
static void label_size(const int64_t *d, dt_dtype t, int threads, case_sizes *s)
{
    int64_t n = d[0] * d[1];
    *s = (case_sizes){.inputs = 2, .outputs = 2, .in = {n, d[0]}, .out = {n, 2}};
}

static void label_call(const int64_t *d, const kernel_call *c)
{
    int32_t labels[MOST_ROWS];
    make_labels(d, labels);
    c->set->one_hot(&c->queue, c->t, d[0], d[1], 0.75, 0.125, labels, c->out[0]);
    c->set->top_hits(&c->queue, c->t, d[0], d[1], c->in[0], labels, c->in[1], c->out[1]);
}

static void label_expect(const int64_t *d, double *const *in, double **out)
{
    int32_t labels[MOST_ROWS];
    make_labels(d, labels);
    for (int64_t i = 0; i < d[0]; i++) {
        const double *x = in[0] + i * d[1], own = x[labels[i]];
        int64_t before = 0;
        for (int64_t j = 0; j < d[1]; j++) {
            out[0][i * d[1] + j] = j == labels[i] ? 0.75 : 0.125;
            if (isnan(x[j]) || x[j] > own || (x[j] == own && j < labels[i])) before++;
        }
        out[1][0] += before < 1 && !isnan(own) ? in[1][i] : 0;
        out[1][1] += before < 5 && !isnan(own) ? in[1][i] : 0;
    }
}

/* Equal scores: all are 0.5, so that the lower class wins. */
static void tie_call(const int64_t *d, const kernel_call *c)
{
    int32_t labels[MOST_ROWS];
    make_labels(d, labels);
    c->set->one_hot(&c->queue, c->t, d[0], d[1], 0.5, 0.5, labels, c->out[0]);
    c->set->top_hits(&c->queue, c->t, d[0], d[1], c->out[0], labels, c->in[1], c->out[1]);
}

static void tie_expect(const int64_t *d, double *const *in, double **out)
{
    int32_t labels[MOST_ROWS];
    make_labels(d, labels);
    for (int64_t i = 0; i < d[0] * d[1]; i++) out[0][i] = 0.5;
    for (int64_t i = 0; i < d[0]; i++) {
        out[1][0] += labels[i] < 1 ? in[1][i] : 0;
        out[1][1] += labels[i] < 5 ? in[1][i] : 0;
    }
}

const kernel_case class_cases[] = {
    {"log_softmax", class_size, log_softmax_call, log_softmax_expect,
     {{1, 1}, {64, 10}, {300, 101}, {3, 1000}, {5, 37, 1}}, true},
    {"cross_entropy_grad", cross_entropy_grad_size, cross_entropy_grad_call, cross_entropy_grad_expect,
     {{1, 1}, {64, 10}, {300, 101}}},
    {"softmax_xent", class_size, softmax_xent_call, softmax_xent_expect,
     {{1, 1}, {64, 10}, {300, 101}, {3, 1000}, {5, 37, 1}}, true},
    {"labels", label_size, label_call, label_expect, {{1, 3}, {64, 10}, {300, 101}}},
    {"labels of equal scores", label_size, tie_call, tie_expect, {{64, 10}}},
    {NULL}};
