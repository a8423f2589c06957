/* Programs: planning, binding to memory, running node by node, reading outputs. */
#include "graph/program.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/plan.h"
#include "graph/replay.h"
#include "graph/store_internal.h"
#include "kernels/kernels.h"

struct dt_program {
    dt_graph *graph;
    char *name;
    dt_backend backend;
    dt_plan plan;
    bool poison;
    char *arena;
    dt_exec exec;
    bool direct; /* never recorded */
    dt_replays replays;
};

dt_status dt_program_create(dt_graph *g, const char *name, dt_backend backend, const dt_device_info *info,
                            const dt_plan_options *options, dt_program **out)
{
    dt_program *p = calloc(1, sizeof *p);
    dt_status status = p ? dt_graph_status(g) : dt_fail_memory(sizeof *p, "a program");
    if (!status) status = dt_plan_make(g, backend, info, options, &p->plan);
    if (!status && !(p->name = strdup(name))) status = dt_fail_memory(strlen(name), "a program");
    if (status) {
        dt_graph_free(g);
        free(p);
        return status;
    }
    p->graph = g;
    p->backend = backend;
    p->poison = options && options->poison;
    *out = p;
    return DT_OK;
}

void dt_program_free(dt_program *p)
{
    if (!p) return;
    dt_replays_free(&p->replays, p->exec.device);
    dt_graph_free(p->graph);
    free(p->name);
    free(p);
}

const dt_graph *dt_program_graph(const dt_program *p) { return p->graph; }
const char *dt_program_name(const dt_program *p) { return p->name; }
int64_t dt_program_arena_bytes(const dt_program *p) { return p->plan.bytes; }
int64_t dt_program_feed_bytes(const dt_program *p) { return p->graph->feed_bytes; }

dt_cost dt_program_cost(const dt_program *p, bool backward_too)
{
    dt_cost sum = {0, 0};
    for (const dt_node *n = p->graph->first; n; n = n->next) {
        if (!n->op->cost || (n->backward && !backward_too)) continue;
        dt_cost one = n->op->cost(n);
        sum.flops += one.flops;
        sum.bytes += one.bytes;
    }
    return sum;
}

const dt_feed_field *dt_program_feed(const dt_program *p, const char *name)
{
    for (int i = 0; i < dt_graph_feed_count(p->graph); i++)
        if (!strcmp(dt_graph_feed_at(p->graph, i)->name, name)) return dt_graph_feed_at(p->graph, i);
    return NULL;
}

/* --- the peak --- */

static bool is_alive(const dt_tensor *t, int position)
{
    return t->kind == DT_VALUE && t->root == t && t->first <= position && position <= t->last;
}

int dt_program_peak(const dt_program *p, const dt_tensor **out, int room)
{
    const dt_graph *g = p->graph;
    int count = 0;
    for (int i = 0; i < g->tensors.count; i++) {
        const dt_tensor *t = g->tensors.at[i];
        if (!is_alive(t, p->plan.peak)) continue;
        int at = count < room ? count++ : room;
        for (; at > 0 && dt_tensor_bytes(out[at - 1]) < dt_tensor_bytes(t); at--)
            if (at < room) out[at] = out[at - 1];
        if (at < room) out[at] = t;
    }
    return count;
}

/* --- binding --- */

static dt_status bind_tensor(dt_program *p, dt_tensor *t)
{
    const dt_tensor *root = t->root ? t->root : t;
    if (t->kind == DT_STATE && t->dtype != t->state->dtype)
        return dt_fail(DT_ERR_USAGE, "program %s takes state %s for %s, but an earlier one made it %s", p->name,
                       t->name, dt_dtype_name(t->dtype), dt_dtype_name(t->state->dtype));
    char *memory = root->kind == DT_VALUE ? p->arena + root->offset : dt_store_address(p->graph->store, root);
    t->data = memory ? memory + t->root_at : NULL;
    if (t->data || root->kind == DT_VALUE || !dt_tensor_bytes(t)) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "program %s uses %s, for which no memory was taken", p->name, root->name);
}

dt_status dt_program_bind(dt_program *p, dt_device *device, dt_comm *comm, void *arena)
{
    p->arena = arena;
    p->exec = (dt_exec){.device = device, .kernels = dt_kernels_of(p->backend), .comm = comm, .sharers = comm};
    if (p->graph->store && p->graph->store->share.comm) {
        p->exec.sharers = p->graph->store->share.comm;
        p->exec.replicas = p->graph->store->share.replicas;
    }
    for (int i = 0; i < p->graph->tensors.count; i++) DT_TRY(bind_tensor(p, p->graph->tensors.at[i]));
    for (dt_node *n = p->graph->first; n; n = n->next)
        n->workspace = n->workspace_bytes ? p->arena + n->workspace_offset : NULL;
    return DT_OK;
}

/* --- running --- */

enum { LABEL_ROOM = 160 };

/* "add (blocks.3.attn, backward)"; without a scope the program's name stands there. */
static const char *label(const dt_program *p, const dt_node *n, char out[LABEL_ROOM])
{
    snprintf(out, LABEL_ROOM, "%s (%s%s)", n->op->name, *n->scope ? n->scope : p->name,
             n->backward ? ", backward" : "");
    return out;
}

static dt_status fail_at(dt_status status, const dt_program *p, const dt_node *n)
{
    char name[LABEL_ROOM];
    return dt_fail_in(status, "operator %s", label(p, n, name));
}

/* The first node from `n` on that has work. */
static const dt_node *skip_views(const dt_node *n)
{
    while (n && (n->op->flags & DT_OP_VIEW)) n = n->next;
    return n;
}

/* Queues a node's work. */
static dt_status run_node(dt_program *p, const dt_node *n)
{
    p->exec.stream = n->stream;
    p->exec.queue = dt_device_queue(p->exec.device, n->stream);
    dt_status status = n->op->run(n, &p->exec);
    return status ? fail_at(status, p, n) : DT_OK;
}

/* Runs a node and waits for it: a fault that the device reports late is then this node's. */
static dt_status run_alone(dt_program *p, const dt_node *n)
{
    char name[LABEL_ROOM];
    dt_device_range_begin(p->exec.device, label(p, n, name));
    dt_status status = run_node(p, n), ended = DT_OK;
    if (!status) ended = dt_device_sync(p->exec.device, n->stream);
    dt_device_range_end(p->exec.device);
    return ended ? fail_at(ended, p, n) : status;
}

static void begin(dt_program *p, const dt_run *run)
{
    p->exec.slot = run->slot;
    p->exec.accumulate = run->accumulate;
    p->exec.last = run->last;
    if (p->poison && p->backend == DT_CPU) memset(p->arena, 0xff, (size_t)p->plan.bytes);
}

static dt_status launch(void *program)
{
    dt_program *p = program;
    for (const dt_node *n = skip_views(p->graph->first); n; n = skip_views(n->next)) DT_TRY(run_node(p, n));
    return DT_OK;
}

/* Before a run node by node: what went wrong earlier is not the first node's. */
static dt_status settle(dt_program *p)
{
    dt_status status = dt_device_sync(p->exec.device, DT_STREAM_COMPUTE);
    return status ? dt_fail_in(status, "before the first operator of program %s", p->name) : DT_OK;
}

static dt_status launch_alone(dt_program *p)
{
    DT_TRY(settle(p));
    for (const dt_node *n = skip_views(p->graph->first); n; n = skip_views(n->next)) DT_TRY(run_alone(p, n));
    return DT_OK;
}

dt_status dt_program_run(dt_program *p, const dt_run *run)
{
    begin(p, run);
    if (p->direct) return launch_alone(p);
    if (!dt_device_records(p->exec.device)) return launch(p);
    return dt_replays_run(&p->replays, p->exec.device, run, launch, p);
}

dt_status dt_program_queue_some(dt_program *p, const dt_run *run, dt_node_filter wanted)
{
    begin(p, run);
    for (const dt_node *n = skip_views(p->graph->first); n; n = skip_views(n->next))
        if (wanted(n)) DT_TRY(run_node(p, n));
    return DT_OK;
}

void dt_program_run_direct(dt_program *p) { p->direct = true; }

dt_status dt_program_profile(dt_program *p, const dt_run *run, dt_node_timing timing, void *context)
{
    begin(p, run);
    DT_TRY(settle(p));
    for (const dt_node *n = skip_views(p->graph->first); n; n = skip_views(n->next)) {
        double start = dt_clock();
        DT_TRY(run_alone(p, n));
        timing(context, n, dt_clock() - start);
    }
    return DT_OK;
}

static bool is_finite(dt_dtype dtype, const void *data, int64_t i)
{
    switch (dtype) {
    case DT_F64: return isfinite(((const double *)data)[i]);
    case DT_F32: return isfinite(((const float *)data)[i]);
    case DT_BF16: return (((const uint16_t *)data)[i] & 0x7f80) != 0x7f80; /* all ones in its exponent */
    default: return true;
    }
}

static bool all_finite(dt_dtype dtype, const void *data, int64_t count)
{
    for (int64_t i = 0; i < count; i++)
        if (!is_finite(dtype, data, i)) return false;
    return true;
}

static dt_status check_output(dt_program *p, const dt_node *n, const dt_tensor *t)
{
    char name[LABEL_ROOM];
    if (!t || !dt_dtype_is_float(t->dtype)) return DT_OK;
    size_t bytes = (size_t)dt_tensor_bytes(t);
    void *host = malloc(bytes);
    if (!host) return dt_fail_memory(bytes, "debug.nonfinite");
    dt_status status = dt_device_download(p->exec.device, n->stream, host, t->data, bytes);
    if (!status) status = dt_device_sync(p->exec.device, n->stream);
    if (!status && !all_finite(t->dtype, host, dt_shape_count(&t->shape)))
        status = dt_fail(DT_ERR_NUMERIC, "operator %s made a value that is not finite", label(p, n, name));
    free(host);
    return status;
}

dt_status dt_program_check_finite(dt_program *p, const dt_run *run)
{
    begin(p, run);
    DT_TRY(settle(p));
    for (const dt_node *n = skip_views(p->graph->first); n; n = skip_views(n->next)) {
        DT_TRY(run_alone(p, n));
        if (n->op->flags & DT_OP_ROOM) continue;
        for (int k = 0; k < n->output_count; k++) DT_TRY(check_output(p, n, n->out[k]));
    }
    return DT_OK;
}

dt_status dt_program_read(const dt_program *p, const char *output, void *host, size_t bytes)
{
    for (int i = 0; i < p->graph->outputs.count; i++) {
        const char *name;
        const dt_tensor *t = dt_graph_output_at(p->graph, i, &name);
        if (strcmp(name, output)) continue;
        assert(bytes <= (size_t)dt_tensor_bytes(t));
        return dt_device_download(p->exec.device, DT_STREAM_COMPUTE, host, t->data, bytes);
    }
    return dt_fail(DT_ERR_USAGE, "program %s has no output '%s'", p->name, output);
}
