/* Resuming: N steps equal k steps and N - k more, bit for bit, wherever the run was cut; on CUDA whether programs are
 * recorded and replayed or launched node by node.
 *
 * Usage: test-train-resume [SETTING...]. With device=cuda only what depends on the device is tested. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "tiny.h"

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define TRAINS(...)                                                     \
    do {                                                                \
        if (tiny_train(__VA_ARGS__)) fail_msg("%s", dt_error_message()); \
    } while (0)

enum { STEPS = 12 }; /* of 8 samples; an epoch has 5 steps */

/* What is left of a run that was killed after its checkpoint of step `last`. */
static void forget_after(const char *name, int64_t last)
{
    for (int64_t step = last + 1; step <= STEPS; step++)
        assert_int_equal(dt_folder_remove(tiny_checkpoint(name, step)), DT_OK);
}

/* Cuts run `name` after each of several steps, twice in a row at the last, and compares its end with that of "whole".
 * `direct` is a setting. */
static void assert_resumes_as(const char *name, const char *direct, const char *const *words)
{
    static const int64_t cuts[] = {1, 4, 5, 7, 11, 11};
    const char *all[16] = {"checkpoint.every_steps=1", direct};
    for (size_t i = 0; words[i]; i++) all[i + 2] = words[i];
    TRAINS(name, all, false, NULL);
    tiny_assert_same(tiny_checkpoint("whole", STEPS), tiny_checkpoint(name, STEPS));
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; i++) {
        forget_after(name, cuts[i]);
        TRAINS(name, all, true, NULL);
        tiny_assert_same(tiny_checkpoint("whole", STEPS), tiny_checkpoint(name, STEPS));
    }
}

static void assert_resumes(const char *const *words)
{
    TRAINS("whole", words, false, NULL);
    assert_resumes_as("cut", "debug.direct=false", words);
    if (tiny_on_cuda()) assert_resumes_as("direct", "debug.direct=true", words);
}

static void test_adamw(void **state) { assert_resumes(WORDS("model.drop_path=0.2", "model.dropout=0.1")); }

static void test_text(void **state)
{
    assert_resumes(WORDS("model.arch=llama", "model.kv_heads=1", "model.embedding_scale=true", "norm.bias=false",
                         "data.kind=synthetic_text", "data.context=19", "data.vocabulary=77", "model.dropout=0.1",
                         "train.accumulate=2"));
}

static void test_masked_documents(void **state)
{
    assert_resumes(WORDS("model.arch=llama", "model.mask_documents=true", "model.kv_heads=1", "norm.bias=false",
                         "model.embedding_scale=true", "data.kind=synthetic_text", "data.context=19",
                         "data.vocabulary=7", "data.separator=3", "eval.at_end=true", "data.eval_stride=7"));
}

static void test_sgd_accumulated(void **state)
{
    assert_resumes(WORDS("optim.kind=sgd", "optim.nesterov=true", "optim.lr=0.05", "train.accumulate=4",
                         "train.clip_norm=1"));
}

static void test_ema_evaluated(void **state)
{
    assert_resumes(WORDS("train.ema=0.9", "train.accumulate=2", "eval.every_steps=3", "eval.at_end=true",
                         "checkpoint.best_metric=eval_ema.loss", "data.flip=true", "data.crop_padding=1"));
}

static void test_padded_epochs(void **state)
{
    assert_resumes(WORDS("data.drop_last=false", "data.synthetic_count=43", "norm.kind=layernorm"));
}

static void test_float64(void **state)
{
    assert_resumes(WORDS("norm.kind=layernorm", "train.accumulate=2", "precision.mode=fp64"));
}

/* The numbers of a run that was cut at a line of its log are those of one that was not. */
static void test_metrics(void **state)
{
    const char *const *words = WORDS("log.every_steps=2", "checkpoint.every_steps=4");
    TRAINS("whole", words, false, NULL);
    TRAINS("cut", words, false, NULL);
    forget_after("cut", 4);
    TRAINS("cut", words, true, NULL);
    char *whole = tiny_file("whole", "metrics.jsonl"), *cut = tiny_file("cut", "metrics.jsonl");
    char *a = whole, *b = cut;
    for (int line = 0; line < STEPS / 2; line++) { /* up to the rates, which are this machine's */
        const char *norm = strstr(a, "\"grad_norm\"");
        assert_memory_equal(a, b, (size_t)(norm - a) + strcspn(norm, ","));
        a = strchr(a, '\n') + 1;
        b = strchr(b, '\n') + 1;
    }
    assert_true(!*a && !*b);
    free(whole);
    free(cut);
}

/* Algorithms that were found by timing are those of the record, also where the cache that held them is gone. */
static void test_tuned_products(void **state)
{
    const char *const *words = WORDS("cuda.tune=true", "checkpoint.every_steps=4", "train.accumulate=2");
    char cache[128];
    snprintf(cache, sizeof cache, "%s/cache", tiny_folder);
    assert_int_equal(setenv("XDG_CACHE_HOME", cache, 1), 0);
    TRAINS("whole", words, false, NULL);
    TRAINS("cut", words, false, NULL);
    forget_after("cut", 4);
    assert_int_equal(dt_folder_remove(cache), DT_OK);
    TRAINS("cut", words, true, NULL);
    tiny_assert_same(tiny_checkpoint("whole", STEPS), tiny_checkpoint("cut", STEPS));
    unsetenv("XDG_CACHE_HOME");
}

/* --- the folder --- */

static void test_existing_folder(void **state)
{
    TRAINS("twice", NULL, false, NULL);
    assert_int_equal(tiny_train("twice", NULL, false, NULL), DT_ERR_USAGE);
    assert_non_null(strstr(dt_error_message(), "--resume"));
    assert_non_null(strstr(dt_error_message(), "run.name"));
    TRAINS("twice", NULL, true, NULL); /* it is complete: nothing is left to do */
}

static void test_resume_of_nothing(void **state)
{
    TRAINS("whole", NULL, false, NULL);
    TRAINS("new", NULL, true, NULL);
    tiny_assert_same(tiny_checkpoint("whole", STEPS), tiny_checkpoint("new", STEPS));
}

static void damage(const char *checkpoint)
{
    char path[300];
    snprintf(path, sizeof path, "%s/model.safetensors", checkpoint);
    assert_int_equal(dt_file_replace(path, "x", 1), DT_OK);
}

/* A damaged checkpoint is passed over; a run with no other does not start anew over it. */
static void test_damage(void **state)
{
    TRAINS("whole", NULL, false, NULL);
    TRAINS("damaged", WORDS("checkpoint.every_steps=6"), false, NULL);
    damage(tiny_checkpoint("damaged", STEPS));
    TRAINS("damaged", NULL, true, NULL);
    tiny_assert_same(tiny_checkpoint("whole", STEPS), tiny_checkpoint("damaged", STEPS));

    forget_after("damaged", 6);
    damage(tiny_checkpoint("damaged", 6));
    assert_int_equal(tiny_train("damaged", NULL, true, NULL), DT_ERR_IO);
    assert_true(dt_file_exists(tiny_checkpoint("damaged", 6)));
}

static void test_changed_settings(void **state)
{
    TRAINS("changed", WORDS("checkpoint.every_steps=6"), false, NULL);
    forget_after("changed", 6);
    TRAINS("changed", WORDS("optim.lr=0.5", "log.every_steps=1"), true, NULL);
    char *log = tiny_file("changed", "log.txt");
    const char *warning = strstr(log, "settings changed since the checkpoint: optim.lr: ");
    assert_non_null(warning);
    assert_null(strstr(warning, "log.every_steps"));
    free(log);
}

/* What cannot be resumed says so, names the settings, and leaves the checkpoint as it was. */
static void test_refused_settings(void **state)
{
    static const char *const words[][2] = {
        {"optim.kind=sgd", "optim.kind: adamw, now sgd"}, {"norm.kind=layernorm", "norm.kind: dyt, now layernorm"},
        {"train.ema=0.9", "train.ema: 0, now 0.9"},       {"model.width=32", "model.width: 16, now 32"},
        {"train.steps=5", "is of step 12, this run is to have 5"}};
    TRAINS("refused", NULL, false, NULL);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        assert_int_equal(tiny_train("refused", WORDS(words[i][0]), true, NULL), DT_ERR_USAGE);
        if (!strstr(dt_error_message(), words[i][1])) fail_msg("%s", dt_error_message());
    }
    assert_int_equal(tiny_progress(tiny_checkpoint("refused", STEPS)).step, STEPS);
}

/* The best top-1 says nothing about a loss. */
static void test_other_best(void **state)
{
    TRAINS("best", WORDS("eval.every_steps=6", "eval.at_end=false", "checkpoint.every_steps=9",
                         "checkpoint.best_metric=eval.top1"), false, NULL);
    forget_after("best", 9);
    assert_int_equal(tiny_progress(tiny_checkpoint("best", 9)).best_step, 6);
    TRAINS("best", WORDS("eval.every_steps=12", "checkpoint.best_metric=eval.loss"), true, NULL);
    assert_int_equal(tiny_progress(tiny_checkpoint("best", STEPS)).best_step, STEPS);
    char *log = tiny_file("best", "log.txt");
    assert_non_null(strstr(log, "checkpoint.best_metric is another than that of the checkpoint"));
    free(log);
}

/* Weights of a run start another, whose head has more classes. */
static void test_start_from(void **state)
{
    char from[300];
    TRAINS("first", NULL, false, NULL);
    snprintf(from, sizeof from, "init.from=%s", tiny_checkpoint("first", STEPS));
    assert_int_equal(tiny_train("second", WORDS(from, "data.classes=6"), false, NULL), DT_ERR_DATA);
    TRAINS("second", WORDS(from, "data.classes=6", "init.new_head=true"), false, NULL);
}

/* A start that fails takes back the folder that it made, and no other: the corrected command runs. */
static void test_failed_start(void **state)
{
    char folder[300];
    snprintf(folder, sizeof folder, "%s/failed", tiny_folder);
    for (int resumed = 0; resumed < 2; resumed++) {
        assert_int_not_equal(tiny_train("failed", WORDS("init.from=no/such.safetensors"), resumed, NULL), DT_OK);
        assert_non_null(strstr(dt_error_message(), "no/such.safetensors"));
        assert_false(dt_file_exists(folder));
    }
    assert_int_equal(symlink("no/such/disk", folder), 0); /* not made by the start that fails at it */
    assert_int_equal(tiny_train("failed", NULL, false, NULL), DT_ERR_IO);
    assert_int_equal(unlink(folder), 0);
    TRAINS("failed", WORDS("checkpoint.every_steps=6"), false, NULL);
    damage(tiny_checkpoint("failed", 6));
    damage(tiny_checkpoint("failed", STEPS));
    assert_int_equal(tiny_train("failed", NULL, true, NULL), DT_ERR_IO);
    assert_true(dt_file_exists(tiny_checkpoint("failed", STEPS)));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, tiny_make_folder, tiny_remove_folder)

int main(int count, char **args)
{
    const struct CMUnitTest of_device[] = {CASE(test_adamw), CASE(test_text), CASE(test_masked_documents),
                                           CASE(test_sgd_accumulated),
                                           CASE(test_ema_evaluated), CASE(test_padded_epochs), CASE(test_metrics),
                                           CASE(test_resume_of_nothing), CASE(test_start_from),
                                           CASE(test_tuned_products)};
    const struct CMUnitTest tests[] = {CASE(test_adamw),   CASE(test_text), CASE(test_masked_documents),
                                       CASE(test_sgd_accumulated),
                                       CASE(test_ema_evaluated), CASE(test_padded_epochs), CASE(test_float64),
                                       CASE(test_metrics), CASE(test_existing_folder), CASE(test_resume_of_nothing),
                                       CASE(test_damage),     CASE(test_changed_settings), CASE(test_start_from),
                                       CASE(test_failed_start), CASE(test_refused_settings), CASE(test_other_best)};
    if (!tiny_begin(count, args)) return 0;
    if (tiny_on_cuda()) return cmocka_run_group_tests(of_device, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
