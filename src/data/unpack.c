/* Reading plain, gzip and zstd files, which their first bytes tell apart. Not zlib's gzread: it passes over what stands
 * behind a gzip stream in silence. */
#include "data/unpack.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/file.h"

enum { SIGNAL_MILLISECONDS = 200 };
enum { BUFFER = 1 << 17, START = 1 << 16, FIRST_ROOM = 1 << 20, LARGEST_READ = 1 << 24, GZIP_FORMAT = 16 + MAX_WBITS };
static const int64_t MOST_RATIO = 1032; /* no deflate stream unpacks to more times its size */

struct dt_unpack {
    const char *path;
    FILE *file;
    volatile const int *signal; /* not 0: reading ends with DT_ERR_STOPPED; may be NULL */
    bool ended;   /* the file, not only the buffer */
    int64_t size; /* of the file */
    int64_t done; /* plain bytes given out */
    bool gzip;
    ZSTD_DStream *zstd; /* NULL: no zstd file */
    bool between;    /* packed: behind a member's end, where the file may end or another member begin */
    z_stream stream; /* its input is what of the buffer is not used yet, also of a plain file */
    uint8_t buffer[BUFFER];
};

static bool is_input(const char *path) { return !strcmp(path, "-"); }

static dt_status check_signal(const dt_unpack *unpack)
{
    return *unpack->signal ? dt_fail(DT_ERR_STOPPED, "stopped by a signal; the same command goes on from here") : DT_OK;
}

/* Waits until there is something to read, or the end. Signals are the main thread's, and a read on another is not
 * interrupted by them. */
static dt_status await_input(const dt_unpack *unpack)
{
    struct pollfd input = {.fd = fileno(unpack->file), .events = POLLIN};
    while (!*unpack->signal && poll(&input, 1, SIGNAL_MILLISECONDS) <= 0) {}
    return check_signal(unpack);
}

/* A signal to all of a pipeline may end the writer a moment before it is told here: then this is not the text's end. */
static dt_status check_end(const dt_unpack *unpack)
{
    if (!*unpack->signal) poll(NULL, 0, SIGNAL_MILLISECONDS);
    return check_signal(unpack);
}

/* Reads on when the buffer is used up, until it is full; it stays empty at the end of the file. Not by fread, of which
 * nothing says for which part of a pipe's bytes it waits. */
static dt_status refill(dt_unpack *unpack)
{
    z_stream *stream = &unpack->stream;
    if (stream->avail_in) return DT_OK;
    stream->next_in = unpack->buffer;
    while (!unpack->ended && stream->avail_in < BUFFER) {
        if (unpack->signal) DT_TRY(await_input(unpack));
        ssize_t got = read(fileno(unpack->file), unpack->buffer + stream->avail_in, BUFFER - stream->avail_in);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return dt_fail(DT_ERR_IO, "cannot read '%s': %s", unpack->path, strerror(errno));
        unpack->ended = got == 0;
        stream->avail_in += (unsigned)got;
        if (unpack->ended && unpack->signal) DT_TRY(check_end(unpack));
    }
    return DT_OK;
}

static bool begins_gzip(const dt_unpack *unpack)
{
    return unpack->stream.avail_in >= 2 && unpack->buffer[0] == 0x1F && unpack->buffer[1] == 0x8B;
}

static bool begins_zstd(const dt_unpack *unpack)
{
    return unpack->stream.avail_in >= 4 && !memcmp(unpack->buffer, "\x28\xB5\x2F\xFD", 4);
}

/* With windows of every length (2 GiB at most), not only up to 128 MiB; a frame gets the memory that its own needs. */
static dt_status start_zstd(dt_unpack *unpack)
{
    unpack->zstd = ZSTD_createDStream();
    if (!unpack->zstd) return dt_fail_memory(ZSTD_DStreamInSize(), unpack->path);
    int longest = ZSTD_dParam_getBounds(ZSTD_d_windowLogMax).upperBound;
    ZSTD_DCtx_setParameter(unpack->zstd, ZSTD_d_windowLogMax, longest); /* a bound that it knows: cannot fail */
    return DT_OK;
}

static dt_status start(dt_unpack *unpack)
{
    unpack->file = is_input(unpack->path) ? stdin : fopen(unpack->path, "rbe");
    if (!unpack->file) return dt_fail(DT_ERR_IO, "cannot open '%s': %s", unpack->path, strerror(errno));
    DT_TRY(refill(unpack));
    if (begins_zstd(unpack)) return start_zstd(unpack);
    if (!begins_gzip(unpack)) return DT_OK;
    if (inflateInit2(&unpack->stream, GZIP_FORMAT) != Z_OK) return dt_fail_memory(BUFFER, unpack->path);
    unpack->gzip = true;
    return DT_OK;
}

static dt_status open_path(const char *path, volatile const int *signal, dt_unpack **out)
{
    int64_t size = FIRST_ROOM;
    if (!is_input(path)) DT_TRY(dt_file_size(path, &size)); /* refuses all but regular files */
    dt_unpack *unpack = calloc(1, sizeof *unpack);
    if (!unpack) return dt_fail_memory(sizeof *unpack, path);
    unpack->path = path;
    unpack->size = size;
    unpack->signal = signal;
    dt_status status = start(unpack);
    if (status) dt_unpack_close(unpack);
    else *out = unpack;
    return status;
}

const uint8_t *dt_unpack_start(const dt_unpack *unpack, size_t *count)
{
    *count = unpack->stream.avail_in < START ? unpack->stream.avail_in : START;
    return unpack->stream.next_in;
}

dt_status dt_unpack_open(const char *path, dt_unpack **out) { return open_path(path, NULL, out); }

dt_status dt_unpack_open_input(volatile const int *signal, dt_unpack **out) { return open_path("-", signal, out); }

void dt_unpack_close(dt_unpack *unpack)
{
    if (!unpack) return;
    if (unpack->gzip) inflateEnd(&unpack->stream);
    if (unpack->file && unpack->file != stdin) fclose(unpack->file);
    ZSTD_freeDStream(unpack->zstd);
    free(unpack);
}

static dt_status fail_packed(const dt_unpack *unpack, const char *reason)
{
    const char *kind = unpack->gzip ? "gzip" : "zstd";
    return dt_fail(DT_ERR_DATA, "'%s' is not a sound %s file: %s", unpack->path, kind, reason);
}

/* Up to `room` bytes from the buffer, which is not empty. */
static size_t copy_plain(dt_unpack *unpack, void *out, size_t room)
{
    z_stream *stream = &unpack->stream;
    size_t count = room < stream->avail_in ? room : stream->avail_in;
    memcpy(out, stream->next_in, count);
    stream->next_in += count;
    stream->avail_in -= (unsigned)count;
    return count;
}

/* The same, unpacked; *got may be 0 before the end. */
static dt_status unpack_zstd(dt_unpack *unpack, void *out, size_t room, size_t *got)
{
    z_stream *stream = &unpack->stream;
    ZSTD_inBuffer from = {stream->next_in, stream->avail_in, 0};
    ZSTD_outBuffer to = {out, room, 0};
    size_t code = ZSTD_decompressStream(unpack->zstd, &to, &from);
    if (ZSTD_getErrorCode(code) == ZSTD_error_memory_allocation)
        return dt_fail(DT_ERR_MEMORY, "out of memory: cannot get the window of '%s', of 2 GiB at most", unpack->path);
    if (ZSTD_isError(code)) return fail_packed(unpack, ZSTD_getErrorName(code));
    stream->next_in += from.pos;
    stream->avail_in -= (unsigned)from.pos;
    unpack->between = code == 0;
    *got = to.pos;
    return DT_OK;
}

static dt_status unpack_gzip(dt_unpack *unpack, void *out, size_t room, size_t *got)
{
    z_stream *stream = &unpack->stream;
    if (unpack->between) {
        if (*stream->next_in != 0x1F) return fail_packed(unpack, "there are other bytes behind the gzip stream");
        inflateReset(stream);
        unpack->between = false;
    }
    unsigned limit = room < LARGEST_READ ? (unsigned)room : LARGEST_READ;
    stream->next_out = out;
    stream->avail_out = limit;
    int code = inflate(stream, Z_NO_FLUSH);
    if (code == Z_MEM_ERROR) return dt_fail_memory(BUFFER, unpack->path);
    if (code != Z_OK && code != Z_STREAM_END) return fail_packed(unpack, stream->msg ? stream->msg : "damaged");
    unpack->between = code == Z_STREAM_END;
    *got = limit - stream->avail_out;
    return DT_OK;
}

static bool is_packed(const dt_unpack *unpack) { return unpack->gzip || unpack->zstd; }

/* Reads until `bytes` came or the file ended; *got is what came. */
static dt_status read_some(dt_unpack *unpack, void *out, size_t bytes, size_t *got)
{
    for (*got = 0; *got < bytes;) {
        char *to = (char *)out + *got;
        size_t count = 0;
        DT_TRY(refill(unpack));
        if (!unpack->stream.avail_in) {
            if (is_packed(unpack) && !unpack->between)
                return fail_packed(unpack, unpack->gzip ? "it ends inside the gzip stream" : "it ends inside a frame");
            break;
        }
        if (unpack->gzip) DT_TRY(unpack_gzip(unpack, to, bytes - *got, &count));
        else if (unpack->zstd) DT_TRY(unpack_zstd(unpack, to, bytes - *got, &count));
        else count = copy_plain(unpack, to, bytes - *got);
        *got += count;
        unpack->done += (int64_t)count;
    }
    return DT_OK;
}

dt_status dt_unpack_some(dt_unpack *unpack, void *out, size_t room, size_t *got)
{
    return read_some(unpack, out, room, got);
}

dt_status dt_unpack_append(dt_unpack *unpack, uint8_t **bytes, int64_t *count)
{
    for (int64_t room = *count + unpack->size + 1;; room += room / 2) { /* a plain file takes one round */
        size_t got;
        uint8_t *grown = realloc(*bytes, (size_t)room);
        if (!grown) return dt_fail_memory((unsigned long long)room, unpack->path);
        *bytes = grown;
        DT_TRY(read_some(unpack, *bytes + *count, (size_t)(room - *count), &got));
        *count += (int64_t)got;
        if (*count < room) return DT_OK;
    }
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

/* Can the file hold that many plain bytes? By division: a sparse file's size times the ratio could overflow. */
static bool is_plausible(const dt_unpack *unpack, int64_t total)
{
    return unpack->zstd || (unpack->gzip ? total / MOST_RATIO : total) <= unpack->size;
}

dt_status dt_unpack_read_new(dt_unpack *unpack, int64_t bytes, uint8_t **out)
{
    if (bytes > INT64_MAX - unpack->done) bytes = INT64_MAX - unpack->done; /* as implausible */
    int64_t wanted = unpack->done + bytes;
    if (!is_plausible(unpack, wanted))
        return dt_fail(DT_ERR_DATA, "'%s' is truncated: with the header it should have %lld bytes, more than its "
                       "%lld%s can hold", unpack->path, (long long)wanted, (long long)unpack->size,
                       unpack->gzip ? " packed ones" : "");
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
    return DT_OK;
}
