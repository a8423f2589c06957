/* Naive values of the cases, element by element, straight from the definitions. */
#include <math.h>

#include "ops/cases.h"

/* The tensor that builders.c calls value(): half a parameter. */
static double half(const char *name, int64_t i) { return 0.5 * case_value(name, i); }

static double optional(const op_case *c, unsigned with, const char *name, int64_t i, double otherwise)
{
    return c->with & with ? case_value(name, i) : otherwise;
}

/* --- inputs, views, element by element --- */

double ref_input(const op_case *c, int64_t i) { return (double)case_index(i); }
double ref_reshape(const op_case *c, int64_t i) { return half("x", i); }
double ref_cast(const op_case *c, int64_t i) { return case_byte(i); }
double ref_fill(const op_case *c, int64_t i) { return 0.375; }
double ref_add(const op_case *c, int64_t i) { return half("x", i) + half("residual", i); }
double ref_scale(const op_case *c, int64_t i) { return -1.75 * half("x", i); }
double ref_scale_by(const op_case *c, int64_t i) { return -1.75 * half("x", i); }
double ref_assign(const op_case *c, int64_t i) { return half("x", i); }

static double activation(int kind, double x)
{
    switch (kind) {
    case DT_ACT_GELU: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case DT_ACT_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    default: return x;
    }
}

double ref_gelu(const op_case *c, int64_t i) { return activation(c->kind, half("x", i)); }

double ref_swiglu(const op_case *c, int64_t i)
{
    int64_t n = c->dim[2], row = i / n, at = 2 * row * n + i % n;
    double gate = half("x", at), up = half("x", at + n);
    return gate / (1 + exp(-gate)) * up;
}

/* --- matrix products --- */

double ref_matmul(const op_case *c, int64_t i)
{
    int64_t rows = c->dim[0] * c->dim[1], n = c->dim[2], k = c->dim[3], row = i / n, col = i % n;
    double v = 0;
    for (int64_t j = 0; j < k; j++)
        v += half("a", c->with & WITH_TRANSPOSED_A ? j * rows + row : row * k + j) *
             case_value("b", c->with & WITH_TRANSPOSED_B ? col * k + j : j * n + col);
    v = activation(c->kind, v + optional(c, WITH_BIAS, "bias", col, 0));
    return v + 0.5 * optional(c, WITH_RESIDUAL, "residual", i, 0);
}

double ref_column_sum(const op_case *c, int64_t i)
{
    double sum = 0;
    for (int64_t row = 0; row < c->dim[0] * c->dim[1]; row++) sum += half("x", row * c->dim[2] + i);
    return sum;
}

double ref_sum(const op_case *c, int64_t i)
{
    double sum = 0;
    for (int64_t j = 0; j < c->dim[0] * c->dim[1]; j++) sum += half("x", j);
    return sum;
}

/* --- norms --- */

static double norm_input(const op_case *c, int64_t i)
{
    return half("x", i) + 0.5 * optional(c, WITH_RESIDUAL, "residual", i, 0);
}

static double norm_output(const op_case *c, int64_t i, double normalised)
{
    int64_t channel = i % c->dim[2];
    double sum = norm_input(c, i);
    if (c->with & WITH_ONLY_SUM) return sum;
    double y = optional(c, WITH_GAMMA, "gamma", channel, 1) * normalised + optional(c, WITH_BETA, "beta", channel, 0);
    return c->with & WITH_SUM ? y + 0.25 * sum : y;
}

double ref_row_norm(const op_case *c, int64_t i)
{
    int64_t channels = c->dim[2], start = i / channels * channels;
    double mean = 0, square = 0;
    for (int64_t j = 0; c->kind && j < channels; j++) mean += norm_input(c, start + j) / (double)channels;
    for (int64_t j = 0; j < channels; j++) square += pow(norm_input(c, start + j) - mean, 2) / (double)channels;
    return norm_output(c, i, (norm_input(c, i) - mean) / sqrt(square + 1e-5));
}

static double pointwise(int kind, double u)
{
    switch (kind) {
    case DT_POINTWISE_dyt: return tanh(u);
    case DT_POINTWISE_hardtanh: return fmax(-1, fmin(1, u));
    case DT_POINTWISE_sigmoid: return 1 / (1 + exp(-u));
    case DT_POINTWISE_derf: return erf(u);
    case DT_POINTWISE_isru: return u / sqrt(1 + u * u);
    default: return u;
    }
}

double ref_point_norm(const op_case *c, int64_t i)
{
    double alpha = !(c->with & WITH_ALPHA) ? 1 : c->kind == DT_POINTWISE_hardtanh ? 2 : 0.75;
    return norm_output(c, i, pointwise(c->kind, alpha * norm_input(c, i) + (c->with & WITH_SHIFT ? 0.25 : 0)));
}

/* --- attention --- */

/* part 0, 1, 2: query, key, value, as the head of queries `head` sees them */
static double packed(const op_case *c, int64_t batch, int64_t token, int part, int64_t head, int64_t d)
{
    int64_t tokens = c->dim[1], heads = c->dim[2], size = c->dim[3], group = c->with & WITH_SHARED_KEYS ? 2 : 1;
    int64_t kv_heads = heads / group, all = heads + 2 * kv_heads;
    int64_t at = part == 0 ? head : heads + (part - 1) * kv_heads + head / group;
    return half("qkv", ((batch * tokens + token) * all + at) * size + d);
}

static double weight(const op_case *c, int64_t batch, int64_t head, int64_t from, int64_t to)
{
    double score = 0, scale = c->kind ? c->kind : 1 / sqrt((double)c->dim[3]);
    if (c->with & WITH_CAUSAL && to > from) return 0;
    if (c->with & WITH_DOCUMENTS && to < case_start(c->dim[1], batch * c->dim[1] + from)) return 0;
    for (int64_t d = 0; d < c->dim[3]; d++)
        score += packed(c, batch, from, 0, head, d) * packed(c, batch, to, 1, head, d);
    return exp(scale * score);
}

/* The weights of one token, kept for its next elements: each anew would take seconds. */
static const double *weights(const op_case *c, int64_t batch, int64_t head, int64_t from)
{
    static const op_case *of;
    static int64_t row;
    static double kept[256];
    int64_t tokens = c->dim[1], wanted = (batch * tokens + from) * c->dim[2] + head;
    if (of != c || row != wanted)
        for (int64_t to = 0; to < tokens; to++) kept[to] = weight(c, batch, head, from, to);
    of = c;
    row = wanted;
    return kept;
}

double ref_attention(const op_case *c, int64_t i)
{
    int64_t tokens = c->dim[1], heads = c->dim[2], size = c->dim[3];
    int64_t d = i % size, head = i / size % heads, token = i / size / heads % tokens;
    int64_t batch = i / size / heads / tokens;
    const double *p = weights(c, batch, head, token);
    double sum = 0, value = 0;
    for (int64_t to = 0; to < tokens; to++) {
        sum += p[to];
        value += p[to] * packed(c, batch, to, 2, head, d);
    }
    return value / sum;
}

/* Element d of head `head` of key (part 0) or value (part 1) number `j` that a query sees. */
static double seen(const op_case *c, int64_t batch, int64_t past, int64_t j, int part, int64_t head, int64_t d)
{
    int64_t group = c->with & WITH_SHARED_KEYS ? 2 : 1, kv_heads = c->dim[2] / group, size = c->dim[3];
    if (j >= past) return packed(c, batch, j - past, 1 + part, head, d);
    return half("cache", ((batch * c->kind + j) * 2 * kv_heads + part * kv_heads + head / group) * size + d);
}

/* The weights of the keys that a row of queries sees with its head `head`, kept as above. */
static const double *seen_weights(const op_case *c, int64_t past, int64_t row, int64_t head)
{
    static const op_case *of;
    static int64_t query;
    static double kept[1024];
    int64_t batch = row / c->dim[1], token = row % c->dim[1], wanted = row * c->dim[2] + head, size = c->dim[3];
    for (int64_t j = 0; (of != c || query != wanted) && j <= past + token; j++) {
        double score = 0;
        for (int64_t e = 0; e < size; e++)
            score += packed(c, batch, token, 0, head, e) * seen(c, batch, past, j, 0, head, e);
        kept[j] = exp(score / sqrt((double)size));
    }
    of = c;
    query = wanted;
    return kept;
}

double ref_attention_cached(const op_case *c, int64_t i)
{
    int64_t tokens = c->dim[1], heads = c->dim[2], size = c->dim[3], d = i % size, head = i / size % heads;
    int64_t row = i / size / heads, batch = row / tokens;
    int64_t past = case_position(batch) < c->kind ? case_position(batch) : c->kind;
    const double *p = seen_weights(c, past, row, head);
    double sum = 0, value = 0;
    for (int64_t j = 0; j <= past + row % tokens; j++) {
        sum += p[j];
        value += p[j] * seen(c, batch, past, j, 1, head, d);
    }
    return value / sum;
}

double ref_cache_append(const op_case *c, int64_t i)
{
    int64_t row = i / c->dim[3], batch = row / c->kind, token = row % c->kind - case_position(batch);
    if (token < 0 || token >= c->dim[1]) return 0;
    return half("x", (batch * c->dim[1] + token) * c->dim[2] + c->dim[2] - c->dim[3] + i % c->dim[3]);
}

/* --- text --- */

double ref_rope(const op_case *c, int64_t i)
{
    int64_t tokens = c->dim[1], heads = c->dim[2], size = c->dim[3], place = i / (heads * size) % tokens;
    int64_t at = i % size, pair = at % (size / 2), first = i - at + pair;
    if (i / size % heads == heads - 1) return half("x", i);
    if (c->with & WITH_PLACES) place += case_position(i / (heads * size) / tokens);
    double frequency = pow(100, -2.0 * (double)pair / (double)size), waves = c->kind * frequency / (2 * M_PI);
    double smooth = fmin(1, fmax(0, (waves - 1) / 3));
    if (c->kind) frequency *= (1 - smooth) / 8 + smooth;
    double angle = (double)place * frequency, a = half("x", first), b = half("x", first + size / 2);
    return at < size / 2 ? a * cos(angle) - b * sin(angle) : b * cos(angle) + a * sin(angle);
}

double ref_embedding(const op_case *c, int64_t i)
{
    return case_value("table", case_label(i / c->dim[2]) * c->dim[2] + i % c->dim[2]);
}

double ref_token_loss(const op_case *c, int64_t i)
{
    double loss = 0;
    for (int64_t row = 0; row < c->dim[0]; row++) {
        double sum = 0;
        int32_t target = case_target(row);
        if (target < 0) continue;
        for (int64_t j = 0; j < c->dim[2]; j++) sum += exp(half("x", row * c->dim[1] + j));
        loss += log(sum) - half("x", row * c->dim[1] + target) + (c->kind ? 1 : 0);
    }
    return loss;
}

/* --- images and tokens --- */

double ref_normalize(const op_case *c, int64_t i)
{
    static const double mean[] = {0.5, 0.25, 0.125}, std[] = {0.5, 0.25, 2};
    int64_t channel = i / (c->dim[2] * c->dim[3]) % c->dim[1];
    return (case_byte(i) / 255.0 - mean[channel]) / std[channel];
}

/* Where element i of the patches lies in the images. */
static int64_t pixel_of(const op_case *c, int64_t i)
{
    int64_t p = c->kind, channels = c->dim[1], height = c->dim[2], width = c->dim[3];
    int64_t x = i % p, y = i / p % p, channel = i / p / p % channels, patch = i / p / p / channels;
    int64_t cols = width / p, rows = height / p;
    int64_t col = patch % cols, row = patch / cols % rows, image = patch / cols / rows;
    return ((image * channels + channel) * height + row * p + y) * width + col * p + x;
}

double ref_patchify(const op_case *c, int64_t i) { return half("x", pixel_of(c, i)); }

double ref_unpatchify(const op_case *c, int64_t i)
{
    int64_t j = 0;
    while (pixel_of(c, j) != i) j++;
    return half("x", j);
}

double ref_embed_tokens(const op_case *c, int64_t i)
{
    int64_t cls = c->with & WITH_CLS ? 1 : 0, tokens = c->dim[1] + cls, channels = c->dim[2];
    int64_t channel = i % channels, token = i / channels % tokens, sample = i / channels / tokens;
    double x = token < cls ? case_value("cls", channel)
                           : half("x", (sample * c->dim[1] + token - cls) * channels + channel);
    return x + optional(c, WITH_POSITION, "position", token * channels + channel, 0);
}

double ref_token_mean(const op_case *c, int64_t i)
{
    int64_t tokens = c->dim[1], channels = c->dim[2], count = c->dim[3];
    double sum = 0;
    for (int64_t t = c->kind; t < c->kind + count; t++)
        sum += half("x", (i / channels * tokens + t) * channels + i % channels);
    return sum / (double)count;
}

/* --- losses and metrics --- */

double ref_one_hot(const op_case *c, int64_t i)
{
    int64_t classes = c->dim[1];
    return 0.125 / (double)classes + (case_label(i / classes) == i % classes ? 0.875 : 0);
}

double ref_log_softmax(const op_case *c, int64_t i)
{
    int64_t classes = c->dim[1], start = i / classes * classes;
    double sum = 0;
    for (int64_t j = 0; j < classes; j++) sum += exp(half("x", start + j));
    return half("x", i) - log(sum);
}

static double loss_of(const op_case *c, double (*logp)(const op_case *, int64_t))
{
    double loss = 0;
    for (int64_t i = 0; i < c->dim[0] * c->dim[1]; i++)
        loss -= case_value("weight", i / c->dim[1]) * case_value("target", i) * logp(c, i);
    return loss;
}

double ref_cross_entropy(const op_case *c, int64_t i) { return loss_of(c, ref_reshape); }
double ref_softmax_xent(const op_case *c, int64_t i) { return loss_of(c, ref_log_softmax); }

double ref_top_hits(const op_case *c, int64_t i)
{
    double hits = 0;
    for (int64_t row = 0; row < c->dim[0]; row++) {
        int64_t label = case_label(row), above = 0, start = row * c->dim[1];
        double score = case_value("x", start + label);
        for (int64_t j = 0; j < c->dim[1]; j++) {
            double other = case_value("x", start + j);
            above += other > score || (other == score && j < label);
        }
        if (above < (i == 0 ? 1 : 5)) hits += case_value("weight", row);
    }
    return hits;
}

/* --- the update --- */

static double gradient_norm(const op_case *c)
{
    double squares = 0;
    for (int64_t i = 0; i < c->dim[0]; i++) squares += pow(case_value("gradient", i), 2);
    for (int64_t i = 0; i < 7; i++) squares += pow(case_value("other", i), 2);
    return sqrt(squares) / 4;
}

static double gradient_scale(const op_case *c) { return fmin(1, 1 / gradient_norm(c)) / 4; }

double ref_grad_squares(const op_case *c, int64_t i) { return pow(4 * gradient_norm(c), 2); }

double ref_zero(const op_case *c, int64_t i) { return 0; }

double ref_grad_norm(const op_case *c, int64_t i)
{
    if (c->kind == 2) return !(c->with & WITH_NOTHING_FINITE);
    return c->kind == 1 ? gradient_scale(c) : gradient_norm(c);
}

static const dt_segment_span *span_of(int64_t i)
{
    for (int k = 0; k < CASE_SPANS; k++)
        if (i < case_spans[k].offset + case_spans[k].count) return &case_spans[k];
    return NULL;
}

static bool untouched(const op_case *c, int64_t i) { return c->with & WITH_NOTHING_FINITE || span_of(i)->frozen; }

double ref_adamw(const op_case *c, int64_t i)
{
    const dt_segment_span *span = span_of(i);
    double value = case_value("value", i), m = case_value("moment1", i), v = 0.5, lr = 0.125 * span->lr_scale;
    double g = case_value("gradient", i) * gradient_scale(c);
    if (!untouched(c, i)) {
        m = 0.75 * m + 0.25 * g;
        v = 0.875 * v + 0.125 * g * g;
        value -= lr * 0.25 * span->decay * value;
        value -= lr * (m / 0.75) / (sqrt(v / 0.25) + 1e-3);
    }
    return c->kind == 1 ? m : c->kind == 2 ? v : value;
}

double ref_sgd(const op_case *c, int64_t i)
{
    const dt_segment_span *span = span_of(i);
    double value = case_value("value", i), m = case_value("moment1", i), lr = 0.125 * span->lr_scale;
    double g = case_value("gradient", i) * gradient_scale(c) + 0.25 * span->decay * value;
    if (!untouched(c, i)) {
        m = 0.75 * m + g;
        value -= lr * (c->kind == 3 ? g + 0.75 * m : m);
    }
    return c->kind == 1 ? m : value;
}

double ref_ema(const op_case *c, int64_t i)
{
    double average = case_value("average", i);
    return c->with & WITH_NOTHING_FINITE ? average : average + 0.125 * (case_value("value", i) - average);
}
