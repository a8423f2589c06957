/* Shares out the processors among the ranks of a host. */
#include "train/rank_share.h"

#include <sched.h>
#include <stdlib.h>

#include "base/threads.h"
#include "train/ranks.h"

static bool on_my_host(const dt_world *world, int rank)
{
    return dt_world_peer_of(world, rank)->node == dt_world_peer_of(world, dt_world_rank(world))->node;
}

/* Each processor is shared by the ranks of the host that may use it, and so is a container's quota. */
static int share_of(const dt_world *world, const cpu_set_t *all)
{
    double share = 0;
    int usable = dt_usable_processors(), local = dt_world_local_size(world);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        int sharing = 0;
        if (!CPU_ISSET(cpu, &all[dt_world_rank(world)])) continue;
        for (int r = 0; r < dt_world_size(world); r++) sharing += on_my_host(world, r) && CPU_ISSET(cpu, &all[r]);
        share += 1.0 / sharing;
    }
    bool limited = usable < CPU_COUNT(&all[dt_world_rank(world)]);
    if (limited && share > (double)usable / local) share = (double)usable / local;
    return share < 1 ? 1 : (int)(share + 1e-6);
}

dt_status dt_rank_threads(dt_world *world, int *threads)
{
    void *all;
    cpu_set_t mine;
    *threads = 0;
    if (dt_world_size(world) == 1) return DT_OK;
    CPU_ZERO(&mine);
    if (sched_getaffinity(0, sizeof mine, &mine)) CPU_SET(0, &mine);
    DT_TRY(dt_ranks_gather(world, "the processors that ranks may use", &mine, sizeof mine, &all));
    *threads = share_of(world, all);
    free(all);
    return DT_OK;
}
