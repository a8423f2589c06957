/* Plans of one rank of several, by the same passes and planner as a run's, at every level of parallel.zero; and the
 * search for the fewest ranks of which one fits. */
#include "cmd/plan_ranks.h"

#include <stdio.h>

#include "cmd/table.h"

enum { LEVELS = 4 };

typedef struct rank_plan {
    int ranks, level;
    int64_t planned; /* bytes */
    int64_t outside; /* bytes of the GPU's memory besides */
    dt_traffic sent;
} rank_plan;

static int64_t bytes_of(const rank_plan *p) { return p->planned + p->outside; }

/* --- one plan --- */

static void measure(const dt_session *session, rank_plan *out)
{
    for (int m = 0; m < DT_MEMORY_CATEGORIES; m++) out->planned += dt_session_memory(session, (dt_memory)m);
    out->outside = dt_session_backend(session) == DT_CUDA ? DT_PLAN_OUTSIDE : 0;
    out->sent = dt_session_traffic(session);
}

static dt_status plan_in(dt_settings *settings, rank_plan *out)
{
    dt_comm *comm;
    dt_session *session = NULL;
    DT_TRY(dt_comm_create_planned(out->ranks, &comm));
    dt_status status = dt_session_create(settings, &(dt_session_options){.plan_only = true, .comm = comm}, NULL,
                                         &session);
    if (!status) measure(session, out);
    dt_session_free(session);
    dt_comm_free(comm);
    return status;
}

static dt_status plan_rank(const dt_settings *settings, int ranks, int level, rank_plan *out)
{
    dt_settings *varied;
    char word[32];
    snprintf(word, sizeof word, "parallel.zero=%d", level);
    DT_TRY(dt_table_vary(settings, (const char *const[]){word}, 1, &varied));
    *out = (rank_plan){.ranks = ranks, .level = level};
    dt_status status = plan_in(varied, out);
    dt_settings_free(varied);
    return status;
}

/* --- the fewest ranks --- */

/* Can the batch be dealt to so many, in whole groups? */
static bool divides(const dt_settings *settings, int ranks)
{
    int64_t passes = dt_setting_has(settings, "train.micro_batch") ? 1 : dt_setting_int(settings, "train.accumulate");
    int64_t group = dt_setting_int(settings, "parallel.shard_group");
    return dt_setting_int(settings, "data.batch") % (passes * ranks) == 0 && (!group || ranks % group == 0);
}

/* The smallest level that fits, else the one that takes least. */
static dt_status plan_best(const dt_plan_world *w, int ranks, rank_plan *best)
{
    for (int level = 0; level < LEVELS; level++) {
        rank_plan plan;
        DT_TRY(plan_rank(w->settings, ranks, level, &plan));
        if (!level || bytes_of(&plan) < bytes_of(best)) *best = plan;
        if (bytes_of(&plan) <= w->memory) break;
    }
    return DT_OK;
}

/* The fewest ranks of which one fits; where there are none, those that take least. */
static dt_status search(const dt_plan_world *w, rank_plan *best)
{
    for (int ranks = 1; ranks <= DT_MOST_RANKS; ranks++) {
        rank_plan plan;
        if (!divides(w->settings, ranks)) continue;
        DT_TRY(plan_best(w, ranks, &plan));
        if (!best->ranks || bytes_of(&plan) < bytes_of(best)) *best = plan;
        if (bytes_of(&plan) <= w->memory) break;
    }
    return DT_OK;
}

/* --- printing --- */

static const char *fits(const rank_plan *p, int64_t memory) { return bytes_of(p) <= memory ? "fits" : "too much"; }

static void print_row(const rank_plan *p, int64_t memory)
{
    char size[7][32];
    const dt_traffic *t = &p->sent;
    double sum = t->reduce_scatter + t->all_gather + t->gather + t->all_reduce;
    printf("  %-13d %10s %10s   %-8s   %10s %14s %10s %10s %10s\n", p->level,
           dt_text_bytes(size[0], (double)p->planned), dt_text_bytes(size[1], (double)p->outside), fits(p, memory),
           dt_text_bytes(size[2], sum), dt_text_bytes(size[3], t->reduce_scatter),
           dt_text_bytes(size[4], t->all_gather), dt_text_bytes(size[5], t->gather),
           dt_text_bytes(size[6], t->all_reduce));
}

static dt_status print_rows(const dt_plan_world *w, rank_plan *best)
{
    for (int level = 0; level < LEVELS; level++) {
        rank_plan plan;
        DT_TRY(plan_rank(w->settings, w->ranks, level, &plan));
        print_row(&plan, w->memory);
        bool better = bytes_of(&plan) < bytes_of(best) && bytes_of(best) > w->memory;
        if (!level || better) *best = plan;
    }
    return DT_OK;
}

static dt_status print_advice(const dt_plan_world *w)
{
    rank_plan best = {0};
    char size[32];
    DT_TRY(search(w, &best));
    dt_text_bytes(size, (double)bytes_of(&best));
    if (bytes_of(&best) <= w->memory)
        printf("  none of these fits; parallel.zero=%d does from %d rank%s on, with %s each\n", best.level, best.ranks,
               best.ranks == 1 ? "" : "s", size);
    else
        printf("  no number of ranks fits: with %d and parallel.zero=%d each takes %s; a smaller micro-batch or "
               "train.recompute helps\n", best.ranks, best.level, size);
    return DT_OK;
}

dt_status dt_plan_ranks_print(const dt_plan_world *w)
{
    rank_plan best = {0};
    char size[32];
    printf("ranks          %d of %s: what each takes, and sends in a step\n", w->ranks,
           dt_text_bytes(size, (double)w->memory));
    printf("  %-13s %10s %10s   %-8s   %10s %14s %10s %10s %10s\n", "parallel.zero", "planned", "outside", "", "sent",
           "reduce_scatter", "all_gather", "gather", "all_reduce");
    DT_TRY(print_rows(w, &best));
    if (bytes_of(&best) > w->memory) return print_advice(w);
    printf("  the smallest that fits: parallel.zero=%d\n", best.level);
    return DT_OK;
}
