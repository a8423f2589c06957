/* Token data sets: windows, splits, the fields of a batch, sets of several files, what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/random.h"
#include "data/dataset.h"
#include "scene.h"

enum { AHEAD = 2, SEED = 5, ROOM = 1 << 16 };

/* A loader over a data set, with slots of its own. */
typedef struct rig {
    dt_settings *settings;
    dt_dataset *dataset;
    dt_loader_options options;
    void *slots[AHEAD];
    dt_loader *loader;
    int64_t T;
} rig;

static void rig_open(rig *r, dt_split split, int64_t batch, int64_t start, dt_settings *settings)
{
    *r = (rig){.settings = settings};
    if (dt_dataset_open(settings, split, &r->dataset)) fail_msg("%s", dt_error_message());
    r->T = dt_dataset_info(r->dataset)->context;
    int64_t row = batch * r->T * 4;
    for (int s = 0; s < AHEAD; s++) r->slots[s] = memset(malloc(ROOM), 0xEE, ROOM);
    assert_true(4 * row + 12 * batch <= ROOM);
    r->options = (dt_loader_options){.split = split, .seed = SEED, .batch = batch, .start = start, .ranks = 1,
                                     .workers = 2, .ahead = AHEAD, .slots = r->slots, .damaged = "stop"};
    r->options.fields = (dt_batch_fields){{-1, -1, 0, row, 2 * row, 3 * row, 4 * row + 8 * batch, 4 * row}};
    if (dt_loader_create(r->dataset, settings, &r->options, NULL, &r->loader)) fail_msg("%s", dt_error_message());
}

static void rig_close(rig *r)
{
    dt_loader_free(r->loader);
    for (int s = 0; s < AHEAD; s++) free(r->slots[s]);
    dt_dataset_close(r->dataset);
    dt_settings_free(r->settings);
}

static const int32_t *field(const rig *r, const dt_batch *batch, dt_field f)
{
    return (const int32_t *)((const char *)r->slots[batch->slot] + r->options.fields.at[f]);
}

static dt_batch next(rig *r)
{
    dt_batch batch;
    double wait;
    if (dt_loader_next(r->loader, &batch, &wait)) fail_msg("%s", dt_error_message());
    return batch;
}

/* 1000 bytes: i mod 251. */
static void write_text(const char *path)
{
    uint8_t bytes[1000];
    for (int i = 0; i < 1000; i++) bytes[i] = (uint8_t)(i % 251);
    scene_write(path, bytes, sizeof bytes);
}

static void training_windows_follow_the_keyed_order(void **state)
{
    rig r;
    write_text("a.txt");
    rig_open(&r, DT_SPLIT_TRAIN, 4, 0,
             SETTINGS("data.kind=text", "data.path=a.txt", "data.context=16", "data.batch=4", "data.held_out=0.1"));
    const dt_data_info *info = dt_dataset_info(r.dataset);
    assert_int_equal(info->count, (900 - 17) / 16 + 1);
    assert_int_equal(info->vocabulary, 256);
    assert_int_equal(info->tokens, 899);
    for (int64_t b = 0; b < 20; b++) { /* 56 samples: 14 batches an epoch */
        dt_batch batch = next(&r);
        for (int64_t i = 0; i < 4; i++) {
            int64_t window = (int64_t)dt_permute(SEED, (uint64_t)(b / 14), 56, (uint64_t)(b % 14 * 4 + i));
            for (int64_t t = 0; t < 16; t++) {
                assert_int_equal(field(&r, &batch, DT_FIELD_TOKENS)[i * 16 + t], (window * 16 + t) % 251);
                assert_int_equal(field(&r, &batch, DT_FIELD_TARGETS)[i * 16 + t], (window * 16 + t + 1) % 251);
            }
        }
        dt_loader_release(r.loader, batch.slot);
    }
    rig_close(&r);
}

static void order_sorts_a_batch_by_token_and_position(void **state)
{
    rig r;
    rig_open(&r, DT_SPLIT_TRAIN, 8, 0,
             SETTINGS("data.kind=synthetic_text", "data.context=33", "data.batch=8", "data.vocabulary=50",
                      "data.synthetic_count=30"));
    for (int b = 0; b < 6; b++) {
        dt_batch batch = next(&r);
        const int32_t *tokens = field(&r, &batch, DT_FIELD_TOKENS), *order = field(&r, &batch, DT_FIELD_ORDER);
        bool seen[8 * 33] = {false};
        for (int i = 0; i < 8 * 33; i++) {
            assert_in_range(order[i], 0, 8 * 33 - 1);
            assert_false(seen[order[i]]);
            seen[order[i]] = true;
            if (!i) continue;
            int32_t a = tokens[order[i - 1]], c = tokens[order[i]];
            assert_true(a < c || (a == c && order[i - 1] < order[i]));
        }
        dt_loader_release(r.loader, batch.slot);
    }
    rig_close(&r);
}

/* Walks the eval split: every token of bytes 900 .. 999 but the first is a target once, at its place. */
static void assert_targets_once(const char *stride, int64_t samples)
{
    rig r;
    int seen[1000] = {0};
    rig_open(&r, DT_SPLIT_EVAL, 3, 0,
             SETTINGS("data.kind=text", "data.path=a.txt", "data.context=16", "data.held_out=0.1", stride));
    assert_int_equal(dt_dataset_info(r.dataset)->count, samples);
    assert_int_equal(dt_dataset_info(r.dataset)->bytes, 99);
    for (dt_batch batch = next(&r); batch.slot >= 0; batch = next(&r)) {
        for (int64_t i = 0; i < 3 * 16; i++) {
            int32_t token = field(&r, &batch, DT_FIELD_TOKENS)[i], target = field(&r, &batch, DT_FIELD_TARGETS)[i];
            bool real = ((const float *)field(&r, &batch, DT_FIELD_WEIGHT))[i / 16] == 1.0f;
            if (target < 0) continue;
            assert_true(real);
            assert_int_equal(target, token + 1);
            seen[target + 3 * 251]++; /* 900 .. 999 mod 251 are 147 .. 246 */
        }
        dt_loader_release(r.loader, batch.slot);
    }
    for (int i = 0; i < 1000; i++) assert_int_equal(seen[i], i > 900);
    rig_close(&r);
}

static void each_held_out_token_is_a_target_once(void **state)
{
    write_text("a.txt");
    assert_targets_once("data.eval_stride=16", 7);
    assert_targets_once("data.eval_stride=5", 18);
    assert_targets_once("data.eval_stride=1", 84);
}

static void starts_tell_where_documents_begin(void **state)
{
    rig r;
    assert_int_equal(dt_folder_make("texts"), DT_OK);
    scene_write("texts/a", "0123456789", 10);
    scene_write_gzip("texts/b.gz", "abcdefg", 7);
    scene_write("texts/.hidden", "x", 1);
    rig_open(&r, DT_SPLIT_TRAIN, 1, 0,
             SETTINGS("data.kind=text", "data.path=texts", "data.context=16", "data.batch=1", "data.held_out=0"));
    dt_batch batch = next(&r);
    assert_int_equal(dt_dataset_info(r.dataset)->count, 1);
    for (int t = 0; t < 16; t++) {
        assert_int_equal(field(&r, &batch, DT_FIELD_TOKENS)[t], "0123456789abcdefg"[t]);
        assert_int_equal(field(&r, &batch, DT_FIELD_STARTS)[t], t < 10 ? 0 : 10);
    }
    rig_close(&r);
}

static void resuming_continues_the_stream(void **state)
{
    rig a, b;
    rig_open(&a, DT_SPLIT_TRAIN, 4, 0, SETTINGS("data.kind=synthetic_text", "data.context=9", "data.batch=4",
                                                "data.synthetic_count=25", "data.stride=4"));
    rig_open(&b, DT_SPLIT_TRAIN, 4, 28, SETTINGS("data.kind=synthetic_text", "data.context=9", "data.batch=4",
                                                 "data.synthetic_count=25", "data.stride=4"));
    for (int i = 0; i < 7; i++) dt_loader_release(a.loader, next(&a).slot);
    for (int i = 0; i < 30; i++) {
        dt_batch x = next(&a), y = next(&b);
        assert_memory_equal(a.slots[x.slot], b.slots[y.slot], 4 * 4 * 9 * 4 + 12 * 4);
        dt_loader_release(a.loader, x.slot);
        dt_loader_release(b.loader, y.slot);
    }
    rig_close(&a);
    rig_close(&b);
}

static void padding_is_not_counted(void **state)
{
    rig r;
    rig_open(&r, DT_SPLIT_TRAIN, 8, 0, SETTINGS("data.kind=synthetic_text", "data.context=9", "data.batch=8",
                                                "data.synthetic_count=3", "data.drop_last=false"));
    dt_batch batch = next(&r);
    assert_int_equal(batch.samples, 3);
    for (int i = 3 * 9; i < 8 * 9; i++) {
        assert_int_equal(field(&r, &batch, DT_FIELD_TOKENS)[i], 0);
        assert_int_equal(field(&r, &batch, DT_FIELD_TARGETS)[i], -1);
    }
    rig_close(&r);
}

static void a_made_up_batch_is_within_the_vocabulary(void **state)
{
    enum { B = 3, T = 7, V = 11 };
    int32_t slot[4 * B * T + 3 * B + 1];
    dt_data_info info = {.form = DT_FORM_TOKENS, .context = T, .vocabulary = V};
    dt_batch_fields fields = {{-1, -1, 0, 4 * B * T, 8 * B * T, 12 * B * T, 16 * B * T, -1}};
    assert_int_equal(dt_batch_make_up(&info, &fields, B, slot), DT_OK);
    for (int i = 0; i < B * T; i++) {
        assert_in_range(slot[i], 0, V - 1);
        assert_in_range(slot[B * T + i], 0, V - 1);
        if (i + 1 < B * T) assert_true(slot[slot[2 * B * T + i]] <= slot[slot[2 * B * T + i + 1]]);
        assert_int_equal(slot[3 * B * T + i], 0);
    }
}

static void assert_refused(dt_settings *settings, dt_split split, dt_status wanted, const char *part)
{
    dt_dataset *dataset = NULL;
    assert_fails(dt_dataset_open(settings, split, &dataset), wanted, part);
    dt_settings_free(settings);
}

static void what_cannot_be_sampled_is_refused(void **state)
{
    write_text("a.txt");
    scene_write("empty.txt", "", 0);
    assert_int_equal(dt_folder_make("hollow"), DT_OK);
    assert_refused(SETTINGS("data.kind=text", "data.path=a.txt", "data.context=950"), DT_SPLIT_TRAIN, DT_ERR_DATA,
                   "the training split has 950 tokens, but a sample takes 951; lower data.context");
    assert_refused(SETTINGS("data.kind=text", "data.path=a.txt", "data.held_out=0"), DT_SPLIT_EVAL, DT_ERR_DATA,
                   "the held-out split has 0 tokens, but a sample takes 2; raise data.held_out, or give more text");
    assert_refused(SETTINGS("data.kind=text", "data.path=empty.txt"), DT_SPLIT_TRAIN, DT_ERR_DATA,
                   "'empty.txt' is empty");
    assert_refused(SETTINGS("data.kind=text", "data.path=hollow"), DT_SPLIT_TRAIN, DT_ERR_DATA,
                   "the folder 'hollow' holds no files");
    assert_refused(SETTINGS("data.kind=text"), DT_SPLIT_TRAIN, DT_ERR_USAGE, "text needs data.path");
    assert_refused(SETTINGS("data.kind=text", "data.path=a.txt", "data.vocabulary=128", "data.context=9"),
                   DT_SPLIT_TRAIN, DT_ERR_DATA,
                   "'a.txt' holds tokens of a vocabulary of 256, but the settings say 128");
    assert_refused(SETTINGS("data.kind=synthetic_text", "data.context=16777216",
                            "data.synthetic_count=274877906944"), /* 2^62 tokens have 2^64 bytes */
                   DT_SPLIT_TRAIN, DT_ERR_MEMORY, "lower data.synthetic_count");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(training_windows_follow_the_keyed_order, scene_enter, scene_leave),
        cmocka_unit_test(order_sorts_a_batch_by_token_and_position),
        cmocka_unit_test_setup_teardown(each_held_out_token_is_a_target_once, scene_enter, scene_leave),
        cmocka_unit_test_setup_teardown(starts_tell_where_documents_begin, scene_enter, scene_leave),
        cmocka_unit_test(resuming_continues_the_stream),
        cmocka_unit_test(padding_is_not_counted),
        cmocka_unit_test(a_made_up_batch_is_within_the_vocabulary),
        cmocka_unit_test_setup_teardown(what_cannot_be_sampled_is_refused, scene_enter, scene_leave),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
