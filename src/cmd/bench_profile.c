/* Where a training step's time goes: nodes timed one by one, summed over those alike. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/bench.h"
#include "cmd/place.h"

enum { REPEATS = 5, MOST_GROUPS = 512 };

/* Nodes of one operator at the same place of every block, one direction. */
typedef struct group {
    const dt_op *op;
    bool backward;
    char place[DT_PLACE_ROOM];
    int64_t nodes;          /* in REPEATS steps */
    double seconds, flops, bytes;
} group;

typedef struct profile {
    group *groups;
    int count;
    int64_t lost; /* nodes without a group left for them */
} profile;

static group *find_group(profile *p, const dt_node *node)
{
    char place[DT_PLACE_ROOM];
    dt_place_fold(node->scope, place);
    for (int i = 0; i < p->count; i++) {
        group *g = &p->groups[i];
        if (g->op == node->op && g->backward == node->backward && strcmp(g->place, place) == 0) return g;
    }
    if (p->count == MOST_GROUPS) return NULL;
    group *g = &p->groups[p->count++];
    *g = (group){.op = node->op, .backward = node->backward};
    strcpy(g->place, place);
    return g;
}

static void add_node(void *context, const dt_node *node, double seconds)
{
    profile *p = context;
    group *g = find_group(p, node);
    if (!g) {
        p->lost++;
        return;
    }
    dt_cost cost = node->op->cost ? node->op->cost(node) : (dt_cost){0};
    g->nodes++;
    g->seconds += seconds;
    g->flops += cost.flops;
    g->bytes += cost.bytes;
}

static int by_seconds(const void *a, const void *b)
{
    const group *x = a, *y = b;
    return (x->seconds < y->seconds) - (x->seconds > y->seconds);
}

static void print_group(const group *g, double total, const dt_roof *roof)
{
    printf("%9.3f %6.1f %7.1f %7.1f", 1e3 * g->seconds / REPEATS, 100 * g->seconds / total,
           1e-9 * g->flops / g->seconds, 1e-9 * g->bytes / g->seconds);
    if (roof) {
        double flops = g->flops / roof->flops, bytes = g->bytes / roof->bytes;
        printf(" %6.0f", 100 * (flops > bytes ? flops : bytes) / g->seconds);
    }
    printf(" %6lld  %s%s  %s\n", (long long)(g->nodes / REPEATS), g->op->name, g->backward ? " (backward)" : "",
           g->place[0] ? g->place : "-");
}

static void print_profile(profile *p, const dt_roof *roof)
{
    double total = 0;
    qsort(p->groups, (size_t)p->count, sizeof *p->groups, by_seconds);
    for (int i = 0; i < p->count; i++) total += p->groups[i].seconds;
    printf("%9s %6s %7s %7s%s %6s  operator and place\n", "ms", "share", "GFLOP/s", "GB/s", roof ? " roof %" : "",
           "nodes");
    for (int i = 0; i < p->count; i++) print_group(&p->groups[i], total, roof);
    printf("%9.3f  in all, of one pass and one update\n", 1e3 * total / REPEATS);
    if (roof) dt_roof_print(roof);
    if (p->lost) printf("%lld nodes are not in the table: too many kinds\n", (long long)(p->lost / REPEATS));
}

static dt_status run(dt_session *session, const dt_settings *settings, profile *p)
{
    dt_roof roof;
    dt_device *device = dt_session_device(session);
    bool cpu = dt_device_backend(device) == DT_CPU;
    DT_TRY(dt_store_initialise(dt_session_store(session), (uint64_t)dt_setting_int(settings, "seed")));
    DT_TRY(dt_session_load_step(session));
    DT_TRY(dt_session_run_step(session, NULL, NULL));
    for (int i = 0; i < REPEATS; i++) DT_TRY(dt_session_run_step(session, add_node, p));
    if (cpu) DT_TRY(dt_roof_measure(dt_device_pool(device), dt_cpu_kernels_best(), &roof));
    print_profile(p, cpu ? &roof : NULL);
    return DT_OK;
}

dt_status dt_bench_profile(dt_settings *settings, dt_log *log)
{
    dt_session *session = NULL;
    profile p = {.groups = calloc(MOST_GROUPS, sizeof *p.groups)};
    if (!p.groups) return dt_fail_memory(MOST_GROUPS * sizeof *p.groups, "the profile");
    dt_status status = dt_session_create(settings, &(dt_session_options){0}, log, &session);
    if (!status) status = run(session, settings, &p);
    dt_session_free(session);
    free(p.groups);
    return status;
}
