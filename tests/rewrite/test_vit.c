/* Tiny Vision Transformers with every norm kind: the gradients of whole models against finite differences in float64,
 * and the rewrites against the unrewritten model. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "train/train.h"
#include "support/trial.h"

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

/* Fourth order: the error falls with the fourth power of the distance, which may then be large against rounding. */
static double slope(trial *t, const dt_param *param, double *values, int64_t at)
{
    const double h = 2e-4;
    double x = values[at];
    double near = loss_with(t, param, values, at, x + h) - loss_with(t, param, values, at, x - h);
    double far = loss_with(t, param, values, at, x + 2 * h) - loss_with(t, param, values, at, x - 2 * h);
    return (8 * near - far) / (12 * h);
}

static void check_param(trial *t, const dt_param *param, const char *kind)
{
    double *values = malloc((size_t)param->count * sizeof *values);
    double *gradient = malloc((size_t)param->count * sizeof *gradient);
    OK(dt_store_read(t->store, param, DT_BUFFER_VALUE, DT_F64, values));
    OK(trial_run(t, feed, NULL, false));
    OK(dt_store_read(t->store, param, DT_BUFFER_GRADIENT, DT_F64, gradient));
    double most = 0, worst = 0;
    for (int64_t i = 0; i < param->count; i++) most = fmax(most, fabs(gradient[i]));
    int64_t stride = param->count > PROBES ? param->count / PROBES : 1;
    for (int64_t i = 0; i < param->count; i += stride)
        worst = fmax(worst, fabs(slope(t, param, values, i) - gradient[i]));
    OK(dt_store_write(t->store, param, DT_BUFFER_VALUE, DT_F64, values));
    if (!(worst <= 1e-6 * most)) fail_msg("%s, %s: gradient is off by %g of %g", kind, param->name, worst, most);
    free(values);
    free(gradient);
}

static void check_gradients(const char *kind, const char *pool)
{
    vit v = open_vit(kind, pool);
    trial t;
    OK(trial_open(&t, build, &v, &(trial_options){.passes.precision = DT_PRECISION_FP64}));
    for (int i = 0; i < dt_store_params(t.store); i++) check_param(&t, dt_store_param(t.store, i), kind);
    trial_close(&t);
    close_vit(&v);
}

static void test_gradients(void **state)
{
    for (int i = 0; i < KINDS; i++) check_gradients(kinds[i], "mean");
}

static void test_gradients_class_pooling(void **state)
{
    check_gradients("layernorm", "class");
    check_gradients("dyt", "class");
}

/* --- rewrites --- */

static double *gradients(vit *v, const trial_options *options, size_t *bytes)
{
    trial t;
    OK(trial_open(&t, build, v, options));
    OK(trial_run(&t, feed, NULL, false));
    double *out = trial_gradients(&t, bytes);
    trial_close(&t);
    return out;
}

static void compare(const char *kind, const trial_options *a, const trial_options *b, bool same_bits)
{
    vit v = open_vit(kind, "mean");
    size_t bytes, others;
    double *one = gradients(&v, a, &bytes), *other = gradients(&v, b, &others);
    assert_int_equal(bytes, others);
    double error = trial_error(one, other, bytes / sizeof *one);
    bool differ = same_bits ? memcmp(one, other, bytes) != 0 : !(error <= 1e-11);
    if (differ) fail_msg("%s: gradients differ by %g", kind, error);
    free(one);
    free(other);
    close_vit(&v);
}

static const trial_options plain = {.passes = {.precision = DT_PRECISION_FP64,
                                               .no_fuse = true,
                                               .no_dead_nodes = true,
                                               .no_fuse_accumulation = true,
                                               .no_communicate = true},
                                    .plan = {.no_in_place = true, .poison = true}};

static void test_rewrites(void **state)
{
    const trial_options full = {.passes.precision = DT_PRECISION_FP64, .plan = {.poison = true}};
    trial_options shuffled = full, cheap = full, block = full;
    shuffled.plan.shuffle = 99;
    cheap.passes.recompute = DT_RECOMPUTE_CHEAP;
    block.passes.recompute = DT_RECOMPUTE_BLOCK;
    for (int i = 0; i < KINDS; i++) {
        compare(kinds[i], &plain, &full, false);
        compare(kinds[i], &full, &shuffled, true);
        compare(kinds[i], &full, &cheap, true);
        compare(kinds[i], &full, &block, true);
    }
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
