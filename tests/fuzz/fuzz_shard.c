/* Files of tokens: opening, and reading all that an opened one claims to hold. */

#include "byte_file.h"
#include "data/shard.h"
#include "fuzz.h"

/* A link to the bytes whose name ends in .bin: without such a name bare tokens are refused. */
static void read_file(const char *path)
{
    enum { BLOCK = 4096 };
    int32_t tokens[BLOCK];
    dt_shard *shard;
    volatile int64_t seen = 0; /* keeps the reads */
    if (dt_shard_open(path, &shard)) return;
    for (int64_t at = 0; at < shard->tokens; at += BLOCK) {
        int64_t count = shard->tokens - at < BLOCK ? shard->tokens - at : BLOCK;
        if (dt_shard_read(shard, at, count, tokens)) break;
        seen = seen + tokens[count - 1] + dt_shard_document(shard, at);
    }
    seen = seen + dt_shard_check(shard);
    dt_shard_free(shard);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    byte_file file = byte_file_open(data, size);
    char folder[] = "/tmp/dt-fuzz-XXXXXX", link[64];
    if (!mkdtemp(folder)) abort();
    snprintf(link, sizeof link, "%s/x.bin", folder);
    if (symlink(file.path, link)) abort();
    read_file(file.path);
    read_file(link);
    unlink(link);
    rmdir(folder);
    byte_file_close(&file);
    return 0;
}
