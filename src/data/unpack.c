/* Reading plain and gzip files through zlib, which tells them apart by their first two bytes. */
#include "data/unpack.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/file.h"

enum { BUFFER = 1 << 17, FIRST_ROOM = 1 << 20, LARGEST_READ = 1 << 24 };
static const int64_t MOST_RATIO = 1032; /* no deflate stream unpacks to more times its size */

struct dt_unpack {
    const char *path;
    gzFile file;
    int64_t size; /* of the file */
    int64_t done; /* plain bytes given out */
};

dt_status dt_unpack_open(const char *path, dt_unpack **out)
{
    int64_t size;
    DT_TRY(dt_file_size(path, &size)); /* refuses all but regular files */
    dt_unpack *unpack = malloc(sizeof *unpack);
    if (!unpack) return dt_fail_memory(sizeof *unpack, path);
    *unpack = (dt_unpack){.path = path, .file = gzopen(path, "rbe"), .size = size};
    if (!unpack->file) {
        dt_status status = dt_fail(DT_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
        free(unpack);
        return status;
    }
    gzbuffer(unpack->file, BUFFER);
    *out = unpack;
    return DT_OK;
}

void dt_unpack_close(dt_unpack *unpack)
{
    if (!unpack) return;
    gzclose_r(unpack->file);
    free(unpack);
}

/* Reads until `bytes` came or the file ended; *got is what came. */
static dt_status read_some(dt_unpack *unpack, void *out, size_t bytes, size_t *got)
{
    for (*got = 0; *got < bytes;) {
        size_t left = bytes - *got;
        int count = gzread(unpack->file, (char *)out + *got, left < LARGEST_READ ? (unsigned)left : LARGEST_READ);
        if (count < 0) {
            int code;
            const char *reason = gzerror(unpack->file, &code);
            if (code == Z_ERRNO) return dt_fail(DT_ERR_IO, "cannot read '%s': %s", unpack->path, strerror(errno));
            if (code == Z_MEM_ERROR) return dt_fail_memory(BUFFER, unpack->path);
            return dt_fail(DT_ERR_DATA, "'%s' is not a sound gzip file: %s", unpack->path, reason);
        }
        if (!count) break;
        *got += (size_t)count;
        unpack->done += count;
    }
    return DT_OK;
}

static dt_status fail_truncated(const dt_unpack *unpack, int64_t wanted)
{
    return dt_fail(DT_ERR_DATA, "'%s' is truncated: it ends after %lld of %lld bytes", unpack->path,
                   (long long)unpack->done, (long long)wanted);
}

dt_status dt_unpack_read(dt_unpack *unpack, void *out, size_t bytes)
{
    size_t got;
    int64_t wanted = unpack->done + (int64_t)bytes;
    DT_TRY(read_some(unpack, out, bytes, &got));
    return got == bytes ? DT_OK : fail_truncated(unpack, wanted);
}

/* Can the file hold that many plain bytes more? By division: a sparse file's size times the ratio could overflow. */
static bool is_plausible(const dt_unpack *unpack, int64_t bytes)
{
    if (bytes > INT64_MAX - unpack->done) return false;
    int64_t total = unpack->done + bytes;
    return (gzdirect(unpack->file) ? total : total / MOST_RATIO) <= unpack->size;
}

dt_status dt_unpack_read_new(dt_unpack *unpack, int64_t bytes, uint8_t **out)
{
    if (!is_plausible(unpack, bytes))
        return dt_fail(DT_ERR_DATA, "'%s' is truncated: its header tells of %lld bytes, more than its %lld can hold",
                       unpack->path, (long long)bytes, (long long)unpack->size);
    int64_t wanted = unpack->done + bytes;
    uint8_t *data = NULL;
    dt_status status = DT_OK;
    int64_t room = 0, held = 0;
    while (held < bytes) {
        room = room ? 2 * room : FIRST_ROOM;
        if (room > bytes) room = bytes;
        uint8_t *grown = realloc(data, (size_t)room);
        if (!grown) {
            status = dt_fail_memory((unsigned long long)room, unpack->path);
            goto failed;
        }
        data = grown;
        size_t got;
        DT_TRY_GOTO(read_some(unpack, data + held, (size_t)(room - held), &got), failed);
        held += (int64_t)got;
        if (held < room) {
            status = fail_truncated(unpack, wanted);
            goto failed;
        }
    }
    *out = data;
    return DT_OK;
failed:
    free(data);
    return status;
}

dt_status dt_unpack_end(dt_unpack *unpack)
{
    int64_t expected = unpack->done;
    size_t got;
    char extra;
    DT_TRY(read_some(unpack, &extra, 1, &got));
    if (got)
        return dt_fail(DT_ERR_DATA, "'%s' goes on after the %lld bytes that its header tells of", unpack->path,
                       (long long)expected);
    int code;
    const char *reason = gzerror(unpack->file, &code);
    if (code != Z_OK && code != Z_STREAM_END)
        return dt_fail(DT_ERR_DATA, "'%s' is not a sound gzip file: %s", unpack->path, reason);
    return DT_OK;
}
