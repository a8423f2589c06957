/* Checkpoints: what is saved comes back bit for bit; what is damaged is refused; a kill, a full disk or a clean-up
 * never leaves a folder that loads wrongly. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/file.h"
#include "toy_store.h"
#include "train/checkpoint.h"
#include "train/checkpoint_folder.h"
#include "train/safetensors.h"

static const toy_options full = {DT_F32, .ema = true, .moments = true, .states = true, .classes = 4};
static const dt_checkpoint_options plain = {.folder = "checkpoints"};

static int enter(void **state)
{
    static char name[32];
    strcpy(name, "dt-checkpoint-XXXXXX");
    *state = mkdtemp(name);
    return *state && chdir(*state) == 0 ? 0 : -1;
}

static int leave(void **state) { return chdir("..") == 0 && dt_folder_remove(*state) == DT_OK ? 0 : -1; }

/* Fills the store by the step's number and saves it as that step. */
static dt_status save_step(toy *t, int64_t step, double best, int64_t best_step, const dt_checkpoint_options *options)
{
    dt_progress progress = {.step = step, .samples = 64 * step, .skipped = 1, .best = best, .best_step = best_step};
    toy_fill(t, step);
    return dt_checkpoint_save(t->store, &progress, "seed: 1\n", NULL, options, NULL);
}

static void round_trip(toy_options kind, dt_checkpoint_options options)
{
    toy from, to;
    toy_open(&from, kind);
    toy_open(&to, kind);
    json_t *record = json_pack("{s:s}", "kernels", "baseline"), *numerics = NULL;
    dt_progress progress = {.step = 7, .samples = 448, .skipped = 2, .rollbacks = 1, .best = 0.1, .best_step = 5}, back;
    toy_fill(&from, 7);
    OK(dt_checkpoint_save(from.store, &progress, "seed: 1\n", record, &options, NULL));
    OK(toy_load(&to, "checkpoints/step-00000007", &back, &numerics));
    assert_true(toy_holds(&to, 7));
    assert_memory_equal(&back, &progress, sizeof back);
    assert_true(json_equal(record, numerics));
    json_decref(record);
    json_decref(numerics);
    toy_close(&from);
    toy_close(&to);
    OK(dt_folder_remove("checkpoints"));
}

static void comes_back_exactly(void **state)
{
    for (int bits = 0; bits < 32; bits++) {
        toy_options kind = {bits & 1 ? DT_F64 : DT_F32, .ema = bits & 2, .moments = bits & 4, .states = bits & 8,
                            .classes = 4};
        round_trip(kind, (dt_checkpoint_options){.folder = "checkpoints", .compress = bits & 16});
    }
    round_trip(full, (dt_checkpoint_options){.folder = "checkpoints", .file_bytes = 1}); /* a file per parameter */
    round_trip(full, (dt_checkpoint_options){.folder = "checkpoints", .file_bytes = 150});
}

static void manifest_tells(void **state)
{
    toy t;
    json_t *manifest;
    const char *settings;
    toy_open(&t, full);
    OK(save_step(&t, 3, NAN, 0, &plain));
    OK(dt_checkpoint_manifest("checkpoints/step-00000003", &manifest));
    OK(dt_json_text(manifest, "settings", "m", &settings));
    assert_string_equal(settings, "seed: 1\n");
    json_decref(manifest);
    toy_close(&t);
}

/* A store of another kind does not take it, and the message names what differs. */
static void assert_refused(toy_options kind, const char *fact)
{
    toy t;
    dt_progress progress;
    toy_open(&t, kind);
    assert_int_equal(toy_load(&t, "checkpoints/step-00000003", &progress, NULL), DT_ERR_DATA);
    if (!strstr(dt_error_message(), fact)) fail_msg("%s", dt_error_message());
    toy_close(&t);
}

static void names_what_differs(void **state)
{
    toy t;
    toy_open(&t, full);
    OK(save_step(&t, 3, NAN, 0, &plain));
    toy_close(&t);
    toy_options kind = full;
    kind.type = DT_F64;
    assert_refused(kind, "was saved by a run in f32, this run works in f64");
    kind = full;
    kind.classes = 5;
    assert_refused(kind, "of another shape: head.weight ([4, 3] in the file, [5, 3] here)");
    kind = full;
    kind.ema = false;
    assert_refused(kind, "has ema weights, which this run has no use for");
    kind = full;
    kind.moments = false;
    assert_refused(kind, "has 'patch.weight.moment1', which this run has no use for");
    kind = full;
    kind.states = false;
    assert_refused(kind, "has 'centre', which this run has no use for");
    toy_options less = full;
    less.moments = less.states = less.ema = false;
    toy_open(&t, less);
    OK(save_step(&t, 3, NAN, 0, &plain));
    toy_close(&t);
    kind = less;
    kind.moments = true;
    assert_refused(kind, "has no state for 'scale.moment1', which this run needs");
    kind = less;
    kind.ema = true;
    assert_refused(kind, "has no ema weights, which this run needs");
}

/* --- damage --- */

static void overwrite(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void assert_damaged(const char *what)
{
    dt_status status = dt_checkpoint_verify("checkpoints/step-00000003", NULL, NULL);
    if (status != DT_ERR_DATA && status != DT_ERR_IO) fail_msg("%s passes", what);
}

static void damage_file(const char *path)
{
    char *bytes;
    size_t size;
    OK(dt_file_read(path, 1 << 20, &bytes, &size));
    size_t stride = size / 40 + 1;
    for (size_t at = 0; at < size; at += stride) {
        bytes[at] ^= 1;
        overwrite(path, bytes, size);
        assert_damaged(path);
        bytes[at] ^= 1;
        overwrite(path, bytes, at);
        assert_damaged(path);
    }
    overwrite(path, bytes, size + 1); /* dt_file_read ends its buffer with a zero byte */
    assert_damaged(path);
    assert_int_equal(unlink(path), 0);
    assert_damaged(path);
    overwrite(path, bytes, size);
    OK(dt_checkpoint_verify("checkpoints/step-00000003", NULL, NULL));
    free(bytes);
}

static void damage_is_found(void **state)
{
    toy t;
    char **names, path[128];
    size_t count;
    dt_checkpoint_options many_files = {.folder = "checkpoints", .compress = true, .file_bytes = 150};
    toy_open(&t, full);
    OK(save_step(&t, 3, 0.5, 2, &many_files));
    OK(dt_folder_list("checkpoints/step-00000003", &names, &count));
    assert_true(count > 8);
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "checkpoints/step-00000003/%s", names[i]);
        damage_file(path);
    }
    dt_folder_list_free(names, count);
    toy_close(&t);
}

/* Its checksums hold, but no run gets so far. */
static void counts_out_of_range_are_refused(void **state)
{
    toy t;
    json_t *manifest;
    dt_progress progress = {.step = 3, .samples = INT64_MAX - 1, .best = NAN};
    toy_open(&t, full);
    OK(dt_checkpoint_save(t.store, &progress, "seed: 1\n", NULL, &plain, NULL));
    assert_int_equal(dt_checkpoint_manifest("checkpoints/step-00000003", &manifest), DT_ERR_DATA);
    assert_non_null(strstr(dt_error_message(), "'samples' cannot be 9223372036854775806"));
    toy_close(&t);
}

static void assert_found(const char *want)
{
    char *path;
    OK(dt_checkpoint_find("checkpoints", NULL, NULL, &path, NULL));
    assert_string_equal(path, want);
    free(path);
}

static void find_passes_damage_over(void **state)
{
    toy t;
    char *path;
    toy_open(&t, full);
    assert_int_equal(dt_checkpoint_find("checkpoints", NULL, NULL, &path, NULL), DT_ERR_DATA);
    OK(dt_folder_make("checkpoints/step-x"));
    assert_int_equal(dt_checkpoint_find("checkpoints", NULL, NULL, &path, NULL), DT_ERR_DATA);
    for (int64_t step = 1; step <= 3; step++) OK(save_step(&t, step, NAN, 0, &plain));
    OK(dt_folder_make("checkpoints/step-00000009.tmp"));
    assert_found("checkpoints/step-00000003");
    OK(dt_folder_remove("checkpoints/step-00000003/manifest.json"));
    assert_found("checkpoints/step-00000002");
    overwrite("checkpoints/step-00000002/model.safetensors", "", 0);
    assert_found("checkpoints/step-00000001");
    assert_int_equal(symlink("nowhere", "checkpoints/step-00000004"), 0); /* to a disk that is not there, say */
    assert_found("checkpoints/step-00000001");
    assert_int_equal(unlink("checkpoints/step-00000004"), 0);
    OK(dt_folder_make("checkpoints/step-00000004/manifest.json"));
    assert_found("checkpoints/step-00000001");
    assert_int_equal(mkfifo("checkpoints/step-00000003/manifest.json", 0600), 0);
    assert_found("checkpoints/step-00000001");
    OK(dt_folder_remove("checkpoints/step-00000004"));
    overwrite("checkpoints/step-00000001/manifest.json", "{}", 2);
    assert_int_equal(dt_checkpoint_find("checkpoints", NULL, NULL, &path, NULL), DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "none of the 3 checkpoints in 'checkpoints' is valid"));
    toy_close(&t);
}

/* A file that cannot be read is no damaged one: it may be readable again when the next save removes what is ahead. */
static void find_does_not_pass_over_what_it_cannot_read(void **state)
{
    toy t;
    char *path;
    toy_open(&t, full);
    for (int64_t step = 1; step <= 2; step++) OK(save_step(&t, step, NAN, 0, &plain));
    OK(dt_folder_remove("checkpoints/step-00000002/manifest.json"));
    assert_int_equal(symlink("manifest.json", "checkpoints/step-00000002/manifest.json"), 0); /* of itself */
    assert_int_equal(dt_checkpoint_find("checkpoints", NULL, NULL, &path, NULL), DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "cannot tell whether the checkpoint 'checkpoints/step-00000002'"));
    assert_int_equal(unlink("checkpoints/step-00000002/manifest.json"), 0);
    assert_found("checkpoints/step-00000001");
    toy_close(&t);
}

/* A run that trains removes its old ones: what went behind the list of names is not damaged, nor is it missed. */
static void find_lists_anew_what_went_meanwhile(void **state)
{
    enum { MANY = 15 };
    toy t;
    char *path;
    toy_open(&t, full);
    OK(save_step(&t, 1, NAN, 0, &plain));
    dt_fault_arm("gone:1:step-00000001/manifest.json");
    dt_status status = dt_checkpoint_find("checkpoints", NULL, NULL, &path, NULL);
    dt_fault_arm(NULL);
    assert_int_equal(status, DT_ERR_DATA);
    assert_non_null(strstr(dt_error_message(), "there is no checkpoint in 'checkpoints'"));
    for (int64_t step = 1; step <= MANY; step++) OK(save_step(&t, step, NAN, 0, &plain));
    dt_fault_arm("gone:2:step-00000015/model.safetensors"); /* between a look at its size and reading it */
    assert_found("checkpoints/step-00000014");
    dt_fault_arm("gone:1+:manifest.json");
    status = dt_checkpoint_find("checkpoints", NULL, NULL, &path, NULL);
    dt_fault_arm(NULL);
    assert_int_equal(status, DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "the checkpoints in 'checkpoints' go before they are read"));
    assert_found("checkpoints/step-00000004");
    toy_close(&t);
}

/* --- keeping --- */

static void assert_steps(const char *want)
{
    char **names, have[256] = "";
    size_t count;
    OK(dt_folder_list("checkpoints", &names, &count));
    for (size_t i = 0; i < count; i++) {
        const char *end = names[i] + strlen("step-000000");
        snprintf(have + strlen(have), sizeof have - strlen(have), "%s%s", i ? " " : "", end);
    }
    dt_folder_list_free(names, count);
    assert_string_equal(have, want);
}

static void keeps_the_newest_and_the_best(void **state)
{
    toy t;
    dt_checkpoint_options two = {.folder = "checkpoints", .keep = 2};
    toy_open(&t, full);
    OK(save_step(&t, 10, 0.9, 10, &two));
    for (int64_t step = 11; step <= 14; step++) OK(save_step(&t, step, 0.9, 10, &two));
    assert_steps("10 13 14");
    OK(save_step(&t, 15, 0.95, 15, &two)); /* a new best: the old one goes */
    assert_steps("14 15");
    OK(save_step(&t, 12, 0.9, 10, &two)); /* after a rollback, what lay ahead is no longer this run's */
    assert_steps("12");
    OK(save_step(&t, 12, 0.9, 10, &two)); /* the same step again */
    assert_steps("12");
    OK(dt_folder_make("checkpoints/step-00000012.old.tmp/x"));
    OK(save_step(&t, 13, NAN, 0, &plain)); /* remains are cleaned up; without a limit all are kept */
    assert_steps("12 13");
    toy_close(&t);
}

/* What is no checkpoint under a checkpoint's name is passed over, and gives way to the save of that step, as to that
 * of an earlier one. Of a link, what it leads to stays. */
static void what_is_none_gives_way(void **state)
{
    static const char place[] = "checkpoints/step-00000003";
    static const char *const targets[] = {"nowhere", "step-00000003", "../kept", "../kept/x"};
    toy t;
    toy_open(&t, full);
    OK(dt_folder_make("kept"));
    overwrite("kept/x", "y", 1);
    for (int i = 0; i < 12; i++) {
        OK(save_step(&t, 1, NAN, 0, &plain));
        if (i < 8) assert_int_equal(symlink(targets[i / 2], place), 0);
        else if (i < 10) overwrite(place, "y", 1);
        else OK(dt_folder_make("checkpoints/step-00000003/x"));
        assert_found("checkpoints/step-00000001");
        OK(save_step(&t, i % 2 ? 3 : 2, NAN, 0, &plain));
        assert_found(i % 2 ? place : "checkpoints/step-00000002");
        assert_steps(i % 2 ? "01 03" : "01 02");
        assert_true(dt_file_exists("kept/x"));
        OK(dt_folder_remove("checkpoints"));
    }
    toy_close(&t);
}

/* A kill between the save of step 14 and the removals. */
static void tidies_up_behind_a_kill(void **state)
{
    toy t;
    dt_checkpoint_options two = {.folder = "checkpoints", .keep = 2};
    dt_progress progress = {.step = 14, .best = 0.9, .best_step = 10};
    toy_open(&t, full);
    for (int64_t step = 10; step <= 15; step++) OK(save_step(&t, step, 0.9, 10, &plain));
    OK(dt_folder_make("checkpoints/step-00000012.tmp"));
    OK(dt_checkpoint_tidy(&progress, &two));
    assert_steps("10 13 14 15"); /* what is ahead is not its to judge */
    toy_close(&t);
}

/* Where two names cannot be exchanged, a kill may come between the two renames. */
static void one_that_stepped_aside_comes_back(void **state)
{
    toy t;
    toy_open(&t, full);
    OK(save_step(&t, 3, NAN, 0, &plain));
    assert_int_equal(rename("checkpoints/step-00000003", "checkpoints/step-00000003.old.tmp"), 0);
    OK(dt_step_clean("checkpoints"));
    assert_found("checkpoints/step-00000003");
    OK(dt_folder_make("checkpoints/step-00000003.old.tmp/x"));
    OK(dt_step_clean("checkpoints"));
    assert_steps("03");
    toy_close(&t);
}

/* A checkpoint is saved, whether an older one lets itself be removed or not. */
static void a_removal_that_fails_is_no_failed_save(void **state)
{
    toy t;
    dt_checkpoint_options one = {.folder = "checkpoints", .keep = 1};
    toy_open(&t, full);
    for (int64_t step = 1; step <= 2; step++) OK(save_step(&t, step, NAN, 0, &plain));
    dt_fault_arm("rename:1+:00000002.tmp");
    dt_status status = save_step(&t, 3, NAN, 0, &one);
    dt_fault_arm(NULL);
    OK(status);
    assert_steps("02 03"); /* the other one is gone */
    OK(save_step(&t, 4, NAN, 0, &one));
    assert_steps("04");
    dt_fault_arm("remove:1+:00000004.tmp");
    for (int64_t step = 5; step <= 7 && !status; step++) status = save_step(&t, step, NAN, 0, &one);
    if (!status) status = save_step(&t, 8, NAN, 0, &plain);
    assert_int_equal(dt_checkpoint_tidy(&(dt_progress){.step = 8, .best = NAN}, &one), DT_ERR_IO);
    dt_fault_arm(NULL);
    OK(status);
    assert_steps("04.tmp 08"); /* those behind it are gone */
    toy_close(&t);
}

/* --- accidents --- */

static void a_full_disk_leaves_the_old_ones(void **state)
{
    toy t, back;
    dt_progress progress;
    struct rlimit before, tight;
    toy_open(&t, full);
    toy_open(&back, full);
    OK(save_step(&t, 1, NAN, 0, &plain));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    signal(SIGXFSZ, SIG_IGN);
    for (tight.rlim_cur = 0; tight.rlim_cur < 1200; tight.rlim_cur += 300) {
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
        dt_status status = save_step(&t, 2, NAN, 0, &plain);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(status, DT_ERR_IO);
        assert_non_null(strstr(dt_error_message(), "step 2 not saved, earlier ones are kept: cannot write"));
        assert_steps("01");
    }
    OK(toy_load(&back, "checkpoints/step-00000001", &progress, NULL));
    assert_true(toy_holds(&back, 1));
    toy_close(&t);
    toy_close(&back);
}

/* A file of weights is all there or not at all. */
static void weights_that_cannot_be_put_in_place_go(void **state)
{
    toy t;
    toy_open(&t, full);
    OK(dt_folder_make("w.safetensors"));
    assert_int_equal(dt_weights_save("w.safetensors", t.store, DT_BUFFER_VALUE, NULL), DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "cannot rename 'w.safetensors.tmp' to 'w.safetensors'"));
    assert_false(dt_file_exists("w.safetensors.tmp"));
    toy_close(&t);
}

/* Saves step after step until it is killed. */
static void save_forever(void)
{
    toy t;
    toy_open(&t, full);
    dt_checkpoint_options two = {.folder = "checkpoints", .keep = 2};
    for (int64_t step = 1;; step = step % 5 + 1) /* ahead, and back over steps that exist */
        if (save_step(&t, step, NAN, 0, &two)) _exit(1);
}

static void a_kill_never_leaves_a_wrong_one(void **state)
{
    enum { KILLS = 20 };
    int loaded = 0;
    for (int i = 0; i < KILLS; i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) save_forever();
        nanosleep(&(struct timespec){.tv_nsec = (5 + 7 * i) * 1000000L}, NULL);
        assert_int_equal(kill(child, SIGKILL), 0);
        int result;
        assert_int_equal(waitpid(child, &result, 0), child);
        assert_true(WIFSIGNALED(result));

        char *path;
        toy t;
        dt_progress progress;
        dt_status status = dt_checkpoint_find("checkpoints", NULL, NULL, &path, NULL);
        if (status == DT_ERR_DATA && !loaded) continue; /* killed before the first one */
        OK(status);
        toy_open(&t, full);
        OK(toy_load(&t, path, &progress, NULL));
        assert_true(toy_holds(&t, progress.step));
        toy_close(&t);
        free(path);
        loaded++;
    }
    assert_true(loaded > 0);
}

/* --- weights --- */

static void weights_come_from_anywhere(void **state)
{
    static const dt_weights_options strict = {.head_prefix = "head."}, ema = {.use_ema = true};
    toy from, to;
    toy_options kind = {DT_F32, .classes = 4};
    toy_open(&from, kind);
    toy_open(&to, kind);
    OK(save_step(&from, 3, NAN, 0, &(dt_checkpoint_options){.folder = "checkpoints", .file_bytes = 150}));
    OK(dt_weights_save("w.safetensors", from.store, DT_BUFFER_VALUE, (const char *[]){"arch", "toy", NULL}));
    const char *paths[] = {"checkpoints/step-00000003", "w.safetensors",
                           "checkpoints/step-00000003/model.safetensors.index.json"};
    for (int i = 0; i < 3; i++) {
        toy_fill(&to, 99);
        OK(dt_weights_load(paths[i], to.store, &strict, NULL));
        assert_true(toy_holds(&to, 3));
    }
    overwrite("checkpoints/step-00000003/manifest.json", "{}", 2);
    assert_int_equal(dt_weights_load(paths[0], to.store, &strict, NULL), DT_ERR_DATA);
    assert_int_equal(dt_weights_load("w.safetensors", to.store, &ema, NULL), DT_ERR_DATA);
    toy_close(&from);
    toy_close(&to);
}

/* A run is its newest checkpoint, whatever else lies in its folder; one that trains may remove it meanwhile. */
static void weights_of_a_run(void **state)
{
    static const dt_weights_options any = {0}, published = {.place = DT_WEIGHTS_FOLDER};
    toy from, to;
    toy_options kind = {DT_F32, .classes = 4};
    const dt_checkpoint_options all = {.folder = "run/checkpoints"};
    toy_open(&from, kind);
    toy_open(&to, kind);
    for (int64_t step = 1; step <= 3; step++) OK(save_step(&from, step, NAN, 0, &all));
    toy_fill(&from, 9);
    OK(dt_weights_save("run/model.safetensors", from.store, DT_BUFFER_VALUE, NULL));
    OK(dt_weights_load("run", to.store, &any, NULL));
    assert_true(toy_holds(&to, 3));
    OK(dt_weights_load("run", to.store, &published, NULL));
    assert_true(toy_holds(&to, 9));
    dt_fault_arm("gone:4:step-00000003/model"); /* three times to verify it */
    dt_status status = dt_weights_load("run", to.store, &any, NULL);
    dt_fault_arm("gone:4:step-00000002/model");
    dt_status named = dt_weights_load("run/checkpoints/step-00000002", to.store, &any, NULL);
    dt_fault_arm(NULL);
    OK(status);
    assert_false(dt_file_exists("run/checkpoints/step-00000003"));
    assert_true(toy_holds(&to, 2));
    assert_int_equal(named, DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "the checkpoint 'run/checkpoints/step-00000002' was removed while it"));
    OK(dt_folder_remove("run/checkpoints"));
    OK(dt_weights_load("run", to.store, &any, NULL)); /* no run any more */
    assert_true(toy_holds(&to, 9));
    toy_close(&from);
    toy_close(&to);
}

static void average_comes_as_weights(void **state)
{
    toy from, to;
    double ema[12], value[12];
    toy_open(&from, full);
    toy_open(&to, full);
    OK(save_step(&from, 3, NAN, 0, &plain));
    OK(dt_weights_load("checkpoints/step-00000003", to.store, &(dt_weights_options){.use_ema = true}, NULL));
    const dt_param *head = dt_store_find(from.store, "head.weight");
    OK(dt_store_read(from.store, head, DT_BUFFER_EMA, DT_F64, ema));
    for (int buffer = DT_BUFFER_VALUE; buffer <= DT_BUFFER_EMA; buffer += DT_BUFFER_EMA) {
        OK(dt_store_read(to.store, dt_store_find(to.store, "head.weight"), (dt_buffer)buffer, DT_F64, value));
        assert_memory_equal(value, ema, sizeof ema);
    }
    toy_close(&from);
    toy_close(&to);
}

static void a_head_may_be_new(void **state)
{
    toy from, to;
    double before[18], after[18];
    toy_open(&from, (toy_options){DT_F32, .classes = 4});
    toy_open(&to, (toy_options){DT_F64, .classes = 6});
    toy_fill(&from, 1);
    toy_fill(&to, 2);
    OK(dt_weights_save("w.safetensors", from.store, DT_BUFFER_VALUE, NULL));
    dt_weights_options options = {.head_prefix = "head."};
    assert_int_equal(dt_weights_load("w.safetensors", to.store, &options, NULL), DT_ERR_DATA);
    assert_non_null(strstr(dt_error_message(), "head.weight ([4, 3] in the file, [6, 3] here) (init.new_head=true"));
    const dt_param *head = dt_store_find(to.store, "head.weight"), *bias = dt_store_find(to.store, "blocks.1.bias");
    OK(dt_store_read(to.store, head, DT_BUFFER_VALUE, DT_F64, before));
    options.new_head = true;
    OK(dt_weights_load("w.safetensors", to.store, &options, NULL));
    OK(dt_store_read(to.store, head, DT_BUFFER_VALUE, DT_F64, after));
    assert_memory_equal(after, before, sizeof after);
    OK(dt_store_read(to.store, bias, DT_BUFFER_VALUE, DT_F64, after));
    OK(dt_store_read(from.store, dt_store_find(from.store, "blocks.1.bias"), DT_BUFFER_VALUE, DT_F64, before));
    assert_memory_equal(after, before, 5 * sizeof *after);
    toy_close(&from);
    toy_close(&to);
}

/* The values of head.weight, the first one changed by `error`, under a name that the store does not have. */
static void write_twin(const toy *t, float error)
{
    dt_outfile *file;
    dt_file_sum sum;
    float values[12];
    const dt_param *head = dt_store_find(t->store, "head.weight");
    OK(dt_store_read(t->store, head, DT_BUFFER_VALUE, DT_F32, values));
    values[0] += error;
    const dt_safetensors_item item = {"twin", DT_F32, head->published_shape, values};
    OK(dt_outfile_create("twin.safetensors", false, &file));
    OK(dt_safetensors_write(file, &item, 1, NULL));
    OK(dt_outfile_finish(file, &sum));
}

static void a_tensor_may_be_there_twice(void **state)
{
    static const char index[] = "{\"weight_map\": {\"twin\": \"twin.safetensors\", \"scale\": \"w.safetensors\", "
        "\"patch.weight\": \"w.safetensors\", \"blocks.0.weight\": \"w.safetensors\", "
        "\"blocks.0.bias\": \"w.safetensors\", \"blocks.1.weight\": \"w.safetensors\", "
        "\"blocks.1.bias\": \"w.safetensors\", \"head.weight\": \"w.safetensors\"}}";
    static const char *const names[2] = {"twin", "head.weight"};
    static const dt_weights_options none = {0}, twins = {.twins = names};
    toy t;
    toy_open(&t, (toy_options){DT_F32, .classes = 4});
    toy_fill(&t, 1);
    OK(dt_weights_save("w.safetensors", t.store, DT_BUFFER_VALUE, NULL));
    OK(dt_file_replace("index.json", index, sizeof index - 1));
    write_twin(&t, 0);
    assert_int_equal(dt_weights_load("index.json", t.store, &none, NULL), DT_ERR_DATA);
    OK(dt_weights_load("index.json", t.store, &twins, NULL));
    write_twin(&t, 1);
    assert_int_equal(dt_weights_load("index.json", t.store, &twins, NULL), DT_ERR_DATA);
    assert_non_null(strstr(dt_error_message(), "twin is not head.weight"));
    toy_close(&t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(comes_back_exactly), TEST(manifest_tells), TEST(names_what_differs), TEST(damage_is_found),
        TEST(counts_out_of_range_are_refused), TEST(find_passes_damage_over),
        TEST(find_does_not_pass_over_what_it_cannot_read), TEST(find_lists_anew_what_went_meanwhile),
        TEST(what_is_none_gives_way), TEST(tidies_up_behind_a_kill),
        TEST(keeps_the_newest_and_the_best), TEST(a_removal_that_fails_is_no_failed_save),
        TEST(one_that_stepped_aside_comes_back),
        TEST(a_full_disk_leaves_the_old_ones),
        TEST(weights_that_cannot_be_put_in_place_go),
        TEST(a_kill_never_leaves_a_wrong_one), TEST(weights_come_from_anywhere), TEST(weights_of_a_run),
        TEST(average_comes_as_weights),
        TEST(a_head_may_be_new), TEST(a_tensor_may_be_there_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
