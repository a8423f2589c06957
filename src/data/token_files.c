/* The data set `tokens`: folders of shards. Files whose names contain "val" are the eval split, all others the training
 * split; where there are none such, the last data.held_out of the tokens are. data.mix names several folders. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "data/dataset.h"
#include "data/tokenizer.h"

enum { MOST_SETS = 64 };

static void describe_tokens(const dt_settings *settings, dt_split split, dt_data_info *info)
{
    info->context = dt_setting_int(settings, "data.context");
    if (dt_setting_has(settings, "data.vocabulary")) info->vocabulary = dt_setting_int(settings, "data.vocabulary");
    if (dt_setting_has(settings, "data.tokenizer")) info->tokenizer = dt_setting_text(settings, "data.tokenizer");
}

/* --- one folder --- */

static bool is_held_out(const char *name) { return strstr(name, "val") != NULL; }

typedef struct shard_list {
    dt_shard **shard;
    int64_t count;
} shard_list;

static void free_list(shard_list *list)
{
    for (int64_t s = 0; s < list->count; s++) dt_shard_free(list->shard[s]);
    free(list->shard);
}

static dt_status append_shard(shard_list *list, const char *folder, const char *name)
{
    dt_text path = {0};
    dt_text_add(&path, "%s%s%s", folder, name[0] ? "/" : "", name);
    dt_status status = dt_text_status(&path);
    dt_shard **grown = realloc(list->shard, ((size_t)list->count + 1) * sizeof *grown);
    if (!grown) status = dt_fail_memory(((size_t)list->count + 1) * sizeof *grown, folder);
    else list->shard = grown;
    if (!status) status = dt_shard_open(path.data, &list->shard[list->count]);
    if (!status) list->count++;
    dt_text_free(&path);
    return status;
}

/* Of the names: those of the split where names tell, else all. */
static dt_status open_names(const char *folder, char **names, size_t count, dt_split split, bool *told,
                            shard_list *list)
{
    *told = false;
    for (size_t i = 0; i < count; i++) *told |= dt_shard_is_name(names[i]) && is_held_out(names[i]);
    for (size_t i = 0; i < count; i++)
        if (dt_shard_is_name(names[i]) && (!*told || is_held_out(names[i]) == (split == DT_SPLIT_EVAL)))
            DT_TRY(append_shard(list, folder, names[i]));
    return DT_OK;
}

static dt_status open_shards(const char *path, dt_split split, bool *told, shard_list *list)
{
    char **names;
    size_t count;
    struct stat info;
    if (stat(path, &info) == 0 && !S_ISDIR(info.st_mode)) {
        *told = false;
        return append_shard(list, path, "");
    }
    DT_TRY(dt_folder_list(path, &names, &count));
    dt_status status = open_names(path, names, count, split, told, list);
    dt_folder_list_free(names, count);
    if (!status && !list->count)
        return dt_fail(DT_ERR_DATA, "the folder '%s' holds no %sfiles in .tokens or .bin", path,
                       *told ? "training " : "");
    return status;
}

static dt_status check_list(const dt_settings *settings, const shard_list *list)
{
    if (!dt_setting_bool(settings, "data.check")) return DT_OK;
    for (int64_t s = 0; s < list->count; s++) DT_TRY(dt_shard_check(list->shard[s]));
    return DT_OK;
}

static dt_status open_set(dt_dataset *dataset, const dt_settings *settings, const char *path)
{
    bool told;
    shard_list list = {0};
    dt_status status = open_shards(path, dataset->split, &told, &list);
    if (!status) status = check_list(settings, &list);
    if (status) {
        free_list(&list);
        return status;
    }
    DT_TRY(dt_windows_add(&dataset->windows, list.shard, list.count));
    if (told) return DT_OK;
    const dt_token_row *row = &dataset->windows.row[dataset->windows.rows - 1];
    int64_t cut = row->end - (int64_t)((double)row->end * dt_setting_real(settings, "data.held_out"));
    if (dataset->split == DT_SPLIT_TRAIN) dt_windows_cut(&dataset->windows, 0, cut);
    else dt_windows_cut(&dataset->windows, cut, row->end);
    return DT_OK;
}

/* --- a mix: "web=0.7 /elsewhere/books=0.3" --- */

static dt_status fail_mix(const dt_settings *settings, const char *word)
{
    return dt_setting_fail(settings, "data.mix",
                           "'%s' is not of the form folder=weight with a weight above 0 and below 1e9", word);
}

static dt_status open_part(dt_dataset *dataset, const dt_settings *settings, const char *folder, char *word,
                           double *weight)
{
    char *equals = strrchr(word, '='), *end;
    dt_text path = {0};
    if (!equals || equals == word) return fail_mix(settings, word);
    *weight = strtod(equals + 1, &end);
    if (end == equals + 1 || *end || !(*weight > 0 && *weight < 1e9)) return fail_mix(settings, word);
    *equals = 0;
    if (word[0] == '/') dt_text_add(&path, "%s", word);
    else dt_text_add(&path, "%s/%s", folder, word);
    dt_status status = dt_text_status(&path);
    if (!status) status = open_set(dataset, settings, path.data);
    dt_text_free(&path);
    return status;
}

static dt_status open_words(dt_dataset *dataset, const dt_settings *settings, const char *folder, char *words,
                            double *weights)
{
    char *rest = NULL;
    for (char *word = strtok_r(words, " ,\t\n", &rest); word; word = strtok_r(NULL, " ,\t\n", &rest)) {
        int set = dataset->windows.rows;
        if (set == MOST_SETS) return dt_setting_fail(settings, "data.mix", "names more than %d folders", MOST_SETS);
        DT_TRY(open_part(dataset, settings, folder, word, &weights[set]));
    }
    return dataset->windows.rows ? DT_OK : dt_setting_fail(settings, "data.mix", "names no folder");
}

static dt_status open_mix(dt_dataset *dataset, const dt_settings *settings, const char *folder, double *weights)
{
    char *words = strdup(dt_setting_text(settings, "data.mix"));
    if (!words) return dt_fail_memory(1, "data.mix");
    dt_status status = open_words(dataset, settings, folder, words, weights);
    free(words);
    return status;
}

/* Are the shards those of the tokenizer that the settings name? */
static dt_status check_tokenizer(const dt_dataset *dataset, const dt_settings *settings)
{
    dt_tokenizer *tokenizer;
    if (!dt_setting_has(settings, "data.tokenizer")) return DT_OK;
    DT_TRY(dt_tokenizer_open(dt_setting_text(settings, "data.tokenizer"), &tokenizer));
    uint64_t hash = dt_tokenizer_hash(tokenizer);
    dt_tokenizer_close(tokenizer);
    const dt_shard *shard = dataset->windows.row[0].shard[0];
    if (!shard->tokenizer || shard->tokenizer == hash) return DT_OK;
    return dt_setting_fail(settings, "data.tokenizer", "'%s' was made with another tokenizer", shard->path);
}

static dt_status open_tokens(dt_dataset *dataset, const dt_settings *settings, const char *folder)
{
    double weights[MOST_SETS];
    bool mix = dt_setting_has(settings, "data.mix");
    dataset->windows = dt_windows_read(settings, dataset->split);
    if (mix) DT_TRY(open_mix(dataset, settings, folder, weights));
    else DT_TRY(open_set(dataset, settings, folder));
    DT_TRY(check_tokenizer(dataset, settings));
    dataset->info.token_hash = dataset->windows.row[0].shard[0]->tokenizer;
    DT_TRY(dt_windows_count(&dataset->windows, mix ? weights : NULL, &dataset->info));
    return dt_setting_bool(settings, "data.check") ? dt_windows_check(&dataset->windows) : DT_OK;
}

const dt_dataset_kind dt_dataset_tokens = {
    .name = "tokens",
    .what = "shards of tokens as dyttrain prepare tokens, llm.c or nanoGPT write them; data.mix weights several",
    .remedy = "set data.path to a folder of .tokens or .bin files, such as dyttrain prepare tokens makes",
    .info = {.form = DT_FORM_TOKENS},
    .describe = describe_tokens,
    .open = open_tokens,
};
