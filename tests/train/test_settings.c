/* What the settings of a run become: spans of the optimizer, changes between two runs, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tiny.h"
#include "train/changes.h"
#include "train/optimizer.h"
#include "train/recipe.h"
#include "train/schedule.h"

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static dt_session *planned(const char *const *words)
{
    dt_session *session = NULL;
    dt_settings *settings = tiny_settings(words);
    if (dt_session_create(settings, &(dt_session_options){.plan_only = true}, NULL, &session))
        fail_msg("%s", dt_error_message());
    dt_settings_free(settings);
    return session;
}

/* --- spans --- */

static const dt_segment_span *span_at(const dt_segment_span *spans, int64_t count, int64_t offset)
{
    for (int64_t i = 0; i < count; i++)
        if (offset >= spans[i].offset && offset < spans[i].offset + spans[i].count) return &spans[i];
    return NULL;
}

static void assert_covers(const dt_store *store, dt_group group, const dt_segment_span *spans, int64_t count)
{
    int64_t end = 0;
    for (int64_t i = 0; i < count; i++) {
        assert_int_equal(spans[i].offset, end);
        end += spans[i].count;
    }
    assert_int_equal(end, dt_store_count(store, group));
}

static void test_spans(void **state)
{
    dt_session *session = planned(WORDS("optim.layer_decay=0.5", "norm.learn_alpha=false"));
    dt_store *store = dt_session_store(session);
    int last = dt_store_units(store) - 1;
    for (int group = 0; group < DT_GROUPS; group++) {
        dt_segment_span *spans = NULL;
        int64_t count = 0;
        int64_t all = dt_store_count(store, (dt_group)group);
        assert_int_equal(dt_optimizer_span_table(store, (dt_group)group, 0, all, false, &spans, &count), DT_OK);
        assert_covers(store, (dt_group)group, spans, count);
        for (int i = 0; i < dt_store_params(store); i++) {
            const dt_param *p = dt_store_param(store, i);
            if (p->group != (dt_group)group) continue;
            const dt_segment_span *span = span_at(spans, count, p->offset);
            assert_true(span && p->offset + p->count <= span->offset + span->count);
            assert_true(span->decay == (p->role == DT_ROLE_MATRIX ? 1 : 0));
            assert_true(span->lr_scale == (float)pow(0.5, last - p->unit));
            assert_int_equal(span->frozen, p->role == DT_ROLE_ALPHA);
        }
        free(spans);
    }
    assert_true(dt_store_find(store, "head.weight")->lr_scale == 1);
    assert_true(dt_store_find(store, "patch_embed.proj.weight")->lr_scale == 0.125f);
    dt_session_free(session);
}

/* Without layer decay a group needs no more spans than it has alternations of role. */
static void test_spans_merge(void **state)
{
    dt_session *session = planned(NULL);
    dt_segment_span *spans = NULL;
    int64_t count = 0;
    const dt_store *store = dt_session_store(session);
    int64_t matrices = dt_store_count(store, DT_GROUP_MATRIX), vectors = dt_store_count(store, DT_GROUP_VECTOR);
    assert_int_equal(dt_optimizer_span_table(store, DT_GROUP_MATRIX, 0, matrices, false, &spans, &count), DT_OK);
    assert_int_equal(count, 1);
    free(spans);
    assert_int_equal(dt_optimizer_span_table(store, DT_GROUP_VECTOR, 0, vectors, true, &spans, &count), DT_OK);
    assert_int_equal(count, 1);
    assert_true(spans[0].decay == 1);
    free(spans);
    dt_session_free(session);
}

/* --- changes --- */

static void test_changes(void **state)
{
    dt_text out = {0};
    dt_settings *settings = tiny_settings(NULL);
    dt_settings_changes("seed: 1\noptim:\n  lr: 0.1\n  betas: [0.9, 0.99]\nrun:\n  name: a\ntrain:\n  ema: 0.5\n",
                        "seed: 1\noptim:\n  lr: 0.2\n  betas: [0.9, 0.99]\nrun:\n  name: b\nmodel:\n  width: 8\n",
                        settings, &out);
    assert_string_equal(out.data, "optim.lr: 0.1, now 0.2; model.width: none, now 8; train.ema: 0.5, now none");
    dt_settings_free(settings);
    dt_text_free(&out);
}

/* A checkpoint of a program that had fewer settings: their defaults are what it did, other values are not. */
static void test_new_settings(void **state)
{
    dt_text out = {0};
    dt_settings *settings = tiny_settings(WORDS("model.pool=class", "train.label_smoothing=0"));
    dt_settings_changes("seed: 1\n", "seed: 1\ntrain:\n  label_smoothing: 0\nmodel:\n  pool: class\n  dropout: 0\n",
                        settings, &out);
    assert_string_equal(out.data, "model.pool: none, now class");
    dt_settings_free(settings);
    dt_text_free(&out);
}

static void test_no_changes(void **state)
{
    dt_text out = {0};
    dt_settings *settings = tiny_settings(NULL);
    dt_settings_changes("threads: 1\ndata:\n  workers: 1\nlog:\n  every_steps: 3\n",
                        "threads: 2\ndata:\n  workers: 4\nlog:\n  every_steps: 1\ntrain:\n  skip_limit: 9\n", settings,
                        &out);
    assert_int_equal(out.length, 0);
    dt_settings_free(settings);
}

static void assert_first_difference(const char *here, const char *there, const char *expected)
{
    dt_text out = {0};
    dt_settings_first_difference(here, there, &out);
    assert_string_equal(out.data ? out.data : "", expected);
    dt_text_free(&out);
}

static void test_first_difference(void **state)
{
    assert_first_difference("seed: 1\nlog:\n  every_steps: 3\n", "seed: 1\nlog:\n  every_steps: 3\n", "");
    assert_first_difference("seed: 1\nlog:\n  every_steps: 3\n", "seed: 1\nlog:\n  every_steps: 4\n",
                            "log.every_steps is 3, there 4");
    assert_first_difference("seed: 1\nthreads: 2\n", "threads: 2\n", "seed is 1, there none");
    assert_first_difference("threads: 2\n", "seed: 1\nthreads: 2\n", "seed is none, there 1");
}

/* --- what follows from other settings --- */

static int64_t micro_batch(const char *word, const char *batch)
{
    dt_session *session = planned(WORDS(word, batch));
    int64_t samples = dt_session_micro_batch(session);
    dt_session_free(session);
    return samples;
}

static void test_micro_batch(void **state)
{
    assert_int_equal(micro_batch("train.accumulate=2", "data.batch=24"), 12);
    assert_int_equal(micro_batch("train.micro_batch=12", "data.batch=24"), 12);
    assert_int_equal(micro_batch("train.micro_batch=10", "data.batch=24"), 8);
    assert_int_equal(micro_batch("train.micro_batch=128", "data.batch=24"), 24);
    assert_int_equal(micro_batch("train.micro_batch=128", "data.batch=1"), 1);
}

/* The synthetic set is what the model asks for, unless told otherwise. */
static void test_synthetic_follows_model(void **state)
{
    dt_session *session = planned(WORDS("data.image=null", "data.classes=null", "model.image=12", "model.classes=7"));
    dt_text model = {0};
    dt_model_describe(dt_session_model(session), &model);
    assert_non_null(strstr(model.data, ": 9 tokens"));
    assert_true(dt_shape_equal(&dt_store_find(dt_session_store(session), "head.bias")->shape, &DT_SHAPE(7)));
    dt_text_free(&model);
    dt_session_free(session);
}

/* precision.residual is either taken up or inactive. */
static void assert_wide_residual(dt_backend backend, const char *mode, bool wide)
{
    dt_recipe recipe;
    dt_text out = {0};
    dt_settings *settings = tiny_settings(WORDS(mode, "precision.residual=f32"));
    assert_int_equal(dt_recipe_read(settings, backend, true, 1, &recipe), DT_OK);
    assert_int_equal(recipe.passes.wide_residual, wide);
    dt_settings_inactive(settings, &(dt_inactive_options){0}, &out);
    assert_int_equal(out.data && strstr(out.data, "precision.residual"), !wide);
    dt_text_free(&out);
    dt_settings_free(settings);
}

static void test_wide_residual(void **state)
{
    assert_wide_residual(DT_CUDA, "precision.mode=bf16", true);
    assert_wide_residual(DT_CUDA, "precision.mode=tf32", false);
    assert_wide_residual(DT_CUDA, "precision.mode=fp32", false);
    assert_wide_residual(DT_CPU, "precision.mode=bf16", true); /* a GPU's run evaluated in float32 */
    assert_wide_residual(DT_CPU, "precision.mode=fp64", false);
}

/* What a run on the CPU, of images, without a warmup or momentum does not read is listed, and what it reads is not. */
static void assert_inactive(bool inactive, const char *path, const char *const *words)
{
    dt_session *session = NULL;
    dt_schedule schedule;
    dt_text out = {0};
    dt_settings *settings = tiny_settings(words);
    assert_int_equal(dt_session_create(settings, &(dt_session_options){.plan_only = true}, NULL, &session), DT_OK);
    assert_int_equal(dt_schedule_create(settings, 1000, &schedule), DT_OK);
    dt_settings_inactive(settings, &(dt_inactive_options){0}, &out);
    bool listed = out.data && strstr(out.data, path);
    if (listed != inactive) fail_msg("'%s' should %sbe inactive", path, inactive ? "" : "not ");
    dt_text_free(&out);
    dt_session_free(session);
    dt_settings_free(settings);
}

static void test_inactive(void **state)
{
    assert_inactive(true, "cuda.attention", WORDS("cuda.attention=own"));
    assert_inactive(true, "model.vocabulary", WORDS("model.vocabulary=9"));
    assert_inactive(true, "warmup_kind", WORDS("schedule.warmup_kind=eased", "schedule.warmup_steps=0"));
    assert_inactive(false, "warmup_kind", WORDS("schedule.warmup_kind=eased", "schedule.warmup_steps=2"));
    assert_inactive(true, "schedule.begin", WORDS("schedule.begin=start", "schedule.warmup_steps=0"));
    assert_inactive(false, "schedule.begin", WORDS("schedule.begin=start", "schedule.warmup_steps=2"));
    assert_inactive(true, "nesterov", WORDS("optim.kind=sgd", "optim.momentum=0", "optim.nesterov=true"));
    assert_inactive(false, "nesterov", WORDS("optim.kind=sgd", "optim.nesterov=true"));
}

/* --- refusals --- */

static void assert_refused(const char *word, const char *fact)
{
    dt_session *session = NULL;
    dt_settings *settings = tiny_settings(WORDS(word));
    dt_session_options options = {.plan_only = true};
    assert_int_equal(dt_session_create(settings, &options, NULL, &session), DT_ERR_USAGE);
    if (!strstr(dt_error_message(), fact)) fail_msg("'%s' says: %s", word, dt_error_message());
    dt_settings_free(settings);
}

/* A batch that the ranks cannot share out evenly: the message names the nearest ones that they can. */
static void assert_batch_refused(int ranks, const char *word, const char *fact)
{
    dt_recipe recipe;
    dt_settings *settings = tiny_settings(WORDS("data.batch=10", word));
    assert_int_equal(dt_recipe_read(settings, DT_CPU, false, ranks, &recipe), DT_ERR_USAGE);
    if (!strstr(dt_error_message(), fact)) fail_msg("%d ranks say: %s", ranks, dt_error_message());
    assert_int_equal(dt_recipe_read(settings, DT_CPU, true, ranks, &recipe), DT_OK); /* to evaluate it does not matter */
    dt_settings_free(settings);
}

static void test_batch_of_ranks(void **state)
{
    assert_batch_refused(4, "train.accumulate=1", "does not divide into 4 ranks: take 8 or 12");
    assert_batch_refused(2, "train.accumulate=2", "does not divide into 2 micro-batches on 2 ranks: take 8 or 12");
    assert_batch_refused(1, "train.accumulate=4", "does not divide into 4 micro-batches: take 8 or 12");
    assert_batch_refused(16, "train.accumulate=1", "does not divide into 16 ranks: take 16");
    assert_batch_refused(3, "train.micro_batch=2", "does not divide into 3 ranks: take 9 or 12");
}

static void test_micro_batch_of_ranks(void **state)
{
    dt_recipe recipe;
    dt_settings *settings = tiny_settings(WORDS("data.batch=24", "train.micro_batch=5"));
    assert_int_equal(dt_recipe_read(settings, DT_CPU, false, 2, &recipe), DT_OK);
    assert_int_equal(recipe.accumulate, 3);
    assert_int_equal(recipe.micro, 4);
    assert_int_equal(recipe.eval_batch, 4);
    dt_settings_free(settings);
}

static void test_refusals(void **state)
{
    assert_refused("train.accumulate=3", "does not divide into 3 micro-batches");
    assert_refused("precision.mode=bf16", "needs a GPU");
    assert_refused("optim.betas=[0.9]", "adamw needs two numbers");
    assert_refused("model.heads=3", "model.");
    assert_refused("model.image=12", "the data set delivers");
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_spans), cmocka_unit_test(test_spans_merge),
                                       cmocka_unit_test(test_changes), cmocka_unit_test(test_new_settings),
                                       cmocka_unit_test(test_no_changes),
                                       cmocka_unit_test(test_first_difference), cmocka_unit_test(test_micro_batch),
                                       cmocka_unit_test(test_synthetic_follows_model),
                                       cmocka_unit_test(test_wide_residual), cmocka_unit_test(test_inactive),
                                       cmocka_unit_test(test_batch_of_ranks),
                                       cmocka_unit_test(test_micro_batch_of_ranks),
                                       cmocka_unit_test(test_refusals)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
