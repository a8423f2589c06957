/* Plans of one rank of several, which are not there: what it holds falls with the level of sharing, and what it sends
 * is what a count by hand gives. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ops/list.h"
#include "tiny.h"

#define OK(call)                                            \
    do {                                                    \
        if (call) fail_msg("%s", dt_error_message());       \
    } while (0)
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

enum { LEVELS = 4 };
static const char *const levels[LEVELS] = {"parallel.zero=0", "parallel.zero=1", "parallel.zero=2", "parallel.zero=3"};

typedef struct rank_plan {
    int64_t memory[DT_MEMORY_CATEGORIES], total;
    dt_traffic sent;
} rank_plan;

/* Of one of so many ranks; 0: of a session that was given none. */
static rank_plan plan_of(int ranks, const char *const *words)
{
    rank_plan out = {0};
    dt_settings *settings = tiny_settings(words);
    dt_comm *comm = NULL;
    dt_session *s = NULL;
    if (ranks) OK(dt_comm_create_planned(ranks, &comm));
    OK(dt_session_create(settings, &(dt_session_options){.plan_only = true, .comm = comm}, NULL, &s));
    for (int m = 0; m < DT_MEMORY_CATEGORIES; m++)
        out.total += out.memory[m] = dt_session_memory(s, (dt_memory)m);
    out.sent = dt_session_traffic(s);
    dt_session_free(s);
    dt_comm_free(comm);
    dt_settings_free(settings);
    return out;
}

static void one_rank_is_as_none_given(void **state)
{
    rank_plan none = plan_of(0, WORDS("train.ema=0.9"));
    for (int level = 0; level < LEVELS; level++) {
        rank_plan one = plan_of(1, WORDS("train.ema=0.9", levels[level]));
        assert_memory_equal(one.memory, none.memory, sizeof one.memory);
        assert_true(one.sent.reduce_scatter == 0 && one.sent.all_gather == 0 && one.sent.gather == 0);
        assert_true(one.sent.all_reduce == 0);
    }
}

#define LARGE "model.width=512", "model.depth=8", "data.batch=4", "parallel.bucket_mib=0"

static void memory_falls_with_the_level(void **state)
{
    rank_plan plan[LEVELS];
    for (int level = 0; level < LEVELS; level++) {
        plan[level] = plan_of(4, WORDS(LARGE, levels[level]));
        if (level) assert_true(plan[level].total < plan[level - 1].total);
    }
    assert_true(plan[3].memory[DT_MEMORY_PARAMETERS] * 4 == plan[0].memory[DT_MEMORY_PARAMETERS]);
}

/* Of the buckets' gradients, and of rounded ones on the way, two at a time lie in the arena; a block has 12 width^2
 * weights. */
static void two_buckets_are_under_way(void **state)
{
    enum { BLOCK = 13 * 512 * 512 * 4 };
    int64_t whole = plan_of(4, WORDS(LARGE, levels[1])).memory[DT_MEMORY_ARENA];
    int64_t made = plan_of(4, WORDS(LARGE, levels[2])).memory[DT_MEMORY_ARENA];
    assert_in_range(made - whole, BLOCK, 3 * BLOCK);
}

/* A session of two ranks, planned. */
static dt_settings *settings;
static dt_comm *comm;
static dt_session *s;

static void plan_two(const char *const *words)
{
    settings = tiny_settings(words);
    OK(dt_comm_create_planned(2, &comm));
    OK(dt_session_create(settings, &(dt_session_options){.plan_only = true, .comm = comm}, NULL, &s));
}

static void forget_two(void)
{
    dt_session_free(s);
    dt_comm_free(comm);
    dt_settings_free(settings);
}

/* Is there a matrix product between a collective's node and where the compute stream waits for it? */
static bool is_hidden(const dt_node *n)
{
    for (; n && !((n->op->flags & DT_OP_JOIN) && n->stream == DT_STREAM_COMPUTE); n = n->next)
        if (n->op == &dt_op_matmul) return true;
    return false;
}

/* All but what the first block needs, and what the last makes. */
static void what_travels_is_hidden(void **state)
{
    plan_two(WORDS("model.width=256", "model.depth=6", "parallel.bucket_mib=1", "parallel.zero=3"));
    int gathers = 0, reduces = 0, waited = 0;
    const dt_graph *g = dt_program_graph(dt_session_program(s, "pass"));
    for (const dt_node *n = dt_graph_first(g); n; n = n->next) {
        if (n->op != &dt_op_gather && n->op != &dt_op_reduce_scatter) continue;
        gathers += n->op == &dt_op_gather;
        reduces += n->op == &dt_op_reduce_scatter;
        waited += !is_hidden(n);
    }
    assert_true(gathers > 10 && reduces > 5);
    assert_in_range(waited, 1, 5);
    forget_two();
}

/* Buckets of matrices: each of about what is in front of it, up to the limit. */
static void what_is_sent_last_is_small(void **state)
{
    plan_two(WORDS("model.width=256", "model.depth=15", "parallel.bucket_mib=10"));
    const dt_store *store = dt_session_store(s);
    const int64_t block = 12 * 256 * 256, limit = 10 << 18; /* elements: 3 MiB and 10 */
    int buckets = 0;
    for (int i = 0; i < dt_store_buckets(store); i++) {
        const dt_bucket *b = dt_store_bucket(store, i);
        if (b->group != DT_GROUP_MATRIX) continue;
        assert_true(b->count < b->offset + block + (1 << 18) && b->count < limit + block);
        buckets++;
    }
    assert_int_equal(buckets, 6); /* of 1, 2, 4, 4 and 4 blocks, and of the head */
    forget_two();
}

/* The tiny model has the matrices 16 x 16 of patches, 48 x 16, 16 x 16, 64 x 16 and 16 x 64 in each of two blocks, and
 * 4 x 16 of the head. Its vectors, each of which begins at a multiple of 16, are position embeddings, class token and
 * bias of patches (80, 16, 16); biases (48, 16, 64, 16) and twice gamma, beta, alpha (48) of a block; those of the last
 * norm (48) and the bias of the head (16). All are float32. */
enum {
    MATRICES = 256 + 2 * (768 + 256 + 1024 + 1024) + 64,
    VECTORS = 112 + 2 * (144 + 2 * 48) + 48 + 16,
    NUMBERS = 8 * (1 + 2 + 1 + 2), /* loss, hits, count, and two by which ranks stop together */
    NORM = 8,
};

static int64_t padded(int64_t count, int ranks) { return (count + 16 * ranks - 1) / (16 * ranks) * 16 * ranks; }

/* Of all parameters, in float32, what is not a rank's own. */
static double others(int ranks)
{
    return 4.0 * (double)(padded(MATRICES, ranks) + padded(VECTORS, ranks)) * (ranks - 1) / ranks;
}

static void assert_sent(rank_plan plan, dt_traffic by_hand)
{
    const double rounding = 1e-6;
    assert_true(fabs(plan.sent.reduce_scatter - by_hand.reduce_scatter) < rounding);
    assert_true(fabs(plan.sent.all_gather - by_hand.all_gather) < rounding);
    assert_true(fabs(plan.sent.gather - by_hand.gather) < rounding);
    assert_true(fabs(plan.sent.all_reduce - by_hand.all_reduce) < rounding);
}

static void what_is_sent(void **state)
{
    for (int ranks = 2; ranks <= 4; ranks++) {
        double all = others(ranks), sums = 2.0 * (NUMBERS + NORM) * (ranks - 1) / ranks;
        for (int level = 0; level < LEVELS; level++) {
            const char *const words[] = {levels[level], "data.batch=48", "train.accumulate=4", NULL};
            double passes = level < 2 ? 1 : 4;
            assert_sent(plan_of(ranks, words), (dt_traffic){.reduce_scatter = passes * all,
                                                            .all_gather = level < 3 ? all : 0,
                                                            .gather = level < 3 ? 0 : 4 * all,
                                                            .all_reduce = sums});
        }
    }
}

/* Two groups of two: pieces travel among the groups too. */
static void what_groups_send(void **state)
{
    double piece = others(2), sums = 2.0 * NUMBERS * 3 / 4 + NORM;
    assert_sent(plan_of(4, WORDS("parallel.zero=1", "parallel.shard_group=2")),
                (dt_traffic){.reduce_scatter = piece, .all_gather = piece, .all_reduce = piece + sums});
    assert_int_equal(plan_of(4, WORDS("parallel.zero=3", "parallel.shard_group=2")).memory[DT_MEMORY_OPTIMIZER],
                     plan_of(2, WORDS("parallel.zero=3")).memory[DT_MEMORY_OPTIMIZER]);
}

/* Each by itself shares nothing: gradients travel in buckets, as they do without sharing. */
static void groups_of_one_are_as_level_0(void **state)
{
    rank_plan none = plan_of(4, WORDS("parallel.zero=0", "parallel.bucket_mib=0.005"));
    for (int level = 0; level < LEVELS; level++) {
        rank_plan one = plan_of(4, WORDS(levels[level], "parallel.bucket_mib=0.005", "parallel.shard_group=1"));
        assert_memory_equal(one.memory, none.memory, sizeof one.memory);
        assert_memory_equal(&one.sent, &none.sent, sizeof one.sent);
    }
}

/* Where nothing is at hand still, each block is gathered for the backward pass again. */
static void small_buckets_are_gathered_twice(void **state)
{
    rank_plan plan = plan_of(2, WORDS("parallel.zero=3", "parallel.bucket_mib=0"));
    assert_true(plan.sent.gather > 1.5 * others(2) && plan.sent.gather < 2 * others(2) * 1.1);
}

int main(int argc, char **argv)
{
    if (!tiny_begin(argc, argv)) return 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_rank_is_as_none_given),
        cmocka_unit_test(memory_falls_with_the_level),
        cmocka_unit_test(two_buckets_are_under_way),
        cmocka_unit_test(what_travels_is_hidden),
        cmocka_unit_test(what_is_sent_last_is_small),
        cmocka_unit_test(what_is_sent),
        cmocka_unit_test(what_groups_send),
        cmocka_unit_test(groups_of_one_are_as_level_0),
        cmocka_unit_test(small_buckets_are_gathered_twice),
    };
    return cmocka_run_group_tests_name("train/plan", tests, NULL, NULL);
}
