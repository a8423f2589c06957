/* Text files as they are, each byte a token: every file is a document, in the order of their names within a folder, and
 * the last data.held_out of the bytes are the eval split. */
#include <stdlib.h>
#include <string.h>

#include "data/corpus_files.h"
#include "data/dataset.h"
#include "data/unpack.h"

enum { BYTES = 256 };

typedef struct text { /* of all files */
    uint8_t *bytes;
    int64_t count;
    uint64_t *ends;
    int64_t files;
} text;

static void describe_text(const dt_settings *settings, dt_split split, dt_data_info *info)
{
    info->context = dt_setting_int(settings, "data.context");
    info->bytes = 0;
    if (dt_setting_has(settings, "data.vocabulary")) info->vocabulary = dt_setting_int(settings, "data.vocabulary");
}

static dt_status append_end(text *t, const char *path)
{
    uint64_t *grown = realloc(t->ends, ((size_t)t->files + 1) * sizeof *grown);
    if (!grown) return dt_fail_memory(((size_t)t->files + 1) * sizeof *grown, path);
    t->ends = grown;
    t->ends[t->files++] = (uint64_t)t->count;
    return DT_OK;
}

static dt_status append_file(text *t, const char *path)
{
    dt_unpack *file;
    int64_t before = t->count;
    DT_TRY(dt_unpack_open(path, &file));
    dt_status status = dt_unpack_append(file, &t->bytes, &t->count);
    dt_unpack_close(file);
    if (status) return status;
    if (t->count == before) return dt_fail(DT_ERR_DATA, "'%s' is empty", path);
    return append_end(t, path);
}

/* A file, or those of a folder. */
static dt_status append_files(text *t, const char *path)
{
    dt_path_list files = {0};
    dt_status status = dt_path_list_expand(&files, path);
    for (int64_t i = 0; i < files.count && !status; i++) status = append_file(t, files.path[i]);
    dt_path_list_free(&files);
    if (!status && !t->files) return dt_fail(DT_ERR_DATA, "the folder '%s' holds no files", path);
    return status;
}

/* Leaves of the text what belongs to the split, so that both splits together take the memory of one text. */
static void keep_split(text *t, dt_split split, double held_out)
{
    int64_t cut = t->count - (int64_t)((double)t->count * held_out);
    int64_t begin = split == DT_SPLIT_TRAIN ? 0 : cut, end = split == DT_SPLIT_TRAIN ? cut : t->count, kept = 0;
    for (int64_t f = 0; f < t->files; f++) {
        int64_t at = (int64_t)t->ends[f];
        if (at > begin && (!kept || (int64_t)t->ends[kept - 1] < end - begin))
            t->ends[kept++] = (uint64_t)((at < end ? at : end) - begin);
    }
    t->files = kept;
    t->count = end - begin;
    memmove(t->bytes, t->bytes + begin, (size_t)t->count);
    uint8_t *shrunk = realloc(t->bytes, t->count ? (size_t)t->count : 1);
    if (shrunk) t->bytes = shrunk;
}

/* Takes over the text also when it fails. */
static dt_status add_shard(dt_windows *windows, text *t, const char *path)
{
    dt_shard *shard;
    dt_status status = dt_shard_of_memory(path, t->bytes, t->count, 1, &shard);
    if (status) {
        free(t->ends);
        return status;
    }
    shard->bytes = t->count;
    shard->vocabulary = BYTES;
    shard->document_ends = t->ends;
    shard->documents = t->files;
    return dt_windows_add_one(windows, shard);
}

static dt_status open_text(dt_dataset *dataset, const dt_settings *settings, const char *path)
{
    text t = {0};
    dt_status status = append_files(&t, path);
    if (status) {
        free(t.bytes);
        free(t.ends);
        return status;
    }
    keep_split(&t, dataset->split, dt_setting_real(settings, "data.held_out"));
    dataset->windows = dt_windows_read(settings, dataset->split);
    DT_TRY(add_shard(&dataset->windows, &t, path));
    return dt_windows_count(&dataset->windows, NULL, &dataset->info);
}

const dt_dataset_kind dt_dataset_text = {
    .name = "text",
    .what = "text files (plain or gzip) as they are: each byte is a token; the last data.held_out for evaluation",
    .remedy = "set data.path to a text file, plain or gzip, or to a folder of such",
    .info = {.form = DT_FORM_TOKENS, .vocabulary = BYTES, .tokenizer = "bytes"},
    .describe = describe_text,
    .open = open_text,
};

const dt_dataset_kind dt_dataset_gcide = {
    .name = "gcide",
    .what = "the Collaborative International Dictionary of English, 40 MB of text as bytes",
    .folder = "/usr/share/dictd/gcide.dict.dz",
    .remedy = "install the Debian package dict-gcide or set data.path",
    .info = {.form = DT_FORM_TOKENS, .vocabulary = BYTES, .tokenizer = "bytes", .bytes = 39952321},
    .describe = describe_text,
    .open = open_text,
};
