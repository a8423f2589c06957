/* Tiny language models, heads of keys and values shared and not, weights tied and not: the gradients of whole models
 * against finite differences in float64, and the rewrites against the unrewritten model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/trial.h"
#include "train/train.h"

enum { BATCH = 2, TOKENS = 9, VOCABULARY = 11, PROBES = 5 };

#define OK(call)                                    \
    do {                                            \
        if (call) fail_msg("%s", dt_error_message()); \
    } while (0)

static const char *const variants[][4] = {
    {"norm.kind=dyt", "model.kv_heads=2", "model.tied=false", "model.embedding_scale=true"},
    {"norm.kind=dyt", "model.kv_heads=4", "model.tied=true", "model.embedding_scale=true"},
    {"norm.kind=rmsnorm", "model.kv_heads=1", "model.tied=false", "model.embedding_scale=false"},
};
enum { VARIANTS = sizeof variants / sizeof *variants };

typedef struct llama {
    dt_settings *settings;
    dt_model *model;
} llama;

static llama open_llama(int variant)
{
    const dt_setting_table tables[] = {dt_nn_settings, dt_model_settings, dt_data_settings, dt_train_settings};
    const dt_model_input input = {.context = TOKENS, .vocabulary = VOCABULARY};
    const char *const *of = variants[variant];
    const char *words[] = {of[0], of[1], of[2], of[3], "model.arch=llama", "model.width=16", "model.depth=2",
                           "model.heads=4", "model.ffn=24", "model.init=fan_in", "norm.bias=false"};
    llama v = {0};
    OK(dt_settings_load(NULL, words, sizeof words / sizeof *words, tables, 4, &v.settings));
    OK(dt_model_create(v.settings, &input, &v.model));
    return v;
}

static void close_llama(llama *v)
{
    dt_model_free(v->model);
    dt_settings_free(v->settings);
}

static dt_tensor *build(dt_graph *g, void *context)
{
    const llama *v = context;
    dt_model_feed feed = {.tokens = dt_input(g, "tokens", DT_I32, DT_SHAPE(BATCH, TOKENS)),
                          .order = dt_input(g, "order", DT_I32, DT_SHAPE(BATCH * TOKENS))};
    dt_tensor *targets = dt_input(g, "targets", DT_I32, DT_SHAPE(BATCH, TOKENS));
    return dt_token_loss(g, dt_model_build(v->model, g, &feed), targets, VOCABULARY).loss;
}

static void put(const dt_program *p, char *slot, const char *name, const int32_t *values)
{
    const dt_feed_field *field = dt_program_feed(p, name);
    memcpy(slot + field->offset, values, (size_t)field->bytes);
}

static void feed(const dt_program *p, char *slot, void *context)
{
    int32_t tokens[BATCH * TOKENS], targets[BATCH * TOKENS], order[BATCH * TOKENS], at = 0;
    for (int i = 0; i < BATCH * TOKENS; i++) {
        tokens[i] = i * i * 3 % VOCABULARY;
        targets[i] = i % 7 == 6 ? -1 : (i + 1) * (i + 1) * 3 % VOCABULARY;
    }
    for (int32_t token = 0; token < VOCABULARY; token++)
        for (int32_t i = 0; i < BATCH * TOKENS; i++)
            if (tokens[i] == token) order[at++] = i;
    put(p, slot, "tokens", tokens);
    put(p, slot, "targets", targets);
    put(p, slot, "order", order);
}

/* --- gradients --- */

static double loss_with(trial *t, const dt_param *param, double *values, int64_t at, double value)
{
    double kept = values[at];
    values[at] = value;
    OK(dt_store_write(t->store, param, DT_BUFFER_VALUE, DT_F64, values));
    values[at] = kept;
    OK(trial_run(t, feed, NULL, false));
    return trial_loss(t);
}

/* Fourth order, as in test_vit.c. */
static double slope(trial *t, const dt_param *param, double *values, int64_t at)
{
    const double h = 2e-4;
    double x = values[at];
    double near = loss_with(t, param, values, at, x + h) - loss_with(t, param, values, at, x - h);
    double far = loss_with(t, param, values, at, x + 2 * h) - loss_with(t, param, values, at, x - 2 * h);
    return (8 * near - far) / (12 * h);
}

static void check_param(trial *t, const dt_param *param, int variant)
{
    double *values = malloc((size_t)param->count * sizeof *values);
    double *gradient = malloc((size_t)param->count * sizeof *gradient);
    assert_true(values && gradient);
    OK(dt_store_read(t->store, param, DT_BUFFER_VALUE, DT_F64, values));
    OK(trial_run(t, feed, NULL, false));
    OK(dt_store_read(t->store, param, DT_BUFFER_GRADIENT, DT_F64, gradient));
    double most = 0, worst = 0;
    for (int64_t i = 0; i < param->count; i++) most = fmax(most, fabs(gradient[i]));
    int64_t stride = param->count > PROBES ? param->count / PROBES : 1;
    for (int64_t i = 0; i < param->count; i += stride)
        worst = fmax(worst, fabs(slope(t, param, values, i) - gradient[i]));
    OK(dt_store_write(t->store, param, DT_BUFFER_VALUE, DT_F64, values));
    if (!(worst <= 1e-6 * most)) fail_msg("%d, %s: gradient is off by %g of %g", variant, param->name, worst, most);
    free(values);
    free(gradient);
}

static void test_gradients(void **state)
{
    for (int variant = 0; variant < VARIANTS; variant++) {
        llama v = open_llama(variant);
        trial t;
        OK(trial_open(&t, build, &v, &(trial_options){.passes.precision = DT_PRECISION_FP64}));
        for (int i = 0; i < dt_store_params(t.store); i++) check_param(&t, dt_store_param(t.store, i), variant);
        trial_close(&t);
        close_llama(&v);
    }
}

/* --- rewrites --- */

static double *gradients(llama *v, const trial_options *options, size_t *bytes)
{
    trial t;
    OK(trial_open(&t, build, v, options));
    OK(trial_run(&t, feed, NULL, false));
    double *out = trial_gradients(&t, bytes);
    trial_close(&t);
    return out;
}

static void compare(int variant, const trial_options *a, const trial_options *b, bool same_bits)
{
    llama v = open_llama(variant);
    size_t bytes, others;
    double *one = gradients(&v, a, &bytes), *other = gradients(&v, b, &others);
    assert_int_equal(bytes, others);
    double error = trial_error(one, other, bytes / sizeof *one);
    bool differ = same_bits ? memcmp(one, other, bytes) != 0 : !(error <= 1e-11);
    if (differ) fail_msg("%d: gradients differ by %g", variant, error);
    free(one);
    free(other);
    close_llama(&v);
}

static void test_rewrites(void **state)
{
    const trial_options plain = {.passes = {.precision = DT_PRECISION_FP64,
                                            .no_fuse = true,
                                            .no_dead_nodes = true,
                                            .no_fuse_accumulation = true,
                                            .no_communicate = true},
                                 .plan = {.no_in_place = true, .poison = true}};
    const trial_options full = {.passes.precision = DT_PRECISION_FP64, .plan = {.poison = true}};
    trial_options shuffled = full, cheap = full, block = full;
    shuffled.plan.shuffle = 99;
    cheap.passes.recompute = DT_RECOMPUTE_CHEAP;
    block.passes.recompute = DT_RECOMPUTE_BLOCK;
    for (int variant = 0; variant < VARIANTS; variant++) {
        compare(variant, &plain, &full, false);
        compare(variant, &full, &shuffled, true);
        compare(variant, &full, &cheap, true);
        compare(variant, &full, &block, true);
    }
}

/* Logits exist once: one tensor has as many elements as they, and no other of that size is made, recomputed or not. */
static void test_logits_exist_once(void **state)
{
    for (int level = DT_RECOMPUTE_NONE; level <= DT_RECOMPUTE_BLOCK; level++) {
        llama v = open_llama(0);
        trial t;
        int roots = 0;
        OK(trial_open(&t, build, &v, &(trial_options){.passes.recompute = (dt_recompute)level}));
        const dt_graph *g = dt_program_graph(t.program);
        for (const dt_node *n = dt_graph_first(g); n; n = n->next)
            for (int k = 0; k < n->output_count; k++) {
                const dt_tensor *x = n->out[k];
                bool own = x && x->kind == DT_VALUE && x->root == x;
                roots += own && x->shape.rank == 3 && dt_shape_last(&x->shape) == 64;
            }
        assert_int_equal(roots, 1);
        trial_close(&t);
        close_llama(&v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_rewrites),
        cmocka_unit_test(test_logits_exist_once),
    };
    return cmocka_run_group_tests_name("llama", tests, NULL, NULL);
}
