/* dyttrain inspect: what is in a run, a checkpoint or a safetensors file. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/json.h"
#include "cmd/command.h"
#include "cmd/foreign.h"
#include "cmd/tensors.h"
#include "train/checkpoint.h"
#include "train/checkpoint_folder.h"
#include "train/checkpoint_manifest.h"
#include "train/weight_set.h"

static dt_status join_path(dt_text *out, const char *folder, const char *name)
{
    dt_text_add(out, "%s/%s", folder, name);
    return dt_text_status(out);
}

/* --- a checkpoint --- */

/* A manifest may lie: as a double, a sum of sizes cannot overflow. */
static double total_bytes(const json_t *files)
{
    double total = 0;
    const char *name;
    json_t *entry;
    json_object_foreach ((json_t *)files, name, entry)
        total += (double)json_integer_value(json_object_get(entry, "bytes"));
    return total;
}

static void print_progress(const dt_progress *progress)
{
    printf("step         %lld, after %lld samples", (long long)progress->step, (long long)progress->samples);
    if (progress->skipped) printf(", %lld steps skipped", (long long)progress->skipped);
    if (progress->rollbacks) printf(", %lld rollbacks", (long long)progress->rollbacks);
    printf("\n");
    if (isfinite(progress->best))
        printf("best         %.6g at step %lld\n", progress->best, (long long)progress->best_step);
}

static void print_files(const json_t *files)
{
    const char *name;
    json_t *entry;
    char size[32];
    printf("files        %zu, %s\n", json_object_size(files), dt_text_bytes(size, total_bytes(files)));
    json_object_foreach ((json_t *)files, name, entry) {
        printf("  ");
        dt_foreign_print(name, -1, 36);
        printf(" %10s\n", dt_text_bytes(size, (double)json_integer_value(json_object_get(entry, "bytes"))));
    }
}

static void print_numerics(const json_t *manifest)
{
    const char *key;
    json_t *value;
    printf("numerics\n");
    json_object_foreach (json_object_get(manifest, "numerics"), key, value) {
        if (!json_is_string(value) && !json_is_integer(value) && !json_is_object(value)) continue;
        printf("  ");
        dt_foreign_print(key, -1, 13);
        if (json_is_string(value)) dt_foreign_print(json_string_value(value), -1, 0);
        else if (json_is_object(value)) printf("%zu algorithms", json_object_size(value));
        else printf("%lld", (long long)json_integer_value(value));
        printf("\n");
    }
}

static dt_status print_weights(const json_t *files, const char *folder)
{
    const char *name;
    json_t *entry;
    json_object_foreach ((json_t *)files, name, entry) {
        if (strncmp(name, "model", 5) != 0 || !dt_text_ends_in(name, ".safetensors")) continue;
        dt_text path = {0};
        dt_status status = join_path(&path, folder, name);
        if (!status) status = dt_tensors_print(path.data);
        dt_text_free(&path);
        DT_TRY(status);
    }
    return DT_OK;
}

static dt_status verify(const char *path)
{
    DT_TRY(dt_checkpoint_verify(path, NULL, NULL));
    printf("verified     %s: all sizes and checksums hold\n", path);
    return DT_OK;
}

static dt_status print_checkpoint(const char *path, bool verifies)
{
    json_t *manifest, *files;
    dt_progress progress;
    DT_TRY(dt_checkpoint_manifest(path, &manifest));
    dt_status status = dt_manifest_progress(manifest, path, &progress);
    if (!status) status = dt_json_member(manifest, "files", JSON_OBJECT, path, &files);
    if (!status) {
        printf("checkpoint   %s\n", path);
        print_progress(&progress);
        print_files(files);
        print_numerics(manifest);
        status = verifies ? verify(path) : DT_OK;
    }
    if (!status) status = print_weights(files, path);
    json_decref(manifest);
    return status;
}

static dt_status inspect_checkpoint(const char *path, bool verifies)
{
    bool gone;
    dt_status status = print_checkpoint(path, verifies);
    return status ? dt_checkpoint_tell_gone(path, NULL, status, &gone) : DT_OK;
}

/* --- the files of an index --- */

static dt_status inspect_index(const char *path)
{
    dt_weight_set *set;
    dt_status status = DT_OK;
    DT_TRY(dt_weight_set_open(path, &set));
    printf("index        %s: %d files\n", path, dt_weight_set_files(set));
    for (int i = 0; i < dt_weight_set_files(set) && !status; i++)
        status = dt_tensors_print(dt_weight_set_file(set, i));
    dt_weight_set_close(set);
    return status;
}

/* --- a run --- */

/* A row of its own for one that a run which trains removes meanwhile, which is no fault. */
static dt_status print_checkpoint_row(const char *folder, int64_t step, bool verifies, dt_progress *newest)
{
    char *path, size[32];
    json_t *manifest = NULL;
    bool gone = false;
    DT_TRY(dt_step_path(folder, step, "", &path));
    dt_status status = verifies ? dt_checkpoint_verify(path, NULL, &manifest) : dt_checkpoint_manifest(path, &manifest);
    if (!status) status = dt_manifest_progress(manifest, path, newest);
    else if (!dt_checkpoint_gone(path, NULL, &gone) && gone) status = DT_OK;
    printf("  step-%08lld       ", (long long)step);
    if (gone) printf(" removed meanwhile\n");
    else if (!status)
        printf(" %12lld samples %10s%s\n", (long long)newest->samples,
               dt_text_bytes(size, total_bytes(json_object_get(manifest, "files"))),
               verifies ? "  verified" : "");
    else printf(" not valid: %s\n", dt_error_message());
    json_decref(manifest);
    free(path);
    return status;
}

/* Every checkpoint is listed, one that is being written is none yet; the first that is not valid makes the status. */
static dt_status print_checkpoints(const char *folder, bool verifies)
{
    int64_t *steps;
    size_t count;
    dt_progress newest = {.best = NAN};
    dt_status status = DT_OK;
    DT_TRY(dt_step_list(folder, &steps, &count));
    printf("checkpoints\n");
    for (size_t i = 0; i < count; i++) {
        dt_status one = print_checkpoint_row(folder, steps[i], verifies, &newest);
        if (!status) status = one;
    }
    free(steps);
    if (!count) printf("  none\n");
    if (isfinite(newest.best)) printf("best         %.6g at step %lld\n", newest.best, (long long)newest.best_step);
    return status;
}

/* The last whole line of metrics.jsonl, if there is one, that holds `key`. */
static void print_last_line(const char *label, const char *metrics, const char *key)
{
    FILE *file = NULL;
    if (dt_file_exists(metrics) && dt_file_open(metrics, &file)) {
        printf("%-12s %s\n", label, dt_error_message());
        dt_error_clear();
    }
    char *line = NULL, *last = NULL;
    size_t room = 0, last_room = 0;
    ssize_t length;
    while (file && (length = getline(&line, &room, file)) > 0) {
        if (line[length - 1] != '\n' || !strstr(line, key)) continue;
        char *before = last;
        size_t before_room = last_room;
        last = line, last_room = room;
        line = before, room = before_room;
    }
    if (last) {
        printf("%-12s ", label);
        dt_foreign_print(last, (int)strlen(last) - 1, 0);
        printf("\n");
    }
    free(last);
    free(line);
    if (file) fclose(file);
}

static dt_status inspect_run(const char *run, bool verifies)
{
    dt_text checkpoints = {0}, metrics = {0};
    dt_status status = join_path(&checkpoints, run, "checkpoints");
    if (!status) status = join_path(&metrics, run, "metrics.jsonl");
    if (!status) {
        printf("run          %s\n", run);
        print_last_line("last step", metrics.data, "\"lr\":");
        print_last_line("last eval", metrics.data, "\"eval\":");
        status = print_checkpoints(checkpoints.data, verifies);
    }
    dt_text_free(&checkpoints);
    dt_text_free(&metrics);
    return status;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static dt_status inspect(const dt_arguments *args)
{
    const char *word = args->words[0];
    bool verifies = dt_arguments_has(args, "--verify");
    dt_text manifest = {0}, checkpoints = {0};
    bool exists;
    DT_TRY(dt_file_look(word, &exists));
    if (!exists) return dt_fail(DT_ERR_USAGE, "there is no run, checkpoint or file '%s'", word);
    dt_status status = join_path(&manifest, word, "manifest.json");
    if (!status) status = join_path(&checkpoints, word, "checkpoints");
    if (status) goto done;
    if (dt_file_exists(manifest.data)) status = inspect_checkpoint(word, verifies);
    else if (dt_file_exists(checkpoints.data)) status = inspect_run(word, verifies);
    else if (is_folder(word))
        status = dt_fail(DT_ERR_USAGE, "'%s' is neither a run nor a checkpoint: it has no 'checkpoints' and no "
                                       "'manifest.json'", word);
    else if (verifies) status = dt_fail(DT_ERR_USAGE, "'%s' is no run or checkpoint: only these have checksums", word);
    else status = dt_text_ends_in(word, ".json") ? inspect_index(word) : dt_tensors_print(word);
done:
    dt_text_free(&manifest);
    dt_text_free(&checkpoints);
    return status;
}

static const dt_option options[] = {
    {"--verify", NULL, "check the sizes and checksums of all files"},
    {0},
};

const dt_command dt_command_inspect = {
    .name = "inspect",
    .usage = "inspect RUN|CHECKPOINT|FILE.safetensors|FILE.index.json",
    .summary = "say what is in a run, a checkpoint or a safetensors file",
    .help = "Of a run: its checkpoints and last metrics. Of a checkpoint, a safetensors file or the index of several:\n"
            "every parameter with shape, mean, deviation, range and norm, and the value of each site's alpha.",
    .options = options,
    .least_words = 1,
    .most_words = 1,
    .run = inspect,
};
