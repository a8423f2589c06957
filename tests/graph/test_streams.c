/* Streams: where the pass puts joins, and that memory which a side stream works on is nobody else's meanwhile. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "graph/store.h"
#include "passes/passes.h"

static dt_graph *open_graph(void)
{
    dt_graph *g;
    assert_int_equal(dt_graph_create(NULL, false, &g), DT_OK);
    return g;
}

static void expect_text(dt_graph *g, const char *expected)
{
    dt_text text = {0};
    dt_graph_print(g, &text);
    assert_int_equal(dt_text_status(&text), DT_OK);
    assert_string_equal(text.data, expected);
    dt_text_free(&text);
}

static void what_reads_a_sum_waits_for_it(void **state)
{
    dt_graph *g = open_graph();
    dt_tensor *x = dt_fill(g, DT_F32, &DT_SHAPE(2), 1), *other = dt_fill(g, DT_F32, &DT_SHAPE(2), 2);
    dt_all_reduce(g, x);
    dt_tensor *apart = dt_scale(g, other, 3), *reshaped = dt_reshape(g, x, DT_SHAPE(2, 1));
    dt_graph_output(g, "apart", apart);
    dt_graph_output(g, "both", dt_add(g, reshaped, dt_reshape(g, apart, DT_SHAPE(2, 1))));
    assert_int_equal(dt_pass_streams(g), DT_OK);
    expect_text(g, "%0:f32[2] = fill()\n"
                   "%1:f32[2] = fill()\n"
                   "join(compute) on comm\n"
                   "all_reduce(%0) on comm\n"
                   "%2:f32[2] = scale(%1)\n"
                   "%3:f32[2, 1] = reshape(%0)\n"
                   "%4:f32[2, 1] = reshape(%2)\n"
                   "join(comm)\n"
                   "%5:f32[2, 1] = add(%3, %4)\n"
                   "output apart = %2\n"
                   "output both = %5\n");
    dt_graph_free(g);
}

/* Two collectives in a row need one join before and one behind them. */
static void the_end_waits_for_every_stream(void **state)
{
    dt_graph *g = open_graph();
    dt_tensor *x = dt_fill(g, DT_F32, &DT_SHAPE(2), 1), *y = dt_fill(g, DT_F32, &DT_SHAPE(2), 2);
    dt_all_reduce(g, x);
    dt_all_reduce(g, y);
    assert_int_equal(dt_pass_streams(g), DT_OK);
    expect_text(g, "%0:f32[2] = fill()\n"
                   "%1:f32[2] = fill()\n"
                   "join(compute) on comm\n"
                   "all_reduce(%0) on comm\n"
                   "all_reduce(%1) on comm\n"
                   "join(comm)\n");
    dt_graph_free(g);
}

/* The first collective waits for what earlier programs did with the gradients, and so is part of a recording. */
static void a_unit_waits_for_its_own_gradients_alone(void **state)
{
    dt_store *store;
    dt_graph *g;
    assert_int_equal(dt_store_create(&store), DT_OK);
    assert_int_equal(dt_graph_create(store, true, &g), DT_OK);
    for (int i = 0; i < 2; i++) {
        dt_unit_begin(g, "u%d", i);
        dt_tensor *w = dt_param_tensor(g, "w", DT_SHAPE(4), (dt_param_options){.role = DT_ROLE_BIAS});
        dt_unit_end(g);
        if (i == 0) dt_all_reduce(g, dt_param_gradient(g, w));
        dt_accumulate(g, dt_param_gradient(g, w), dt_scale(g, w, 2));
    }
    assert_int_equal(dt_store_layout(store, DT_F32), DT_OK);
    assert_int_equal(dt_pass_streams(g), DT_OK);
    expect_text(g, "join(compute) on comm\n"
                   "all_reduce(grad(u0.w)) on comm\n"
                   "%2:f32[4] = scale(u0.w)\n"
                   "join(comm)\n"
                   "accumulate(grad(u0.w), %2)\n"
                   "%4:f32[4] = scale(u1.w)\n"
                   "accumulate(grad(u1.w), %4)\n");
    dt_graph_free(g);
    dt_store_free(store);
}

/* Without the stream x would die in the collective, and y could lie where it lay. */
static void memory_is_kept_until_the_join(void **state)
{
    dt_device_info info = {.threads = 1};
    dt_program *program;
    dt_graph *g = open_graph();
    dt_tensor *x = dt_fill(g, DT_F32, &DT_SHAPE(1024), 1);
    dt_all_reduce(g, x);
    dt_tensor *y = dt_fill(g, DT_F32, &DT_SHAPE(1024), 2);
    dt_graph_output(g, "sum", dt_sum(g, y));
    assert_int_equal(dt_pass_streams(g), DT_OK);
    assert_int_equal(dt_program_create(g, "streams", DT_CPU, &info, NULL, &program), DT_OK);
    assert_true(x->offset != y->offset);
    assert_true(x->last > y->first);
    dt_program_free(program);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_reads_a_sum_waits_for_it),
        cmocka_unit_test(the_end_waits_for_every_stream),
        cmocka_unit_test(a_unit_waits_for_its_own_gradients_alone),
        cmocka_unit_test(memory_is_kept_until_the_join),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
