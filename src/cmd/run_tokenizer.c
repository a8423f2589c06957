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

/* A checkpoint that was copied elsewhere has another folder above it. */
static bool is_in_run(const char *checkpoint)
{
    dt_text path = {0};
    dt_text_add(&path, "%s/../../checkpoints", checkpoint);
    bool found = !path.failed && dt_file_exists(path.data);
    dt_text_free(&path);
    return found;
}

static dt_status open_copy(const dt_settings *settings, const char *checkpoint, dt_text *tried, dt_tokenizer **out)
{
    bool data = dt_setting_has(settings, "data.path"), looks = data || is_in_run(checkpoint);
    if (data) dt_text_add(tried, "%s/tokenizer", dt_setting_text(settings, "data.path"));
    else dt_text_add(tried, "%s/../../tokenizer", checkpoint);
    DT_TRY(dt_text_status(tried));
    if (looks && dt_file_exists(tried->data)) return dt_tokenizer_open(tried->data, out);
    if (!data)
        return dt_fail(DT_ERR_USAGE, "the run has no text, so tells of no tokenizer, and there is none in its folder: "
                       "name it with --tokenizer");
    return dt_fail(DT_ERR_USAGE, "the run does not tell what tokenizer its text was prepared with, and there is none "
                   "in '%s': name it with --tokenizer", tried->data);
}

static dt_status open_as(const char *spec, dt_text *tried, dt_tokenizer **out)
{
    dt_text_add(tried, "%s", spec);
    DT_TRY(dt_text_status(tried));
    return dt_tokenizer_open(spec, out);
}

/* `tried`: what was opened. */
static dt_status open_named(const dt_settings *settings, const char *checkpoint, const char *named, dt_text *tried,
                            dt_tokenizer **out)
{
    dt_data_info info;
    if (named) return open_as(named, tried, out);
    DT_TRY(dt_dataset_describe(settings, DT_SPLIT_TRAIN, &info));
    if (dt_setting_has(settings, "data.tokenizer")) info.tokenizer = dt_setting_text(settings, "data.tokenizer");
    if (info.tokenizer) return open_as(info.tokenizer, tried, out);
    if (is_of_bytes(settings)) return open_as("bytes", tried, out);
    return open_copy(settings, checkpoint, tried, out);
}

dt_status dt_run_tokenizer_open(const dt_settings *settings, const char *checkpoint, const char *named,
                                dt_tokenizer **out)
{
    dt_text tried = {0};
    dt_status status = open_named(settings, checkpoint, named, &tried, out);
    if (!status && dt_setting_has(settings, "data.token_hash") && !is_that_of(settings, *out)) {
        dt_tokenizer_close(*out);
        *out = NULL;
        status = dt_fail(DT_ERR_USAGE, "the tokenizer '%s' is not the one that the run's tokens were made with "
                         "(data.token_hash): name that one with --tokenizer", tried.data);
    }
    dt_text_free(&tried);
    return status;
}
