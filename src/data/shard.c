/* Reading tokens of a shard by position. */
#include "data/shard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/hash.h"

dt_status dt_shard_of_memory(const char *path, uint8_t *memory, int64_t tokens, int width, dt_shard **out)
{
    dt_shard *shard = calloc(1, sizeof *shard);
    char *name = strdup(path);
    if (!shard || !name) {
        free(shard);
        free(name);
        free(memory);
        return dt_fail_memory(sizeof *shard, path);
    }
    *shard = (dt_shard){.path = name, .tokens = tokens, .bytes = -1, .width = width, .memory = memory, .fd = -1};
    *out = shard;
    return DT_OK;
}

void dt_shard_free(dt_shard *shard)
{
    if (!shard) return;
    if (shard->fd >= 0) close(shard->fd);
    free(shard->path);
    free(shard->memory);
    if (shard->tables) free(shard->tables);
    else free(shard->document_ends);
    free(shard);
}

/* Little-endian integers of 1, 2 or 4 bytes. An id of 2^31 or more becomes negative, which no vocabulary holds. */
static void widen(const uint8_t *from, int width, int64_t count, int32_t *out)
{
    if (width == 1) {
        for (int64_t i = 0; i < count; i++) out[i] = from[i];
    } else if (width == 2) {
        for (int64_t i = 0; i < count; i++) out[i] = from[2 * i] | from[2 * i + 1] << 8;
    } else {
        memcpy(out, from, (size_t)count * sizeof *out);
    }
}

static dt_status read_at(const dt_shard *shard, int64_t at, size_t count, void *out)
{
    for (size_t done = 0; done < count;) {
        ssize_t got = pread(shard->fd, (char *)out + done, count - done, (off_t)at + (off_t)done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return dt_fail(DT_ERR_IO, "cannot read '%s': %s", shard->path, strerror(errno));
        if (!got) return dt_fail(DT_ERR_DATA, "'%s' has become shorter since it was opened", shard->path);
        done += (size_t)got;
    }
    return DT_OK;
}

/* --- compressed --- */

/* Unpacks frame `frame` into `plain`, which has room for a whole one. */
static dt_status unpack_frame(const dt_shard *shard, int64_t frame, uint8_t *packed, uint8_t *plain)
{
    int64_t first = frame * shard->frame_tokens, held = shard->tokens - first;
    size_t size = (size_t)(shard->frame_at[frame + 1] - shard->frame_at[frame]);
    if (held > shard->frame_tokens) held = shard->frame_tokens;
    DT_TRY(read_at(shard, (int64_t)shard->frame_at[frame], size, packed));
    size_t got = ZSTD_decompress(plain, (size_t)(held * shard->width), packed, size);
    if (got == (size_t)(held * shard->width)) return DT_OK;
    return dt_fail(DT_ERR_DATA, "'%s': frame %lld of its tokens is damaged: %s", shard->path, (long long)frame,
                   ZSTD_isError(got) ? ZSTD_getErrorName(got) : "it holds fewer tokens than it should");
}

static dt_status read_frames(const dt_shard *shard, int64_t first, int64_t count, int32_t *out)
{
    size_t whole = (size_t)(shard->frame_tokens * shard->width), room = ZSTD_compressBound(whole);
    uint8_t *memory = malloc(room + whole);
    if (!memory) return dt_fail_memory(room + whole, shard->path);
    dt_status status = DT_OK;
    while (count > 0 && !status) {
        int64_t frame = first / shard->frame_tokens, inside = first % shard->frame_tokens;
        int64_t here = shard->frame_tokens - inside < count ? shard->frame_tokens - inside : count;
        status = unpack_frame(shard, frame, memory, memory + room);
        if (!status) widen(memory + room + inside * shard->width, shard->width, here, out);
        first += here;
        out += here;
        count -= here;
    }
    free(memory);
    return status;
}

/* --- plain --- */

static dt_status read_plain(const dt_shard *shard, int64_t first, int64_t count, int32_t *out)
{
    uint8_t *tail = (uint8_t *)out + (4 - shard->width) * count; /* widened in place, from the front */
    DT_TRY(read_at(shard, shard->data_at + first * shard->width, (size_t)(count * shard->width), tail));
    if (shard->width == 2)
        for (int64_t i = 0; i < count; i++) out[i] = tail[2 * i] | tail[2 * i + 1] << 8;
    return DT_OK;
}

dt_status dt_shard_read(const dt_shard *shard, int64_t first, int64_t count, int32_t *out)
{
    if (shard->frame_at) return read_frames(shard, first, count, out);
    if (!shard->memory) return read_plain(shard, first, count, out);
    widen(shard->memory + first * shard->width, shard->width, count, out);
    return DT_OK;
}

dt_status dt_shard_check(const dt_shard *shard)
{
    enum { BLOCK = 1 << 20 };
    if (!shard->data_sum) return DT_OK;
    dt_status status = DT_OK;
    dt_hasher *hasher = dt_hasher_create();
    uint8_t *block = malloc(BLOCK);
    if (!hasher || !block) status = dt_fail_memory(BLOCK, shard->path);
    for (int64_t at = shard->data_at; at < shard->data_end && !status; at += BLOCK) {
        size_t count = (size_t)(shard->data_end - at < BLOCK ? shard->data_end - at : BLOCK);
        status = read_at(shard, at, count, block);
        if (!status) dt_hasher_add(hasher, block, count);
    }
    if (!status && dt_hasher_value(hasher) != shard->data_sum)
        status = dt_fail(DT_ERR_DATA, "'%s' is damaged: its tokens do not give the checksum of its header",
                         shard->path);
    free(block);
    dt_hasher_free(hasher);
    return status;
}

int64_t dt_shard_document(const dt_shard *shard, int64_t token)
{
    int64_t low = 0, high = shard->documents; /* how many documents end at or before the token */
    while (low < high) {
        int64_t middle = (low + high) / 2;
        if ((int64_t)shard->document_ends[middle] <= token) low = middle + 1;
        else high = middle;
    }
    return low ? (int64_t)shard->document_ends[low - 1] : 0;
}
