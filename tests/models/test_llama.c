/* LLaMA: its parameters by name, shape and number, its FLOPs, and what it refuses. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "built.h"

#define WORDS(...) (const char *const[]){"model.arch=llama", "norm.bias=false", __VA_ARGS__, NULL}

static built build(const char *const *words, int64_t context, int64_t vocabulary)
{
    built b = begin(words, &(dt_model_input){.context = context, .vocabulary = vocabulary}, false);
    dt_model_feed feed = {.tokens = dt_input(b.graph, "tokens", DT_I32, DT_SHAPE(1, context))};
    finish(&b, &feed);
    return b;
}

/* The paper's models with RMSNorm; DyT adds an alpha for each site, and the factor of the embedding. */
static void counts_are_those_of_the_paper(void **state)
{
    static const struct {
        const char *words[5];
        int64_t rmsnorm, depth;
    } table[] = {
        {{"model.width=4096", "model.heads=32", "model.kv_heads=32", "model.depth=32", "model.ffn=11008"},
         6738415616, 32},
        {{"model.width=5120", "model.heads=40", "model.kv_heads=40", "model.depth=40", "model.ffn=13824"},
         13015864320, 40},
        {{"model.width=8192", "model.heads=64", "model.kv_heads=8", "model.depth=48", "model.ffn=22016"},
         33743970304, 48},
        {{"model.width=8192", "model.heads=64", "model.kv_heads=8", "model.depth=80", "model.ffn=28672"},
         68976648192, 80},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const char *const *w = table[i].words;
        const char *const scale = "model.embedding_scale=true";
        built rms = build(WORDS(w[0], w[1], w[2], w[3], w[4], "norm.kind=rmsnorm"), 16, 32000);
        built dyt = build(WORDS(w[0], w[1], w[2], w[3], w[4], "norm.kind=dyt", scale), 16, 32000);
        assert_int_equal(dt_store_trainable(rms.store), table[i].rmsnorm);
        assert_int_equal(dt_store_trainable(dyt.store), table[i].rmsnorm + 2 * table[i].depth + 1 + 1);
        release(&rms);
        release(&dyt);
    }
}

#define SMALL "model.width=16", "model.depth=1", "model.heads=4", "model.kv_heads=2", "model.ffn=24"

static void parameters_have_published_names(void **state)
{
    static const char *const want[][2] = {
        {"model.embed_tokens.weight", "[70, 16]"},
        {"model.embed_scale", "[1]"},
        {"model.layers.0.input_layernorm.weight", "[16]"},
        {"model.layers.0.input_layernorm.alpha", "[1]"},
        {"model.layers.0.self_attn.q_proj.weight", "[16, 16]"},
        {"model.layers.0.self_attn.k_proj.weight", "[8, 16]"},
        {"model.layers.0.self_attn.v_proj.weight", "[8, 16]"},
        {"model.layers.0.self_attn.o_proj.weight", "[16, 16]"},
        {"model.layers.0.post_attention_layernorm.weight", "[16]"},
        {"model.layers.0.post_attention_layernorm.alpha", "[1]"},
        {"model.layers.0.mlp.gate_proj.weight", "[24, 16]"},
        {"model.layers.0.mlp.up_proj.weight", "[24, 16]"},
        {"model.layers.0.mlp.down_proj.weight", "[16, 24]"},
        {"model.norm.weight", "[16]"},
        {"model.norm.alpha", "[1]"},
        {"lm_head.weight", "[70, 16]"},
    };
    built b = build(WORDS(SMALL, "norm.kind=dyt", "model.embedding_scale=true"), 5, 70);
    char shape[96];
    assert_int_equal(dt_store_params(b.store), sizeof want / sizeof *want);
    for (int i = 0; i < dt_store_params(b.store); i++) {
        assert_string_equal(dt_store_param(b.store, i)->name, want[i][0]);
        assert_string_equal(dt_shape_text(&dt_store_param(b.store, i)->published_shape, shape), want[i][1]);
    }
    assert_true(dt_shape_equal(&b.logits->shape, &DT_SHAPE(1, 5, 128)));
    release(&b);
    b = build(WORDS(SMALL, "norm.kind=rmsnorm", "model.tied=true"), 5, 70);
    assert_null(dt_store_find(b.store, "lm_head.weight"));
    assert_null(dt_store_find(b.store, "model.embed_scale"));
    release(&b);
}

/* 6 N + 12 L C T for a token, of which a third is forward; N: the weights of products. */
static void flops_are_those_of_the_formula(void **state)
{
    enum { T = 512, C = 512, L = 8, V = 32000 };
    built b = build(WORDS("model.width=512", "model.depth=8", "model.heads=8", "norm.kind=rmsnorm"), T, V);
    double flops = 0, n = (double)dt_store_trainable(b.store) - (double)V * C;
    for (const dt_node *node = dt_graph_first(b.graph); node; node = node->next) flops += node->op->cost(node).flops;
    double formula = (6 * n + 12.0 * L * C * T) * T / 3;
    if (!(fabs(flops - formula) <= 0.01 * formula)) fail_msg("%g FLOP, by the formula %g", flops, formula);
    release(&b);
}

static void refuse(const char *const *words, const dt_model_input *input, const char *message)
{
    dt_settings *settings = settings_of(words);
    dt_model *model;
    assert_int_equal(dt_model_create(settings, input, &model), DT_ERR_USAGE);
    if (!strstr(dt_error_message(), message)) fail_msg("'%s' does not say '%s'", dt_error_message(), message);
    dt_settings_free(settings);
}

static void what_does_not_fit_is_refused(void **state)
{
    const dt_model_input text = {.context = 16, .vocabulary = 256}, unknown = {.context = 16};
    const dt_model_input images = {.channels = 1, .height = 28, .width = 28, .classes = 10};
    refuse(WORDS(SMALL), &images, "llama is trained on text, and the data set has images");
    refuse(WORDS(SMALL), &unknown, "model.vocabulary");
    refuse(WORDS(SMALL, "model.vocabulary=200"), &text, "is 200, but the data set has tokens up to 255");
    refuse(WORDS(SMALL, "model.context=17"), &text, "is 17, but samples have 16 tokens");
    refuse(WORDS("model.width=20", "model.depth=1", "model.heads=4"), &text, "heads of an even size");
    refuse(WORDS("model.width=16", "model.depth=1", "model.heads=4", "model.kv_heads=3"), &text,
           "3 heads of keys and values cannot be shared evenly by 4 heads");
    refuse(WORDS("model.width=16", "model.depth=1"), &text, "model.heads");
    refuse(WORDS(SMALL, "model.rope_factor=8", "model.rope_low=4"), &text, "is not above model.rope_low");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_are_those_of_the_paper),
        cmocka_unit_test(parameters_have_published_names),
        cmocka_unit_test(flops_are_those_of_the_formula),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    return cmocka_run_group_tests_name("llama", tests, NULL, NULL);
}
