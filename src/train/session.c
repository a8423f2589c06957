/* A session: device, model, store and programs of one run, in the order in which they depend on each other. */
#include "train/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "comm/open.h"
#include "data/tokenizer.h"
#include "device/peaks.h"
#include "kernels/kernels.h"
#include "kernels/limits.h"
#include "train/device_choice.h"
#include "train/rank_choices.h"
#include "train/rank_share.h"
#include "train/ranks.h"

/* --- programs --- */

static dt_build build_of(const dt_session *s)
{
    return (dt_build){s->model, &s->info, &s->recipe, s->store, &s->optimizer};
}

/* Runs the passes over a graph and plans it. The program owns the graph, which is freed where that fails. */
static dt_status finish_program(dt_session *s, dt_program_id id, const char *name, dt_graph *g, dt_tensor *loss)
{
    dt_status status = dt_passes_run(g, loss, &s->recipe.passes);
    if (status) {
        dt_graph_free(g);
        return status;
    }
    DT_TRY(dt_program_create(g, name, s->backend, &s->device_info, &(dt_plan_options){0}, &s->program[id]));
    if (s->recipe.direct) dt_program_run_direct(s->program[id]);
    return DT_OK;
}

static dt_status make_training(dt_session *s)
{
    dt_build build = build_of(s);
    dt_graph *g = NULL;
    dt_tensor *loss = NULL;
    DT_TRY(dt_build_pass(&build, &g, &loss));
    dt_status status = dt_store_layout(s->store, s->recipe.type);
    if (!status && s->optimizer.entry)
        status = dt_optimizer_spans(&s->optimizer, s->store, s->options.plan_only ? NULL : s->device);
    if (status) {
        dt_graph_free(g);
        return status;
    }
    DT_TRY(finish_program(s, DT_PROGRAM_PASS, "pass", g, loss));
    DT_TRY(dt_build_update(&build, &g));
    return finish_program(s, DT_PROGRAM_UPDATE, "update", g, NULL);
}

/* Plans a graph of forward passes, which it takes over. */
static dt_status finish_forward(dt_session *s, dt_program_id id, const char *name, dt_graph *g)
{
    dt_status status = dt_store_layout(s->store, s->recipe.type);
    if (!status) return finish_program(s, id, name, g, NULL);
    dt_graph_free(g);
    return status;
}

static dt_status make_eval(dt_session *s, dt_program_id id, const char *name, dt_buffer buffer)
{
    dt_build build = build_of(s);
    dt_graph *g = NULL;
    DT_TRY(dt_build_eval(&build, buffer, &g));
    return finish_forward(s, id, name, g);
}

static dt_status make_next(dt_session *s, dt_program_id id, const char *name, int64_t tokens)
{
    dt_build build = build_of(s);
    dt_graph *g = NULL;
    DT_TRY(dt_build_next(&build, s->options.sequences, tokens, &g));
    return finish_forward(s, id, name, g);
}

static dt_status check_text(const dt_session *s, const char *what)
{
    if (s->info.form == DT_FORM_TOKENS) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "%s is not a language model: there is no text to %s", dt_model_arch(s->model), what);
}

dt_status dt_session_check_vocabulary(const dt_session *s, int64_t tokens)
{
    int64_t known = dt_model_dims_of(s->model).classes;
    if (tokens <= known) return DT_OK;
    return dt_fail(DT_ERR_USAGE, "the tokenizer has %lld tokens and the model %lld: it was trained with another one",
                   (long long)tokens, (long long)known);
}

static dt_status make_scores(dt_session *s)
{
    dt_build build = build_of(s);
    int64_t context = s->info.context, tokens = context;
    DT_TRY(check_text(s, "score"));
    for (int i = 0; i < DT_SCORE_LENGTHS && (!i || tokens >= DT_SCORE_LEAST); i++, tokens = (tokens + 1) / 2) {
        char name[32];
        dt_graph *g = NULL;
        int64_t texts = context / tokens < DT_SCORE_TEXTS ? context / tokens : DT_SCORE_TEXTS;
        snprintf(name, sizeof name, "score.%lld", (long long)tokens);
        DT_TRY(dt_build_scores(&build, texts, tokens, &g));
        DT_TRY(finish_forward(s, (dt_program_id)(DT_PROGRAM_SCORE + i), name, g));
    }
    return DT_OK;
}

static dt_status make_generation(dt_session *s)
{
    int64_t context = s->info.context;
    DT_TRY(check_text(s, "generate"));
    DT_TRY(make_next(s, DT_PROGRAM_PREFILL, "prefill", context < DT_PREFILL_TOKENS ? context : DT_PREFILL_TOKENS));
    return make_next(s, DT_PROGRAM_DECODE, "decode", 1);
}

static dt_status make_programs(dt_session *s)
{
    if (s->options.sequences) return make_generation(s);
    if (s->options.scores) return make_scores(s);
    if (!s->options.eval_only) DT_TRY(make_training(s));
    DT_TRY(make_eval(s, DT_PROGRAM_EVAL, "eval", DT_BUFFER_VALUE));
    if (dt_session_keeps_average(s)) DT_TRY(make_eval(s, DT_PROGRAM_EVAL_EMA, "eval_ema", DT_BUFFER_EMA));
    return DT_OK;
}

/* --- life --- */

static bool means_gpu(const dt_settings *settings)
{
    const char *device = dt_setting_text(settings, "device");
    return !strcmp(device, "cuda") || (!strcmp(device, "auto") && dt_recipe_needs_gpu(settings));
}

/* What a GPU's kernels need follows from the shapes, so plans for it are made on any machine. */
static bool plans_absent_gpu(const dt_session *s, const dt_settings *settings)
{
    return s->options.plan_only && means_gpu(settings) && dt_backend_built(DT_CUDA) &&
           !dt_backend_count(DT_CUDA, NULL);
}

/* Settings follow from nothing that the kernels need: the CPU's will do, in the type that evaluations take there. */
static bool lacks_kernels(const dt_session *s, const dt_settings *settings)
{
    return s->options.settings_only && means_gpu(settings) && !dt_backend_built(DT_CUDA);
}

/* But only by a program that has these kernels. */
static dt_status check_built(const dt_session *s, const dt_settings *settings)
{
    if (lacks_kernels(s, settings)) return DT_OK;
    bool meant = !strcmp(dt_setting_text(settings, "device"), "auto") && dt_recipe_needs_gpu(settings);
    if (!meant || !s->options.plan_only || s->options.eval_only || dt_backend_built(DT_CUDA)) return DT_OK;
    return dt_setting_fail(settings, "precision.mode", "%s needs a GPU, and this program was built without CUDA: "
                           "build it where nvcc is (for a plan no GPU is needed), or take precision.mode=fp32 for the "
                           "CPU", dt_setting_text(settings, "precision.mode"));
}

/* The back end, the same on all ranks. */
static dt_status choose_backend(dt_session *s, const dt_settings *settings, dt_log *log)
{
    dt_world *world = s->options.world;
    dt_status status = DT_OK;
    if (plans_absent_gpu(s, settings)) s->backend = DT_CUDA;
    else if (s->options.weights_only || lacks_kernels(s, settings)) s->backend = DT_CPU;
    else status = dt_device_choose(settings, dt_ranks_alone(world), log, &s->backend);
    DT_TRY(dt_ranks_join(world, "choosing devices", status));
    const char *name = dt_backend_name(s->backend);
    return dt_world_agree(world, "device", dt_hash_text(name), name);
}

/* A plan needs no GPU: one that does not start, since other processes hold its memory, say, is planned for like one
 * that is not there. */
static dt_status open_or_do_without(dt_session *s, dt_backend backend, int index, int threads)
{
    dt_status status = dt_device_open(backend, index, threads, &s->device);
    if (!status || !s->options.plan_only || backend != DT_CUDA) return status;
    dt_log_info(s->log, "planning without the GPU: %s", dt_error_message());
    dt_error_clear();
    return dt_device_open(DT_CPU, 0, threads, &s->device);
}

/* Which device of it, with how many threads. */
static dt_status open_share(dt_session *s, const dt_settings *settings)
{
    int index, threads = (int)dt_setting_int(settings, "threads"), wish = threads;
    dt_backend backend = plans_absent_gpu(s, settings) ? DT_CPU : s->backend;
    DT_TRY(dt_comm_place(s->options.world, backend, &index));
    if (!threads) DT_TRY(dt_rank_threads(s->options.world, &threads));
    dt_status status = open_or_do_without(s, backend, index, threads);
    if (status && wish) status = dt_fail_in(status, "threads=%d", wish);
    if (!status) status = dt_device_query(s->device, &s->device_info);
    return dt_ranks_join(s->options.world, "opening devices", status);
}

static dt_status open_device(dt_session *s, const dt_settings *settings, dt_log *log)
{
    DT_TRY(choose_backend(s, settings, log));
    DT_TRY(open_share(s, settings));
    s->comm = s->options.comm;
    if (s->comm) return DT_OK;
    return dt_comm_open(s->options.alone ? NULL : s->options.world, s->device, &s->comm);
}

/* The synthetic set makes whatever the model asks for. */
static dt_status fit_synthetic_data(dt_settings *settings)
{
    static const char *const pairs[][2] = {{"model.image", "data.image"}, {"model.classes", "data.classes"}};
    if (!dt_setting_has(settings, "data.kind") || strcmp(dt_setting_text(settings, "data.kind"), "synthetic") != 0)
        return DT_OK;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++)
        if (dt_setting_has(settings, pairs[i][0]))
            DT_TRY(dt_setting_derive_int(settings, pairs[i][1], dt_setting_int(settings, pairs[i][0])));
    return DT_OK;
}

/* A model may have room for more tokens than there are; where the data set does not yet know, the model says how many
 * there may be. */
static dt_status fit_vocabulary(dt_session *s, dt_settings *settings)
{
    if (s->info.form != DT_FORM_TOKENS || dt_setting_has(settings, "data.vocabulary") ||
        !dt_setting_has(settings, "model.vocabulary"))
        return DT_OK;
    int64_t vocabulary = dt_setting_int(settings, "model.vocabulary");
    if (vocabulary <= s->info.vocabulary) return DT_OK;
    s->info.vocabulary = vocabulary;
    return dt_setting_derive_int(settings, "data.vocabulary", vocabulary);
}

/* What only classes have. */
static dt_status fit_text(const dt_session *s, dt_settings *settings)
{
    bool images = s->info.form == DT_FORM_IMAGES;
    if (!images && s->recipe.smoothing > 0)
        return dt_setting_fail(settings, "train.label_smoothing", "is of classes, and this run predicts tokens");
    if (!dt_setting_has(settings, "checkpoint.best_metric"))
        return dt_setting_derive_text(settings, "checkpoint.best_metric", images ? "eval.top1" : "eval.loss");
    if (!images && strstr(dt_setting_text(settings, "checkpoint.best_metric"), "top1"))
        return dt_setting_fail(settings, "checkpoint.best_metric", "is of classes, and this run predicts tokens: take "
                               "eval.loss");
    return DT_OK;
}

/* Groups of neighbouring ranks share, where they are to; what is the n-th of its group are replicas of each other. */
static dt_status share_store(dt_session *s)
{
    int rank = dt_comm_rank(s->comm), ranks = dt_comm_size(s->comm);
    int group = s->recipe.sharers > 1 ? s->recipe.sharers : ranks;
    if (group < ranks && s->options.plan_only) {
        DT_TRY(dt_comm_create_planned(group, &s->sharers));
        DT_TRY(dt_comm_create_planned(ranks / group, &s->replicas));
    } else if (group < ranks) {
        DT_TRY(dt_comm_split(s->comm, rank / group, &s->sharers));
        DT_TRY(dt_comm_split(s->comm, rank % group, &s->replicas));
    }
    dt_store_share(s->store, (dt_share){.comm = s->sharers ? s->sharers : s->comm,
                                        .replicas = s->replicas,
                                        .level = s->recipe.zero,
                                        .bucket_bytes = s->recipe.bucket_bytes,
                                        .working = s->recipe.working});
    return DT_OK;
}

/* Before the run folder is made. */
static dt_status check_heads(const dt_session *s, const dt_settings *settings)
{
    dt_model_dims dims = dt_model_dims_of(s->model);
    if (s->backend != DT_CUDA || !dims.heads || dims.width / dims.heads <= DT_CUDA_HEAD_MOST) return DT_OK;
    return dt_setting_fail(settings, "model.heads", "%lld head%s of a model.width of %lld %s of size %lld, and CUDA's "
                           "attention takes up to %d: more heads, or device=cpu", (long long)dims.heads,
                           dims.heads == 1 ? "" : "s", (long long)dims.width, dims.heads == 1 ? "is" : "are",
                           (long long)(dims.width / dims.heads), (int)DT_CUDA_HEAD_MOST);
}

static dt_status make_model(dt_session *s, dt_settings *settings)
{
    DT_TRY(fit_synthetic_data(settings));
    if (dt_model_arch_reads_tokens(settings) && dt_setting_has(settings, "model.vocabulary") &&
        !dt_setting_has(settings, "data.vocabulary"))
        DT_TRY(dt_setting_derive_int(settings, "data.vocabulary", dt_setting_int(settings, "model.vocabulary")));
    DT_TRY(dt_dataset_describe(settings, DT_SPLIT_TRAIN, &s->info));
    DT_TRY(fit_vocabulary(s, settings));
    dt_model_input input = {.channels = s->info.channels, .height = s->info.height, .width = s->info.width,
                            .classes = s->info.classes, .context = s->info.context, .vocabulary = s->info.vocabulary};
    DT_TRY(fit_text(s, settings));
    DT_TRY(dt_model_create(settings, &input, &s->model));
    DT_TRY(check_heads(s, settings));
    DT_TRY(dt_store_create(&s->store));
    return share_store(s);
}

/* Two runs that time each by itself may choose differently: where choices cannot be kept, nothing is timed. */
static void keep_choices(dt_session *s, const dt_settings *settings)
{
    char machine[512], versions[DT_VERSIONS_ROOM];
    if (s->backend != DT_CUDA || s->options.plan_only || !dt_setting_bool(settings, "cuda.tune")) return;
    snprintf(machine, sizeof machine, "%s, %s, dyttrain %s", s->device_info.name,
             dt_backend_versions(s->backend, versions), DT_VERSION);
    dt_choices *choices = dt_device_choices(s->device);
    if (dt_choices_open(choices, machine, s->log))
        dt_log_warn(s->log, "%s; %s", dt_error_message(),
                    dt_choices_found(choices) ? "what was tuned before is used, and nothing else is tuned"
                                              : "products and attention are not tuned");
}

/* By itself cuDNN is wanted only where the faster engine is found by timing, for which choices are kept, or may have
 * been found before, and in the one type that it takes. */
static bool wants_cudnn(const dt_session *s, const dt_settings *settings)
{
    if (strcmp(dt_setting_text(settings, "cuda.attention"), "auto") != 0 ||
        strcmp(dt_setting_text(settings, "precision.mode"), "bf16") != 0)
        return false;
    const dt_choices *choices = dt_device_choices(s->device);
    return s->options.plan_only ? dt_setting_bool(settings, "cuda.tune")
                                : dt_choices_kept(choices) || dt_choices_found(choices);
}

/* Lets attention be cuDNN's. A plan for a GPU that is not there counts what cuDNN might take. */
static dt_status take_cudnn(dt_session *s, const dt_settings *settings)
{
    char why[512];
    if (s->backend != DT_CUDA) return DT_OK; /* before the setting is read: on the CPU it is inactive */
    bool always = !strcmp(dt_setting_text(settings, "cuda.attention"), "cudnn");
    if (!always && !wants_cudnn(s, settings)) return DT_OK;
    if (dt_device_backend(s->device) != DT_CUDA) {
        s->device_info.cudnn = dt_cudnn_built();
        return DT_OK;
    }
    if (!dt_device_use_cudnn(s->device, always)) return dt_device_query(s->device, &s->device_info);
    snprintf(why, sizeof why, "%s", dt_error_message());
    dt_error_clear();
    return always ? dt_setting_fail(settings, "cuda.attention", "cudnn cannot be used: %s", why) : DT_OK;
}

/* Evaluations take as many samples as a pass: both are to be compared. */
static dt_status leave_out_update(dt_session *s, const dt_settings *settings)
{
    s->recipe.ema = 0;
    s->recipe.eval_batch = s->recipe.micro;
    if (!s->options.narrow_gradients) return DT_OK;
    if (!s->recipe.working)
        return dt_setting_fail(settings, "precision.mode", "gradients are bfloat16 only where matrices are: with "
                               "precision.mode=bf16");
    dt_store_narrow_gradients(s->store);
    return DT_OK;
}

static dt_status create(dt_session *s, dt_settings *settings, dt_log *log)
{
    DT_TRY(check_built(s, settings));
    DT_TRY(open_device(s, settings, log));
    keep_choices(s, settings);
    DT_TRY(take_cudnn(s, settings));
    bool forward = s->options.eval_only || lacks_kernels(s, settings);
    DT_TRY(dt_recipe_read(settings, s->backend, forward, dt_comm_size(s->comm), &s->recipe));
    if (!s->options.eval_only) dt_recipe_warn(&s->recipe, settings, dt_comm_size(s->comm), log);
    DT_TRY(make_model(s, settings));
    if (s->options.no_update) DT_TRY(leave_out_update(s, settings));
    else if (!s->options.eval_only) DT_TRY(dt_optimizer_create(settings, &s->optimizer));
    DT_TRY(make_programs(s));
    dt_session_measure(s);
    dt_session_advise(s);
    DT_TRY(dt_session_agree(s));
    return s->options.plan_only || s->options.bind_later ? DT_OK : dt_session_bind(s);
}

dt_status dt_session_create(dt_settings *settings, const dt_session_options *options, dt_log *log, dt_session **out)
{
    dt_session *s = calloc(1, sizeof *s);
    if (!s) return dt_fail_memory(sizeof *s, "the session");
    s->options = *options;
    s->log = log;
    dt_status status = create(s, settings, log);
    if (status) dt_session_free(s);
    else *out = s;
    return status;
}

void dt_session_free(dt_session *s)
{
    if (!s) return;
    for (int id = 0; id < DT_PROGRAMS; id++) dt_program_free(s->program[id]);
    /* Before memory, which a device frees only once nothing is under way: behind a failure that may wait for ranks that
     * are gone, until its communicator gives it up. */
    dt_comm_free(s->sharers);
    dt_comm_free(s->replicas);
    if (!s->options.comm) dt_comm_free(s->comm);
    dt_session_release_memory(s);
    dt_store_free(s->store);
    dt_model_free(s->model);
    dt_device_close(s->device);
    free(s);
}

/* --- what callers ask --- */

dt_store *dt_session_store(const dt_session *s) { return s->store; }
dt_device *dt_session_device(const dt_session *s) { return s->device; }
const dt_model *dt_session_model(const dt_session *s) { return s->model; }
int64_t dt_session_micro_batch(const dt_session *s) { return s->recipe.micro; }

dt_program *dt_session_program(const dt_session *s, const char *name)
{
    for (int id = 0; id < DT_PROGRAMS; id++)
        if (s->program[id] && !strcmp(dt_program_name(s->program[id]), name)) return s->program[id];
    return NULL;
}

dt_backend dt_session_backend(const dt_session *s) { return s->backend; }

dt_status dt_session_explain(const dt_session *s, dt_status status)
{
    if (status != DT_ERR_DEVICE || !s || !s->arena || s->backend != DT_CUDA || s->recipe.direct) return status;
    return dt_fail(status, "%s; debug.direct=true names the operator that fails", dt_error_message());
}

double dt_session_step_flops(const dt_session *s)
{
    if (!s->program[DT_PROGRAM_PASS]) return 0;
    double forward = dt_program_cost(s->program[DT_PROGRAM_PASS], false).flops;
    return 3 * forward * (double)s->recipe.accumulate * dt_comm_size(s->comm);
}

double dt_session_peak_flops(const dt_session *s)
{
    static const dt_peak peak[] = {[DT_PRECISION_FP32] = DT_PEAK_F32, [DT_PRECISION_FP64] = DT_PEAK_F32,
                                   [DT_PRECISION_TF32] = DT_PEAK_TF32, [DT_PRECISION_BF16] = DT_PEAK_BF16};
    if (s->backend == DT_CPU) return NAN;
    return dt_comm_size(s->comm) * dt_peak_flops(s->device_info.name, peak[s->recipe.passes.precision]);
}

json_t *dt_session_numerics(const dt_session *s)
{
    json_int_t binary = (json_int_t)dt_hash_program(); /* a number: ranks need not agree on it */
    char versions[DT_VERSIONS_ROOM], attention[DT_CUDNN_TEXT];
    const char *device = dt_backend_name(s->backend);
    const dt_cudnn *cudnn = dt_device_queue(s->device, DT_STREAM_COMPUTE)->cudnn;
    if (s->backend == DT_CUDA)
        return json_pack("{ss sI ss ss ss ss si so}", "dyttrain", DT_VERSION, "binary", binary, "device", device,
                         "gpu", s->device_info.name, "libraries", dt_backend_versions(s->backend, versions),
                         "attention", dt_cudnn_text(cudnn, attention), "rank_count", s->recipe.ranks, "products",
                         dt_choices_record(dt_device_choices(s->device)));
    return json_pack("{ss sI ss ss si si}", "dyttrain", DT_VERSION, "binary", binary, "device", device, "cpu_kernels",
                     dt_kernels_of(s->backend)->name, "threads", s->device_info.threads, "rank_count", s->recipe.ranks);
}

/* --- data --- */

static dt_status check_vocabulary(const dt_data_info *planned, const dt_data_info *found)
{
    if (planned->vocabulary == found->vocabulary) return DT_OK;
    return dt_fail(DT_ERR_DATA, "the data set has a vocabulary of %lld where the settings say %lld: set "
                   "data.vocabulary", (long long)found->vocabulary, (long long)planned->vocabulary);
}

static dt_status check_shapes(const dt_data_info *planned, const dt_data_info *found)
{
    if (found->form == DT_FORM_TOKENS) return check_vocabulary(planned, found);
    if (planned->channels == found->channels && planned->height == found->height && planned->width == found->width &&
        planned->classes == found->classes)
        return DT_OK;
    return dt_fail(DT_ERR_DATA, "the data set holds %lld x %lld x %lld images of %lld classes where the settings say "
                   "%lld x %lld x %lld and %lld", (long long)found->channels, (long long)found->height,
                   (long long)found->width, (long long)found->classes, (long long)planned->channels,
                   (long long)planned->height, (long long)planned->width, (long long)planned->classes);
}

/* Are the tokens made with what the run's were? Where files do not tell, nobody knows. */
static dt_status check_tokenizer(const dt_settings *settings, const dt_data_info *found)
{
    char hash[DT_TOKENIZER_HASH_ROOM];
    if (!found->token_hash || !dt_setting_has(settings, "data.token_hash")) return DT_OK;
    dt_tokenizer_hash_text(found->token_hash, hash);
    if (!strcmp(dt_setting_text(settings, "data.token_hash"), hash)) return DT_OK;
    return dt_setting_fail(settings, "data.token_hash", "the tokens of the data set were made with another tokenizer, "
                           "%s", hash);
}

dt_status dt_session_keep_tokenizer(dt_settings *settings, const dt_data_info *found)
{
    char hash[DT_TOKENIZER_HASH_ROOM];
    if (!found->token_hash) return DT_OK;
    return dt_setting_derive_text(settings, "data.token_hash", dt_tokenizer_hash_text(found->token_hash, hash));
}

static dt_status check_documents(const dt_session *s, const dt_settings *settings, const dt_data_info *found)
{
    if (!dt_model_masks_documents(s->model) || found->documents) return DT_OK;
    return dt_setting_fail(settings, "model.mask_documents", "the data set does not tell where documents begin: set "
                           "data.separator to the token that ends one");
}

dt_status dt_session_open_data(const dt_session *s, const dt_settings *settings, dt_split split, dt_dataset **out)
{
    dt_dataset *data = NULL;
    DT_TRY(dt_dataset_open(settings, split, &data));
    dt_status status = check_shapes(&s->info, dt_dataset_info(data));
    if (!status) status = check_tokenizer(settings, dt_dataset_info(data));
    if (!status) status = check_documents(s, settings, dt_dataset_info(data));
    if (status) dt_dataset_close(data);
    else *out = data;
    return status;
}
