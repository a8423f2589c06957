/* Training on several ranks, which are threads here, at every level of sharing: the same bits at all levels where a
 * step is one micro-batch, and what one rank computes but for the order of sums. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "support/thread_ranks.h"
#include "tiny.h"
#include "train/feed.h"
#include "train/outbox.h"

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})
/* In threads, where cmocka cannot fail. */
#define OK(call)                                                                        \
    do {                                                                                \
        if (call) {                                                                     \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, dt_error_message());     \
            abort();                                                                    \
        }                                                                               \
    } while (0)

enum { STEPS = 3, MOST_RANKS = 4, BUFFERS = 4 };
static const dt_buffer kept[BUFFERS] = {DT_BUFFER_VALUE, DT_BUFFER_MOMENT1, DT_BUFFER_MOMENT2, DT_BUFFER_EMA};

typedef struct outcome {
    double *values[BUFFERS]; /* of all parameters behind one another, as every rank reads them */
    int64_t count;
    dt_step_numbers numbers[STEPS];
    double eval; /* the sum of the losses of an eval program with the averaged weights, over ranks */
} outcome;

typedef struct trial {
    const char *const *words;
    outcome out[MOST_RANKS];
} trial;

/* From an arena of NaN, which nothing that counts may come of; the first step looks at every tensor. */
static void run_pass(dt_session *s, int step, const dt_run *run)
{
    dt_program *pass = s->program[DT_PROGRAM_PASS];
    memset(s->arena, 0xff, (size_t)s->arena_bytes);
    OK(step ? dt_program_run(pass, run) : dt_program_check_finite(pass, run));
}

static void run_micro_batch(dt_session *s, dt_feed *feed, int step, int64_t micro)
{
    dt_batch batch;
    double wait = 0;
    const char *slot;
    bool last = micro + 1 == s->recipe.accumulate;
    OK(dt_feed_next(feed, &batch, &wait));
    dt_session_write_step(s, dt_feed_image(feed), step, 1e-2, (const double[DT_ASKS]){0});
    OK(dt_feed_send(feed, &slot));
    run_pass(s, step, &(dt_run){slot, .accumulate = micro > 0, .last = last});
    if (last) OK(dt_program_run(s->program[DT_PROGRAM_UPDATE], &(dt_run){slot + s->update_offset, .last = true}));
    OK(dt_feed_done(feed));
}

static void run_steps(dt_session *s, dt_settings *settings, outcome *out)
{
    dt_dataset *data = NULL;
    dt_feed *feed = NULL;
    dt_outbox *outbox = NULL;
    OK(dt_session_open_data(s, settings, DT_SPLIT_TRAIN, &data));
    OK(dt_feed_create(s, data, settings, DT_PROGRAM_PASS, 0, NULL, &feed));
    OK(dt_outbox_create(s, &outbox));
    for (int step = 0; step < STEPS; step++) {
        for (int64_t micro = 0; micro < s->recipe.accumulate; micro++) run_micro_batch(s, feed, step, micro);
        OK(dt_outbox_send(outbox));
        OK(dt_outbox_receive(outbox, &out->numbers[step]));
    }
    dt_outbox_free(outbox);
    dt_feed_free(feed);
    dt_dataset_close(data);
}

static void read_all(dt_session *s, outcome *out)
{
    for (int i = 0; i < dt_store_params(s->store); i++) out->count += dt_store_param(s->store, i)->count;
    for (int b = 0; b < BUFFERS; b++) {
        int64_t at = 0;
        out->values[b] = calloc((size_t)out->count, sizeof(double));
        if (!dt_store_data(s->store, DT_GROUP_MATRIX, kept[b])) continue; /* sgd has no second moments */
        for (int i = 0; i < dt_store_params(s->store); i++) {
            const dt_param *param = dt_store_param(s->store, i);
            OK(dt_store_read(s->store, param, kept[b], DT_F64, out->values[b] + at));
            at += param->count;
        }
    }
}

static void run_eval(dt_session *s, dt_comm *comm, outcome *out)
{
    OK(dt_session_load_step(s));
    OK(dt_program_run(s->program[DT_PROGRAM_EVAL_EMA], &(dt_run){s->slot[0], .last = true}));
    OK(dt_program_read(s->program[DT_PROGRAM_EVAL_EMA], "loss", &out->eval, sizeof out->eval));
    OK(dt_comm_all_reduce(comm, DT_STREAM_COMPUTE, DT_F64, 1, &out->eval));
}

static void train(void *context, dt_comm *comm)
{
    trial *t = context;
    outcome *out = &t->out[dt_comm_rank(comm)];
    dt_settings *settings = tiny_settings(t->words);
    dt_session *s = NULL;
    OK(dt_session_create(settings, &(dt_session_options){.comm = comm}, NULL, &s));
    OK(dt_store_initialise(s->store, 7));
    run_steps(s, settings, out);
    read_all(s, out);
    run_eval(s, comm, out);
    dt_session_free(s);
    dt_settings_free(settings);
}

static void release(trial *t, int ranks)
{
    for (int r = 0; r < ranks; r++)
        for (int b = 0; b < BUFFERS; b++) free(t->out[r].values[b]);
}

static double worst(const double *a, const double *b, int64_t count)
{
    double difference = 0, largest = 0;
    for (int64_t i = 0; i < count; i++) {
        difference = fmax(difference, fabs(a[i] - b[i]));
        largest = fmax(largest, fabs(a[i]));
    }
    return largest ? difference / largest : difference;
}

static void assert_near(const outcome *a, const outcome *b, double bound)
{
    for (int step = 0; step < STEPS; step++) {
        assert_true(a->numbers[step].finite && b->numbers[step].finite);
        assert_true(a->numbers[step].count == b->numbers[step].count);
        assert_true(fabs(a->numbers[step].loss - b->numbers[step].loss) <= bound * a->numbers[step].loss);
        assert_true(fabs(a->numbers[step].norm - b->numbers[step].norm) <= 10 * bound * a->numbers[step].norm);
    }
    assert_int_equal(a->count, b->count);
    for (int k = 0; k < BUFFERS; k++) assert_true(worst(a->values[k], b->values[k], a->count) <= 1000 * bound);
}

static void assert_same(const outcome *a, const outcome *b)
{
    assert_memory_equal(a->numbers, b->numbers, sizeof a->numbers);
    assert_true(a->eval == b->eval);
    for (int k = 0; k < BUFFERS; k++)
        assert_memory_equal(a->values[k], b->values[k], (size_t)a->count * sizeof(double));
}

static const char *const *more; /* settings of the model */

/* The levels beside level 0, and that beside one rank. */
static void check_levels(int ranks, const char *accumulate, const char *mode, const char *bucket, const char *other)
{
    const char *words[24] = {NULL, "data.batch=16", "train.ema=0.5", "train.clip_norm=0.1", accumulate, mode, bucket,
                             other};
    for (int i = 0; more && more[i]; i++) words[8 + i] = more[i];
    trial one = {.words = words + 1}, level[4];
    thread_ranks_run(1, train, &one);
    for (int zero = 0; zero < 4; zero++) {
        static const char *const levels[] = {"parallel.zero=0", "parallel.zero=1", "parallel.zero=2",
                                             "parallel.zero=3"};
        words[0] = levels[zero];
        level[zero] = (trial){.words = words};
        thread_ranks_run(ranks, train, &level[zero]);
        for (int r = 1; r < ranks; r++) assert_same(&level[zero].out[0], &level[zero].out[r]);
        assert_near(&one.out[0], &level[zero].out[0], strcmp(mode, "precision.mode=fp64") ? 2e-6 : 1e-12);
        if (zero == 1 || (zero && !strcmp(accumulate, "train.accumulate=1")))
            assert_same(&level[0].out[0], &level[zero].out[0]);
    }
    for (int zero = 0; zero < 4; zero++) release(&level[zero], ranks);
    release(&one, 1);
}

static void two_ranks_in_float64(void **state)
{
    check_levels(2, "train.accumulate=1", "precision.mode=fp64", "parallel.bucket_mib=25", "train.recompute=none");
    check_levels(2, "train.accumulate=4", "precision.mode=fp64", "parallel.bucket_mib=0", "train.recompute=block");
}

static void four_ranks_in_float32(void **state)
{
    check_levels(4, "train.accumulate=1", "precision.mode=fp32", "parallel.bucket_mib=0", "train.recompute=cheap");
    check_levels(4, "train.accumulate=2", "precision.mode=fp32", "parallel.bucket_mib=0.01", "norm.kind=rmsnorm");
}

/* Pieces that end inside a parameter, and odd counts of ranks. */
static void three_ranks(void **state)
{
    check_levels(3, "train.accumulate=1", "precision.mode=fp64", "parallel.bucket_mib=0", "data.batch=12");
}

/* What the optimizer's spans say of stretches, which pieces cut through; and another optimizer. */
static void other_updates(void **state)
{
    static const char *const sgd[] = {"optim.kind=sgd", "optim.nesterov=true", "optim.layer_decay=0.5",
                                      "optim.weight_decay=0.1", NULL};
    more = sgd;
    check_levels(3, "train.accumulate=2", "precision.mode=fp64", "parallel.bucket_mib=0.01", "data.batch=12");
    more = NULL;
    check_levels(2, "train.accumulate=1", "precision.mode=fp64", "parallel.bucket_mib=0", "optim.layer_decay=0.5");
    static const char *const frozen[] = {"norm.kind=dyt", "norm.learn_alpha=false", NULL};
    more = frozen;
    check_levels(3, "train.accumulate=2", "precision.mode=fp64", "parallel.bucket_mib=0", "data.batch=12");
    check_levels(4, "train.accumulate=2", "precision.mode=fp64", "parallel.bucket_mib=0", "parallel.shard_group=2");
    more = NULL;
}

/* Pairs share, and there are two of them. */
static void groups_share(void **state)
{
    check_levels(4, "train.accumulate=1", "precision.mode=fp64", "parallel.bucket_mib=0", "parallel.shard_group=2");
    check_levels(4, "train.accumulate=2", "precision.mode=fp32", "parallel.bucket_mib=25", "parallel.shard_group=1");
}

/* Embeddings that are the head too are read at both ends. */
static void a_language_model(void **state)
{
    static const char *const text[] = {"model.arch=llama", "model.width=16", "model.depth=2", "model.heads=2",
                                       "data.kind=synthetic_text", "data.context=16", "data.vocabulary=70",
                                       "model.kv_heads=1", NULL};
    more = text;
    check_levels(2, "train.accumulate=1", "precision.mode=fp64", "parallel.bucket_mib=0", "model.tied=true");
    check_levels(4, "train.accumulate=2", "precision.mode=fp32", "parallel.bucket_mib=0", "train.recompute=block");
    static const char *const tied[] = {"model.arch=llama", "model.width=16", "model.depth=2", "model.heads=2",
                                       "data.kind=synthetic_text", "data.context=16", "data.vocabulary=70",
                                       "model.tied=true", "data.batch=12", NULL};
    more = tied;
    check_levels(3, "train.accumulate=2", "precision.mode=fp64", "parallel.bucket_mib=0", "train.recompute=block");
    more = NULL;
}

/* --- loading --- */

typedef struct load {
    const char *path;         /* of a checkpoint that one rank has written */
    const char *words[8];
    outcome out[MOST_RANKS];
    int64_t bytes[MOST_RANKS]; /* that each rank read, beside those to verify all files */
} load;

/* What this thread has read of files. */
static int64_t bytes_read(void)
{
    long long bytes = -1;
    FILE *file = fopen("/proc/thread-self/io", "r");
    if (file && fscanf(file, "rchar: %lld", &bytes) != 1) bytes = -1;
    if (file) fclose(file);
    return bytes;
}

static void load_checkpoint(void *context, dt_comm *comm)
{
    load *l = context;
    int rank = dt_comm_rank(comm);
    dt_settings *settings = tiny_settings(l->words);
    dt_session *s = NULL;
    dt_progress progress;
    json_t *manifest;
    OK(dt_session_create(settings, &(dt_session_options){.comm = comm}, NULL, &s));
    OK(dt_checkpoint_verify(l->path, NULL, &manifest));
    int64_t start = bytes_read();
    OK(dt_checkpoint_load(l->path, manifest, NULL, s->store, &progress));
    l->bytes[rank] = bytes_read() - start;
    json_decref(manifest);
    read_all(s, &l->out[rank]);
    dt_session_free(s);
    dt_settings_free(settings);
}

static void free_outcome(outcome *out)
{
    for (int b = 0; b < BUFFERS; b++) free(out->values[b]);
}

/* What four ranks read together; all have the values that one has. */
static int64_t load_on_four(const load *alone, const char *level)
{
    enum { RANKS = 4 };
    load l = {.path = alone->path};
    int64_t sum = 0;
    memcpy(l.words, alone->words, sizeof l.words);
    l.words[4] = level;
    thread_ranks_run(RANKS, load_checkpoint, &l);
    for (int r = 0; r < RANKS; r++) {
        size_t bytes = (size_t)alone->out[0].count * sizeof(double);
        for (int b = 0; b < BUFFERS; b++) assert_memory_equal(l.out[r].values[b], alone->out[0].values[b], bytes);
        sum += l.bytes[r];
        free_outcome(&l.out[r]);
    }
    return sum;
}

/* One rank's checkpoint at every level. Each rank reads what it keeps, and a header for each file: level 1 keeps the
 * values whole, a quarter of the four buffers. Compressed files are read whole where something of them is kept. */
static void check_loading(const char *name, const char *compress)
{
    load alone = {.words = {"train.ema=0.5", "model.width=64", "parallel.bucket_mib=0.02", compress}};
    assert_int_equal(tiny_train(name, WORDS("train.steps=2", "train.ema=0.5", "model.width=64", compress), false, NULL),
                     DT_OK);
    alone.path = tiny_checkpoint(name, 2);
    thread_ranks_run(1, load_checkpoint, &alone);
    double whole = (double)alone.bytes[0];
    double all = (double)load_on_four(&alone, "parallel.zero=0") / whole;
    double first = (double)load_on_four(&alone, "parallel.zero=1") / whole;
    double third = (double)load_on_four(&alone, "parallel.zero=3") / whole;
    free_outcome(&alone.out[0]);
    fprintf(stderr, "four ranks read %.2f, %.2f and %.2f times %.0f bytes\n", all, first, third, whole);
    if (bytes_read() < 0 || !strcmp(compress, "checkpoint.compress=true")) return; /* the system does not count */
    assert_true(all > 3.9 && first < 1.75 * 1.1 && third < 1.1);
}

static void ranks_read_what_they_keep(void **state)
{
    check_loading("plain", "checkpoint.compress=false");
    check_loading("packed", "checkpoint.compress=true");
}

/* The plan of a rank is what it takes, at every level; and higher levels take less. */
static void plans_hold(void *context, dt_comm *comm)
{
    static const char *const levels[] = {"parallel.zero=0", "parallel.zero=1", "parallel.zero=2", "parallel.zero=3"};
    int64_t before = INT64_MAX;
    for (int zero = 0; zero < 4; zero++) {
        dt_settings *settings = tiny_settings(WORDS("train.ema=0.9", "parallel.bucket_mib=0", "model.width=64",
                                                    levels[zero]));
        dt_session *s = NULL;
        int64_t bytes = 0;
        OK(dt_session_create(settings, &(dt_session_options){.comm = comm}, NULL, &s));
        dt_memory_use use;
        dt_device_memory(dt_session_device(s), &use);
        for (int m = 0; m < DT_MEMORY_CATEGORIES; m++) {
            if (use.now[m] != dt_session_memory(s, (dt_memory)m)) abort();
            if (m <= DT_MEMORY_EMA) bytes += use.now[m];
        }
        if (bytes >= before) abort();
        before = bytes;
        dt_session_free(s);
        dt_settings_free(settings);
    }
}

static void memory_is_as_planned(void **state) { thread_ranks_run(2, plans_hold, NULL); }

int main(int argc, char **argv)
{
    if (!tiny_begin(argc, argv)) return 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_ranks_in_float64),
        cmocka_unit_test(four_ranks_in_float32),
        cmocka_unit_test(three_ranks),
        cmocka_unit_test(other_updates),
        cmocka_unit_test(groups_share),
        cmocka_unit_test(a_language_model),
        cmocka_unit_test(memory_is_as_planned),
        cmocka_unit_test_setup_teardown(ranks_read_what_they_keep, tiny_make_folder, tiny_remove_folder),
    };
    return cmocka_run_group_tests_name("train/share", tests, NULL, NULL);
}
