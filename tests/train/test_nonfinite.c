/* Steps whose gradient is not finite: what each policy of train.on_nonfinite does. A learning rate of 1e30 makes them:
 * the first update, the last that commits, throws the weights so far that every later forward pass overflows.
 *
 * Usage: test-train-nonfinite [SETTING...], for all runs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "tiny.h"

#define WORDS(...) ((const char *const[]){"optim.lr=1e30", "schedule.warmup_steps=0", __VA_ARGS__, NULL})

enum { STEPS = 12 };

static int occurrences(const char *text, const char *of)
{
    int count = 0;
    while ((text = strstr(text, of))) count++, text++;
    return count;
}

static void test_stop(void **state)
{
    assert_int_equal(tiny_train("stop", WORDS("train.on_nonfinite=stop"), false, NULL), DT_ERR_NUMERIC);
    assert_non_null(strstr(dt_error_message(), "step 2"));
    char *log = tiny_file("stop", "log.txt");
    assert_non_null(strstr(log, "samples 8 to 15 of the run"));
    assert_false(dt_file_exists(tiny_checkpoint("stop", STEPS)));
    free(log);
}

/* The state samples_seen of a checkpoint: samples of committed steps. */
static double samples_seen(const char *checkpoint)
{
    dt_settings *settings = tiny_settings(NULL);
    dt_session *session = NULL;
    dt_progress progress;
    json_t *manifest;
    double seen = -1;
    assert_int_equal(dt_session_create(settings, &(dt_session_options){0}, NULL, &session), DT_OK);
    dt_store *store = dt_session_store(session);
    assert_int_equal(dt_checkpoint_verify(checkpoint, NULL, &manifest), DT_OK);
    assert_int_equal(dt_checkpoint_load(checkpoint, manifest, NULL, store, &progress), DT_OK);
    json_decref(manifest);
    for (int i = 0; i < dt_store_states(store); i++)
        if (!strcmp(dt_store_state(store, i)->name, "samples_seen"))
            assert_int_equal(dt_device_download(dt_session_device(session), DT_STREAM_COMPUTE, &seen,
                                                dt_store_state(store, i)->data, sizeof seen), DT_OK);
    dt_session_free(session);
    dt_settings_free(settings);
    return seen;
}

static void test_skip(void **state)
{
    assert_int_equal(tiny_train("skip", WORDS("train.on_nonfinite=skip"), false, NULL), DT_OK);
    assert_true(samples_seen(tiny_checkpoint("skip", STEPS)) == 8);
    dt_progress end = tiny_progress(tiny_checkpoint("skip", STEPS));
    assert_int_equal(end.step, STEPS);
    assert_int_equal(end.samples, 8 * STEPS);
    assert_int_equal(end.skipped, STEPS - 1);

    char *metrics = tiny_file("skip", "metrics.jsonl"), *log = tiny_file("skip", "log.txt"), wanted[32];
    snprintf(wanted, sizeof wanted, "{\"step\":%d,", STEPS); /* a line is due, although nothing was learnt */
    assert_non_null(strstr(metrics, wanted));
    assert_non_null(strstr(log, "loss nan, gradient norm nan"));
    free(metrics);
    free(log);
}

/* Neither endless nor silent; what is skipped is not saved, and no evaluation of lost weights is the best. */
static void test_skip_limit(void **state)
{
    const char *const *three = WORDS("train.on_nonfinite=skip", "train.skip_limit=3", "checkpoint.every_steps=1");
    assert_int_equal(tiny_train("limit", three, false, NULL), DT_ERR_NUMERIC);
    assert_non_null(strstr(dt_error_message(), "3 steps in a row, up to step 4,"));
    assert_non_null(strstr(dt_error_message(), "train.skip_limit"));
    assert_true(dt_file_exists(tiny_checkpoint("limit", 1)));
    assert_false(dt_file_exists(tiny_checkpoint("limit", 2)));

    const char *const *all = WORDS("train.on_nonfinite=skip", "eval.at_end=true", "checkpoint.best_metric=eval.top1");
    assert_int_equal(tiny_train("lost", all, false, NULL), DT_OK);
    assert_int_equal(tiny_progress(tiny_checkpoint("lost", STEPS)).best_step, 0);
}

/* What a skipped step leaves is what the last good one left. */
static void test_skip_commits_nothing(void **state)
{
    const char *const *words = WORDS("train.on_nonfinite=skip", "checkpoint.every_steps=1", "train.ema=0.5");
    assert_int_equal(tiny_train("skip", words, false, NULL), DT_OK);
    char *first = NULL, *last = NULL;
    size_t first_size, last_size;
    char path[300];
    static const char *const files[] = {"model.safetensors", "ema.safetensors"};
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", tiny_checkpoint("skip", 1), files[i]);
        assert_int_equal(dt_file_read(path, 1 << 24, &first, &first_size), DT_OK);
        snprintf(path, sizeof path, "%s/%s", tiny_checkpoint("skip", STEPS), files[i]);
        assert_int_equal(dt_file_read(path, 1 << 24, &last, &last_size), DT_OK);
        assert_int_equal(first_size, last_size);
        assert_memory_equal(first, last, first_size);
        free(first);
        free(last);
    }
}

/* The checkpoint of step 1 may still be on its way to the disk when step 2 turns out bad. */
static void test_rollback_waits_for_the_save(void **state)
{
    const char *const *words = WORDS("train.on_nonfinite=rollback", "train.rollback_limit=3",
                                     "checkpoint.every_steps=1");
    assert_int_equal(tiny_train("wait", words, false, NULL), DT_ERR_NUMERIC);
    char *log = tiny_file("wait", "log.txt");
    assert_int_equal(occurrences(log, "rolled back to step 1"), 3);
    free(log);
}

/* Each rollback takes the run back to step 0 and moves the data on: steps 1 and 2 read samples 0 to 15, then, behind
 * the bad batch, 16 to 31, then 32 to 47. */
static void test_rollback(void **state)
{
    const char *const *words = WORDS("train.on_nonfinite=rollback", "train.rollback_limit=2");
    assert_int_equal(tiny_train("back", words, false, NULL), DT_ERR_NUMERIC);
    assert_non_null(strstr(dt_error_message(), "train.rollback_limit"));
    char *log = tiny_file("back", "log.txt");
    assert_int_equal(occurrences(log, "rolled back to step 0"), 2);
    assert_non_null(strstr(log, "the data goes on at sample 16"));
    assert_non_null(strstr(log, "the data goes on at sample 32"));
    assert_non_null(strstr(log, "samples 40 to 47 of the run"));
    free(log);
}

/* Where the disk is full when the run goes back, that is said and no end of it. */
static void test_rollback_on_a_full_disk(void **state)
{
    dt_fault_arm("write:3+:events"); /* behind the head of the file */
    dt_status status = tiny_train("full", WORDS("train.on_nonfinite=rollback", "train.rollback_limit=2",
                                                "checkpoint.on_error=continue"), false, NULL);
    dt_fault_arm(NULL);
    assert_int_equal(status, DT_ERR_NUMERIC);
    char *log = tiny_file("full", "log.txt");
    assert_int_equal(occurrences(log, "rolled back to step 0"), 2);
    assert_int_equal(occurrences(log, "No space left on device; going on"), 1);
    free(log);
}

static void test_named_operator(void **state)
{
    assert_int_equal(tiny_train("debug", WORDS("debug.nonfinite=true"), false, NULL), DT_ERR_NUMERIC);
    assert_non_null(strstr(dt_error_message(), "operator"));
}

#define CASE(test) cmocka_unit_test_setup_teardown(test, tiny_make_folder, tiny_remove_folder)

int main(int count, char **args)
{
    if (!tiny_begin(count, args)) return 0;
    const struct CMUnitTest tests[] = {CASE(test_stop), CASE(test_skip), CASE(test_skip_limit),
                                       CASE(test_skip_commits_nothing),
                                       CASE(test_rollback), CASE(test_rollback_waits_for_the_save),
                                       CASE(test_rollback_on_a_full_disk), CASE(test_named_operator)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
