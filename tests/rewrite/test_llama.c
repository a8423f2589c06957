/* Tiny language models, heads of keys and values shared and not, weights tied and not: the gradients of whole models
 * against finite differences in float64, and the rewrites against the unrewritten model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rewrite/whole_model.h"
#include "train/train.h"

enum { BATCH = 2, TOKENS = 9, VOCABULARY = 11, PROBES = 5 };

#define OK(call)                                    \
    do {                                            \
        if (call) fail_msg("%s", dt_error_message()); \
    } while (0)

static const char *const variants[][5] = {
    {"norm.kind=dyt", "model.kv_heads=2", "model.tied=false", "model.embedding_scale=true",
     "model.mask_documents=false"},
    {"norm.kind=dyt", "model.kv_heads=4", "model.tied=true", "model.embedding_scale=true",
     "model.mask_documents=false"},
    {"norm.kind=rmsnorm", "model.kv_heads=1", "model.tied=false", "model.embedding_scale=false",
     "model.mask_documents=false"},
    {"norm.kind=dyt", "model.kv_heads=2", "model.tied=false", "model.embedding_scale=true",
     "model.mask_documents=true"},
};
static const char *const names[] = {"dyt, shared keys", "dyt, tied", "rmsnorm", "dyt, documents"};
enum { VARIANTS = sizeof variants / sizeof *variants, MASKED = 3 };
static const int32_t starts[BATCH * TOKENS] = {0, 0, 2, 3, 3, 3, 3, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 8};

typedef struct llama {
    dt_settings *settings;
    dt_model *model;
} llama;

static llama open_llama(int variant)
{
    const dt_setting_table tables[] = {dt_nn_settings, dt_model_settings, dt_data_settings, dt_train_settings};
    const dt_model_input input = {.context = TOKENS, .vocabulary = VOCABULARY};
    const char *const *of = variants[variant];
    const char *words[] = {of[0], of[1], of[2], of[3], of[4], "model.arch=llama", "model.width=16", "model.depth=2",
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

/* For the model that takes it. */
static dt_tensor *input_starts(dt_graph *g, const llama *v)
{
    return dt_model_masks_documents(v->model) ? dt_input(g, "starts", DT_I32, DT_SHAPE(BATCH, TOKENS)) : NULL;
}

static dt_tensor *build(dt_graph *g, void *context)
{
    const llama *v = context;
    dt_model_feed feed = {.tokens = dt_input(g, "tokens", DT_I32, DT_SHAPE(BATCH, TOKENS)),
                          .order = dt_input(g, "order", DT_I32, DT_SHAPE(BATCH * TOKENS)),
                          .starts = input_starts(g, v)};
    dt_tensor *targets = dt_input(g, "targets", DT_I32, DT_SHAPE(BATCH, TOKENS));
    return dt_token_loss(g, dt_model_build(v->model, g, &feed), targets, VOCABULARY).loss;
}

static void put(const dt_program *p, char *slot, const char *name, const int32_t *values)
{
    const dt_feed_field *field = dt_program_feed(p, name);
    if (field) memcpy(slot + field->offset, values, (size_t)field->bytes);
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
    put(p, slot, "starts", starts);
}

/* --- gradients and rewrites --- */

static void check_each(void (*holds)(const whole_model *))
{
    for (int variant = 0; variant < VARIANTS; variant++) {
        llama v = open_llama(variant);
        holds(&(whole_model){names[variant], build, feed, &v, PROBES});
        close_llama(&v);
    }
}

static void test_gradients(void **state) { check_each(whole_model_check_gradients); }
static void test_rewrites(void **state) { check_each(whole_model_check_rewrites); }

/* --- documents --- */

enum { WIDTH = 64 }; /* of a row of logits, with padding */

/* Two documents of 4 and of 5 tokens, in one sample or in one each. */
typedef struct layout {
    const llama *v;
    int rows, tokens;
    int32_t place[10]; /* the number, through both, of the token that stands there; -1: none */
    int32_t starts[10];
} layout;

static dt_tensor *build_layout(dt_graph *g, void *context)
{
    const layout *l = context;
    dt_shape shape = DT_SHAPE(l->rows, l->tokens);
    dt_model_feed feed = {.tokens = dt_input(g, "tokens", DT_I32, shape),
                          .order = dt_input(g, "order", DT_I32, DT_SHAPE(l->rows * l->tokens)),
                          .starts = dt_input(g, "starts", DT_I32, shape)};
    dt_tensor *logits = dt_model_build(l->v->model, g, &feed);
    dt_graph_output(g, "logits", dt_scale(g, logits, 1)); /* a copy: the gradient takes their memory */
    return dt_token_loss(g, logits, dt_input(g, "targets", DT_I32, shape), VOCABULARY).loss;
}

static void feed_layout(const dt_program *p, char *slot, void *context)
{
    const layout *l = context;
    int32_t tokens[10], targets[10], order[10], at = 0, count = l->rows * l->tokens;
    for (int i = 0; i < count; i++) {
        int32_t place = l->place[i];
        tokens[i] = place < 0 ? 0 : place * place * 3 % VOCABULARY;
        targets[i] = place < 0 || place == 3 ? -1 : (place + 1) * (place + 1) * 3 % VOCABULARY;
    }
    for (int32_t token = 0; token < VOCABULARY; token++)
        for (int32_t i = 0; i < count; i++)
            if (tokens[i] == token) order[at++] = i;
    put(p, slot, "tokens", tokens);
    put(p, slot, "targets", targets);
    put(p, slot, "order", order);
    put(p, slot, "starts", l->starts);
}

/* The logits by place, and all gradients. */
static double *run_layout(layout *l, double logits[TOKENS * WIDTH], size_t *bytes)
{
    trial t;
    double all[10 * WIDTH];
    OK(trial_open(&t, build_layout, l, &(trial_options){.passes.precision = DT_PRECISION_FP64}));
    OK(trial_run(&t, feed_layout, l, false));
    OK(dt_program_read(t.program, "logits", all, (size_t)(l->rows * l->tokens) * WIDTH * sizeof *all));
    OK(dt_device_sync(t.device, DT_STREAM_COMPUTE));
    for (int i = 0; i < l->rows * l->tokens; i++)
        if (l->place[i] >= 0) memcpy(logits + l->place[i] * WIDTH, all + i * WIDTH, WIDTH * sizeof *all);
    double *gradients = trial_gradients(&t, bytes);
    assert_non_null(gradients);
    trial_close(&t);
    return gradients;
}

/* A sample of two documents has the logits and the gradients of the documents on their own, although their places in it
 * are others. */
static void test_documents_on_their_own(void **state)
{
    llama v = open_llama(MASKED);
    layout together = {&v, 1, 9, {0, 1, 2, 3, 4, 5, 6, 7, 8}, {0, 0, 0, 0, 4, 4, 4, 4, 4}};
    layout apart = {&v, 2, 5, {0, 1, 2, 3, -1, 4, 5, 6, 7, 8}, {0}};
    double want[TOKENS * WIDTH], have[TOKENS * WIDTH];
    size_t bytes, same;
    double *slopes = run_layout(&apart, want, &bytes), *others = run_layout(&together, have, &same);
    assert_int_equal(bytes, same);
    assert_true(trial_error(want, have, TOKENS * WIDTH) < 1e-12);
    assert_true(trial_error(slopes, others, bytes / sizeof *slopes) < 1e-12);
    memset(together.starts, 0, sizeof together.starts);
    free(others);
    others = run_layout(&together, have, &same);
    assert_true(trial_error(want, have, TOKENS * WIDTH) > 1e-3); /* without the mask others */
    free(slopes);
    free(others);
    close_llama(&v);
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

/* --- gradients in bfloat16 --- */

static void check_slot(const dt_tensor *slot)
{
    assert_int_equal(slot->dtype, slot->param->group == DT_GROUP_MATRIX ? DT_BF16 : DT_F32);
}

/* Returns how many gradients are not made where they belong. */
static int check_slots(const dt_graph *g)
{
    int apart = 0;
    for (const dt_node *n = dt_graph_first(g); n; n = n->next) {
        for (int k = 0; k < n->output_count; k++)
            if (n->out[k] && n->out[k]->kind == DT_GRADIENT) check_slot(n->out[k]);
        if (n->op != &dt_op_accumulate) continue;
        check_slot(n->in[0]);
        assert_int_equal(n->in[1]->dtype, n->in[0]->dtype);
        apart++;
    }
    return apart;
}

/* Their norm reads both types, and casts neither. */
static void check_norm(dt_store *store)
{
    dt_graph *g;
    OK(dt_graph_create(store, true, &g));
    dt_tensor *gradients[DT_GROUPS] = {dt_buffer_tensor(g, DT_GROUP_MATRIX, DT_BUFFER_GRADIENT),
                                       dt_buffer_tensor(g, DT_GROUP_VECTOR, DT_BUFFER_GRADIENT)};
    dt_tensor *count = dt_fill(g, DT_F32, &DT_SHAPE(1), 1);
    const dt_gradient_range ranges[DT_GROUPS] = {{DT_GROUP_MATRIX, 0, dt_store_count(store, DT_GROUP_MATRIX)},
                                                 {DT_GROUP_VECTOR, 0, dt_store_count(store, DT_GROUP_VECTOR)}};
    dt_tensor *squares = dt_grad_squares(g, gradients, ranges, DT_GROUPS);
    dt_graph_output(g, "norm", dt_grad_norm(g, squares, count, (dt_grad_norm_attr){0}).norm);
    OK(dt_passes_run(g, NULL, &(dt_pass_options){.precision = DT_PRECISION_BF16}));
    for (int i = 0; i < DT_GROUPS; i++) assert_ptr_equal(squares->maker->in[i], gradients[i]);
    dt_graph_free(g);
}

/* Products write their slots; the table's gradient is added up in float32 and then rounded. */
static void test_narrow_gradients(void **state)
{
    for (int i = 0; i < VARIANTS; i++) {
        llama v = open_llama(i);
        dt_store *store;
        dt_graph *g;
        OK(dt_store_create(&store));
        dt_store_narrow_gradients(store);
        OK(dt_graph_create(store, true, &g));
        dt_tensor *loss = build(g, &v);
        dt_graph_output(g, "loss", loss);
        OK(dt_store_layout(store, DT_F32));
        OK(dt_passes_run(g, loss, &(dt_pass_options){.precision = DT_PRECISION_BF16}));
        assert_int_equal(check_slots(g), 1);
        assert_int_equal(dt_buffer_tensor(g, DT_GROUP_MATRIX, DT_BUFFER_GRADIENT)->dtype, DT_BF16);
        assert_int_equal(dt_buffer_tensor(g, DT_GROUP_VECTOR, DT_BUFFER_GRADIENT)->dtype, DT_F32);
        assert_int_equal(dt_store_bytes(store, DT_BUFFER_GRADIENT), 2 * dt_store_count(store, DT_GROUP_MATRIX) +
                                                                        4 * dt_store_count(store, DT_GROUP_VECTOR));
        check_norm(store);
        dt_graph_free(g);
        dt_store_free(store);
        close_llama(&v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_rewrites),
        cmocka_unit_test(test_documents_on_their_own),
        cmocka_unit_test(test_logits_exist_once),
        cmocka_unit_test(test_narrow_gradients),
    };
    return cmocka_run_group_tests_name("llama", tests, NULL, NULL);
}
