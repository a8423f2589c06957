/* dyttrain plan: what a training step will take, without running it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/place.h"
#include "cmd/plan_ranks.h"
#include "cmd/table.h"
#include "train/inactive.h"
#include "train/train.h"

static const char *const programs[] = {"pass", "update", "eval", "eval_ema", "prefill", "decode", NULL};
/* Of other settings, a plan reads some and the run that it is of more. */
static const char *const planned_sections[] = {"model", "norm", "precision", "cuda", NULL};
enum { LARGEST = 6, MOST_TENSORS = 1024, MOST_GIB = 1 << 16, USUAL_GIB = 80 };

typedef struct world { /* --ranks and --gpu-gib; 0: not given */
    double ranks, gpu_gib;
    dt_settings *settings; /* with ranks: as they were loaded */
    dt_comm *comm;
} world;

static void print_bytes(const char *label, int64_t bytes)
{
    char size[32];
    printf("  %-12s %10s\n", label, dt_text_bytes(size, (double)bytes));
}

static void print_parameters(const dt_store *store)
{
    int64_t of_role[DT_ROLES] = {0}, total = 0;
    char count[32];
    for (int i = 0; i < dt_store_params(store); i++) {
        const dt_param *param = dt_store_param(store, i);
        of_role[param->role] += param->count;
        total += param->count;
    }
    int64_t trainable = dt_store_trainable(store);
    printf("parameters     %s (%lld)", dt_text_count(count, (double)total, ""), (long long)total);
    if (trainable != total) printf(", of which %lld are trained", (long long)trainable);
    printf("\n");
    for (int r = 0; r < DT_ROLES; r++)
        if (of_role[r]) printf("  %-12s %10lld\n", dt_role_name(r), (long long)of_role[r]);
}

static void print_flops(const dt_session *session, const dt_settings *settings, int ranks)
{
    char step[32], sample[32];
    double flops = dt_session_step_flops(session);
    int64_t batch = dt_setting_int(settings, "data.batch");
    printf("step           %lld sample%s in passes of %lld", (long long)batch, batch == 1 ? "" : "s",
           (long long)dt_session_micro_batch(session));
    if (ranks > 1) printf(" on %d ranks", ranks);
    printf("\n");
    printf("  %-12s %10s   %s per sample; three times the forward pass, recomputation not counted\n", "work",
           dt_text_count(step, flops, "FLOP"), dt_text_count(sample, flops / (double)batch, "FLOP"));
}

static void print_device(dt_device *device, int64_t planned)
{
    dt_device_info info;
    char size[32], available[32];
    if (dt_device_query(device, &info)) return; /* a plan does not need it */
    printf("  %-12s %10s   has %s, %s of it free now%s\n", "device", dt_text_bytes(size, (double)info.memory_total),
           info.name, dt_text_bytes(available, (double)info.memory_free),
           planned > info.memory_total ? ": TOO LITTLE" : planned > info.memory_free ? ": TOO LITTLE IS FREE" : "");
}

static void print_part(const char *label, int64_t bytes)
{
    char size[32];
    if (bytes) printf("    %-18s %10s\n", label, dt_text_bytes(size, (double)bytes));
}

/* What no plan knows, the program, as measured in runs on small models; and what lies in host memory on any device. */
static dt_status print_outside(const dt_session *session, const dt_settings *settings)
{
    enum { PROGRAM = 5 << 20 };
    dt_host_memory host;
    char size[32];
    DT_TRY(dt_session_host_memory(session, settings, &host));
    if (dt_session_backend(session) == DT_CUDA)
        printf("  %-12s %10s   CUDA context and libraries\n", "outside", dt_text_bytes(size, DT_PLAN_OUTSIDE));
    print_bytes("outside, host", PROGRAM + host.data + host.batches + host.snapshot);
    print_part("program, libraries", PROGRAM);
    print_part("data set", host.data);
    print_part("batches ready", host.batches);
    print_part("copy to be saved", host.snapshot);
    return DT_OK;
}

static dt_status print_memory(const dt_session *session, const dt_settings *settings)
{
    int64_t total = 0;
    printf("memory\n");
    for (int m = 0; m < DT_MEMORY_CATEGORIES; m++) {
        int64_t bytes = dt_session_memory(session, (dt_memory)m);
        if (bytes) print_bytes(dt_memory_name((dt_memory)m), bytes);
        total += bytes;
    }
    print_bytes("total", total);
    DT_TRY(print_outside(session, settings));
    if (dt_device_backend(dt_session_device(session)) == dt_session_backend(session))
        print_device(dt_session_device(session), total);
    return DT_OK;
}

/* --- the largest tensors --- */

typedef struct kind { /* tensors alike in all blocks */
    const dt_tensor *first;
    char place[DT_PLACE_ROOM];
    int64_t count, bytes;
} kind;

static bool is_alike(const kind *k, const dt_tensor *tensor, const char *place)
{
    const dt_node *a = k->first->maker, *b = tensor->maker;
    return a->op == b->op && a->backward == b->backward && strcmp(k->place, place) == 0 &&
           k->first->dtype == tensor->dtype && dt_shape_equal(&k->first->shape, &tensor->shape);
}

static int collect_kinds(const dt_tensor *const *tensors, int count, kind *kinds)
{
    int used = 0;
    for (int i = 0; i < count; i++) {
        char place[DT_PLACE_ROOM];
        int k = 0;
        dt_place_fold(tensors[i]->maker->scope, place);
        while (k < used && !is_alike(&kinds[k], tensors[i], place)) k++;
        if (k == used) {
            kinds[used++] = (kind){.first = tensors[i]};
            strcpy(kinds[k].place, place);
        }
        kinds[k].count++;
        kinds[k].bytes += dt_shape_count(&tensors[i]->shape) * (int64_t)dt_dtype_size(tensors[i]->dtype);
    }
    return used;
}

static int by_bytes(const void *a, const void *b)
{
    const kind *x = a, *y = b;
    return (x->bytes < y->bytes) - (x->bytes > y->bytes);
}

static void print_kind(const kind *k)
{
    char size[32], shape[96];
    const dt_node *maker = k->first->maker;
    printf("    %10s  %4lld x %s %-22s %s%s%s%s\n", dt_text_bytes(size, (double)k->bytes), (long long)k->count,
           dt_dtype_name(k->first->dtype), dt_shape_text(&k->first->shape, shape), k->place, k->place[0] ? ": " : "",
           maker->op->name, maker->backward ? ", backward" : "");
}

static void print_program(const dt_program *program)
{
    const dt_tensor *tensors[MOST_TENSORS];
    kind kinds[MOST_TENSORS];
    char size[32];
    int count = collect_kinds(tensors, dt_program_peak(program, tensors, MOST_TENSORS), kinds);
    qsort(kinds, (size_t)count, sizeof *kinds, by_bytes);
    printf("  %-12s %10s   %d operators\n", dt_program_name(program),
           dt_text_bytes(size, (double)dt_program_arena_bytes(program)),
           dt_graph_node_count(dt_program_graph(program)));
    for (int i = 0; i < count && i < LARGEST; i++) print_kind(&kinds[i]);
}

/* GPUs as this machine has, or as most have. */
static int64_t gpu_memory(const dt_session *session, const world *of)
{
    dt_device_info info;
    dt_device *device = dt_session_device(session);
    if (of->gpu_gib > 0) return (int64_t)(of->gpu_gib * (1 << 30));
    if (dt_device_backend(device) == DT_CUDA && !dt_device_query(device, &info)) return info.memory_total;
    return (int64_t)USUAL_GIB << 30;
}

static dt_status print_ranks(const dt_session *session, const world *of)
{
    return dt_plan_ranks_print(
        &(dt_plan_world){.settings = of->settings, .ranks = (int)of->ranks, .memory = gpu_memory(session, of)});
}

static dt_status print_plan(const dt_session *session, const dt_settings *settings, const world *of)
{
    dt_text model = {0};
    dt_model_describe(dt_session_model(session), &model);
    printf("model          %s\n", model.data && !model.failed ? model.data : "");
    dt_text_free(&model);
    print_parameters(dt_session_store(session));
    print_flops(session, settings, (int)of->ranks);
    DT_TRY(print_memory(session, settings));
    if (of->ranks > 0) DT_TRY(print_ranks(session, of));
    printf("arena by program, with what takes most at its peak\n");
    for (const char *const *name = programs; *name; name++) {
        const dt_program *program = dt_session_program(session, *name);
        if (program) print_program(program);
    }
    return DT_OK;
}

static dt_status print_graph(const dt_session *session, const char *name)
{
    dt_text text = {0};
    const dt_program *program = dt_session_program(session, name);
    if (!program) return dt_fail(DT_ERR_USAGE, "these settings make no program '%s' (train.ema is 0)", name);
    dt_graph_print(dt_program_graph(program), &text);
    dt_status status = dt_text_status(&text);
    if (!status) fputs(text.data, stdout);
    dt_text_free(&text);
    return status;
}

/* Programs that generate text come in a session of their own. */
static dt_session_options options_for(const char *graph)
{
    bool generates = graph && (strcmp(graph, "prefill") == 0 || strcmp(graph, "decode") == 0);
    return (dt_session_options){.plan_only = true, .eval_only = generates, .sequences = generates};
}

static dt_status read_world(const dt_arguments *args, world *out)
{
    DT_TRY(dt_arguments_whole(args, "--ranks", DT_MOST_RANKS, &out->ranks));
    DT_TRY(dt_arguments_number(args, "--gpu-gib", 1, MOST_GIB, &out->gpu_gib));
    if (out->gpu_gib == 0 || out->ranks > 0) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "--gpu-gib says how large each GPU of --ranks is: give --ranks too");
}

static dt_status open_world(const dt_settings *settings, world *of, dt_session_options *options)
{
    if (of->ranks == 0) return DT_OK;
    DT_TRY(dt_table_vary(settings, NULL, 0, &of->settings));
    DT_TRY(dt_comm_create_planned((int)of->ranks, &of->comm));
    options->comm = of->comm;
    return DT_OK;
}

static dt_status plan(const dt_arguments *args)
{
    dt_status status;
    world of = {0};
    dt_log *log = NULL;
    dt_settings *settings = NULL;
    dt_session *session = NULL;
    const char *graph = dt_arguments_value(args, "--graph");
    dt_session_options session_options = options_for(graph);
    DT_TRY(read_world(args, &of));
    DT_TRY_GOTO(dt_arguments_log(args, &log), done);
    DT_TRY_GOTO(dt_table_load(args, args->words[0], &settings), done);
    if (dt_arguments_has(args, "--print-config")) {
        DT_TRY_GOTO(dt_table_print_config(settings, log), done);
        goto done;
    }
    DT_TRY_GOTO(open_world(settings, &of, &session_options), done);
    DT_TRY_GOTO(dt_session_create(settings, &session_options, log, &session), done);
    dt_inactive_log(settings, &(dt_inactive_options){.sections = planned_sections}, "run", log);
    if (graph) status = print_graph(session, graph);
    else status = print_plan(session, settings, &of);
done:
    dt_session_free(session);
    dt_comm_free(of.comm);
    dt_settings_free(of.settings);
    dt_settings_free(settings);
    dt_log_free(log);
    return status;
}

static const dt_option options[] = {
    {"--graph", "PROGRAM", "print a program's graph as text: pass (default), update, eval, eval_ema, prefill, decode",
     programs},
    {"--ranks", "N", "plan one of N ranks; what each holds and sends at every parallel.zero, and which of them fit"},
    {"--gpu-gib", "N", "with --ranks: memory of one GPU (that of the GPU here, else 80)"},
    {0},
};

const dt_command dt_command_plan = {
    .name = "plan",
    .usage = "plan CONFIG.yaml [path=value ...]",
    .summary = "say what a training step takes (parameters, FLOPs, memory), without running it",
    .help = "Prints parameters by role, the work of a step, and the memory plan. Needs no data files, no GPU and\n"
            "allocates no tensor, so that any config can be planned on any machine; one for a GPU by a program that\n"
            "was built with CUDA.",
    .options = options,
    .settings = true,
    .least_words = 1,
    .most_words = 1,
    .run = plan,
};
