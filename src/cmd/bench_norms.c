/* What norms cost in a whole model, as table 7 of the DyT paper asks: for each norm, its layers alone and the model
 * around them, forward, and forward and backward. Layers alone are the norm nodes of the model's own programs, fused
 * with residual sums where they are there, one behind another at the addresses that they have. */
#include <stdio.h>
#include <stdlib.h>

#include "cmd/bench.h"
#include "cmd/bench_time.h"
#include "cmd/bench_trial.h"
#include "cmd/table.h"

static const char *const kinds[] = {"rmsnorm", "dyt", "layernorm", "identity"};
enum { RMSNORM, DYT, LAYERNORM, IDENTITY, KINDS };
enum { FORWARD, BOTH, WAYS };
static const char *const programs[WAYS] = {[FORWARD] = "eval", [BOTH] = "pass"};

enum { REPEATS = 4, COPY_BYTES = 1 << 30, PERIOD = 1 << 20 }; /* runs of the layers in one recording */
static const double least_seconds = 1;

typedef struct cost {
    double layers, model; /* seconds */
    double bytes;         /* that the layers must move */
    int nodes;
} cost;

static bool is_norm(const dt_node *n)
{
    return n->op == &dt_op_row_norm || n->op == &dt_op_point_norm || n->op == &dt_op_row_norm_grad ||
           n->op == &dt_op_point_norm_grad;
}

/* --- weights --- */

/* Small numbers without a pattern, the same ones again and again: drawing billions would take longer than all that is
 * timed. A linear congruential generator is good enough here. */
static dt_status fill_matrices(dt_session *session, float *numbers)
{
    const dt_store *store = dt_session_store(session);
    dt_device *device = dt_session_device(session);
    int64_t count = dt_store_count(store, DT_GROUP_MATRIX), period = count < PERIOD ? count : PERIOD;
    void *value = dt_store_data(store, DT_GROUP_MATRIX, DT_BUFFER_VALUE);
    void *working = dt_store_data(store, DT_GROUP_MATRIX, DT_BUFFER_WORKING);
    uint64_t seed = 1;
    for (int64_t i = 0; i < period; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        numbers[i] = (float)(0.04 * (0x1p-30 * (double)(seed >> 33) - 1));
    }
    size_t bytes = (size_t)period * sizeof *numbers;
    DT_TRY(dt_device_upload(device, DT_STREAM_COMPUTE, value, numbers, bytes));
    DT_TRY(dt_bench_repeat(device, value, bytes, (size_t)count * sizeof *numbers));
    if (!working) return DT_OK;
    const dt_kernels *kernels = dt_kernels_of(dt_device_backend(device));
    const dt_queue *queue = dt_device_queue(device, DT_STREAM_COMPUTE);
    return kernels->cast(queue, DT_F32, DT_BF16, count, value, working);
}

/* Vectors as training starts with them; positions, which have none but drawn values, stay zero. */
static dt_status fill_vectors(dt_store *store, float *numbers)
{
    for (int i = 0; i < dt_store_params(store); i++) {
        const dt_param *param = dt_store_param(store, i);
        if (param->group != DT_GROUP_VECTOR || param->init.kind != DT_INIT_CONSTANT || param->count > PERIOD) continue;
        for (int64_t k = 0; k < param->count; k++) numbers[k] = (float)param->init.value;
        DT_TRY(dt_store_write(store, param, DT_BUFFER_VALUE, DT_F32, numbers));
    }
    return DT_OK;
}

static dt_status make_up_weights(dt_session *session)
{
    float *numbers = malloc(PERIOD * sizeof *numbers);
    if (!numbers) return dt_fail_memory(PERIOD * sizeof *numbers, "made-up weights");
    dt_status status = fill_matrices(session, numbers);
    if (!status) status = fill_vectors(dt_session_store(session), numbers);
    free(numbers);
    return status;
}

/* --- something on the compute stream, recorded where the device records --- */

typedef struct work {
    dt_status (*queue)(const struct work *);
    dt_session *session;
    const char *program;  /* whose norms, or */
    size_t bytes;         /* how many to copy */
    dt_recording *recording;
} work;

static dt_status queue_norms(const work *w)
{
    for (int i = 0; i < REPEATS; i++) DT_TRY(dt_session_queue_some(w->session, w->program, is_norm));
    return DT_OK;
}

/* Of the gradients, which nobody needs and of which the matrices' have two bytes a number at least. By our own kernel:
 * a recorded copy of the library's is slower. */
static dt_status queue_copy(const work *w)
{
    const dt_device *device = dt_session_device(w->session);
    const dt_kernels *kernels = dt_kernels_of(dt_device_backend(device));
    char *data = dt_store_data(dt_session_store(w->session), DT_GROUP_MATRIX, DT_BUFFER_GRADIENT);
    for (int i = 0; i < REPEATS; i++)
        DT_TRY(kernels->copy(dt_device_queue(device, DT_STREAM_COMPUTE), (int64_t)w->bytes, data, data + w->bytes));
    return DT_OK;
}

static dt_status run_work(void *context)
{
    const work *w = context;
    dt_device *device = dt_session_device(w->session);
    DT_TRY(w->recording ? dt_recording_run(device, w->recording) : w->queue(w));
    return dt_device_sync(device, DT_STREAM_COMPUTE);
}

static dt_status record(work *w)
{
    dt_device *device = dt_session_device(w->session);
    DT_TRY(dt_recording_begin(device));
    dt_status status = w->queue(w);
    if (!status) return dt_recording_end(device, &w->recording);
    dt_recording_cancel(device);
    return status;
}

/* Seconds of one of the REPEATS. */
static dt_status time_work(work *w, double *seconds)
{
    dt_bench_times t = {0};
    dt_device *device = dt_session_device(w->session);
    DT_TRY(run_work(w)); /* what is loaded late must be loaded before it can be recorded */
    if (dt_device_records(device)) DT_TRY(record(w));
    dt_status status = dt_bench_time(run_work, w, least_seconds / 4, &t);
    dt_recording_free(device, w->recording);
    *seconds = t.median / REPEATS;
    return status;
}

/* --- one kind --- */

static dt_status measure_way(dt_session *session, const char *program, cost *out)
{
    dt_bench_times t;
    work norms = {.queue = queue_norms, .session = session, .program = program};
    const dt_graph *g = dt_program_graph(dt_session_program(session, program));
    for (const dt_node *n = dt_graph_first(g); n; n = n->next) {
        if (!is_norm(n)) continue;
        out->bytes += n->op->cost(n).bytes;
        out->nodes++;
    }
    DT_TRY(dt_bench_time_program(session, program, least_seconds, &t));
    out->model = t.median;
    return time_work(&norms, &out->layers);
}

/* Bytes a second, read and written. */
static dt_status measure_copy(dt_session *session, double *rate)
{
    double seconds = 0;
    size_t half = (size_t)dt_store_bytes(dt_session_store(session), DT_BUFFER_WORKING) / 2 / 256 * 256;
    work copy = {.queue = queue_copy, .session = session, .bytes = half < COPY_BYTES ? half : COPY_BYTES};
    DT_TRY(time_work(&copy, &seconds));
    *rate = 2.0 * (double)copy.bytes / seconds;
    return DT_OK;
}

static dt_status measure_kind(dt_session *session, cost out[WAYS], double *rate)
{
    DT_TRY(make_up_weights(session));
    DT_TRY(dt_session_load_step(session));
    for (int way = 0; way < WAYS; way++) DT_TRY(measure_way(session, programs[way], &out[way]));
    return *rate > 0 ? DT_OK : measure_copy(session, rate);
}

/* --- telling --- */

static void print_head(const dt_session *session)
{
    dt_text model = {0};
    dt_device_info info;
    dt_model_describe(dt_session_model(session), &model);
    printf("model          %s\n", model.data ? model.data : dt_model_arch(dt_session_model(session)));
    if (!dt_device_query(dt_session_device(session), &info)) printf("device         %s\n", info.name);
    printf("pass           %lld samples, without an update\n\n", (long long)dt_session_micro_batch(session));
    printf("milliseconds; layers: the model's norm operators alone, with the residual sums that they make, if any;\n"
           "copy: what moving as many bytes takes in a large copy\n\n");
    printf("%-15s | %-34s | %s\n", "", "forward", "forward and backward");
    printf("%-15s", "norm");
    for (int way = 0; way < WAYS; way++) printf(" | %5s %8s %8s %10s", "nodes", "layers", "copy", "model");
    printf("\n");
}

static void print_kind(const char *kind, const cost c[WAYS], double rate)
{
    printf("%-15s", kind);
    for (int way = 0; way < WAYS; way++)
        printf(" | %5d %8.3f %8.3f %10.3f", c[way].nodes, 1e3 * c[way].layers, 1e3 * c[way].bytes / rate,
               1e3 * c[way].model);
    printf("\n");
    fflush(stdout);
}

static void print_ratio(const char *label, const cost a[WAYS], const cost b[WAYS])
{
    printf("%-15s", label);
    for (int way = 0; way < WAYS; way++)
        printf(" | %5s %8.3f %8.3f %10.3f", "", a[way].layers / b[way].layers, a[way].bytes / b[way].bytes,
               a[way].model / b[way].model);
    printf("\n");
}

static dt_status bench_kind(const dt_settings *settings, bool narrow, int kind, cost out[WAYS], double *rate)
{
    char word[32];
    dt_settings *of = NULL;
    dt_session *session = NULL;
    dt_session_options options = {.no_update = true, .narrow_gradients = narrow};
    const char *const words[] = {word};
    snprintf(word, sizeof word, "norm.kind=%s", kinds[kind]);
    dt_status status = dt_table_vary(settings, words, 1, &of);
    if (!status) status = dt_session_create(of, &options, NULL, &session);
    if (!status && dt_store_type(dt_session_store(session)) != DT_F32)
        status = dt_setting_fail(settings, "precision.mode", "norms are timed beside float32 weights, not in fp64");
    if (!status && kind == 0) print_head(session);
    if (!status) status = measure_kind(session, out, rate);
    if (!status) print_kind(kinds[kind], out, *rate);
    dt_session_free(session);
    dt_settings_free(of);
    return status;
}

dt_status dt_bench_norms(const dt_settings *settings, bool narrow)
{
    cost costs[KINDS][WAYS] = {0};
    double rate = 0;
    for (int kind = 0; kind < KINDS; kind++) DT_TRY(bench_kind(settings, narrow, kind, costs[kind], &rate));
    print_ratio("DyT / RMSNorm", costs[DYT], costs[RMSNORM]);
    print_ratio("DyT / LayerNorm", costs[DYT], costs[LAYERNORM]);
    printf("large copy: %.1f GB/s, read and written\n", 1e-9 * rate);
    return DT_OK;
}
