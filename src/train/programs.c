/* Builds the graphs `pass`, `update` and `eval`. */
#include "train/programs.h"

enum { DT_HITS = 2 }; /* top 1 and top 5 */

typedef struct batch_inputs {
    dt_tensor *images, *labels, *weight; /* images normalised */
} batch_inputs;

static batch_inputs build_batch(const dt_build *b, dt_graph *g, int64_t batch)
{
    const dt_data_info *info = b->info;
    dt_normalize_attr normalize;
    for (int c = 0; c < 4; c++) normalize.mean[c] = info->mean[c], normalize.std[c] = info->std[c];
    dt_tensor *bytes = dt_input(g, "images", DT_U8, DT_SHAPE(batch, info->channels, info->height, info->width));
    return (batch_inputs){.images = dt_normalize(g, bytes, normalize),
                          .labels = dt_input(g, "labels", DT_I32, DT_SHAPE(batch)),
                          .weight = dt_input(g, "weight", DT_F32, DT_SHAPE(batch))};
}

/* Cross-entropy summed over the batch. */
static dt_tensor *build_loss(dt_graph *g, const batch_inputs *in, dt_tensor *logits, int64_t classes, double smoothing)
{
    dt_tensor *target = dt_one_hot(g, in->labels, classes, smoothing);
    return dt_cross_entropy(g, dt_log_softmax(g, logits), target, in->weight);
}

/* The running sums of one family ("sums" or "eval"), in float64 whatever the precision. */
typedef struct running_sums {
    dt_tensor *loss, *count, *hits;
} running_sums;

static running_sums sum_states(dt_graph *g, const char *family)
{
    dt_arena *arena = dt_graph_arena(g);
    return (running_sums){
        .loss = dt_state_tensor(g, dt_arena_format(arena, "%s.loss", family), DT_F64, DT_SCALAR, false),
        .count = dt_state_tensor(g, dt_arena_format(arena, "%s.count", family), DT_F64, DT_SCALAR, false),
        .hits = dt_state_tensor(g, dt_arena_format(arena, "%s.hits", family), DT_F64, DT_SHAPE(DT_HITS), false)};
}

static dt_tensor *add_to_state(dt_graph *g, dt_tensor *state, dt_tensor *x)
{
    dt_tensor *sum = dt_add(g, state, dt_cast(g, x, DT_F64));
    dt_assign(g, state, sum);
    return sum;
}

static running_sums build_sums(dt_graph *g, const char *family, const batch_inputs *in, dt_tensor *logits,
                               dt_tensor *loss)
{
    running_sums state = sum_states(g, family);
    return (running_sums){.loss = add_to_state(g, state.loss, loss),
                          .count = add_to_state(g, state.count, dt_sum(g, in->weight)),
                          .hits = add_to_state(g, state.hits, dt_top_hits(g, logits, in->labels, in->weight))};
}

/* Ends building: the graph, or its first failure. */
static dt_status built(dt_graph *g, dt_graph **out)
{
    dt_status status = dt_graph_status(g);
    if (status) dt_graph_free(g);
    else *out = g;
    return status;
}

dt_status dt_build_pass(const dt_build *b, dt_graph **out, dt_tensor **loss)
{
    dt_graph *g = NULL;
    DT_TRY(dt_graph_create(b->store, true, &g));
    int64_t batch = b->recipe->micro;
    batch_inputs in = build_batch(b, g, batch);
    dt_model_feed feed = {.images = in.images,
                          .sample = dt_input(g, "sample", DT_I64, DT_SHAPE(batch)),
                          .step = dt_input(g, "step", DT_I64, DT_SHAPE(1))};
    dt_tensor *logits = dt_model_build(b->model, g, &feed);
    *loss = build_loss(g, &in, logits, b->info->classes, b->recipe->smoothing);
    dt_graph_output(g, "loss", *loss);
    build_sums(g, "sums", &in, logits, *loss);
    return built(g, out);
}

/* --- update --- */

/* A copy of the sum over all ranks, then the state back to zero. */
static dt_tensor *take_sum(dt_graph *g, dt_tensor *state, const char *name)
{
    dt_tensor *sum = dt_scale(g, state, 1);
    dt_all_reduce(g, sum);
    if (sum) dt_assign(g, state, dt_fill(g, sum->dtype, &sum->shape, 0));
    dt_graph_output(g, name, sum);
    return sum;
}

static dt_grad_norm_out build_norm(const dt_build *b, dt_graph *g, dt_tensor *count)
{
    dt_tensor *gradients[DT_GROUPS] = {dt_buffer_tensor(g, DT_GROUP_MATRIX, DT_BUFFER_GRADIENT),
                                       dt_buffer_tensor(g, DT_GROUP_VECTOR, DT_BUFFER_GRADIENT)};
    dt_grad_norm_attr attr = {.clip = b->recipe->clip};
    dt_grad_norm_out norm = dt_grad_norm(g, gradients, dt_cast(g, count, b->recipe->type), attr);
    dt_graph_output(g, "norm", norm.norm);
    dt_graph_output(g, "finite", norm.finite);
    return norm;
}

static void build_average(const dt_build *b, dt_graph *g, dt_tensor *finite)
{
    for (int group = 0; group < DT_GROUPS; group++)
        if (dt_store_count(b->store, (dt_group)group))
            dt_ema(g, dt_buffer_tensor(g, (dt_group)group, DT_BUFFER_VALUE),
                   dt_buffer_tensor(g, (dt_group)group, DT_BUFFER_EMA), finite, b->recipe->ema);
}

/* A state that only a finite step moves: an average of decay 0 takes the whole new value. */
static void commit_state(dt_graph *g, const char *name, dt_tensor *increment, dt_tensor *finite)
{
    dt_tensor *state = dt_state_tensor(g, name, DT_F64, DT_SCALAR, true);
    dt_ema(g, dt_add(g, state, increment), state, finite, 0);
}

dt_status dt_build_update(const dt_build *b, dt_graph **out)
{
    dt_graph *g = NULL;
    DT_TRY(dt_graph_create(b->store, true, &g));
    running_sums state = sum_states(g, "sums");
    take_sum(g, state.loss, "loss");
    take_sum(g, state.hits, "hits");
    dt_tensor *count = take_sum(g, state.count, "count");
    dt_grad_norm_out norm = build_norm(b, g, count);
    dt_optimizer_build(b->optimizer, g, norm.scale, norm.finite, b->recipe->working);
    if (b->recipe->ema > 0) build_average(b, g, norm.finite);
    commit_state(g, "samples_seen", count, norm.finite);
    return built(g, out);
}

/* --- eval --- */

dt_status dt_build_eval(const dt_build *b, dt_buffer buffer, dt_graph **out)
{
    dt_graph *g = NULL;
    DT_TRY(dt_graph_create(b->store, false, &g));
    dt_graph_read_buffer(g, buffer);
    int64_t batch = b->recipe->eval_batch;
    batch_inputs in = build_batch(b, g, batch);
    dt_graph_feed_reserve(g, "sample", DT_I64, &DT_SHAPE(batch)); /* the loader fills it for every split */
    dt_tensor *logits = dt_model_build(b->model, g, &(dt_model_feed){.images = in.images});
    dt_tensor *loss = build_loss(g, &in, logits, b->info->classes, 0);
    running_sums sums = build_sums(g, "eval", &in, logits, loss);
    dt_graph_output(g, "loss", sums.loss);
    dt_graph_output(g, "count", sums.count);
    dt_graph_output(g, "hits", sums.hits);
    return built(g, out);
}
