/* The Vision Transformer: its parameters by name, shape and number, its initial values, and what it refuses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "built.h"

static const dt_model_input imagenet = {3, 224, 224, 1000}, fashion = {1, 28, 28, 10};

#define WORDS(...) (const char *const[]){__VA_ARGS__, NULL}

/* In a graph of batch 2. */
static built build(const char *const *words, const dt_model_input *input, bool training)
{
    built b = begin(words, input, training);
    dt_shape images = DT_SHAPE(2, input->channels, input->height, input->width);
    dt_model_feed feed = {.images = dt_input(b.graph, "images", DT_F32, images)};
    if (training) {
        feed.sample = dt_input(b.graph, "sample", DT_I64, DT_SHAPE(2));
        feed.step = dt_input(b.graph, "step", DT_I64, DT_SHAPE(1));
    }
    finish(&b, &feed);
    return b;
}

/* The sizes of the paper's ViTs. */
static void counts_are_those_of_the_paper(void **state)
{
    static const struct {
        const char *size;
        int64_t layernorm, dyt;
    } table[] = {
        {"model.size=S", 22050664, 22050689},
        {"model.size=B", 86567656, 86567681},
        {"model.size=L", 304326632, 304326681},
    };
    for (int i = 0; i < 3; i++) {
        built ln = build(WORDS(table[i].size, "norm.kind=layernorm"), &imagenet, false);
        built dyt = build(WORDS(table[i].size, "norm.kind=dyt"), &imagenet, false);
        assert_int_equal(dt_store_trainable(ln.store), table[i].layernorm);
        assert_int_equal(dt_store_trainable(dyt.store), table[i].dyt);
        release(&ln);
        release(&dyt);
    }
}

static int64_t trainable(const char *const *words)
{
    built b = build(words, &fashion, false);
    int64_t count = dt_store_trainable(b.store);
    release(&b);
    return count;
}

#define SMALL "model.width=8", "model.depth=2", "model.heads=2", "model.patch=7"

/* Five sites of width 8: what each kind adds to a model without any gain or bias. */
static void kinds_have_their_parameters(void **state)
{
    enum { SITES = 5, C = 8 };
    int64_t none = trainable(WORDS(SMALL, "norm.kind=layernorm", "norm.gain=false", "norm.bias=false"));
    assert_int_equal(trainable(WORDS(SMALL, "norm.kind=layernorm")), none + SITES * 2 * C);
    assert_int_equal(trainable(WORDS(SMALL, "norm.kind=rmsnorm")), none + SITES * C);
    assert_int_equal(trainable(WORDS(SMALL, "norm.kind=derf")), none + SITES * (2 * C + 2));
    for (int i = 0; i < 5; i++) {
        static const char *const kinds[] = {"norm.kind=dyt", "norm.kind=hardtanh", "norm.kind=sigmoid",
                                            "norm.kind=identity", "norm.kind=isru"};
        assert_int_equal(trainable(WORDS(SMALL, kinds[i])), none + SITES * (2 * C + 1));
        assert_int_equal(trainable(WORDS(SMALL, kinds[i], "norm.learn_alpha=false")), none + SITES * 2 * C);
    }
    assert_int_equal(trainable(WORDS(SMALL, "norm.kind.final=dyt")), none + SITES * 2 * C + 1);
    int64_t two_biases_less = trainable(WORDS(SMALL, "norm.kind=dyt", "norm.bias.ffn=false"));
    assert_int_equal(two_biases_less, none + SITES * (2 * C + 1) - 2 * C);
}

static void assert_params(const built *b, const char *const (*want)[2], int count)
{
    char shape[96];
    assert_int_equal(dt_store_params(b->store), count);
    for (int i = 0; i < count; i++) {
        const dt_param *param = dt_store_find(b->store, want[i][0]);
        if (!param) fail_msg("there is no %s", want[i][0]);
        assert_string_equal(dt_shape_text(&param->published_shape, shape), want[i][1]);
        assert_int_equal(dt_shape_count(&param->published_shape), param->count);
    }
}

/* As timm 1.0.15 names them. */
static void names_are_those_of_timm(void **state)
{
    static const char *const want[][2] = {
        {"cls_token", "[1, 1, 8]"}, {"pos_embed", "[1, 17, 8]"},
        {"patch_embed.proj.weight", "[8, 1, 7, 7]"}, {"patch_embed.proj.bias", "[8]"},
        {"blocks.0.norm1.weight", "[8]"}, {"blocks.0.norm1.bias", "[8]"}, {"blocks.0.norm1.alpha", "[1]"},
        {"blocks.0.attn.qkv.weight", "[24, 8]"}, {"blocks.0.attn.qkv.bias", "[24]"},
        {"blocks.0.attn.proj.weight", "[8, 8]"}, {"blocks.0.attn.proj.bias", "[8]"},
        {"blocks.0.norm2.weight", "[8]"}, {"blocks.0.norm2.bias", "[8]"}, {"blocks.0.norm2.alpha", "[1]"},
        {"blocks.0.mlp.fc1.weight", "[32, 8]"}, {"blocks.0.mlp.fc1.bias", "[32]"},
        {"blocks.0.mlp.fc2.weight", "[8, 32]"}, {"blocks.0.mlp.fc2.bias", "[8]"},
        {"fc_norm.weight", "[8]"}, {"fc_norm.bias", "[8]"}, {"fc_norm.alpha", "[1]"},
        {"head.weight", "[10, 8]"}, {"head.bias", "[10]"},
    };
    built b = build(WORDS(SMALL, "model.depth=1", "norm.kind=dyt"), &fashion, false);
    assert_params(&b, want, sizeof want / sizeof *want);
    assert_int_equal(dt_store_units(b.store), 3);
    assert_int_equal(dt_store_find(b.store, "blocks.0.mlp.fc1.bias")->unit, 1);
    assert_int_equal(dt_store_find(b.store, "head.bias")->unit, 2);
    assert_int_equal(dt_store_find(b.store, "cls_token")->role, DT_ROLE_POSITION);
    release(&b);
}

static void variants_differ_as_named(void **state)
{
    built b = build(WORDS(SMALL, "model.pool=class"), &fashion, false);
    assert_non_null(dt_store_find(b.store, "norm.weight"));
    assert_null(dt_store_find(b.store, "fc_norm.weight"));
    release(&b);
    b = build(WORDS(SMALL, "model.class_token=false", "model.qkv_bias=false", "model.mlp_ratio=2"), &fashion, false);
    assert_null(dt_store_find(b.store, "cls_token"));
    assert_null(dt_store_find(b.store, "blocks.1.attn.qkv.bias"));
    assert_int_equal(dt_store_find(b.store, "pos_embed")->published_shape.dim[1], 16);
    assert_int_equal(dt_store_find(b.store, "blocks.1.mlp.fc1.weight")->shape.dim[0], 16);
    assert_int_equal(dt_model_dims_of(b.model).tokens, 16);
    release(&b);
}

static int random_layers(const char *const *words, bool training)
{
    int count = 0;
    built b = build(words, &fashion, training);
    for (const dt_node *node = dt_graph_first(b.graph); node; node = node->next)
        count += !strcmp(node->op->name, "dropout") || !strcmp(node->op->name, "drop_path");
    release(&b);
    return count;
}

static void random_layers_stand_in_training_only(void **state)
{
    const char *const *words = WORDS(SMALL, "model.dropout=0.1", "model.drop_path=0.2");
    assert_int_equal(random_layers(words, true), 1 + 2 * 3 + 2); /* the first block's drop path rate is 0 */
    assert_int_equal(random_layers(words, false), 0);
    assert_int_equal(random_layers(WORDS(SMALL), true), 0);
}

/* --- settings --- */

static void dimensions_follow(void **state)
{
    dt_text text = {0};
    built b = build(WORDS("model.size=S", "model.depth=3"), &imagenet, false);
    assert_int_equal(dt_setting_int(b.settings, "model.width"), 384);
    assert_int_equal(dt_setting_int(b.settings, "model.depth"), 3);
    assert_int_equal(dt_setting_int(b.settings, "model.heads"), 6);
    assert_int_equal(dt_setting_int(b.settings, "model.image"), 224);
    assert_int_equal(dt_setting_int(b.settings, "model.classes"), 1000);
    dt_model_describe(b.model, &text);
    assert_string_equal(text.data, "vit, width 384, depth 3, 6 heads, patch 16: 196 tokens + class token");
    assert_int_equal(b.logits->shape.dim[1], 1000);
    dt_text_free(&text);
    release(&b);
}

static void names_what_does_not_fit(void **state)
{
    static const struct {
        const char *word, *fact;
    } table[] = {
        {"model.heads=3", "model.heads=3: 3 heads do not divide the width 8 evenly; 2 would"},
        {"model.patch=16", "model.patch=16: patches of 16 x 16 do not tile an image of 28 x 28; 14 would"},
        {"model.patch=100", "28 would"},
        {"model.image=32", "model.image=32: is 32, but the data set delivers images of 28 x 28"},
        {"model.classes=9", "model.classes=9: is 9, but the data set has 10 classes"},
        {"model.classes=11", "model.classes=11: is 11, but the data set has 10 classes"},
        {"model.mlp_ratio=0.3", "gives the MLP a width of 2.4"},
        {"norm.kind.atention=dyt", "attention"},
        {"norm.alpha0.head=1", "norm.alpha0"},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        dt_model *model;
        dt_settings *settings = settings_of(WORDS(SMALL, table[i].word));
        assert_int_equal(dt_model_create(settings, &fashion, &model), DT_ERR_USAGE);
        if (!strstr(dt_error_message(), table[i].fact)) fail_msg("%s", dt_error_message());
        dt_settings_free(settings);
    }
}

static void names_what_is_missing(void **state)
{
    dt_model *model;
    dt_settings *settings = settings_of(WORDS("model.width=8", "model.depth=1"));
    assert_int_equal(dt_model_create(settings, &fashion, &model), DT_ERR_USAGE);
    assert_non_null(strstr(dt_error_message(), "model.heads"));
    dt_settings_free(settings);
    settings = settings_of(WORDS(SMALL, "model.class_token=false", "model.pool=class"));
    assert_int_equal(dt_model_create(settings, &fashion, &model), DT_ERR_USAGE);
    assert_non_null(strstr(dt_error_message(), "is class, but model.class_token is false"));
    dt_settings_free(settings);
}

static void unread_settings_are_inactive(void **state)
{
    dt_text text = {0};
    const char *const *rms = WORDS(SMALL, "norm.kind=rmsnorm", "norm.alpha0=1", "norm.bias=false", "norm.epsilon=0.1");
    built b = build(rms, &fashion, false);
    assert_int_equal(dt_settings_inactive(b.settings, &(dt_inactive_options){0}, &text), 2);
    assert_non_null(strstr(text.data, "norm.alpha0"));
    assert_non_null(strstr(text.data, "norm.bias"));
    dt_text_free(&text);
    release(&b);
}

static size_t inactive(const char *const *words)
{
    dt_text text = {0};
    built b = build(words, &fashion, false);
    size_t count = dt_settings_inactive(b.settings, &(dt_inactive_options){0}, &text);
    dt_text_free(&text);
    release(&b);
    return count;
}

static void settings_that_make_no_difference_are_inactive(void **state)
{
    assert_int_equal(inactive(WORDS(SMALL, "model.size=B")), 1); /* all three dimensions are given */
    assert_int_equal(inactive(WORDS("model.size=S", "model.width=12", "model.depth=1", "model.patch=7")), 0);
    assert_int_equal(inactive(WORDS("model.size=S", "model.width=12", "model.depth=1", "model.heads=6", /* as S has */
                                    "model.patch=7")), 0);
    assert_int_equal(inactive(WORDS(SMALL, "model.drop_path=0.5")), 0);
    assert_int_equal(inactive(WORDS("model.width=8", "model.depth=1", "model.heads=2", "model.patch=7",
                                    "model.drop_path=0.5")), 1);
}

static void hidden_widths_are_whole_but_for_rounding(void **state)
{
    static const struct {
        const char *width, *ratio;
        int64_t hidden;
    } table[] = {{"model.width=100", "model.mlp_ratio=2.3", 230}, /* in doubles less than 230 */
                 {"model.width=100", "model.mlp_ratio=1.15", 115},
                 {"model.width=384", "model.mlp_ratio=2.6666666666666665", 1024}};
    for (int i = 0; i < 3; i++) {
        built b = build(WORDS(SMALL, table[i].width, table[i].ratio), &fashion, false);
        assert_int_equal(dt_model_dims_of(b.model).hidden, table[i].hidden);
        release(&b);
    }
}

/* --- couplings --- */

static void assert_tells(bool drawn, const char *const *words, const char *part)
{
    char line[512] = "";
    FILE *stream = tmpfile();
    dt_log *log;
    built b = build(words, &imagenet, false);
    OK(dt_log_create(stream, DT_LOG_WARN, &log));
    dt_model_warn(b.model, drawn, log);
    rewind(stream);
    bool spoke = fgets(line, sizeof line, stream) != NULL;
    assert_int_equal(spoke, part != NULL);
    if (part && !strstr(line, part)) fail_msg("%s", line);
    dt_log_free(log);
    fclose(stream);
    release(&b);
}

static void assert_warns(const char *const *words, const char *part) { assert_tells(true, words, part); }

static void couplings_are_named(void **state)
{
    assert_tells(false, WORDS("model.size=S", "model.depth=1", "model.width=192", "norm.kind=dyt"), NULL);
    assert_warns(WORDS("model.size=S", "model.depth=1", "norm.kind=dyt"), NULL);
    assert_warns(WORDS("model.size=S", "model.depth=1", "model.width=192"), NULL);
    assert_warns(WORDS("model.size=S", "model.depth=1", "model.width=192", "norm.kind=dyt"), "model.init=fan_in");
    assert_warns(WORDS("model.size=S", "model.depth=1", "model.width=192", "norm.kind=dyt", "model.init=fan_in"), NULL);
    assert_warns(WORDS("model.size=L", "model.depth=1", "norm.kind=dyt"), NULL);
    assert_warns(WORDS("model.size=L", "model.depth=1", "norm.kind.ffn=dyt", "norm.alpha0=1"), "site 'ffn'");
    assert_tells(false, WORDS("model.size=L", "model.depth=1", "norm.kind.ffn=dyt", "norm.alpha0=1"), NULL);
}

/* --- initial values --- */

typedef struct spread {
    double mean, deviation, largest;
} spread;

static spread spread_of(const built *b, const char *name)
{
    const dt_param *param = dt_store_find(b->store, name);
    double *values = malloc((size_t)param->count * sizeof *values), sum = 0, squares = 0;
    spread out = {0};
    assert_non_null(values);
    OK(dt_store_read(b->store, param, DT_BUFFER_VALUE, DT_F64, values));
    for (int64_t i = 0; i < param->count; i++) {
        sum += values[i];
        squares += values[i] * values[i];
        out.largest = fmax(out.largest, fabs(values[i]));
    }
    out.mean = sum / (double)param->count;
    out.deviation = sqrt(squares / (double)param->count - out.mean * out.mean);
    free(values);
    return out;
}

static dt_device *initialise(built *b)
{
    dt_device *device;
    OK(dt_device_open(DT_CPU, 0, 1, &device));
    OK(dt_store_layout(b->store, DT_F32));
    OK(dt_store_alloc(b->store, device, 1u << DT_BUFFER_VALUE));
    OK(dt_store_initialise(b->store, 7));
    return device;
}

static void assert_near(double have, double want) { assert_true(fabs(have - want) < 0.05 * want); }

static void initial_values_are_the_papers(void **state)
{
    built b = build(WORDS(SMALL, "model.width=96", "model.depth=1", "norm.kind=dyt"), &fashion, false);
    dt_device *device = initialise(&b);
    assert_near(spread_of(&b, "blocks.0.attn.qkv.weight").deviation, 0.02);
    assert_near(spread_of(&b, "blocks.0.mlp.fc2.weight").deviation, 0.02);
    assert_near(spread_of(&b, "pos_embed").deviation, 0.02);
    spread patch = spread_of(&b, "patch_embed.proj.weight");
    assert_near(patch.largest, 1.0 / 7); /* uniform up to 1/sqrt(49) */
    assert_true(patch.largest <= 1.0 / 7);
    assert_near(patch.deviation, 1.0 / 7 / sqrt(3));
    assert_true(spread_of(&b, "patch_embed.proj.bias").largest > 0.1);
    assert_true(spread_of(&b, "cls_token").largest < 1e-5);
    assert_true(spread_of(&b, "cls_token").largest > 0);
    assert_true(spread_of(&b, "blocks.0.mlp.fc1.bias").largest == 0);
    assert_true(spread_of(&b, "fc_norm.alpha").mean == 0.5);
    assert_true(spread_of(&b, "fc_norm.weight").mean == 1);
    assert_true(spread_of(&b, "fc_norm.bias").largest == 0);
    dt_store_free(b.store);
    b.store = NULL;
    dt_device_close(device);
    release(&b);
}

static void fan_in_keeps_the_variance(void **state)
{
    built b = build(WORDS(SMALL, "model.width=96", "model.depth=1", "model.init=fan_in", "norm.kind=dyt",
                          "norm.alpha0.final=0.25"), &fashion, false);
    dt_device *device = initialise(&b);
    assert_near(spread_of(&b, "blocks.0.attn.qkv.weight").deviation, sqrt(2.0 / (96 + 288)));
    assert_near(spread_of(&b, "blocks.0.mlp.fc1.weight").deviation, sqrt(2.0 / (96 + 384)));
    assert_near(spread_of(&b, "patch_embed.proj.weight").deviation, sqrt(2.0 / (49 + 96)));
    assert_true(spread_of(&b, "patch_embed.proj.bias").largest == 0);
    assert_near(spread_of(&b, "pos_embed").deviation, 0.02);
    assert_true(spread_of(&b, "fc_norm.alpha").mean == 0.25);
    assert_true(spread_of(&b, "blocks.0.norm1.alpha").mean == 0.5);
    dt_store_free(b.store);
    b.store = NULL;
    dt_device_close(device);
    release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_the_paper), cmocka_unit_test(kinds_have_their_parameters),
        cmocka_unit_test(names_are_those_of_timm), cmocka_unit_test(variants_differ_as_named),
        cmocka_unit_test(random_layers_stand_in_training_only), cmocka_unit_test(dimensions_follow),
        cmocka_unit_test(names_what_does_not_fit), cmocka_unit_test(names_what_is_missing),
        cmocka_unit_test(unread_settings_are_inactive),
        cmocka_unit_test(settings_that_make_no_difference_are_inactive),
        cmocka_unit_test(hidden_widths_are_whole_but_for_rounding), cmocka_unit_test(couplings_are_named),
        cmocka_unit_test(initial_values_are_the_papers), cmocka_unit_test(fan_in_keeps_the_variance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
