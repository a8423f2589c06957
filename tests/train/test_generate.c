/* Generation: prefill and decode give the logits of the training graph; how tokens are drawn; texts beyond the context,
 * several side by side, and what ends them. Words on the command line are settings, such as device=cuda. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "tiny.h"
#include "train/generate.h"
#include "train/generator.h"

#define OK(call)                                            \
    do {                                                    \
        if (call) fail_msg("%s", dt_error_message());       \
    } while (0)

enum { CONTEXT = 300, VOCABULARY = 70, SEQUENCES = 3 };
#define MODEL "model.arch=llama", "model.heads=4", "model.kv_heads=2", "norm.bias=false", "data.kind=synthetic_text", \
    "data.vocabulary=70", "threads=2"

static int32_t token_at(int64_t sequence, int64_t i)
{
    return (int32_t)(dt_random_uniform(5, DT_PURPOSE_SYNTHETIC, (uint64_t)sequence, 0, (uint64_t)i) * VOCABULARY);
}

/* --- the same logits --- */

typedef struct model {
    dt_settings *settings;
    dt_session *session;
} model;

static model open_model(const char *const *words, int64_t sequences)
{
    model m = {.settings = tiny_settings(words)};
    OK(dt_session_create(m.settings, &(dt_session_options){.eval_only = true, .sequences = sequences}, NULL,
                         &m.session));
    OK(dt_store_initialise(m.session->store, 7));
    return m;
}

static void close_model(model *m)
{
    dt_session_free(m->session);
    dt_settings_free(m->settings);
}

/* Logits [CONTEXT, classes and padding] of one whole text, by the graph that training and evaluation build. */
typedef struct whole {
    dt_program *program;
    void *arena, *slot;
    size_t feed;
    double *logits;
    int64_t width;
} whole;

static dt_program *plan_whole(dt_session *s)
{
    dt_graph *g;
    dt_program *program;
    OK(dt_graph_create(s->store, false, &g));
    dt_model_feed feed = {.tokens = dt_input(g, "tokens", DT_I32, DT_SHAPE(1, CONTEXT))};
    dt_graph_output(g, "logits", dt_cast(g, dt_model_build(s->model, g, &feed), DT_F64));
    OK(dt_passes_run(g, NULL, &s->recipe.passes));
    OK(dt_program_create(g, "whole", s->backend, &s->device_info, &(dt_plan_options){0}, &program));
    return program;
}

static whole open_whole(dt_session *s)
{
    whole w = {.program = plan_whole(s)};
    w.width = dt_shape_last(&dt_graph_output_at(dt_program_graph(w.program), 0, NULL)->shape);
    w.feed = (size_t)dt_program_feed_bytes(w.program);
    OK(dt_device_alloc(s->device, DT_MEMORY_ARENA, (size_t)dt_program_arena_bytes(w.program), &w.arena));
    OK(dt_device_alloc(s->device, DT_MEMORY_FEED, w.feed, &w.slot));
    OK(dt_program_bind(w.program, s->device, s->comm, w.arena));
    w.logits = malloc((size_t)(CONTEXT * w.width) * sizeof *w.logits);
    assert_non_null(w.logits);
    return w;
}

static void run_whole(const dt_session *s, const whole *w, int64_t sequence)
{
    int32_t *tokens = calloc(1, w->feed);
    assert_non_null(tokens);
    for (int64_t i = 0; i < CONTEXT; i++) tokens[i] = token_at(sequence, i);
    OK(dt_device_upload(s->device, DT_STREAM_COMPUTE, w->slot, tokens, w->feed));
    OK(dt_program_run(w->program, &(dt_run){w->slot, .last = true}));
    OK(dt_program_read(w->program, "logits", w->logits, (size_t)(CONTEXT * w->width) * sizeof *w->logits));
    OK(dt_device_sync(s->device, DT_STREAM_COMPUTE));
    free(tokens);
}

static void close_whole(const dt_session *s, whole *w)
{
    dt_device_free(s->device, DT_MEMORY_ARENA, w->arena, (size_t)dt_program_arena_bytes(w->program));
    dt_device_free(s->device, DT_MEMORY_FEED, w->slot, w->feed);
    dt_program_free(w->program);
    free(w->logits);
}

/* How many tokens each sequence gets, round by round: prompts of several chunks, one token to some or all of them. */
static const int64_t rounds[][SEQUENCES] = {{5, 260, 0}, {1, 1, 129}, {1, 1, 1}, {0, 7, 0}, {1, 0, 1}, {290, 31, 169}};
enum { ROUNDS = sizeof rounds / sizeof rounds[0] };

/* The logits after each round, one sequence behind the other: [ROUNDS, SEQUENCES, VOCABULARY]. */
static float *generated_logits(dt_session *s)
{
    dt_generator *g;
    int32_t text[SEQUENCES][CONTEXT];
    float *all = malloc((size_t)ROUNDS * SEQUENCES * VOCABULARY * sizeof *all);
    assert_non_null(all);
    OK(dt_generator_create(s, &g));
    for (int64_t i = 0; i < SEQUENCES; i++)
        for (int64_t t = 0; t < CONTEXT; t++) text[i][t] = token_at(i, t);
    for (int r = 0; r < ROUNDS; r++) {
        const int32_t *tokens[SEQUENCES];
        for (int64_t i = 0; i < SEQUENCES; i++) tokens[i] = text[i] + dt_generator_length(g, i);
        OK(dt_generator_add(g, tokens, rounds[r]));
        for (int64_t i = 0; i < SEQUENCES; i++)
            memcpy(all + (r * SEQUENCES + i) * VOCABULARY, dt_generator_logits(g, i), VOCABULARY * sizeof *all);
    }
    dt_generator_free(g);
    return all;
}

static void compare(const float *have, const double *want, double bound, int64_t sequence, int64_t place)
{
    double most = 0, wrong = 0;
    for (int64_t v = 0; v < VOCABULARY; v++) {
        most = fmax(most, fabs(want[v]));
        wrong = fmax(wrong, isfinite(have[v]) ? fabs((double)have[v] - want[v]) : INFINITY);
    }
    if (!(wrong <= bound * most))
        fail_msg("the logits behind token %lld of sequence %lld are off by %g of the largest", (long long)place,
                 (long long)sequence, wrong / most);
}

static void check_logits(const char *const *words, double bound)
{
    model m = open_model(words, SEQUENCES);
    whole w = open_whole(m.session);
    float *have = generated_logits(m.session);
    for (int64_t i = 0; i < SEQUENCES; i++) {
        int64_t length = 0;
        run_whole(m.session, &w, i);
        for (int r = 0; r < ROUNDS; r++) {
            length += rounds[r][i];
            const float *logits = have + (r * SEQUENCES + i) * VOCABULARY;
            if (length) compare(logits, w.logits + (length - 1) * w.width, bound, i, length - 1);
        }
    }
    free(have);
    close_whole(m.session, &w);
    close_model(&m);
}

#define WORDS(...) ((const char *const[]){MODEL, "data.context=300", __VA_ARGS__, NULL})

static void logits_are_those_of_training(void **state)
{
    check_logits(WORDS("norm.kind=dyt", "model.embedding_scale=true"), 1e-5);
    check_logits(WORDS("norm.kind=rmsnorm", "model.tied=true", "model.rope_factor=8", "model.rope_context=64"), 1e-5);
    check_logits(WORDS("norm.kind=dyt", "model.kv_heads=4"), 1e-5);
}

static void logits_in_float64(void **state)
{
    if (!tiny_on_cuda()) check_logits(WORDS("norm.kind=rmsnorm", "precision.mode=fp64"), 1e-6); /* told in float32 */
}

static void logits_in_bfloat16(void **state)
{
    if (!tiny_on_cuda()) return;
    check_logits(WORDS("norm.kind=dyt", "precision.mode=bf16", "model.embedding_scale=true"), 4e-2);
    check_logits(WORDS("norm.kind=rmsnorm", "precision.mode=bf16", "precision.residual=f32"), 4e-2);
}

/* --- drawing --- */

static int32_t draw(const dt_sampling *by, const float *logits, int64_t vocabulary, int64_t number)
{
    static const int32_t so_far[] = {2, 2};
    dt_sampler *sampler;
    int32_t token = -1;
    OK(dt_sampler_create(by, vocabulary, 1, &sampler));
    OK(dt_sampler_add(sampler, 0, so_far, 2));
    OK(dt_sampler_draw(sampler, 0, logits, 3, (uint64_t)number, &token));
    dt_sampler_free(sampler);
    return token;
}

static void the_most_likely_is_taken_at_temperature_0(void **state)
{
    const float logits[] = {1, 4, -2, 4, -INFINITY};
    assert_int_equal(draw(&(dt_sampling){.top_p = 1, .repetition_penalty = 1}, logits, 5, 0), 1);
    const float repeated[] = {1, 2, 3, -1};
    assert_int_equal(draw(&(dt_sampling){.top_p = 1, .repetition_penalty = 1.4}, repeated, 4, 0), 2);
    assert_int_equal(draw(&(dt_sampling){.top_p = 1, .repetition_penalty = 1.6}, repeated, 4, 0), 1);
    const float negative[] = {-3, -2, -1, -2};
    assert_int_equal(draw(&(dt_sampling){.top_p = 1, .repetition_penalty = 1.9}, negative, 4, 0), 2);
    assert_int_equal(draw(&(dt_sampling){.top_p = 1, .repetition_penalty = 2.1}, negative, 4, 0), 1);
}

static int32_t drawn_next(dt_sampler *sampler, int64_t sequence, const float *logits)
{
    int32_t token;
    OK(dt_sampler_draw(sampler, sequence, logits, 0, 0, &token));
    return token;
}

/* Each sequence has its own text, in which a token counts once, however often it is there. */
static void tokens_of_other_texts_are_as_likely_as_before(void **state)
{
    const float logits[] = {1, 2, 3, 2.5};
    const int32_t so_far[] = {2, 5, -1, 2, 2};
    dt_sampler *sampler;
    OK(dt_sampler_create(&(dt_sampling){.top_p = 1, .repetition_penalty = 1.4}, 4, 2, &sampler));
    for (int i = 0; i < 5; i++) OK(dt_sampler_add(sampler, 0, &so_far[i], 1));
    assert_int_equal(drawn_next(sampler, 0, logits), 3);
    assert_int_equal(drawn_next(sampler, 1, logits), 2);
    OK(dt_sampler_add(sampler, 0, &(int32_t){3}, 1));
    assert_int_equal(drawn_next(sampler, 0, logits), 2); /* 3 / 1.4 is above 2, but 3 / 1.4^3 is not */
    dt_sampler_clear(sampler, 0);
    OK(dt_sampler_add(sampler, 0, &(int32_t){3}, 1));
    assert_int_equal(drawn_next(sampler, 0, (const float[]){1, 2, 2.4F, 2.5F}), 2);
    dt_sampler_free(sampler);
}

/* Shares of many draws against the probabilities that are meant. */
static void check_shares(dt_sampling by, const float *logits, const double *want, int64_t vocabulary)
{
    enum { DRAWS = 20000, MOST = 8 };
    int64_t count[MOST] = {0};
    for (int64_t n = 0; n < DRAWS; n++) count[draw(&by, logits, vocabulary, n)]++;
    for (int64_t v = 0; v < vocabulary; v++) {
        double share = (double)count[v] / DRAWS;
        if (!(fabs(share - want[v]) <= 0.015) || (want[v] == 0 && count[v]))
            fail_msg("token %lld is drawn in %g of the cases, not in %g", (long long)v, share, want[v]);
    }
}

/* The logarithms of 0.1, 0.4, 0.05, 0.25, 0.2, with a common shift. */
static void shares_are_the_probabilities(void **state)
{
    float logits[5];
    const double p[] = {0.1, 0.4, 0.05, 0.25, 0.2};
    for (int i = 0; i < 5; i++) logits[i] = (float)(log(p[i]) + 7);
    check_shares((dt_sampling){1, 0, 1, 1, 9}, logits, p, 5);
    const double three[] = {0, 0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85};
    check_shares((dt_sampling){1, 3, 1, 1, 9}, logits, three, 5);
    check_shares((dt_sampling){1, 0, 0.66, 1, 9}, logits, three, 5);
    check_shares((dt_sampling){1, 1, 1, 1, 9}, logits, (const double[]){0, 1, 0, 0, 0}, 5);
    check_shares((dt_sampling){1, 0, 0.64, 1, 9}, logits, (const double[]){0, 0.4 / 0.65, 0, 0.25 / 0.65, 0}, 5);
    check_shares((dt_sampling){1, 0, 0, 1, 9}, logits, (const double[]){0, 1, 0, 0, 0}, 5);
    check_shares((dt_sampling){1, 2, 0.6, 1, 9}, logits, (const double[]){0, 1, 0, 0, 0}, 5); /* 0.4 of 0.65 is 0.62 */
    double sum = 0, squared[5];
    for (int i = 0; i < 5; i++) sum += p[i] * p[i];
    for (int i = 0; i < 5; i++) squared[i] = p[i] * p[i] / sum;
    check_shares((dt_sampling){0.5, 0, 1, 1, 9}, logits, squared, 5);
}

static void equal_logits_leave_the_lower_tokens(void **state)
{
    const float logits[] = {0, 0, 0, 0, 0, 0, 0, 0};
    check_shares((dt_sampling){1, 4, 1, 1, 9}, logits, (const double[]){0.25, 0.25, 0.25, 0.25, 0, 0, 0, 0}, 8);
    check_shares((dt_sampling){1, 0, 0.5, 1, 9}, logits, (const double[]){0.25, 0.25, 0.25, 0.25, 0, 0, 0, 0}, 8);
}

static void logits_that_are_no_numbers_are_told(void **state)
{
    const float nan[] = {0, NAN}, infinite[] = {INFINITY, 0}, none[] = {-INFINITY, -INFINITY};
    const float *const bad[] = {nan, infinite, none};
    dt_sampler *sampler;
    int32_t token;
    OK(dt_sampler_create(&(dt_sampling){1, 0, 1, 1, 9}, 2, 1, &sampler));
    for (int i = 0; i < 3; i++)
        assert_int_equal(dt_sampler_draw(sampler, 0, bad[i], 0, 0, &token), DT_ERR_NUMERIC);
    dt_sampler_free(sampler);
}

/* --- whole texts --- */

enum { TEXTS = 5, LONGEST = 64 };

typedef struct texts {
    int32_t token[TEXTS][LONGEST];
    int64_t count[TEXTS];
    int done[TEXTS];
    bool ended[TEXTS];
} texts;

static dt_status take_token(void *context, int64_t text, int32_t token)
{
    texts *t = context;
    assert_in_range(t->count[text], 0, LONGEST - 1);
    t->token[text][t->count[text]++] = token;
    return DT_OK;
}

static dt_status take_end(void *context, int64_t text, bool ended)
{
    texts *t = context;
    t->done[text]++;
    t->ended[text] = ended;
    return DT_OK;
}

#define SHORT ((const char *const[]){MODEL, "data.context=24", "norm.kind=dyt", "model.embedding_scale=true", NULL})

/* Prompts of 1 to 24 tokens. */
static void generate_texts(int64_t sequences, int32_t end, texts *out)
{
    static const int64_t lengths[TEXTS] = {3, 24, 1, 17, 8};
    int32_t prompt[TEXTS][24];
    dt_tokens prompts[TEXTS];
    model m = open_model(SHORT, sequences);
    dt_generate_options options = {{1, 0, 0.98, 1.1, 4}, LONGEST, VOCABULARY, end, take_token, take_end, out};
    for (int i = 0; i < TEXTS; i++) {
        for (int t = 0; t < 24; t++) prompt[i][t] = token_at(i, t);
        prompts[i] = (dt_tokens){.token = prompt[i], .count = lengths[i]};
    }
    *out = (texts){0};
    OK(dt_generate(m.session, prompts, TEXTS, &options));
    for (int i = 0; i < TEXTS; i++) assert_int_equal(out->done[i], 1);
    close_model(&m);
}

/* Far beyond the context, too. */
static void texts_do_not_depend_on_their_neighbours(void **state)
{
    texts *alone = malloc(sizeof *alone), *beside = malloc(sizeof *beside);
    assert_true(alone && beside);
    generate_texts(1, -1, alone);
    generate_texts(3, -1, beside);
    for (int i = 0; i < TEXTS; i++) {
        assert_int_equal(alone->count[i], LONGEST);
        assert_int_equal(beside->count[i], LONGEST);
        assert_false(alone->ended[i]);
        assert_memory_equal(alone->token[i], beside->token[i], sizeof alone->token[i]);
    }
    free(alone);
    free(beside);
}

static void the_end_token_ends_a_text(void **state)
{
    texts *free_running = malloc(sizeof *free_running), *ended = malloc(sizeof *ended);
    assert_true(free_running && ended);
    generate_texts(2, -1, free_running);
    int32_t end = free_running->token[1][20];
    generate_texts(2, end, ended);
    for (int i = 0; i < TEXTS; i++) {
        int64_t count = 0;
        while (count < LONGEST && free_running->token[i][count] != end) count++;
        assert_int_equal(ended->count[i], count);
        assert_int_equal(ended->ended[i], count < LONGEST);
    }
    free(free_running);
    free(ended);
}

static void refuse(int32_t token, int64_t count, const char *message)
{
    texts *out = calloc(1, sizeof *out);
    int32_t tokens[32];
    assert_non_null(out);
    for (int i = 0; i < 32; i++) tokens[i] = token;
    dt_generate_options options = {{1, 0, 1, 1, 4}, 8, VOCABULARY, -1, take_token, take_end, out};
    model m = open_model(SHORT, 1);
    assert_int_equal(dt_generate(m.session, &(dt_tokens){.token = tokens, .count = count}, 1, &options), DT_ERR_USAGE);
    if (!strstr(dt_error_message(), message)) fail_msg("'%s' does not say '%s'", dt_error_message(), message);
    close_model(&m);
    free(out);
}

static void what_does_not_fit_is_refused(void **state)
{
    refuse(1, 25, "prompt 1 has 25 tokens, beyond the model's context of 24");
    refuse(1, 0, "prompt 1 is empty");
    refuse(70, 2, "token 70, but the model's vocabulary is 70");
    refuse(-1, 2, "token -1");
    dt_settings *settings = tiny_settings(NULL);
    dt_session *session;
    assert_int_equal(dt_session_create(settings, &(dt_session_options){.eval_only = true, .sequences = 1}, NULL,
                                       &session), DT_ERR_USAGE);
    assert_non_null(strstr(dt_error_message(), "vit is not a language model"));
    dt_settings_free(settings);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logits_are_those_of_training),
        cmocka_unit_test(logits_in_float64),
        cmocka_unit_test(logits_in_bfloat16),
        cmocka_unit_test(the_most_likely_is_taken_at_temperature_0),
        cmocka_unit_test(tokens_of_other_texts_are_as_likely_as_before),
        cmocka_unit_test(shares_are_the_probabilities),
        cmocka_unit_test(equal_logits_leave_the_lower_tokens),
        cmocka_unit_test(logits_that_are_no_numbers_are_told),
        cmocka_unit_test(texts_do_not_depend_on_their_neighbours),
        cmocka_unit_test(the_end_token_ends_a_text),
        cmocka_unit_test(what_does_not_fit_is_refused),
    };
    if (!tiny_begin(argc, argv)) return 0;
    return cmocka_run_group_tests_name("generate", tests, NULL, NULL);
}
