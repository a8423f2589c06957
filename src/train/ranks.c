/* Agreements of ranks on the host. */
#include "train/ranks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "train/changes.h"

enum { MESSAGE_BYTES = 1024 };

bool dt_ranks_leads(const dt_world *world) { return dt_world_rank(world) == 0; }
bool dt_ranks_alone(const dt_world *world) { return dt_world_size(world) == 1; }

dt_status dt_ranks_gather(dt_world *world, const char *what, const void *mine, size_t bytes, void **all)
{
    *all = calloc((size_t)dt_world_size(world), bytes);
    if (!*all) return dt_fail_memory((size_t)dt_world_size(world) * bytes, what);
    dt_status status = dt_world_gather(world, what, mine, bytes, *all);
    if (status) free(*all);
    return status;
}

/* --- statuses --- */

/* The first rank that failed, or -1. */
static dt_status first_failed(dt_world *world, const char *what, dt_status mine, int *rank, dt_status *status)
{
    void *all;
    int code = (int)mine;
    DT_TRY(dt_ranks_gather(world, what, &code, sizeof code, &all));
    const int *codes = all;
    *rank = -1;
    for (int r = dt_world_size(world) - 1; r >= 0; r--)
        if (codes[r]) *rank = r;
    if (*rank >= 0) *status = (dt_status)codes[*rank];
    free(all);
    return DT_OK;
}

/* The message is that rank's alone; the others send nothing of interest. */
static dt_status take_message(dt_world *world, int rank, dt_status status, const char *mine)
{
    void *all;
    DT_TRY(dt_ranks_gather(world, "the message of a failure", mine, MESSAGE_BYTES, &all));
    const char *message = (const char *)all + (size_t)rank * MESSAGE_BYTES;
    const char *host = dt_world_peer_of(world, rank)->host;
    if (rank == dt_world_rank(world) || rank == 0) status = dt_fail(status, "%s", message);
    else status = dt_fail(status, "rank %d on %s: %s", rank, host, message);
    free(all);
    return status;
}

dt_status dt_ranks_join_in_time(dt_world *world, const char *what, dt_status mine)
{
    char message[MESSAGE_BYTES] = "";
    int rank = -1;
    dt_status status = mine;
    if (dt_ranks_alone(world)) return mine;
    if (mine) snprintf(message, sizeof message, "%s", dt_error_message());
    DT_TRY(first_failed(world, what, mine, &rank, &status));
    return rank < 0 ? DT_OK : take_message(world, rank, status, message);
}

dt_status dt_ranks_join(dt_world *world, const char *what, dt_status mine)
{
    if (mine) dt_world_tell_failure(world, dt_error_message());
    return dt_ranks_join_in_time(world, what, mine);
}

dt_status dt_ranks_any(dt_world *world, const char *what, bool mine, bool *any)
{
    void *all;
    DT_TRY(dt_ranks_gather(world, what, &mine, sizeof mine, &all));
    *any = memchr(all, true, (size_t)dt_world_size(world));
    free(all);
    return DT_OK;
}

/* --- texts --- */

dt_status dt_ranks_share_text(dt_world *world, const char *what, char **text)
{
    int64_t bytes = *text ? (int64_t)strlen(*text) + 1 : 0;
    if (dt_ranks_alone(world)) return DT_OK;
    DT_TRY(dt_world_broadcast(world, what, &bytes, sizeof bytes));
    if (!dt_ranks_leads(world)) {
        free(*text);
        *text = bytes ? malloc((size_t)bytes) : NULL;
        if (bytes && !*text) return dt_fail_memory((size_t)bytes, what);
    }
    return bytes ? dt_world_broadcast(world, what, *text, (size_t)bytes) : DT_OK;
}

/* --- settings --- */

/* Hands rank 0's settings round: each rank that has others says where they differ first. */
static dt_status name_difference(dt_world *world, const char *mine)
{
    dt_text difference = {0};
    char *first = strdup(mine);
    if (!first) return dt_fail_memory(strlen(mine), "the settings");
    dt_status status = dt_ranks_share_text(world, "the settings of rank 0", &first);
    if (!status) dt_settings_first_difference(mine, first, &difference);
    if (!status) status = dt_text_status(&difference);
    if (!status && difference.length)
        status = dt_fail(DT_ERR_USAGE, "was started with other settings than rank 0: %s", difference.data);
    dt_text_free(&difference);
    free(first);
    return dt_ranks_join(world, "the difference of settings", status);
}

static dt_status agree(dt_world *world, const char *yaml)
{
    uint64_t hash = dt_hash_text(yaml), first = hash;
    bool any = false;
    DT_TRY(dt_world_broadcast(world, "the hash of the settings", &first, sizeof first));
    DT_TRY(dt_ranks_any(world, "a difference of settings", first != hash, &any));
    return any ? name_difference(world, yaml) : DT_OK;
}

dt_status dt_ranks_agree_settings(dt_world *world, const dt_settings *settings)
{
    dt_text yaml = {0};
    if (dt_ranks_alone(world)) return DT_OK;
    dt_settings_print(settings, &yaml);
    dt_status status = dt_text_status(&yaml);
    if (!status) status = agree(world, yaml.data);
    dt_text_free(&yaml);
    return status;
}
