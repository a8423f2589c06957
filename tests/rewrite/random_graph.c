#include "rewrite/random_graph.h"

#include <stdio.h>
#include <string.h>

#include "base/random.h"
#include "ops/ops.h"

enum { B = 3, T = 5, C = 8, HEADS = 2, CLASSES = 4, LAYERS = 7, VALUES = 2 + 2 * LAYERS };

typedef struct builder {
    dt_graph *g;
    random_graph *r;
    dt_tensor *value[VALUES], *sample, *step, *starts;
    int values, named;
} builder;

static int pick(random_graph *r, int below)
{
    return (int)(dt_random_word(r->seed, DT_PURPOSE_SYNTHETIC, 1, 0, r->draws++) % (uint32_t)below);
}

static dt_tensor *param(builder *b, dt_shape shape, dt_role role, double deviation, double constant)
{
    char name[32];
    snprintf(name, sizeof name, "p%d", b->named++);
    dt_init init = deviation > 0 ? (dt_init){DT_INIT_NORMAL, deviation} : (dt_init){DT_INIT_CONSTANT, constant};
    return dt_param_tensor(b->g, name, shape, (dt_param_options){.role = role, .init = init});
}

static dt_tensor *linear(builder *b, dt_tensor *x, int64_t out)
{
    dt_tensor *w = param(b, DT_SHAPE(out, dt_shape_last(&x->shape)), DT_ROLE_MATRIX, 0.4, 0);
    return dt_linear(b->g, x, w, pick(b->r, 2) ? param(b, DT_SHAPE(out), DT_ROLE_BIAS, 0.3, 0) : NULL);
}

static dt_tensor *norm(builder *b, dt_tensor *x)
{
    dt_tensor *gamma = pick(b->r, 2) ? param(b, DT_SHAPE(C), DT_ROLE_GAIN, 0, 1.1) : NULL;
    dt_tensor *beta = pick(b->r, 2) ? param(b, DT_SHAPE(C), DT_ROLE_GAIN, 0.2, 0) : NULL;
    int kind = pick(b->r, DT_POINTWISE_COUNT + 2);
    if (kind >= DT_POINTWISE_COUNT)
        return dt_row_norm(b->g, x, gamma, beta, (dt_row_norm_attr){kind == DT_POINTWISE_COUNT, 1e-6});
    dt_tensor *alpha = param(b, DT_SHAPE(1), DT_ROLE_ALPHA, 0, 0.6);
    dt_tensor *shift = kind == DT_POINTWISE_derf ? param(b, DT_SHAPE(1), DT_ROLE_ALPHA, 0, 0.1) : NULL;
    return dt_point_norm(b->g, x, gamma, beta, alpha, shift, (dt_pointwise)kind);
}

static dt_tensor *attention(builder *b, dt_tensor *x)
{
    dt_attention_attr attr = {.heads = HEADS, .causal = pick(b->r, 2)};
    dt_tensor *starts = attr.causal && pick(b->r, 2) ? b->starts : NULL;
    return dt_attention(b->g, linear(b, x, 3 * C), starts, attr);
}

static dt_tensor *layer(builder *b, dt_tensor *x)
{
    dt_drop_attr drop = {0.3, 11, (uint32_t)b->named};
    switch (pick(b->r, 8)) {
    case 0: return linear(b, x, C);
    case 1: return norm(b, x);
    case 2: return dt_gelu(b->g, x, pick(b->r, 2) ? DT_ACT_GELU : DT_ACT_GELU_TANH);
    case 3: return linear(b, dt_gelu(b->g, linear(b, x, 3 * C), DT_ACT_GELU), C);
    case 4: return attention(b, x);
    case 5: return dt_dropout(b->g, x, b->sample, b->step, drop);
    case 6: return dt_drop_path(b->g, linear(b, x, C), b->sample, b->step, drop);
    default: return dt_scale(b->g, x, 0.7);
    }
}

static dt_tensor *any_value(builder *b) { return b->value[pick(b->r, b->values)]; }

static void add_layers(builder *b)
{
    for (int i = 0; i < LAYERS; i++) {
        dt_unit_begin(b->g, "layers.%d", i);
        dt_tensor *y = layer(b, any_value(b));
        b->value[b->values++] = y;
        if (pick(b->r, 2)) b->value[b->values++] = dt_add(b->g, y, any_value(b));
        dt_unit_end(b->g);
    }
}

dt_tensor *random_graph_build(dt_graph *g, void *context)
{
    builder b = {.g = g, .r = context};
    b.r->draws = 0;
    dt_tensor *labels = dt_input(g, "labels", DT_I32, DT_SHAPE(B));
    dt_tensor *weight = dt_input(g, "weight", DT_F32, DT_SHAPE(B));
    b.sample = dt_input(g, "sample", DT_I64, DT_SHAPE(B));
    b.step = dt_input(g, "step", DT_I64, DT_SHAPE(1));
    b.starts = dt_input(g, "starts", DT_I32, DT_SHAPE(B, T));
    dt_unit_begin(g, "first");
    b.value[b.values++] = param(&b, DT_SHAPE(B, T, C), DT_ROLE_EMBEDDING, 1, 0);
    b.value[b.values++] = param(&b, DT_SHAPE(B, T, C), DT_ROLE_POSITION, 1, 0);
    dt_unit_end(g);
    add_layers(&b);
    dt_unit_begin(g, "last");
    dt_tensor *sum = b.value[0];
    for (int i = 1; i < b.values; i++) sum = dt_add(g, sum, b.value[i]);
    dt_tensor *logits = linear(&b, norm(&b, dt_token_mean(g, norm(&b, sum), 1, T - 1)), CLASSES);
    dt_unit_end(g);
    return dt_cross_entropy(g, dt_log_softmax(g, logits), dt_one_hot(g, labels, CLASSES, 0.1), weight);
}

static void put(const dt_program *p, char *slot, const char *name, const void *bytes)
{
    const dt_feed_field *field = dt_program_feed(p, name);
    if (field) memcpy(slot + field->offset, bytes, (size_t)field->bytes);
}

void random_graph_feed(const dt_program *p, char *slot, void *context)
{
    (void)context;
    put(p, slot, "labels", (int32_t[B]){1, 3, 0});
    put(p, slot, "weight", (float[B]){1, 0.5f, 2});
    put(p, slot, "sample", (int64_t[B]){17, 4, 99});
    put(p, slot, "step", (int64_t[1]){5});
    put(p, slot, "starts", (int32_t[B * T]){0, 0, 2, 2, 2, 0, 1, 2, 3, 3, 0, 0, 0, 0, 0});
}
