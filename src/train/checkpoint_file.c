/* Bytes on their way to a checkpoint's files and back: zstd, XXH3, and no file left behind by a failed write. */
#include "train/checkpoint_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/file.h"
#include "base/hash.h"

struct dt_outfile {
    char *path;
    int fd; /* -1: not open */
    int64_t bytes;
    dt_hasher *hasher;
    ZSTD_CCtx *zstd; /* NULL: not compressed */
    char *block;     /* compressed bytes on their way */
};

static void outfile_free(dt_outfile *file)
{
    if (file->fd >= 0) close(file->fd);
    dt_hasher_free(file->hasher);
    ZSTD_freeCCtx(file->zstd);
    free(file->block);
    free(file->path);
    free(file);
}

void dt_outfile_abort(dt_outfile *file)
{
    if (!file) return;
    if (file->fd >= 0) unlink(file->path);
    outfile_free(file);
}

dt_status dt_outfile_create(const char *path, bool compress, dt_outfile **out)
{
    dt_outfile *file = calloc(1, sizeof *file);
    if (!file) return dt_fail_memory(sizeof *file, path);
    file->fd = -1;
    file->path = strdup(path);
    file->hasher = dt_hasher_create();
    if (compress) {
        file->zstd = ZSTD_createCCtx();
        file->block = malloc(ZSTD_CStreamOutSize());
    }
    dt_status status = DT_OK;
    if (!file->path || !file->hasher || (compress && (!file->zstd || !file->block))) {
        status = dt_fail_memory(ZSTD_CStreamOutSize(), path);
        goto failed;
    }
    file->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file->fd < 0) {
        status = dt_fail(DT_ERR_IO, "cannot create '%s': %s", path, strerror(errno));
        goto failed;
    }
    *out = file;
    return DT_OK;
failed:
    dt_outfile_abort(file);
    return status;
}

static dt_status put(dt_outfile *file, const void *bytes, size_t count)
{
    DT_TRY(dt_file_write_all(file->fd, bytes, count, file->path));
    dt_hasher_add(file->hasher, bytes, count);
    file->bytes += (int64_t)count;
    return DT_OK;
}

/* Feeds the compressor until it has taken all input, and at the end until it has given all output. */
static dt_status put_compressed(dt_outfile *file, const void *bytes, size_t count, ZSTD_EndDirective mode)
{
    ZSTD_inBuffer in = {bytes, count, 0};
    for (;;) {
        ZSTD_outBuffer out = {file->block, ZSTD_CStreamOutSize(), 0};
        size_t left = ZSTD_compressStream2(file->zstd, &out, &in, mode);
        if (ZSTD_isError(left))
            return dt_fail(DT_ERR_IO, "cannot compress '%s': %s", file->path, ZSTD_getErrorName(left));
        DT_TRY(put(file, file->block, out.pos));
        if (mode == ZSTD_e_end ? left == 0 : in.pos == in.size) return DT_OK;
    }
}

dt_status dt_outfile_add(dt_outfile *file, const void *bytes, size_t count)
{
    return file->zstd ? put_compressed(file, bytes, count, ZSTD_e_continue) : put(file, bytes, count);
}

dt_status dt_outfile_finish(dt_outfile *file, dt_file_sum *sum)
{
    dt_status status = DT_OK;
    if (file->zstd) DT_TRY_GOTO(put_compressed(file, NULL, 0, ZSTD_e_end), failed);
    if (sum) *sum = (dt_file_sum){file->bytes, dt_hasher_value(file->hasher)};
    status = dt_file_sync_close(file->fd, file->path);
    file->fd = -1;
    if (status) unlink(file->path);
    outfile_free(file);
    return status;
failed:
    dt_outfile_abort(file);
    return status;
}

dt_status dt_outfile_write(const char *path, const void *bytes, size_t count, dt_file_sum *sum)
{
    dt_outfile *file;
    DT_TRY(dt_outfile_create(path, false, &file));
    dt_status status = dt_outfile_add(file, bytes, count);
    if (!status) return dt_outfile_finish(file, sum);
    dt_outfile_abort(file);
    return status;
}

static dt_status hash_rest(int fd, const char *path, char *block, size_t room, dt_hasher *hasher, int64_t *bytes)
{
    for (;;) {
        ssize_t got = read(fd, block, room);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return dt_fail(DT_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
        if (got == 0) return DT_OK;
        dt_hasher_add(hasher, block, (size_t)got);
        *bytes += got;
    }
}

dt_status dt_file_sum_read(const char *path, dt_file_sum *out)
{
    enum { BLOCK = 1 << 20 };
    int64_t size; /* refuses what is not a regular file */
    DT_TRY(dt_file_size(path, &size));
    dt_status status = DT_OK;
    dt_hasher *hasher = dt_hasher_create();
    char *block = malloc(BLOCK);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    out->bytes = 0;
    if (!hasher || !block) status = dt_fail_memory(BLOCK, path);
    else if (fd < 0) status = dt_fail(DT_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    else status = hash_rest(fd, path, block, BLOCK, hasher, &out->bytes);
    if (!status) out->xxh3 = dt_hasher_value(hasher);
    if (fd >= 0) close(fd);
    free(block);
    dt_hasher_free(hasher);
    return status;
}

/* Decompresses into a buffer that doubles as content comes, so that a lying file costs no more than it delivers. */
static dt_status decompress(ZSTD_DCtx *zstd, const char *path, ZSTD_inBuffer *in, size_t limit, ZSTD_outBuffer *out)
{
    size_t left = 1;
    while (left != 0) {
        if (out->pos == out->size) {
            if (out->size > limit) return dt_fail(DT_ERR_DATA, "'%s' holds more than %zu bytes", path, limit);
            size_t room = out->size ? 2 * out->size : ZSTD_DStreamOutSize();
            char *grown = realloc(out->dst, room);
            if (!grown) return dt_fail_memory(room, path);
            out->dst = grown;
            out->size = room;
        }
        size_t pos = out->pos;
        left = ZSTD_decompressStream(zstd, out, in);
        if (ZSTD_isError(left)) return dt_fail(DT_ERR_DATA, "'%s' is damaged: %s", path, ZSTD_getErrorName(left));
        if (left != 0 && in->pos == in->size && out->pos == pos)
            return dt_fail(DT_ERR_DATA, "'%s' is cut short", path);
    }
    if (in->pos < in->size) return dt_fail(DT_ERR_DATA, "'%s' has bytes after its end", path);
    if (out->pos > limit) return dt_fail(DT_ERR_DATA, "'%s' holds more than %zu bytes", path, limit);
    return DT_OK;
}

dt_status dt_zstd_read(const char *path, size_t limit, char **bytes, size_t *size)
{
    char *packed;
    size_t packed_size;
    size_t packed_limit = limit + limit / 8 + 4096; /* what does not compress grows a bit */
    DT_TRY(dt_file_read(path, packed_limit, &packed, &packed_size));
    ZSTD_DCtx *zstd = ZSTD_createDCtx();
    ZSTD_inBuffer in = {packed, packed_size, 0};
    ZSTD_outBuffer out = {NULL, 0, 0};
    dt_status status = zstd ? decompress(zstd, path, &in, limit, &out) : dt_fail_memory(sizeof(void *), path);
    ZSTD_freeDCtx(zstd);
    free(packed);
    if (status) {
        free(out.dst);
        return status;
    }
    *bytes = out.dst;
    *size = out.pos;
    return DT_OK;
}

bool dt_path_missing(const char *path)
{
    struct stat info;
    return stat(path, &info) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

bool dt_name_missing(const char *path)
{
    struct stat info;
    return lstat(path, &info) != 0 && (errno == ENOENT || errno == ENOTDIR);
}

dt_status dt_path_join(const char *folder, const char *name, char **out)
{
    if (asprintf(out, "%s/%s", folder, name) >= 0) return DT_OK;
    return dt_fail_memory(strlen(folder) + strlen(name) + 2, "a path");
}

dt_status dt_path_move(const char *from, const char *to)
{
    if (rename(from, to) != 0)
        return dt_fail(DT_ERR_IO, "cannot rename '%s' to '%s': %s", from, to, strerror(errno));
    return dt_folder_sync_of(to);
}
