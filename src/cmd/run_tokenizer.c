/* Which tokenizer goes with a run. */
#include "cmd/run_tokenizer.h"

#include <string.h>

#include "base/file.h"
#include "data/data.h"

static bool is_that_of(const dt_settings *settings, const dt_tokenizer *tokenizer)
{
    char hash[DT_TOKENIZER_HASH_ROOM];
    dt_tokenizer_hash_text(dt_tokenizer_hash(tokenizer), hash);
    return dt_setting_has(settings, "data.token_hash") && !strcmp(dt_setting_text(settings, "data.token_hash"), hash);
}

/* Shards of bytes have no copy of a tokenizer beside them. */
static bool is_of_bytes(const dt_settings *settings)
{
    dt_tokenizer *bytes;
    if (dt_tokenizer_open("bytes", &bytes)) return false;
    bool same = is_that_of(settings, bytes);
    dt_tokenizer_close(bytes);
    return same;
}

static dt_status open_copy(const char *folder, dt_tokenizer **out)
{
    dt_text path = {0};
    dt_text_add(&path, "%s/tokenizer", folder);
    dt_status status = dt_text_status(&path);
    if (!status && dt_file_exists(path.data)) status = dt_tokenizer_open(path.data, out);
    else if (!status)
        status = dt_fail(DT_ERR_USAGE, "the run does not tell what tokenizer its text was prepared with, and there is "
                         "none in '%s': name it with --tokenizer", path.data);
    dt_text_free(&path);
    return status;
}

static dt_status open_named(const dt_settings *settings, const char *named, dt_tokenizer **out)
{
    dt_data_info info;
    if (named) return dt_tokenizer_open(named, out);
    DT_TRY(dt_dataset_describe(settings, DT_SPLIT_TRAIN, &info));
    if (dt_setting_has(settings, "data.tokenizer")) info.tokenizer = dt_setting_text(settings, "data.tokenizer");
    if (info.tokenizer) return dt_tokenizer_open(info.tokenizer, out);
    if (is_of_bytes(settings)) return dt_tokenizer_open("bytes", out);
    return open_copy(dt_setting_has(settings, "data.path") ? dt_setting_text(settings, "data.path") : ".", out);
}

dt_status dt_run_tokenizer_open(const dt_settings *settings, const char *named, dt_tokenizer **out)
{
    DT_TRY(open_named(settings, named, out));
    if (!dt_setting_has(settings, "data.token_hash") || is_that_of(settings, *out)) return DT_OK;
    dt_tokenizer_close(*out);
    *out = NULL;
    return dt_fail(DT_ERR_USAGE, "%s%sthe tokenizer is not the one that the run's tokens were made with "
                   "(data.token_hash)", named ? named : "", named ? ": " : "");
}
