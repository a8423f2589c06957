/* Step times of ranks, gathered and compared. */
#include "train/pace.h"

#include <stdlib.h>
#include <string.h>

#include "train/ranks.h"

typedef struct figures { /* of one rank */
    double median, slowest, wait; /* seconds; the last is a share */
} figures;

void dt_pace_add(dt_pace *p, double seconds, double wait)
{
    p->seconds[p->steps++ % DT_PACE_STEPS] = seconds;
    p->total += seconds;
    p->wait += wait;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Sorts the ring, which the next window overwrites. */
static figures measure(dt_pace *p)
{
    size_t count = p->steps < DT_PACE_STEPS ? (size_t)p->steps : DT_PACE_STEPS;
    if (!count) return (figures){0};
    qsort(p->seconds, count, sizeof *p->seconds, by_value);
    return (figures){p->seconds[count / 2], p->seconds[count - 1], p->total > 0 ? p->wait / p->total : 0};
}

static int highest(const figures *all, int ranks, size_t member)
{
    int best = 0;
    for (int r = 1; r < ranks; r++) {
        const char *a = (const char *)&all[r] + member, *b = (const char *)&all[best] + member;
        if (*(const double *)a > *(const double *)b) best = r;
    }
    return best;
}

static void log_comparison(const dt_world *world, const dt_pace *p, int64_t step, const figures *all, dt_log *log)
{
    int ranks = dt_world_size(world), slow = highest(all, ranks, offsetof(figures, median));
    int late = highest(all, ranks, offsetof(figures, slowest)), waits = highest(all, ranks, offsetof(figures, wait));
    dt_log_info(log, "ranks, steps %lld to %lld: median step at most %.4g ms, of rank %d on %s; slowest step %.4g ms, "
                "of rank %d on %s; data wait at most %.1f %%, of rank %d on %s", (long long)(step - p->steps + 1),
                (long long)step, 1e3 * all[slow].median, slow, dt_world_peer_of(world, slow)->host,
                1e3 * all[late].slowest, late, dt_world_peer_of(world, late)->host, 100 * all[waits].wait, waits,
                dt_world_peer_of(world, waits)->host);
}

dt_status dt_pace_report(dt_pace *p, dt_world *world, int64_t step, dt_log *log)
{
    void *all;
    figures mine = measure(p);
    DT_TRY(dt_ranks_gather(world, "step times", &mine, sizeof mine, &all));
    if (dt_ranks_leads(world)) log_comparison(world, p, step, all, log);
    else
        dt_log_info(log, "steps %lld to %lld: median %.4g ms, slowest %.4g ms, data wait %.1f %%",
                    (long long)(step - p->steps + 1), (long long)step, 1e3 * mine.median, 1e3 * mine.slowest,
                    100 * mine.wait);
    free(all);
    memset(p, 0, sizeof *p);
    return DT_OK;
}
