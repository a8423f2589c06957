/* Opening shards: our own format, llm.c's, nanoGPT's. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "base/hash.h"
#include "base/text.h"
#include "data/shard.h"
#include "data/shard_format.h"

/* llm.c's dev/data: 256 int32 of header (magic, version, count); GPT-2's tokens as u16, Llama 3's as u32. */
enum { LLMC_HEADER = 1024, LLMC_GPT2 = 20240520, LLMC_LLAMA3 = 20240801 };
enum { LLMC_GPT2_VERSION = 1, LLMC_LLAMA3_VERSION = 7 };

static dt_status fail_shard(const dt_shard *shard, const char *reason)
{
    return dt_fail(DT_ERR_DATA, "'%s' is not a sound shard of tokens: %s", shard->path, reason);
}

static dt_status read_some(const dt_shard *shard, int64_t at, size_t count, void *out)
{
    ssize_t got = pread(shard->fd, out, count, (off_t)at);
    if (got < 0) return dt_fail(DT_ERR_IO, "cannot read '%s': %s", shard->path, strerror(errno));
    return (size_t)got == count ? DT_OK : fail_shard(shard, "it is truncated");
}

/* --- our own --- */

static dt_status check_header(const dt_shard *shard, const dt_shard_header *h, int64_t size)
{
    if (h->version != DT_SHARD_VERSION)
        return dt_fail(DT_ERR_DATA, "'%s' has version %u of the format; this program reads %d", shard->path, h->version,
                       DT_SHARD_VERSION);
    if (h->header_sum != dt_hash_bytes(h, offsetof(dt_shard_header, header_sum), 0))
        return fail_shard(shard, "its header does not give its checksum");
    if ((h->width != 2 && h->width != 4) || h->compression > 1 || !h->vocabulary || h->vocabulary > INT32_MAX)
        return fail_shard(shard, "its header says what cannot be");
    if (h->tables_at < sizeof *h || h->tables_at > (uint64_t)size)
        return fail_shard(shard, "it is truncated");
    uint64_t room = ((uint64_t)size - h->tables_at) / 8, most = h->tables_at - sizeof *h;
    if (h->frames > room || h->documents > room || h->frames + h->documents + (h->compression == 1) != room)
        return fail_shard(shard, "it is truncated, or longer than its tables");
    if (h->compression ? !h->frame_tokens || h->frame_tokens > 1 << 24 || h->tokens > INT64_MAX / 2 ||
                             h->frames != (h->tokens + h->frame_tokens - 1) / h->frame_tokens
                       : h->tokens > most / h->width || h->tokens * h->width != most)
        return fail_shard(shard, "its header counts other tokens than it holds");
    if (h->bytes > INT64_MAX / 2) return fail_shard(shard, "its header says what cannot be");
    return DT_OK;
}

static bool ascends(const uint64_t *values, uint64_t count, uint64_t last)
{
    for (uint64_t i = 0; i + 1 < count; i++)
        if (values[i] > values[i + 1]) return false;
    return !count || values[count - 1] == last;
}

static bool are_frames(const uint64_t *at, const dt_shard_header *h)
{
    uint64_t most = ZSTD_compressBound(h->frame_tokens * h->width); /* what readers have room for */
    if (at[0] != sizeof *h || !ascends(at, h->frames + 1, h->tables_at)) return false;
    for (uint64_t f = 0; f < h->frames; f++)
        if (at[f + 1] - at[f] > most) return false;
    return true;
}

static dt_status read_tables(dt_shard *shard, const dt_shard_header *h, int64_t size)
{
    size_t bytes = (size_t)size - (size_t)h->tables_at;
    shard->tables = malloc(bytes ? bytes : 1);
    if (!shard->tables) return dt_fail_memory(bytes, shard->path);
    DT_TRY(read_some(shard, (int64_t)h->tables_at, bytes, shard->tables));
    if (h->tables_sum != dt_hash_bytes(shard->tables, bytes, 0))
        return fail_shard(shard, "its tables do not give their checksum");
    uint64_t *ends = shard->tables + (h->compression ? h->frames + 1 : 0);
    if (h->compression && !are_frames(shard->tables, h)) return fail_shard(shard, "its frames are out of order");
    if (!ascends(ends, h->documents, h->tokens)) return fail_shard(shard, "its documents are out of order");
    shard->frame_at = h->compression ? shard->tables : NULL;
    shard->document_ends = h->documents ? ends : NULL;
    return DT_OK;
}

static dt_status open_own(dt_shard *shard, int64_t size)
{
    dt_shard_header h;
    DT_TRY(read_some(shard, 0, sizeof h, &h));
    DT_TRY(check_header(shard, &h, size));
    DT_TRY(read_tables(shard, &h, size));
    shard->tokens = (int64_t)h.tokens;
    shard->bytes = (int64_t)h.bytes;
    shard->vocabulary = h.vocabulary;
    shard->tokenizer = h.tokenizer;
    shard->width = (int)h.width;
    shard->documents = (int64_t)h.documents;
    shard->frame_tokens = (int64_t)h.frame_tokens;
    shard->data_at = sizeof h;
    shard->data_end = (int64_t)h.tables_at;
    shard->data_sum = h.data_sum;
    return DT_OK;
}

/* --- others --- */

static dt_status open_llmc(dt_shard *shard, const int32_t *start, int64_t size)
{
    bool wide = start[0] == LLMC_LLAMA3;
    if (start[1] != (wide ? LLMC_LLAMA3_VERSION : LLMC_GPT2_VERSION))
        return dt_fail(DT_ERR_DATA, "'%s' is an llm.c file of version %d, which is not known", shard->path, start[1]);
    shard->width = wide ? 4 : 2;
    shard->tokens = start[2];
    shard->data_at = LLMC_HEADER;
    if (start[2] < 0 || size != LLMC_HEADER + shard->tokens * shard->width)
        return dt_fail(DT_ERR_DATA, "'%s' has %lld bytes, but an llm.c file of %d tokens has %lld", shard->path,
                       (long long)size, start[2], (long long)(LLMC_HEADER + shard->tokens * shard->width));
    return DT_OK;
}

static dt_status open_bare(dt_shard *shard, int64_t size)
{
    if (!dt_text_ends_in(shard->path, ".bin"))
        return fail_shard(shard, "it begins like none of the known formats, and bare 16-bit tokens end in .bin");
    if (size % 2) return fail_shard(shard, "bare 16-bit tokens have an even number of bytes");
    shard->width = 2;
    shard->tokens = size / 2;
    return DT_OK;
}

static dt_status open_any(dt_shard *shard)
{
    struct stat info;
    int32_t start[3] = {0};
    shard->fd = open(shard->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe would wait for its writer */
    if (shard->fd < 0)
        return dt_fail(DT_ERR_IO, "cannot open '%s': %s%s", shard->path, strerror(errno),
                       errno == EMFILE ? "; raise the limit with ulimit -n" : "");
    if (fstat(shard->fd, &info)) return dt_fail(DT_ERR_IO, "cannot read '%s': %s", shard->path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return dt_fail(DT_ERR_DATA, "'%s' is not a regular file", shard->path);
    if (!info.st_size) return dt_fail(DT_ERR_DATA, "'%s' is empty", shard->path);
    if (info.st_size >= (off_t)sizeof start) DT_TRY(read_some(shard, 0, sizeof start, start));
    if (!memcmp(start, DT_SHARD_MAGIC, 8)) DT_TRY(open_own(shard, info.st_size));
    else if (start[0] == LLMC_GPT2 || start[0] == LLMC_LLAMA3) DT_TRY(open_llmc(shard, start, info.st_size));
    else DT_TRY(open_bare(shard, info.st_size));
    return shard->tokens ? DT_OK : dt_fail(DT_ERR_DATA, "'%s' holds no tokens", shard->path);
}

bool dt_shard_is_name(const char *name)
{
    return dt_text_ends_in(name, ".tokens") || dt_text_ends_in(name, ".bin");
}

dt_status dt_shard_open(const char *path, dt_shard **out)
{
    dt_shard *shard;
    DT_TRY(dt_shard_of_memory(path, NULL, 0, 0, &shard));
    dt_status status = open_any(shard);
    if (status) dt_shard_free(shard);
    else *out = shard;
    return status;
}
