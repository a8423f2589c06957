/* The programs of a run: accumulation gives what one batch gives, the plan's memory is the memory used, and the
 * numerics record names what computes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tiny.h"
#include "train/feed.h"
#include "train/outbox.h"

#define OK(call)                                            \
    do {                                                    \
        if (call) fail_msg("%s", dt_error_message());       \
    } while (0)
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

/* --- one batch against accumulated micro-batches --- */

typedef struct one_step {
    dt_step_numbers numbers;
    double *gradient; /* of the qkv matrix of the first block */
    int64_t count;
} one_step;

static void run_step(dt_session *s, dt_settings *settings, dt_step_numbers *numbers)
{
    dt_dataset *data = NULL;
    dt_feed *feed = NULL;
    dt_outbox *outbox = NULL;
    OK(dt_session_open_data(s, settings, DT_SPLIT_TRAIN, &data));
    OK(dt_feed_create(s, data, settings, DT_PROGRAM_PASS, 0, NULL, &feed));
    OK(dt_outbox_create(s, &outbox));
    for (int64_t micro = 0; micro < s->recipe.accumulate; micro++) {
        dt_batch batch;
        double wait = 0;
        const char *slot;
        bool last = micro + 1 == s->recipe.accumulate;
        OK(dt_feed_next(feed, &batch, &wait));
        dt_session_write_step(s, dt_feed_image(feed), 0, 1e-3, NULL);
        OK(dt_feed_send(feed, &slot));
        OK(dt_program_run(s->program[DT_PROGRAM_PASS], &(dt_run){slot, .accumulate = micro > 0, .last = true}));
        if (last) OK(dt_program_run(s->program[DT_PROGRAM_UPDATE], &(dt_run){slot + s->update_offset, .last = true}));
        OK(dt_feed_done(feed));
    }
    OK(dt_outbox_send(outbox));
    OK(dt_outbox_receive(outbox, numbers));
    dt_outbox_free(outbox);
    dt_feed_free(feed);
    dt_dataset_close(data);
}

static one_step step_of(const char *mode, const char *accumulate)
{
    dt_settings *settings = tiny_settings(WORDS(mode, accumulate, "data.batch=256", "data.synthetic_count=256",
                                                "model.drop_path=0.2", "model.dropout=0.1"));
    dt_session *s = NULL;
    one_step out = {0};
    OK(dt_session_create(settings, &(dt_session_options){0}, NULL, &s));
    OK(dt_store_initialise(s->store, 7));
    run_step(s, settings, &out.numbers);
    const dt_param *param = dt_store_find(s->store, "blocks.0.attn.qkv.weight");
    out.count = param->count;
    out.gradient = malloc((size_t)param->count * sizeof *out.gradient);
    assert_non_null(out.gradient);
    OK(dt_store_read(s->store, param, DT_BUFFER_GRADIENT, DT_F64, out.gradient));
    dt_session_free(s);
    dt_settings_free(settings);
    return out;
}

static double worst(const double *a, const double *b, int64_t count)
{
    double difference = 0, largest = 0;
    for (int64_t i = 0; i < count; i++) {
        difference = fmax(difference, fabs(a[i] - b[i]));
        largest = fmax(largest, fabs(a[i]));
    }
    return difference / largest;
}

static void assert_accumulates(const char *mode, double bound)
{
    one_step whole = step_of(mode, "train.accumulate=1"), parts = step_of(mode, "train.accumulate=4");
    assert_true(whole.numbers.finite && parts.numbers.finite);
    assert_true(whole.numbers.count == 256 && parts.numbers.count == 256);
    assert_true(whole.numbers.hits[0] == parts.numbers.hits[0] && whole.numbers.hits[1] == parts.numbers.hits[1]);
    assert_true(fabs(whole.numbers.loss - parts.numbers.loss) <= bound * whole.numbers.loss);
    assert_true(fabs(whole.numbers.norm - parts.numbers.norm) <= 10 * bound * whole.numbers.norm);
    assert_true(worst(whole.gradient, parts.gradient, whole.count) <= 10 * bound);
    free(whole.gradient);
    free(parts.gradient);
}

static void test_accumulation_fp64(void **state) { assert_accumulates("precision.mode=fp64", 1e-12); }
static void test_accumulation_fp32(void **state) { assert_accumulates("precision.mode=fp32", 1e-6); }

/* --- the plan --- */

static void assert_plan_holds(const char *const *words)
{
    dt_settings *settings = tiny_settings(words);
    dt_session *plan = NULL, *real = NULL;
    OK(dt_session_create(settings, &(dt_session_options){.plan_only = true}, NULL, &plan));
    OK(dt_session_create(settings, &(dt_session_options){0}, NULL, &real));
    OK(dt_store_initialise(dt_session_store(real), 1));
    OK(dt_session_load_step(real));
    OK(dt_session_run_step(real, NULL, NULL));
    dt_memory_use use;
    dt_device_memory(dt_session_device(real), &use);
    double planned = 0;
    for (int m = 0; m < DT_MEMORY_CATEGORIES; m++) {
        int64_t bytes = dt_session_memory(plan, (dt_memory)m);
        assert_int_equal(bytes, dt_session_memory(real, (dt_memory)m));
        assert_true(fabs((double)(use.now[m] - bytes)) <= 0.02 * (double)bytes);
        planned += (double)bytes;
    }
    assert_true(fabs((double)use.peak - planned) <= 0.02 * planned);
    dt_session_free(plan);
    dt_session_free(real);
    dt_settings_free(settings);
}

static void test_plan(void **state)
{
    assert_plan_holds(NULL);
    assert_plan_holds(WORDS("train.ema=0.9", "train.accumulate=2", "precision.mode=fp64"));
    assert_plan_holds(WORDS("optim.kind=sgd", "train.recompute=block", "norm.kind=layernorm"));
}

/* Without an update there are no moments and nothing moves. A pass alone adds to the loss of the next step, and to no
 * later one. */
static void test_no_update(void **state)
{
    dt_settings *settings = tiny_settings(WORDS("train.ema=0.9", "eval.batch=3"));
    dt_session *s = NULL;
    double norm[4], loss[4];
    OK(dt_session_create(settings, &(dt_session_options){.no_update = true}, NULL, &s));
    assert_int_equal(dt_session_memory(s, DT_MEMORY_OPTIMIZER) + dt_session_memory(s, DT_MEMORY_EMA), 0);
    assert_int_equal(s->recipe.eval_batch, s->recipe.micro);
    OK(dt_store_initialise(s->store, 7));
    OK(dt_session_load_step(s));
    for (int i = 0; i < 4; i++) {
        OK(dt_session_run_step(s, NULL, NULL));
        OK(dt_program_read(s->program[DT_PROGRAM_UPDATE], "norm", &norm[i], sizeof norm[i]));
        OK(dt_program_read(s->program[DT_PROGRAM_UPDATE], "loss", &loss[i], sizeof loss[i]));
        OK(dt_session_run_one(s, "eval"));
        if (i == 1) OK(dt_session_run_one(s, "pass"));
    }
    assert_true(norm[0] > 0 && norm[1] == norm[0] && norm[3] == norm[0]);
    assert_true(loss[1] == loss[0] && loss[2] == 2 * loss[0] && loss[3] == loss[0]);
    dt_session_free(s);
    dt_settings_free(settings);
}

static void test_step_flops(void **state)
{
    dt_session *once = NULL, *parts = NULL;
    dt_settings *settings = tiny_settings(NULL);
    dt_settings *other = tiny_settings(WORDS("train.accumulate=4", "train.recompute=block"));
    OK(dt_session_create(settings, &(dt_session_options){.plan_only = true}, NULL, &once));
    OK(dt_session_create(other, &(dt_session_options){.plan_only = true}, NULL, &parts));
    double whole = dt_session_step_flops(once);
    assert_true(whole > 0 && fabs(dt_session_step_flops(parts) - whole) <= 1e-3 * whole);
    dt_session_free(once);
    dt_session_free(parts);
    dt_settings_free(settings);
    dt_settings_free(other);
}

/* --- the numerics record --- */

static void assert_recorded(const char *device, const char *const *keys)
{
    dt_settings *settings = tiny_settings(WORDS(device));
    dt_session *s = NULL;
    OK(dt_session_create(settings, &(dt_session_options){.plan_only = true}, NULL, &s));
    json_t *record = dt_session_numerics(s);
    assert_non_null(record);
    for (; *keys; keys++)
        if (!json_object_get(record, *keys)) fail_msg("%s: the numerics record lacks '%s'", device, *keys);
    json_decref(record);
    dt_session_free(s);
    dt_settings_free(settings);
}

/* Plans are made for a GPU where there is none, too. */
static void test_numerics(void **state)
{
    assert_recorded("device=cpu", WORDS("dyttrain", "binary", "device", "cpu_kernels"));
    if (dt_backend_built(DT_CUDA)) assert_recorded("device=cuda", WORDS("dyttrain", "device", "gpu", "libraries",
                                                                        "attention", "products"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accumulation_fp64), cmocka_unit_test(test_accumulation_fp32), cmocka_unit_test(test_plan),
        cmocka_unit_test(test_no_update),
        cmocka_unit_test(test_step_flops), cmocka_unit_test(test_numerics)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
