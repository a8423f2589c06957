#include "tiny.h"

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

enum { FILE_LIMIT = 1 << 24, MAX_WORDS = 40 };

static const char yaml[] = "device: cpu\n"
                           "threads: 1\n"
                           "model: {arch: vit, width: 16, depth: 2, heads: 2, patch: 4, init: fan_in}\n"
                           "norm: {kind: dyt}\n"
                           "data: {kind: synthetic, image: 8, channels: 1, classes: 4, synthetic_count: 40, batch: 8,\n"
                           "       workers: 1}\n"
                           "train: {steps: 12}\n"
                           "schedule: {warmup_steps: 3}\n"
                           "eval: {every_epochs: 0, at_end: false}\n"
                           "checkpoint: {every_steps: 0, keep: 0, best_metric: none}\n";

char tiny_folder[] = "/tmp/dyttrain-tiny-XXXXXX";

static const char *const *common; /* settings of all runs */
static size_t common_count;

bool tiny_begin(int count, char **args)
{
    common = (const char *const *)(args + 1);
    common_count = (size_t)(count - 1);
    if (!tiny_on_cuda() || !dt_backend_check(DT_CUDA, 0)) return true;
    printf("1..0 # SKIP %s\n", dt_error_message());
    return false;
}

bool tiny_on_cuda(void)
{
    for (size_t i = 0; i < common_count; i++)
        if (!strcmp(common[i], "device=cuda")) return true;
    return false;
}

int tiny_make_folder(void **state)
{
    strcpy(tiny_folder + sizeof tiny_folder - 7, "XXXXXX");
    return mkdtemp(tiny_folder) ? 0 : -1;
}

int tiny_remove_folder(void **state) { return dt_folder_remove(tiny_folder) ? -1 : 0; }

dt_settings *tiny_settings(const char *const *words)
{
    const dt_setting_table tables[] = {dt_train_settings, dt_data_settings, dt_model_settings, dt_nn_settings,
                                       dt_checkpoint_settings};
    const char *all[MAX_WORDS];
    dt_settings *settings = NULL;
    size_t count = 0;
    for (; count < common_count; count++) all[count] = common[count];
    for (size_t i = 0; words && words[i]; i++) all[count++] = words[i];
    dt_status status = dt_settings_parse(yaml, sizeof yaml - 1, "tiny", all, count, tables,
                                         sizeof tables / sizeof *tables, &settings);
    if (status) fail_msg("%s", dt_error_message());
    return settings;
}

dt_status tiny_train(const char *name, const char *const *words, bool resume, volatile const int *signal)
{
    const char *all[MAX_WORDS] = {0};
    char dir[128], run[128];
    size_t count = 0;
    while (words && words[count]) all[count] = words[count], count++;
    snprintf(dir, sizeof dir, "run.dir=%s", tiny_folder);
    snprintf(run, sizeof run, "run.name=%s", name);
    all[count++] = dir;
    all[count++] = run;

    dt_settings *settings = tiny_settings(all);
    dt_log *log = NULL;
    assert_int_equal(dt_log_create(NULL, DT_LOG_INFO, &log), DT_OK);
    dt_status status = dt_train_run(settings, &(dt_train_options){.resume = resume, .signal = signal}, log);
    dt_log_free(log);
    dt_settings_free(settings);
    return status;
}

const char *tiny_checkpoint(const char *name, int64_t step)
{
    static char paths[2][256];
    static int turn;
    turn = !turn;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s/checkpoints/step-%08lld", tiny_folder, name, (long long)step);
    return paths[turn];
}

static char *read_file(const char *folder, const char *name, size_t *size)
{
    char path[512], *bytes = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (dt_file_read(path, FILE_LIMIT, &bytes, size)) fail_msg("%s", dt_error_message());
    return bytes;
}

char *tiny_file(const char *name, const char *file)
{
    char folder[256];
    size_t size;
    snprintf(folder, sizeof folder, "%s/%s", tiny_folder, name);
    return read_file(folder, file, &size);
}

dt_progress tiny_progress(const char *checkpoint)
{
    json_t *manifest = NULL;
    if (dt_checkpoint_manifest(checkpoint, &manifest)) fail_msg("%s", dt_error_message());
    const json_t *p = json_object_get(manifest, "progress");
    dt_progress out = {.step = json_integer_value(json_object_get(p, "step")),
                       .samples = json_integer_value(json_object_get(p, "samples")),
                       .skipped = json_integer_value(json_object_get(p, "skipped")),
                       .rollbacks = json_integer_value(json_object_get(p, "rollbacks")),
                       .best = json_real_value(json_object_get(p, "best")),
                       .best_step = json_integer_value(json_object_get(p, "best_step"))};
    json_decref(manifest);
    return out;
}

static void assert_same_file(const char *folder, const char *other, const char *name)
{
    size_t size, other_size;
    char *bytes = read_file(folder, name, &size), *other_bytes = read_file(other, name, &other_size);
    if (size != other_size || memcmp(bytes, other_bytes, size) != 0)
        fail_msg("%s differs between %s and %s", name, folder, other);
    free(bytes);
    free(other_bytes);
}

void tiny_assert_same(const char *checkpoint, const char *other)
{
    char **names = NULL, **other_names = NULL;
    size_t count = 0, other_count = 0;
    assert_int_equal(dt_folder_list(checkpoint, &names, &count), DT_OK);
    assert_int_equal(dt_folder_list(other, &other_names, &other_count), DT_OK);
    assert_int_equal(count, other_count);
    for (size_t i = 0; i < count; i++) {
        assert_string_equal(names[i], other_names[i]);
        if (strcmp(names[i], "manifest.json") != 0) assert_same_file(checkpoint, other, names[i]);
    }
    dt_folder_list_free(names, count);
    dt_folder_list_free(other_names, other_count);
    dt_progress a = tiny_progress(checkpoint), b = tiny_progress(other);
    assert_memory_equal(&a, &b, sizeof a);
}
