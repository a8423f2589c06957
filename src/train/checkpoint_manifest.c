/* The manifest: written last, read first. */
#include "train/checkpoint_manifest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "train/deal.h"

#define FORMAT "dyttrain checkpoint"
enum { VERSION = 1 };

/* --- writing --- */

dt_status dt_manifest_add(json_t *files, const char *name, const dt_file_sum *sum)
{
    json_t *entry = json_pack("{s:I, s:o}", "bytes", (json_int_t)sum->bytes, "xxh3", dt_json_hash_text(sum->xxh3));
    if (json_object_set_new(files, name, entry)) return dt_fail_memory(strlen(name), "the manifest of a checkpoint");
    return DT_OK;
}

static json_t *progress_json(const dt_progress *p)
{
    json_t *best = isfinite(p->best) ? json_real(p->best) : json_null();
    return json_pack("{s:I, s:I, s:I, s:I, s:o, s:I}", "step", (json_int_t)p->step, "samples", (json_int_t)p->samples,
                     "skipped", (json_int_t)p->skipped, "rollbacks", (json_int_t)p->rollbacks, "best", best,
                     "best_step", (json_int_t)p->best_step);
}

static dt_status to_text(json_t *manifest, dt_text *out)
{
    DT_TRY(dt_json_seal(manifest));
    return dt_json_print(manifest, JSON_INDENT(2), out);
}

dt_status dt_manifest_write(const char *folder, json_t *files, dt_dtype type, const dt_progress *progress,
                            const char *settings_yaml, const json_t *numerics)
{
    char *path = NULL;
    dt_text text = {0};
    dt_status status = DT_OK;
    json_t *record = numerics ? json_deep_copy(numerics) : json_object();
    json_t *manifest = json_pack("{s:s, s:i, s:s, s:o, s:s, s:o, s:o}", "format", FORMAT, "version", (int)VERSION,
                                 "type", dt_dtype_name(type), "progress", progress_json(progress), "settings",
                                 settings_yaml, "numerics", record, "files", files);
    if (!manifest) {
        status = dt_fail(DT_ERR_DATA, "cannot write the manifest of '%s': out of memory, or settings not in UTF-8",
                         folder);
        goto done;
    }
    DT_TRY_GOTO(to_text(manifest, &text), done);
    DT_TRY_GOTO(dt_path_join(folder, "manifest.json", &path), done);
    status = dt_outfile_write(path, text.data, text.length, NULL);
done:
    json_decref(manifest);
    free(path);
    dt_text_free(&text);
    return status;
}

/* --- reading --- */

static const int64_t MOST_COUNT = INT64_MAX / 4; /* what a run adds to a count does not overflow it */

dt_status dt_manifest_progress(const json_t *manifest, const char *where, dt_progress *out)
{
    json_t *object, *best;
    DT_TRY(dt_json_member(manifest, "progress", JSON_OBJECT, where, &object));
    const struct {
        const char *key;
        int64_t *to;
    } counts[] = {{"step", &out->step},           {"samples", &out->samples},     {"skipped", &out->skipped},
                  {"rollbacks", &out->rollbacks}, {"best_step", &out->best_step}};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        DT_TRY(dt_json_int(object, counts[i].key, where, counts[i].to));
        if (*counts[i].to < 0 || *counts[i].to > MOST_COUNT)
            return dt_fail(DT_ERR_DATA, "%s: '%s' cannot be %lld", where, counts[i].key, (long long)*counts[i].to);
    }
    out->best = NAN;
    best = json_object_get(object, "best");
    return json_is_null(best) ? DT_OK : dt_json_real(object, "best", where, &out->best);
}

static dt_status check_format(const json_t *manifest, const char *where)
{
    const char *format, *type, *settings;
    int64_t version;
    json_t *numerics;
    DT_TRY(dt_json_text(manifest, "format", where, &format));
    if (strcmp(format, FORMAT) != 0) return dt_fail(DT_ERR_DATA, "%s: is not the manifest of a checkpoint", where);
    DT_TRY(dt_json_int(manifest, "version", where, &version));
    if (version != VERSION)
        return dt_fail(DT_ERR_DATA, "%s: has version %lld, this program reads %d", where, (long long)version, VERSION);
    DT_TRY(dt_json_text(manifest, "type", where, &type));
    if (strcmp(type, dt_dtype_name(DT_F32)) != 0 && strcmp(type, dt_dtype_name(DT_F64)) != 0)
        return dt_fail(DT_ERR_DATA, "%s: the type '%s' is not known", where, type);
    DT_TRY(dt_json_text(manifest, "settings", where, &settings));
    return dt_json_member(manifest, "numerics", JSON_OBJECT, where, &numerics);
}

static dt_status read_sum(const json_t *entry, const char *where, dt_file_sum *out)
{
    DT_TRY(dt_json_int(entry, "bytes", where, &out->bytes));
    return dt_json_hash(entry, "xxh3", where, &out->xxh3);
}

dt_status dt_manifest_check_entries(json_t *files, const char *where)
{
    json_t *entry;
    const char *name;
    dt_file_sum sum;
    json_object_foreach(files, name, entry) {
        if (!*name || strchr(name, '/')) return dt_fail(DT_ERR_DATA, "%s: '%s' is not the name of a file", where, name);
        DT_TRY(read_sum(entry, where, &sum));
    }
    return DT_OK;
}

static dt_status check_all(json_t *manifest, const char *where)
{
    dt_progress progress;
    json_t *files;
    DT_TRY(check_format(manifest, where));
    DT_TRY(dt_manifest_progress(manifest, where, &progress));
    DT_TRY(dt_json_member(manifest, "files", JSON_OBJECT, where, &files));
    DT_TRY(dt_manifest_check_entries(files, where));
    return dt_json_check_seal(manifest, where);
}

dt_status dt_manifest_parse(const char *bytes, size_t size, const char *where, json_t **out)
{
    json_t *manifest;
    DT_TRY(dt_json_parse(bytes, size, where, &manifest));
    dt_status status = check_all(manifest, where);
    if (status) json_decref(manifest);
    else *out = manifest;
    return status;
}

bool dt_manifest_lists(const json_t *manifest, const char *name)
{
    return json_object_get(json_object_get(manifest, "files"), name) != NULL;
}

dt_status dt_manifest_weights(const json_t *manifest, const char *folder, const char *stem, char **out)
{
    char name[64];
    *out = NULL;
    snprintf(name, sizeof name, "%s.safetensors", stem);
    if (!dt_manifest_lists(manifest, name)) snprintf(name, sizeof name, "%s.safetensors.index.json", stem);
    return dt_manifest_lists(manifest, name) ? dt_path_join(folder, name, out) : DT_OK;
}

static dt_status check_file(const json_t *entry, const char *path)
{
    int64_t bytes;
    dt_file_sum is, should;
    DT_TRY(read_sum(entry, path, &should));
    if (dt_path_missing(path)) return dt_fail(DT_ERR_DATA, "'%s' is missing, its manifest lists it", path);
    DT_TRY(dt_file_size(path, &bytes));
    if (bytes != should.bytes)
        return dt_fail(DT_ERR_DATA, "'%s' has %lld bytes, its manifest says %lld", path, (long long)bytes,
                       (long long)should.bytes);
    DT_TRY(dt_file_sum_read(path, &is));
    if (is.bytes != should.bytes || is.xxh3 != should.xxh3)
        return dt_fail(DT_ERR_DATA, "'%s' is damaged: its checksum does not hold", path);
    return DT_OK;
}

static dt_status check_share(json_t *files, const char *folder, const int *rank_of, int rank)
{
    json_t *entry;
    const char *name;
    int i = 0;
    json_object_foreach(files, name, entry) {
        char *path;
        if (rank_of[i++] != rank) continue;
        DT_TRY(dt_path_join(folder, name, &path));
        dt_status status = check_file(entry, path);
        free(path);
        if (status) return status;
    }
    return DT_OK;
}

static dt_status deal_files(json_t *files, int ranks, int *rank_of)
{
    json_t *entry;
    const char *name;
    int count = 0;
    int64_t *bytes = calloc(json_object_size(files) + 1, sizeof *bytes);
    if (!bytes) return dt_fail_memory(json_object_size(files) * sizeof *bytes, "the files of a checkpoint");
    json_object_foreach(files, name, entry) bytes[count++] = json_integer_value(json_object_get(entry, "bytes"));
    dt_status status = dt_deal(bytes, count, ranks, rank_of);
    free(bytes);
    return status;
}

dt_status dt_manifest_check_files(const json_t *manifest, const char *folder, int rank, int ranks)
{
    json_t *files = json_object_get(manifest, "files");
    int *rank_of = calloc(json_object_size(files) + 1, sizeof *rank_of);
    if (!rank_of) return dt_fail_memory(json_object_size(files) * sizeof *rank_of, "the files of a checkpoint");
    dt_status status = deal_files(files, ranks, rank_of);
    if (!status) status = check_share(files, folder, rank_of, rank);
    free(rank_of);
    return status;
}
