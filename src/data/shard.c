/* Reading tokens of a shard by position. */
#include "data/shard.h"

#include <stdlib.h>
#include <string.h>

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
    *shard = (dt_shard){.path = name, .tokens = tokens, .bytes = -1, .width = width, .memory = memory};
    *out = shard;
    return DT_OK;
}

void dt_shard_free(dt_shard *shard)
{
    if (!shard) return;
    free(shard->path);
    free(shard->memory);
    free(shard->document_ends);
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

dt_status dt_shard_read(const dt_shard *shard, int64_t first, int64_t count, int32_t *out)
{
    widen(shard->memory + first * shard->width, shard->width, count, out);
    return DT_OK;
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
