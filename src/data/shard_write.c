/* Writing shards of our own format. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "data/shard.h"
#include "data/shard_format.h"

enum { LEVEL = 3 };

struct dt_shard_writer {
    char *path, *part; /* the name when finished; while writing */
    int fd;
    bool begun;        /* there is a file `part` */
    dt_shard_header header;
    dt_hasher *hasher;
    uint8_t *plain;    /* tokens not yet written, up to a frame */
    int64_t held;
    uint64_t at;       /* in the file */
    uint64_t ended;    /* tokens of ended documents */
    uint8_t *packed;
    ZSTD_CCtx *zstd;
    dt_text frames, ends; /* the tables */
};

static dt_status open_part(dt_shard_writer *w)
{
    static const dt_shard_header blank;
    w->fd = open(w->part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0) return dt_fail(DT_ERR_IO, "cannot write '%s': %s", w->part, strerror(errno));
    w->begun = true;
    w->at = sizeof blank;
    return dt_file_write_all(w->fd, &blank, sizeof blank, w->part);
}

static dt_status take_memory(dt_shard_writer *w, const char *path)
{
    size_t frame = (size_t)DT_SHARD_FRAME * w->header.width;
    w->path = strdup(path);
    w->hasher = dt_hasher_create();
    w->plain = malloc(frame);
    if (w->path && asprintf(&w->part, "%s.part", path) < 0) w->part = NULL;
    if (w->header.compression) {
        w->packed = malloc(ZSTD_compressBound(frame));
        w->zstd = ZSTD_createCCtx();
        if (!w->packed || !w->zstd) return dt_fail_memory(frame, path);
        ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_compressionLevel, LEVEL);
        ZSTD_CCtx_setParameter(w->zstd, ZSTD_c_checksumFlag, 1);
    }
    return w->path && w->part && w->hasher && w->plain ? DT_OK : dt_fail_memory(frame, path);
}

dt_status dt_shard_writer_create(const char *path, const dt_shard_options *options, dt_shard_writer **out)
{
    dt_shard_writer *w = calloc(1, sizeof *w);
    if (!w) return dt_fail_memory(sizeof *w, path);
    w->fd = -1;
    w->header = (dt_shard_header){.version = DT_SHARD_VERSION,
                                  .width = options->vocabulary > UINT16_MAX + 1 ? 4 : 2,
                                  .tokenizer = options->tokenizer,
                                  .vocabulary = (uint32_t)options->vocabulary,
                                  .compression = options->compress,
                                  .frame_tokens = options->compress ? DT_SHARD_FRAME : 0};
    memcpy(w->header.magic, DT_SHARD_MAGIC, sizeof w->header.magic);
    dt_status status = take_memory(w, path);
    if (!status) status = open_part(w);
    if (status) dt_shard_writer_free(w);
    else *out = w;
    return status;
}

void dt_shard_writer_free(dt_shard_writer *w)
{
    if (!w) return;
    if (w->fd >= 0) close(w->fd);
    if (w->begun) unlink(w->part);
    free(w->path);
    free(w->part);
    free(w->plain);
    free(w->packed);
    ZSTD_freeCCtx(w->zstd);
    dt_hasher_free(w->hasher);
    dt_text_free(&w->frames);
    dt_text_free(&w->ends);
    free(w);
}

static dt_status write_data(dt_shard_writer *w, const void *bytes, size_t count)
{
    dt_hasher_add(w->hasher, bytes, count);
    w->at += count;
    return dt_file_write_all(w->fd, bytes, count, w->part);
}

static dt_status flush(dt_shard_writer *w)
{
    size_t count = (size_t)w->held * w->header.width;
    if (!w->held) return DT_OK;
    w->held = 0;
    if (!w->header.compression) return write_data(w, w->plain, count);
    dt_text_add_bytes(&w->frames, &w->at, sizeof w->at);
    size_t packed = ZSTD_compress2(w->zstd, w->packed, ZSTD_compressBound(count), w->plain, count);
    if (ZSTD_isError(packed))
        return dt_fail(DT_ERR_IO, "cannot compress '%s': %s", w->part, ZSTD_getErrorName(packed));
    w->header.frames++;
    return write_data(w, w->packed, packed);
}

dt_status dt_shard_writer_add(dt_shard_writer *w, const int32_t *tokens, int64_t count, int64_t bytes)
{
    for (int64_t i = 0; i < count; i++) {
        if (w->header.width == 2) ((uint16_t *)w->plain)[w->held++] = (uint16_t)tokens[i];
        else ((int32_t *)w->plain)[w->held++] = tokens[i];
        if (w->held == DT_SHARD_FRAME) DT_TRY(flush(w));
    }
    w->header.tokens += (uint64_t)count;
    w->header.bytes += (uint64_t)bytes;
    return DT_OK;
}

dt_status dt_shard_writer_end(dt_shard_writer *w)
{
    if (w->ended == w->header.tokens) return DT_OK; /* an empty document is none */
    w->ended = w->header.tokens;
    w->header.documents++;
    dt_text_add_bytes(&w->ends, &w->header.tokens, sizeof w->header.tokens);
    return dt_text_status(&w->ends);
}

int64_t dt_shard_writer_tokens(const dt_shard_writer *w) { return (int64_t)w->header.tokens; }

static dt_status write_tables(dt_shard_writer *w)
{
    if (w->header.compression) dt_text_add_bytes(&w->frames, &w->at, sizeof w->at);
    DT_TRY(dt_text_status(&w->frames));
    dt_hasher *sum = dt_hasher_create();
    if (!sum) return dt_fail_memory(w->ends.length, w->path);
    dt_hasher_add(sum, w->frames.data, w->frames.length);
    dt_hasher_add(sum, w->ends.data, w->ends.length);
    w->header.tables_at = w->at;
    w->header.tables_sum = dt_hasher_value(sum);
    dt_hasher_free(sum);
    DT_TRY(dt_file_write_all(w->fd, w->frames.data, w->frames.length, w->part));
    return dt_file_write_all(w->fd, w->ends.data, w->ends.length, w->part);
}

static dt_status write_header(dt_shard_writer *w)
{
    w->header.data_sum = dt_hasher_value(w->hasher);
    w->header.header_sum = dt_hash_bytes(&w->header, offsetof(dt_shard_header, header_sum), 0);
    if (lseek(w->fd, 0, SEEK_SET) < 0) return dt_fail(DT_ERR_IO, "cannot write '%s': %s", w->part, strerror(errno));
    return dt_file_write_all(w->fd, &w->header, sizeof w->header, w->part);
}

dt_status dt_shard_writer_finish(dt_shard_writer *w)
{
    DT_TRY(dt_shard_writer_end(w));
    DT_TRY(flush(w));
    DT_TRY(write_tables(w));
    DT_TRY(write_header(w));
    int fd = w->fd;
    w->fd = -1;
    DT_TRY(dt_file_sync_close(fd, w->part));
    if (rename(w->part, w->path))
        return dt_fail(DT_ERR_IO, "cannot rename '%s' to '%s': %s", w->part, w->path, strerror(errno));
    w->begun = false;
    return dt_folder_sync_of(w->path);
}
