/* Builds the graphs `pass`, `update`, `eval`, and those that score and generate text. */
#include "train/programs.h"

enum { DT_HITS = 2 }; /* top 1 and top 5 */

typedef struct batch_inputs {
    dt_tensor *images, *labels, *weight; /* images normalised */
    dt_tensor *tokens, *targets, *order; /* or these; the order while training */
    dt_tensor *starts;                   /* where the model masks documents */
} batch_inputs;

static bool of_tokens(const dt_build *b) { return b->info->form == DT_FORM_TOKENS; }

static batch_inputs build_tokens(const dt_build *b, dt_graph *g, int64_t batch)
{
    dt_shape shape = DT_SHAPE(batch, b->info->context);
    batch_inputs in = {.tokens = dt_input(g, "tokens", DT_I32, shape)};
    in.targets = dt_input(g, "targets", DT_I32, shape);
    if (dt_graph_training(g)) in.order = dt_input(g, "order", DT_I32, DT_SHAPE(batch * b->info->context));
    if (dt_model_masks_documents(b->model)) in.starts = dt_input(g, "starts", DT_I32, shape);
    return in;
}

static batch_inputs build_images(const dt_build *b, dt_graph *g, int64_t batch)
{
    const dt_data_info *info = b->info;
    dt_normalize_attr normalize;
    for (int c = 0; c < 4; c++) normalize.mean[c] = info->mean[c], normalize.std[c] = info->std[c];
    dt_tensor *bytes = dt_input(g, "images", DT_U8, DT_SHAPE(batch, info->channels, info->height, info->width));
    return (batch_inputs){.images = dt_normalize(g, bytes, normalize),
                          .labels = dt_input(g, "labels", DT_I32, DT_SHAPE(batch)),
                          .weight = dt_input(g, "weight", DT_F32, DT_SHAPE(batch))};
}

static batch_inputs build_batch(const dt_build *b, dt_graph *g, int64_t batch)
{
    return of_tokens(b) ? build_tokens(b, g, batch) : build_images(b, g, batch);
}

static dt_model_feed feed_of(const batch_inputs *in)
{
    return (dt_model_feed){.images = in->images, .tokens = in->tokens, .order = in->order, .starts = in->starts};
}

/* What comes of a batch. */
typedef struct batch_loss {
    dt_tensor *loss;   /* cross-entropy, summed over the samples, or over the targets that count */
    dt_tensor *count;  /* of tokens: how many targets count */
    dt_tensor *logits; /* of images: as they were */
} batch_loss;

static batch_loss build_loss(const dt_build *b, dt_graph *g, const batch_inputs *in, dt_tensor *logits,
                             double smoothing)
{
    if (of_tokens(b)) {
        dt_token_loss_out out = dt_token_loss(g, logits, in->targets, dt_model_dims_of(b->model).classes);
        return (batch_loss){.loss = out.loss, .count = out.count};
    }
    dt_tensor *target = dt_one_hot(g, in->labels, b->info->classes, smoothing);
    dt_tensor *loss = dt_cross_entropy(g, dt_log_softmax(g, logits), target, in->weight);
    return (batch_loss){.loss = loss, .logits = logits};
}

/* The running sums of one family ("sums" or "eval"), in float64 whatever the precision. */
typedef struct running_sums {
    dt_tensor *loss, *count, *hits; /* hits: of images alone, else NULL */
} running_sums;

static running_sums sum_states(const dt_build *b, dt_graph *g, const char *family)
{
    dt_arena *arena = dt_graph_arena(g);
    running_sums sums = {
        .loss = dt_state_tensor(g, dt_arena_format(arena, "%s.loss", family), DT_F64, DT_SCALAR, false),
        .count = dt_state_tensor(g, dt_arena_format(arena, "%s.count", family), DT_F64, DT_SCALAR, false)};
    const char *hits = dt_arena_format(arena, "%s.hits", family);
    if (!of_tokens(b)) sums.hits = dt_state_tensor(g, hits, DT_F64, DT_SHAPE(DT_HITS), false);
    return sums;
}

static dt_tensor *add_to_state(dt_graph *g, dt_tensor *state, dt_tensor *x)
{
    dt_tensor *sum = dt_add(g, state, dt_cast(g, x, DT_F64));
    dt_assign(g, state, sum);
    return sum;
}

static running_sums build_sums(const dt_build *b, dt_graph *g, const char *family, const batch_inputs *in,
                               const batch_loss *of)
{
    running_sums state = sum_states(b, g, family);
    running_sums sums = {.loss = add_to_state(g, state.loss, of->loss)};
    sums.count = add_to_state(g, state.count, of_tokens(b) ? of->count : dt_sum(g, in->weight));
    if (state.hits) sums.hits = add_to_state(g, state.hits, dt_top_hits(g, of->logits, in->labels, in->weight));
    return sums;
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
    dt_model_feed feed = feed_of(&in);
    feed.sample = dt_input(g, "sample", DT_I64, DT_SHAPE(batch));
    feed.step = dt_input(g, "step", DT_I64, DT_SHAPE(1));
    batch_loss of = build_loss(b, g, &in, dt_model_build(b->model, g, &feed), b->recipe->smoothing);
    *loss = of.loss;
    dt_graph_output(g, "loss", of.loss);
    build_sums(b, g, "sums", &in, &of);
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

/* The sum over ranks of what each one asks. */
static void build_asks(const dt_build *b, dt_graph *g)
{
    if (b->recipe->ranks == 1) return;
    dt_tensor *asks = dt_input(g, "asks", DT_F64, DT_SHAPE(DT_ASKS));
    dt_all_reduce(g, asks);
    dt_graph_output(g, "asks", asks);
}

/* Each rank adds up the squares of its pieces, whatever else it keeps. */
static dt_tensor *build_squares(const dt_build *b, dt_graph *g)
{
    dt_tensor *gradients[DT_GROUPS] = {dt_buffer_tensor(g, DT_GROUP_MATRIX, DT_BUFFER_GRADIENT),
                                       dt_buffer_tensor(g, DT_GROUP_VECTOR, DT_BUFFER_GRADIENT)};
    int count = dt_store_buckets(b->store);
    dt_gradient_range *ranges = dt_arena_alloc(dt_graph_arena(g), ((size_t)count + 1) * sizeof *ranges);
    if (!ranges) return dt_graph_fail(g, "out of memory");
    for (int i = 0; i < count; i++) {
        const dt_bucket *bucket = dt_store_bucket(b->store, i);
        ranges[i] = (dt_gradient_range){bucket->group, dt_store_piece_at(b->store, bucket, DT_BUFFER_GRADIENT),
                                        bucket->piece};
    }
    dt_tensor *squares = dt_grad_squares(g, gradients, ranges, count);
    dt_reduce_pieces(g, squares);
    return squares;
}

static dt_grad_norm_out build_norm(const dt_build *b, dt_graph *g, dt_tensor *count)
{
    dt_grad_norm_attr attr = {.clip = b->recipe->clip};
    dt_grad_norm_out norm = dt_grad_norm(g, build_squares(b, g), dt_cast(g, count, b->recipe->type), attr);
    dt_graph_output(g, "norm", norm.norm);
    dt_graph_output(g, "finite", norm.finite);
    return norm;
}

static void build_average(const dt_build *b, dt_graph *g, dt_tensor *finite)
{
    for (int i = 0; i < b->optimizer->part_count; i++) {
        const dt_update_part *part = &b->optimizer->parts[i];
        dt_ema(g, dt_part_tensor(g, part, DT_BUFFER_VALUE), dt_part_tensor(g, part, DT_BUFFER_EMA), finite,
               b->recipe->ema);
    }
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
    running_sums state = sum_states(b, g, "sums");
    take_sum(g, state.loss, "loss");
    if (state.hits) take_sum(g, state.hits, "hits");
    dt_tensor *count = take_sum(g, state.count, "count");
    build_asks(b, g);
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
    dt_model_feed feed = feed_of(&in);
    batch_loss of = build_loss(b, g, &in, dt_model_build(b->model, g, &feed), 0);
    running_sums sums = build_sums(b, g, "eval", &in, &of);
    dt_graph_output(g, "loss", sums.loss);
    dt_graph_output(g, "count", sums.count);
    if (sums.hits) dt_graph_output(g, "hits", sums.hits);
    return built(g, out);
}

/* --- scores --- */

/* Rows without a target cost next to nothing, so each text's loss is taken over all of the logits. */
dt_status dt_build_scores(const dt_build *b, int64_t texts, int64_t tokens, dt_graph **out)
{
    dt_graph *g = NULL;
    DT_TRY(dt_graph_create(b->store, false, &g));
    dt_arena *arena = dt_graph_arena(g);
    dt_shape shape = DT_SHAPE(texts, tokens);
    dt_tensor *logits = dt_model_build(b->model, g, &(dt_model_feed){.tokens = dt_input(g, "tokens", DT_I32, shape)});
    for (int64_t i = 0; i < texts; i++) {
        dt_tensor *targets = dt_input(g, dt_arena_format(arena, "targets.%lld", (long long)i), DT_I32, shape);
        dt_token_loss_out of = dt_token_loss(g, logits, targets, dt_model_dims_of(b->model).classes);
        dt_graph_output(g, dt_arena_format(arena, "loss.%lld", (long long)i), dt_cast(g, of.loss, DT_F64));
    }
    return built(g, out);
}

/* --- prefill and decode --- */

dt_status dt_build_next(const dt_build *b, int64_t sequences, int64_t tokens, dt_graph **out)
{
    dt_graph *g = NULL;
    DT_TRY(dt_graph_create(b->store, false, &g));
    /* A text that goes on is one document, as those that are scored are: there is nothing to mask. */
    dt_model_feed feed = {.tokens = dt_input(g, "tokens", DT_I32, DT_SHAPE(sequences, tokens)),
                          .position = dt_input(g, "position", DT_I32, DT_SHAPE(sequences)),
                          .capacity = b->info->context};
    if (tokens > 1) feed.wanted = dt_input(g, "wanted", DT_I32, DT_SHAPE(sequences, 1));
    dt_graph_output(g, "logits", dt_model_build(b->model, g, &feed));
    return built(g, out);
}
