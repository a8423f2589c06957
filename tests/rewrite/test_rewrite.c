/* Every pass on and off, shuffled plans and poisoned arenas leave the same function; recomputation the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/list.h"
#include "ops/norm.h"
#include "rewrite/random_graph.h"
#include "support/trial.h"

enum { GRAPHS = 24 };

typedef struct result {
    double loss;
    void *gradients;
    size_t bytes;
} result;

static result evaluate(uint64_t seed, trial_options options)
{
    trial t;
    random_graph r = {.seed = seed};
    result out = {0};
    dt_status status = trial_open(&t, random_graph_build, &r, &options);
    if (!status) status = trial_run(&t, random_graph_feed, &r, false);
    if (status) fail_msg("graph %d: %s", (int)seed, dt_error_message());
    out.loss = trial_loss(&t);
    out.gradients = trial_gradients(&t, &out.bytes);
    trial_close(&t);
    return out;
}

static const trial_options plain = {.passes = {.precision = DT_PRECISION_FP64,
                                               .no_fuse = true,
                                               .no_dead_nodes = true,
                                               .no_fuse_accumulation = true,
                                               .no_communicate = true},
                                    .plan = {.no_in_place = true, .poison = true}};
static const trial_options full = {.passes = {.precision = DT_PRECISION_FP64}, .plan = {.poison = true}};

static void check_close(uint64_t seed, const result *a, const result *b, const char *what)
{
    double error = trial_error(a->gradients, b->gradients, a->bytes / sizeof(double));
    if (a->bytes != b->bytes || !(error <= 1e-11) || !(trial_error(&a->loss, &b->loss, 1) <= 1e-12))
        fail_msg("graph %d, %s: gradients differ by %g, losses %.17g and %.17g", (int)seed, what, error, a->loss,
                 b->loss);
}

static void check_bits(uint64_t seed, const result *a, const result *b, const char *what)
{
    if (a->bytes != b->bytes || a->loss != b->loss || memcmp(a->gradients, b->gradients, a->bytes))
        fail_msg("graph %d: %s changes the bits", (int)seed, what);
}

static void against_plain(const char *what, trial_options options)
{
    for (uint64_t seed = 1; seed <= GRAPHS; seed++) {
        result a = evaluate(seed, plain), b = evaluate(seed, options);
        check_close(seed, &a, &b, what);
        free(a.gradients);
        free(b.gradients);
    }
}

/* In float32, as runs compute, and in float64. */
static void against_full(const char *what, trial_options options)
{
    trial_options base = full;
    for (uint64_t draw = 0; draw < 2 * GRAPHS; draw++) {
        uint64_t seed = 1 + draw / 2;
        base.passes.precision = options.passes.precision = draw % 2 ? DT_PRECISION_FP32 : DT_PRECISION_FP64;
        result a = evaluate(seed, base), b = evaluate(seed, options);
        check_bits(seed, &a, &b, what);
        free(a.gradients);
        free(b.gradients);
    }
}

static void test_all_passes(void **state) { against_plain("all passes", full); }

static void test_each_pass_alone(void **state)
{
    trial_options fuse = plain, dead = plain, accumulate = plain, communicate = plain;
    fuse.passes.no_fuse = false;
    against_plain("fuse", fuse);
    dead.passes.no_dead_nodes = false;
    against_plain("dead nodes", dead);
    accumulate.passes.no_fuse_accumulation = false;
    against_plain("accumulation", accumulate);
    communicate.passes.no_communicate = false;
    against_plain("communicate", communicate);
}

static void test_recompute_bits(void **state)
{
    trial_options cheap = full, block = full;
    cheap.passes.recompute = DT_RECOMPUTE_CHEAP;
    against_full("recompute cheap", cheap);
    block.passes.recompute = DT_RECOMPUTE_BLOCK;
    against_full("recompute block", block);
}

static void test_plan_bits(void **state)
{
    trial_options shuffled = full, apart = full, one = full;
    shuffled.plan.shuffle = 12345;
    against_full("a shuffled plan", shuffled);
    apart.plan.no_in_place = true;
    against_full("no sharing of memory", apart);
    one.threads = 1;
    against_full("one thread", one);
}

/* The second micro-batch adds to the first: the same batch twice gives twice the gradients. */
static void test_accumulation_adds(void **state)
{
    for (uint64_t seed = 1; seed <= GRAPHS; seed++) {
        trial t;
        random_graph r = {.seed = seed};
        size_t bytes;
        assert_int_equal(trial_open(&t, random_graph_build, &r, &full), DT_OK);
        assert_int_equal(trial_run(&t, random_graph_feed, &r, false), DT_OK);
        double *once = trial_gradients(&t, &bytes);
        assert_int_equal(trial_run(&t, random_graph_feed, &r, true), DT_OK);
        double *twice = trial_gradients(&t, &bytes);
        for (size_t i = 0; i < bytes / sizeof *once; i++) once[i] *= 2;
        assert_true(trial_error(once, twice, bytes / sizeof *once) < 1e-13);
        free(once);
        free(twice);
        trial_close(&t);
    }
}

/* --- a float32 residual stream: types only, the CPU does not compute in bfloat16 --- */

/* x + f(norm(x + branch)): x is read behind the norm, its sum with the branch is not. */
static dt_tensor *build_sum_beside(dt_graph *g, void *context)
{
    (void)context;
    const dt_init noise = {DT_INIT_NORMAL, 1};
    dt_unit_begin(g, "%s", "");
    dt_tensor *x = dt_param_tensor(g, "x", DT_SHAPE(2, 3, 8), (dt_param_options){DT_ROLE_POSITION, .init = noise});
    dt_tensor *w = dt_param_tensor(g, "w", DT_SHAPE(8, 8), (dt_param_options){DT_ROLE_MATRIX, .init = noise});
    dt_tensor *alpha = dt_param_tensor(g, "alpha", DT_SHAPE(1), (dt_param_options){DT_ROLE_ALPHA, .init = noise});
    dt_tensor *labels = dt_input(g, "labels", DT_I32, DT_SHAPE(2));
    dt_tensor *weight = dt_input(g, "weight", DT_F32, DT_SHAPE(2));
    x = dt_scale(g, x, 2);
    x->trunk = true;
    dt_tensor *sum = dt_add(g, x, dt_linear(g, x, w, NULL));
    dt_tensor *branch = dt_linear(g, dt_point_norm(g, sum, NULL, NULL, alpha, NULL, DT_POINTWISE_dyt), w, NULL);
    dt_tensor *logits = dt_token_mean(g, dt_add(g, x, branch), 0, 3);
    dt_unit_end(g);
    return dt_cross_entropy(g, dt_log_softmax(g, logits), dt_one_hot(g, labels, 8, 0), weight);
}

/* What else x sends back is no part of the branch's gradient. */
static void test_a_branch_gets_its_own_gradient(void **state)
{
    trial t;
    int grads = 0;
    assert_int_equal(trial_open(&t, build_sum_beside, NULL,
                                &(trial_options){.passes = {DT_PRECISION_BF16, .wide_residual = true}}), DT_OK);
    for (const dt_node *n = dt_graph_first(dt_program_graph(t.program)); n; n = n->next) {
        if (n->op != &dt_op_point_norm_grad) continue;
        assert_non_null(n->out[DT_NORM_DRESIDUAL]);
        assert_null(n->in[DT_NORM_DSUM]);
        grads++;
    }
    assert_int_equal(grads, 1);
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_passes),     cmocka_unit_test(test_each_pass_alone),
        cmocka_unit_test(test_recompute_bits), cmocka_unit_test(test_plan_bits),
        cmocka_unit_test(test_accumulation_adds), cmocka_unit_test(test_a_branch_gets_its_own_gradient),
    };
    return cmocka_run_group_tests_name("rewrite", tests, NULL, NULL);
}
