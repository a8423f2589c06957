/* Scores of texts: what a model without any preference gives, the chain rule of probabilities, texts longer than
 * the context, and that none depends on its neighbours. Words on the command line are settings, such as device=cuda. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tiny.h"
#include "train/score.h"
#include "train/session.h"

#define OK(call)                                            \
    do {                                                    \
        if (call) fail_msg("%s", dt_error_message());       \
    } while (0)
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define MODEL "model.arch=llama", "norm.bias=false", "data.kind=synthetic_text", "data.context=16"

typedef struct scene {
    dt_settings *settings;
    dt_session *session;
    dt_tokenizer *tokenizer;
    dt_scorer *scorer;
} scene;

/* A model of bytes with drawn weights. */
static scene open_scene_of(const char *word)
{
    scene s = {.settings = tiny_settings(WORDS(MODEL, "data.vocabulary=256", "model.embedding_scale=true", word))};
    OK(dt_session_create(s.settings, &(dt_session_options){.eval_only = true, .scores = true}, NULL, &s.session));
    OK(dt_store_initialise(s.session->store, 7));
    OK(dt_tokenizer_open("bytes", &s.tokenizer));
    OK(dt_scorer_create(s.session, s.tokenizer, &s.scorer));
    return s;
}

static scene open_scene(void) { return open_scene_of("data.context=16"); }

static void close_scene(scene *s)
{
    dt_scorer_free(s->scorer);
    dt_tokenizer_close(s->tokenizer);
    dt_session_free(s->session);
    dt_settings_free(s->settings);
}

static double score(const scene *s, const char *context, const char *choice)
{
    double out = NAN;
    OK(dt_scorer_add(s->scorer, context, choice, &out));
    OK(dt_scorer_finish(s->scorer));
    return out;
}

static void assert_near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-4)) fail_msg("%.9g is not %.9g", a, b);
}

/* Logits that are all 0 hold every byte equally likely. */
static void test_uniform(void **state)
{
    scene s = open_scene();
    const dt_param *head = dt_store_find(s.session->store, "lm_head.weight");
    assert_non_null(head);
    float *zeros = calloc((size_t)head->count, sizeof *zeros);
    assert_non_null(zeros);
    OK(dt_store_write(s.session->store, head, DT_BUFFER_VALUE, DT_F32, zeros));
    free(zeros);
    assert_near(score(&s, "context", "c"), -log(256));
    assert_near(score(&s, "context", "choice"), -6 * log(256));
    assert_near(score(&s, "", "choice"), -6 * log(256));
    assert_near(score(&s, "a context of more than 16 bytes", "choice"), -6 * log(256));
    close_scene(&s);
}

/* p(ab | c) = p(a | c) p(b | ca): each probability is read at the token before the one that it is of. */
static void test_chain_rule(void **state)
{
    scene s = open_scene();
    assert_near(score(&s, "conte", "xt"), score(&s, "conte", "x") + score(&s, "contex", "t"));
    assert_near(score(&s, "c", "ontext"), score(&s, "c", "on") + score(&s, "con", "text"));
    assert_true(fabs(score(&s, "conte", "x") - score(&s, "contE", "x")) > 1e-4);
    double sum = 0;
    for (int byte = 1; byte < 256; byte++) sum += exp(score(&s, "context", (const char[]){(char)byte, 0}));
    assert_true(sum < 1 && sum > 0.9); /* a text has no NUL, which has the rest */
    close_scene(&s);
}

/* What is beyond the model's 16 tokens is cut off at the beginning. */
static void test_long_texts(void **state)
{
    scene s = open_scene();
    double out;
    assert_near(score(&s, "some more 0123456789abc", "defg"), score(&s, "0123456789abc", "defg"));
    assert_true(fabs(score(&s, "0123456789abc", "defg") - score(&s, "x123456789abc", "defg")) > 1e-6);
    assert_near(score(&s, "so much and more", "0123456789abcdef"), score(&s, "e", "0123456789abcdef"));
    assert_int_equal(dt_scorer_add(s.scorer, "context", "0123456789abcdefg", &out), DT_ERR_DATA);
    assert_non_null(strstr(dt_error_message(), "17 tokens"));
    close_scene(&s);
}

/* A text of `bytes` letters. */
static void draw_text(char *text, int64_t text_number, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i++) text[i] = (char)('a' + (text_number * 7 + i * i + i / 3) % 26);
    text[bytes] = 0;
}

/* With a context of 300 there are programs of 300, 150, 75 and 38 tokens, the shorter for several texts. */
static void test_texts_stand_alone(void **state)
{
    enum { TEXTS = 40 };
    char context[TEXTS][400], choice[TEXTS][12];
    double together[TEXTS];
    scene s = open_scene_of("data.context=300");
    for (int i = 0; i < TEXTS; i++) {
        together[i] = NAN;
        draw_text(context[i], i, 1 + i * 37 % 390);
        draw_text(choice[i], i + 1, 1 + i % 11);
        OK(dt_scorer_add(s.scorer, context[i], choice[i], &together[i]));
    }
    OK(dt_scorer_finish(s.scorer));
    for (int i = 0; i < TEXTS; i++)
        if (!(fabs(score(&s, context[i], choice[i]) - together[i]) <= (tiny_on_cuda() ? 1e-5 : 0)))
            fail_msg("text %d depends on its neighbours", i);
    close_scene(&s);
}

/* Nor does it matter by which program a text is scored: where the context is shorter, by another one. */
static void test_lengths_agree(void **state)
{
    char context[100];
    scene s = open_scene_of("data.context=300"), t = open_scene_of("data.context=97");
    for (int64_t bytes = 1; bytes < 90; bytes += 11) {
        draw_text(context, bytes, bytes);
        assert_near(score(&s, context, "choice"), score(&t, context, "choice"));
    }
    close_scene(&s);
    close_scene(&t);
}

/* A context and its choice are one document. */
static void test_masked_documents(void **state)
{
    scene s = open_scene(), masked = open_scene_of("model.mask_documents=true");
    assert_near(score(&s, "context", "choice"), score(&masked, "context", "choice"));
    close_scene(&masked);
    close_scene(&s);
}

static void test_refusals(void **state)
{
    dt_session *session = NULL;
    dt_tokenizer *tokenizer = NULL;
    dt_scorer *scorer = NULL;
    OK(dt_tokenizer_open("bytes", &tokenizer));
    dt_settings *settings = tiny_settings(WORDS(MODEL, "data.vocabulary=70"));
    OK(dt_session_create(settings, &(dt_session_options){.eval_only = true, .scores = true}, NULL, &session));
    assert_int_equal(dt_scorer_create(session, tokenizer, &scorer), DT_ERR_USAGE);
    assert_non_null(strstr(dt_error_message(), "256 tokens and the model 70"));
    dt_session_free(session);
    dt_settings_free(settings);

    settings = tiny_settings(NULL);
    assert_int_equal(dt_session_create(settings, &(dt_session_options){.eval_only = true, .scores = true}, NULL,
                                       &session), DT_ERR_USAGE);
    assert_non_null(strstr(dt_error_message(), "not a language model"));
    dt_settings_free(settings);
    dt_tokenizer_close(tokenizer);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_uniform),
        cmocka_unit_test(test_chain_rule),
        cmocka_unit_test(test_long_texts),
        cmocka_unit_test(test_texts_stand_alone),
        cmocka_unit_test(test_lengths_agree),
        cmocka_unit_test(test_masked_documents),
        cmocka_unit_test(test_refusals),
    };
    if (!tiny_begin(argc, argv)) return 0;
    return cmocka_run_group_tests_name("score", tests, NULL, NULL);
}
