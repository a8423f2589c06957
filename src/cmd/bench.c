/* dyttrain bench: the command; what it measures is in bench_step.c, bench_profile.c, bench_norms.c and
 * bench_kernels.c. */
#include "cmd/bench.h"

#include <string.h>

#include "cmd/command.h"
#include "cmd/ranks.h"
#include "cmd/table.h"
#include "train/device_choice.h"

/* The shapes of a config's model, which a session knows. AdamW gets the matrices of one block on the CPU, whose caches
 * hold no more of any model, and all parameters on a GPU. */
static dt_status read_shapes(dt_settings *settings, dt_backend backend, dt_log *log, dt_bench_shapes *out)
{
    dt_session *session;
    DT_TRY(dt_session_create(settings, &(dt_session_options){.plan_only = true}, log, &session));
    dt_model_dims dims = dt_model_dims_of(dt_session_model(session));
    bool shares = dt_setting_has(settings, "model.kv_heads");
    *out = (dt_bench_shapes){
        .of = dt_model_reads_tokens(dt_session_model(session)) ? DT_BENCH_TEXT : DT_BENCH_IMAGES,
        .batch = dt_session_micro_batch(session),
        .tokens = dims.tokens,
        .channels = dims.width,
        .heads = dims.heads,
        .kv_heads = shares ? dt_setting_int(settings, "model.kv_heads") : dims.heads,
        .hidden = dims.hidden,
        .classes = dims.classes,
        .parameters = 4 * dims.width * dims.width + 2 * dims.width * dims.hidden,
    };
    if (backend == DT_CUDA) out->parameters = dt_store_trainable(dt_session_store(session));
    dt_session_free(session);
    return DT_OK;
}

static dt_status bench_kernels(dt_settings *settings, bool configured, dt_log *log)
{
    dt_backend backend;
    dt_bench_shapes shapes;
    DT_TRY(dt_device_choose(settings, true, configured ? NULL : log, &backend)); /* a session says it too */
    if (configured) DT_TRY(read_shapes(settings, backend, log, &shapes));
    return dt_bench_kernels(backend, configured ? &shapes : NULL, (int)dt_setting_int(settings, "threads"));
}

/* What the paper's table 7 times. */
static const char seven_billion[] =
    "model: {arch: llama, width: 4096, depth: 32, heads: 32, ffn: 11008, vocabulary: 32000}\n"
    "norm: {bias: false, epsilon: 1e-5}\n"
    "data: {kind: synthetic_text, context: 4096, batch: 1}\n"
    "precision: {mode: bf16}\n";

static dt_status bench_norms(const dt_settings *settings, bool configured, bool narrow, dt_log *log)
{
    dt_backend backend;
    DT_TRY(dt_device_choose(settings, true, log, &backend));
    if (!configured && backend == DT_CPU)
        return dt_fail(DT_ERR_USAGE, "LLaMA 7B is for a GPU: bench --norms CONFIG.yaml takes another model");
    return dt_bench_norms(settings, narrow);
}

static dt_bench_step_options step_options(const dt_arguments *args)
{
    const char *type = dt_arguments_value(args, "--grad-dtype");
    return (dt_bench_step_options){.no_update = dt_arguments_has(args, "--no-update"),
                                   .narrow_gradients = type && strcmp(type, "bf16") == 0};
}

/* Options that say nothing together. */
static dt_status check_options(const dt_arguments *args, bool kernels)
{
    static const char *const of_configs[] = {"--profile", "--no-update", "--norms"};
    for (size_t i = 0; i < sizeof of_configs / sizeof *of_configs; i++)
        if (kernels && dt_arguments_has(args, of_configs[i]))
            return dt_fail(DT_ERR_USAGE, "%s is for the model of a config: leave out 'kernels'", of_configs[i]);
    if (dt_arguments_has(args, "--profile") && dt_arguments_has(args, "--no-update"))
        return dt_fail(DT_ERR_USAGE, "--profile times a whole step: leave out --no-update");
    if (dt_arguments_has(args, "--norms") &&
        (dt_arguments_has(args, "--profile") || dt_arguments_has(args, "--no-update")))
        return dt_fail(DT_ERR_USAGE, "--norms is a benchmark of its own: leave out --profile and --no-update");
    if (dt_arguments_has(args, "--grad-dtype") && !dt_arguments_has(args, "--no-update") &&
        !dt_arguments_has(args, "--norms"))
        return dt_fail(DT_ERR_USAGE, "--grad-dtype goes with --no-update or --norms: optimizers take float32 ones");
    return DT_OK;
}

/* What to measure: 'kernels' before a config, or a config. */
typedef struct subject {
    bool norms, kernels;
    const char *config;
} subject;

static dt_status read_subject(const dt_arguments *args, subject *out)
{
    out->norms = dt_arguments_has(args, "--norms");
    out->kernels = args->word_count && strcmp(args->words[0], "kernels") == 0;
    out->config = args->word_count > out->kernels ? args->words[out->kernels] : NULL;
    if (!args->word_count && !out->norms)
        return dt_fail(DT_ERR_USAGE, "a word is missing: what to measure, CONFIG.yaml or 'kernels'");
    if (!out->kernels && args->word_count > 1)
        return dt_fail(DT_ERR_USAGE, "one word too many: '%s'", args->words[1]);
    return check_options(args, out->kernels);
}

static dt_status load(const dt_arguments *args, subject *of, dt_settings **settings)
{
    DT_TRY(read_subject(args, of));
    if (of->norms && !of->config) return dt_table_parse(args, seven_billion, "LLaMA 7B", settings);
    return dt_table_load(args, of->config, settings);
}

static dt_status bench_together(const dt_arguments *args, const subject *of, dt_settings *settings,
                                const dt_party *party)
{
    if (of->norms || of->kernels || dt_arguments_has(args, "--profile") || dt_arguments_has(args, "--no-update"))
        return dt_fail(DT_ERR_USAGE, "of several ranks only a config's whole step is measured");
    return dt_bench_ranks(settings, party->world, party->log);
}

static dt_status run(const dt_arguments *args, const subject *of, dt_settings *settings, const dt_party *party)
{
    dt_bench_step_options step = step_options(args);
    if (dt_world_size(party->world) > 1) return bench_together(args, of, settings, party);
    if (of->norms) return bench_norms(settings, of->config != NULL, step.narrow_gradients, party->log);
    if (of->kernels) return bench_kernels(settings, of->config != NULL, party->log);
    if (dt_arguments_has(args, "--profile")) return dt_bench_profile(settings, party->log);
    return dt_bench_step(settings, &step, party->log);
}

static dt_status bench(const dt_arguments *args)
{
    dt_log *log = NULL;
    dt_settings *settings = NULL;
    dt_party party;
    subject of = {0};
    DT_TRY(dt_arguments_log(args, &log));
    dt_status status = load(args, &of, &settings);
    if (dt_arguments_has(args, "--print-config")) {
        if (!status) status = dt_table_print_config(settings, log);
    } else {
        status = dt_party_meet(&party, settings, log, status);
        if (!status) status = run(args, &of, settings, &party);
        status = dt_party_leave(&party, status);
    }
    dt_settings_free(settings);
    dt_log_free(log);
    return status;
}

static const char *const gradient_types[] = {"f32", "bf16", NULL};
static const dt_option options[] = {
    {"--profile", NULL, "time every operator of the step and sum by operator and place"},
    {"--no-update", NULL, "time forward, and forward and backward, without an optimizer and its memory"},
    {"--norms", NULL, "time the norms of a model alone and the model around them, RMSNorm, DyT and others"},
    {"--grad-dtype", "TYPE", "with --no-update or --norms: type of matrices' gradients, f32 (as in training) or bf16",
     gradient_types, true},
    {0},
};

const dt_command dt_command_bench = {
    .name = "bench",
    .usage = "bench CONFIG.yaml|kernels [CONFIG.yaml]|--norms [CONFIG.yaml] [path=value ...]",
    .summary = "measure a training step, its operators, or the kernels, and check what they compute",
    .help = "'bench CONFIG.yaml' times whole training steps on made-up input, 'bench --profile CONFIG.yaml' their\n"
            "operators one by one, 'bench kernels' the device's kernels at the config's shapes (or at ViT-S/16's\n"
            "on the CPU, ViT-B/16's, wide norms' and a language model's on a GPU). Speeds stand beside what this\n"
            "machine reaches in a large matrix product and a large copy, measured in the same call. Data files\n"
            "are not needed. 'bench --norms' takes LLaMA 7B and one sequence of 4096 tokens in bfloat16, for a\n"
            "GPU of 128 GiB, or the config's model and micro-batch.",
    .options = options,
    .settings = true,
    .least_words = 0,
    .most_words = 2,
    .every = true,
    .run = bench,
};
