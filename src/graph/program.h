/* Programs: a planned graph, made once and run many times.
 *
 * dt_program_create plans memory: every DT_VALUE root gets an offset in one arena from the lifetimes over the ordered
 * list; inputs that die may hand their memory to an output. The plan is a pure function of the graph. The arena is
 * shared: the run allocates one as large as the largest program needs and binds all programs to it. */
#ifndef DT_GRAPH_PROGRAM_H
#define DT_GRAPH_PROGRAM_H

#include "graph/op.h"
#include "graph/store.h"

typedef struct dt_program dt_program;

typedef struct dt_plan_options {
    uint64_t shuffle;      /* tests: place roots in another order (0: largest first) */
    bool no_in_place;      /* tests */
    bool poison;           /* tests: fill the arena with NaN before every run */
} dt_plan_options;

/* Takes ownership of the graph, also on failure. */
DT_MUST_USE dt_status dt_program_create(dt_graph *, const char *name, dt_backend, const dt_device_info *,
                                        const dt_plan_options *, dt_program **out);
void dt_program_free(dt_program *);
const dt_graph *dt_program_graph(const dt_program *);
const char *dt_program_name(const dt_program *);
int64_t dt_program_arena_bytes(const dt_program *);
int64_t dt_program_feed_bytes(const dt_program *);
dt_cost dt_program_cost(const dt_program *, bool backward_too);
/* The largest roots alive at the peak, for `plan` and out-of-memory messages: fills at most `room`, returns count. */
int dt_program_peak(const dt_program *, const dt_tensor **out, int room);

/* Once. The store's memory and the arena must be there; both stay the caller's. The program is freed before the device
 * is closed. */
DT_MUST_USE dt_status dt_program_bind(dt_program *, dt_device *, dt_comm *, void *arena);
typedef struct dt_run {
    const void *slot; /* device address of the feed slot; NULL when the graph has no inputs */
    bool accumulate;  /* not the first micro-batch of the step */
    bool last;        /* the last one */
} dt_run;
/* Where the device records (device.h), a combination of slot and flags is recorded when it comes for the second time
 * and replayed from then on. */
DT_MUST_USE dt_status dt_program_run(dt_program *, const dt_run *);
/* Queues the nodes that are wanted, in their order, on what lies in memory; recording them is the caller's affair. What
 * they write makes no sense: for benchmarks of a part. */
typedef bool (*dt_node_filter)(const dt_node *);
DT_MUST_USE dt_status dt_program_queue_some(dt_program *, const dt_run *, dt_node_filter wanted);
/* From now on node by node, never recorded. The host waits for each, so that a fault of the device, which otherwise is
 * reported by whatever call comes next, names the operator that it comes from. Profilers see a range for each. */
void dt_program_run_direct(dt_program *);
/* Copies an output to the host: queued on the compute stream behind the run. */
DT_MUST_USE dt_status dt_program_read(const dt_program *, const char *output, void *host, size_t bytes);
const dt_feed_field *dt_program_feed(const dt_program *, const char *name); /* NULL when there is none */

/* Seconds of one run for each node that has work, for `bench --profile`. */
typedef void (*dt_node_timing)(void *context, const dt_node *, double seconds);
DT_MUST_USE dt_status dt_program_profile(dt_program *, const dt_run *, dt_node_timing, void *context);
/* Runs node by node and stops with DT_ERR_NUMERIC naming the first node with an output that is not finite. */
DT_MUST_USE dt_status dt_program_check_finite(dt_program *, const dt_run *);

#endif
