/* Tiny Vision Transformers with every norm kind: the gradients of whole models against finite differences in float64,
 * and the rewrites against the unrewritten model. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "rewrite/whole_model.h"
#include "train/train.h"

enum { BATCH = 3, IMAGE = 8, CLASSES = 5, PROBES = 6 };

#define OK(call)                                    \
    do {                                            \
        if (call) fail_msg("%s", dt_error_message()); \
    } while (0)

static const char *const kinds[] = {"layernorm", "rmsnorm",  "dyt",  "hardtanh",
                                    "sigmoid",   "identity", "derf", "isru"};
enum { KINDS = sizeof kinds / sizeof *kinds };

typedef struct vit {
    dt_settings *settings;
    dt_model *model;
} vit;

static vit open_vit(const char *kind, const char *pool)
{
    const dt_setting_table tables[] = {dt_nn_settings, dt_model_settings, dt_data_settings, dt_train_settings};
    const dt_model_input input = {1, IMAGE, IMAGE, CLASSES};
    char norm[64], pooling[64];
    snprintf(norm, sizeof norm, "norm.kind=%s", kind);
    snprintf(pooling, sizeof pooling, "model.pool=%s", pool);
    const char *words[] = {norm, pooling, "model.width=12", "model.depth=2", "model.heads=3", "model.patch=4",
                           "model.init=fan_in", "norm.alpha0=0.4", "model.drop_path=0.2", "model.dropout=0.1"};
    size_t count = sizeof words / sizeof *words;
    vit v = {0};
    OK(dt_settings_load(NULL, words, count, tables, 4, &v.settings));
    OK(dt_model_create(v.settings, &input, &v.model));
    return v;
}

static void close_vit(vit *v)
{
    dt_model_free(v->model);
    dt_settings_free(v->settings);
}

static dt_tensor *build(dt_graph *g, void *context)
{
    const vit *v = context;
    dt_normalize_attr normalize = {.mean = {0.3}, .std = {0.4}};
    dt_model_feed feed = {
        .images = dt_normalize(g, dt_input(g, "images", DT_U8, DT_SHAPE(BATCH, 1, IMAGE, IMAGE)), normalize),
        .sample = dt_input(g, "sample", DT_I64, DT_SHAPE(BATCH)),
        .step = dt_input(g, "step", DT_I64, DT_SHAPE(1))};
    dt_tensor *labels = dt_input(g, "labels", DT_I32, DT_SHAPE(BATCH));
    dt_tensor *weight = dt_input(g, "weight", DT_F32, DT_SHAPE(BATCH));
    dt_tensor *logits = dt_model_build(v->model, g, &feed);
    return dt_cross_entropy(g, dt_log_softmax(g, logits), dt_one_hot(g, labels, CLASSES, 0.1), weight);
}

static void put(const dt_program *p, char *slot, const char *name, const void *bytes)
{
    const dt_feed_field *field = dt_program_feed(p, name);
    if (field) memcpy(slot + field->offset, bytes, (size_t)field->bytes);
}

static void feed(const dt_program *p, char *slot, void *context)
{
    uint8_t images[BATCH * IMAGE * IMAGE];
    for (int i = 0; i < (int)sizeof images; i++) images[i] = (uint8_t)(i * 37 + i * i % 101);
    put(p, slot, "images", images);
    put(p, slot, "labels", (int32_t[BATCH]){1, 4, 0});
    put(p, slot, "weight", (float[BATCH]){1, 2, 0.5f});
    put(p, slot, "sample", (int64_t[BATCH]){17, 4, 99});
    put(p, slot, "step", (int64_t[1]){5});
}

/* --- gradients and rewrites --- */

static void check(const char *kind, const char *pool, void (*holds)(const whole_model *))
{
    vit v = open_vit(kind, pool);
    holds(&(whole_model){kind, build, feed, &v, PROBES});
    close_vit(&v);
}

static void test_gradients(void **state)
{
    for (int i = 0; i < KINDS; i++) check(kinds[i], "mean", whole_model_check_gradients);
}

static void test_gradients_class_pooling(void **state)
{
    check("layernorm", "class", whole_model_check_gradients);
    check("dyt", "class", whole_model_check_gradients);
}

static void test_rewrites(void **state)
{
    for (int i = 0; i < KINDS; i++) check(kinds[i], "mean", whole_model_check_rewrites);
}

/* --- bfloat16: types only, the CPU does not compute in it --- */

static void check_types(const dt_node *n, const char *kind)
{
    bool matmul = n->op == &dt_op_matmul;
    if (matmul && (n->in[DT_MATMUL_A]->dtype != DT_BF16 || n->in[DT_MATMUL_B]->dtype != DT_BF16))
        fail_msg("%s: a product in %s reads no bfloat16", kind, n->scope);
    for (int i = 0; i < n->input_count; i++)
        if (n->in[i] && n->in[i]->kind == DT_PARAM && n->in[i]->param->group == DT_GROUP_VECTOR)
            assert_int_equal(n->in[i]->dtype, DT_F32);
    for (int k = 0; k < n->output_count; k++)
        if (n->out[k] && n->out[k]->kind == DT_GRADIENT) assert_int_equal(n->out[k]->dtype, DT_F32);
}

static void check_type(const dt_tensor *t, dt_dtype expected, const dt_node *n)
{
    if (t && t->dtype != expected) fail_msg("%s in %s has a %s", n->op->name, n->scope, dt_dtype_name(t->dtype));
}

/* What norms read and add up, and its gradient, is of the type of the residual stream; branches are bfloat16. */
static void check_trunk(const dt_node *n, bool wide)
{
    dt_dtype trunk = wide ? DT_F32 : DT_BF16;
    if (n->op == &dt_op_row_norm || n->op == &dt_op_point_norm) {
        check_type(n->in[DT_NORM_X], trunk, n);
        check_type(n->in[DT_NORM_RESIDUAL], DT_BF16, n);
        check_type(n->out[DT_NORM_Y], DT_BF16, n);
        check_type(n->out[DT_NORM_SUM], trunk, n);
    }
    if (n->op == &dt_op_row_norm_grad || n->op == &dt_op_point_norm_grad) {
        check_type(n->in[0], DT_BF16, n);
        check_type(n->in[1], trunk, n);
        check_type(n->out[0], trunk, n);
    }
    if (n->op == &dt_op_add) {
        check_type(n->in[0], trunk, n);
        check_type(n->in[1], n->backward && !n->again_of ? trunk : DT_BF16, n);
        check_type(n->out[0], trunk, n);
    }
}

static int count_casts(const char *kind, const dt_pass_options *passes)
{
    vit v = open_vit(kind, "mean");
    trial t;
    int casts = 0;
    OK(trial_open(&t, build, &v, &(trial_options){.passes = *passes}));
    for (const dt_node *n = dt_graph_first(dt_program_graph(t.program)); n; n = n->next) {
        check_types(n, kind);
        check_trunk(n, passes->wide_residual);
        casts += n->op == &dt_op_cast;
    }
    trial_close(&t);
    close_vit(&v);
    return casts;
}

static void check_casts(dt_pass_options passes, int casts)
{
    for (int i = 0; i < KINDS; i++)
        for (int level = DT_RECOMPUTE_NONE; level <= DT_RECOMPUTE_BLOCK; level++) {
            passes.recompute = (dt_recompute)level;
            assert_int_equal(count_casts(kinds[i], &passes), casts);
        }
}

static void test_bfloat16_types(void **state)
{
    check_casts((dt_pass_options){DT_PRECISION_BF16}, 0);
    check_casts((dt_pass_options){DT_PRECISION_BF16, .no_fuse = true}, 0);
}

/* What is cast is the gradient of a branch where an addition has no norm behind it: of one in four. */
static void test_bfloat16_beside_float32(void **state)
{
    check_casts((dt_pass_options){DT_PRECISION_BF16, .wide_residual = true}, 1);
    check_casts((dt_pass_options){DT_PRECISION_BF16, .wide_residual = true, .no_fuse = true}, 4);
}

/* --- memory --- */

static int64_t arena_bytes(const dt_pass_options *passes)
{
    vit v = open_vit("dyt", "mean");
    trial t;
    OK(trial_open(&t, build, &v, &(trial_options){.passes = *passes}));
    int64_t bytes = dt_program_arena_bytes(t.program);
    trial_close(&t);
    close_vit(&v);
    return bytes;
}

/* Each level of recomputation keeps clearly less memory than the one before: here 31, 26 and 19 KB. */
static void test_recompute_saves_memory(void **state)
{
    int64_t bytes[3];
    for (int level = 0; level < 3; level++)
        bytes[level] = arena_bytes(&(dt_pass_options){.recompute = (dt_recompute)level});
    if (!((double)bytes[1] < 0.9 * (double)bytes[0] && (double)bytes[2] < 0.8 * (double)bytes[1]))
        fail_msg("arena of %lld, %lld and %lld bytes", (long long)bytes[0], (long long)bytes[1], (long long)bytes[2]);
}

/* The plan counts the residual stream at its size. */
static void test_wide_residual_is_planned(void **state)
{
    int64_t narrow = arena_bytes(&(dt_pass_options){DT_PRECISION_BF16});
    int64_t wide = arena_bytes(&(dt_pass_options){DT_PRECISION_BF16, .wide_residual = true});
    int64_t all = arena_bytes(&(dt_pass_options){DT_PRECISION_FP32});
    if (!(narrow < wide && wide < all))
        fail_msg("arena of %lld, %lld and %lld bytes", (long long)narrow, (long long)wide, (long long)all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_gradients_class_pooling),
        cmocka_unit_test(test_rewrites),
        cmocka_unit_test(test_bfloat16_types),
        cmocka_unit_test(test_bfloat16_beside_float32),
        cmocka_unit_test(test_recompute_saves_memory),
        cmocka_unit_test(test_wide_residual_is_planned),
    };
    return cmocka_run_group_tests_name("vit", tests, NULL, NULL);
}
