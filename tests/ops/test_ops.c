/* The operators on the CPU: values against naive references, costs, messages about shapes, and a walk of the registry
 * that fails when an operator has no case. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ops/cases.h"

static const trial_options wide = {.passes = {.precision = DT_PRECISION_FP64}};
static const trial_options single = {.passes = {.precision = DT_PRECISION_FP32}};

/* --- values --- */

static void check_values(const op_case *c, const trial_options *options, double bound)
{
    case_run run;
    int64_t count;
    if (case_open(&run, c, options) || case_step(&run, false))
        fail_msg("%s: %s: %s", c->op->name, c->name, dt_error_message());
    double *have = case_result(&run, &count), *want = malloc((size_t)(have ? count : 1) * sizeof *want);
    assert_non_null(have);
    assert_non_null(want);
    for (int64_t i = 0; i < count; i++) want[i] = c->expected(c, i);
    double error = trial_error(want, have, (size_t)count);
    if (!(error <= bound)) fail_msg("%s: %s: the values are off by %g of the largest", c->op->name, c->name, error);
    free(have);
    free(want);
    case_close(&run);
}

static void values_match_references(void **state)
{
    for (int i = 0; i < op_case_count; i++) {
        if (!op_cases[i].expected) continue;
        check_values(&op_cases[i], &wide, 1e-13);
        check_values(&op_cases[i], &single, 1e-5);
    }
}

/* What is kept is scaled up, what is dropped is zero; drop_path drops whole samples. */
static void check_drop(const op_case *c)
{
    case_run run;
    int64_t count, kept = 0, per_sample = c->dim[1] * c->dim[2];
    if (case_open(&run, c, &wide) || case_step(&run, false)) fail_msg("%s: %s", c->name, dt_error_message());
    double *y = case_result(&run, &count);
    assert_non_null(y);
    for (int64_t i = 0; i < count; i++) {
        double x = 0.5 * case_value("x", i) / 0.6;
        if (y[i] != 0 && !(fabs(y[i] - x) <= 1e-7 * fabs(x))) fail_msg("%s: %g of %g", c->op->name, y[i], x);
        if (c->op == &dt_op_drop_path) assert_int_equal(y[i] != 0, y[i / per_sample * per_sample] != 0);
        kept += y[i] != 0;
    }
    assert_in_range(kept, count / 4, count - count / 8);
    free(y);
    case_close(&run);
}

static void masks_keep_or_drop(void **state)
{
    for (int i = 0; i < op_case_count; i++)
        if (op_cases[i].op == &dt_op_dropout || op_cases[i].op == &dt_op_drop_path) check_drop(&op_cases[i]);
}

/* --- the registry --- */

static bool makes_gradient(const dt_op *op, const dt_program *program)
{
    for (const dt_node *n = dt_graph_first(dt_program_graph(program)); n; n = n->next)
        if (n->backward && n->op == op) return true;
    return false;
}

static bool has_case(const dt_op *op)
{
    bool found = false;
    for (int i = 0; i < op_case_count && !found; i++) {
        const op_case *c = &op_cases[i];
        case_run run;
        if (case_open(&run, c, &wide)) fail_msg("%s: %s: %s", c->op->name, c->name, dt_error_message());
        found = c->op == op ? op->grad || c->expected : !op->grad && makes_gradient(op, run.trial.program);
        case_close(&run);
    }
    return found;
}

/* An operator is covered by a case of its own: differentiable ones are in the grad suite then, others need a reference
 * here. Those that only gradients are made of are covered where they appear in the case of what they are the gradient
 * of. */
static void every_operator_has_a_case(void **state)
{
    for (int i = 0; i < dt_op_count; i++)
        if (!has_case(dt_ops[i])) fail_msg("operator %s has no case in tests/ops/cases.c", dt_ops[i]->name);
}

static void every_operator_is_complete(void **state)
{
    for (int i = 0; i < dt_op_count; i++) {
        const dt_op *op = dt_ops[i];
        if (!op->name || !op->shape || !op->cost) fail_msg("operator %d lacks a name, shape rule or cost", i);
        if (!op->run && !(op->flags & DT_OP_VIEW)) fail_msg("operator %s cannot run", op->name);
        for (int j = 0; j < i; j++) assert_string_not_equal(op->name, dt_ops[j]->name);
    }
}

static void build_in_bfloat16(const op_case *c, bool wide_residual)
{
    const trial_options options = {.passes = {DT_PRECISION_BF16, .wide_residual = wide_residual}};
    case_run run;
    if (case_open(&run, c, &options)) fail_msg("%s: %s: %s", c->op->name, c->name, dt_error_message());
    case_close(&run);
}

/* The CPU does not compute in bfloat16: that the graphs of all cases are well typed is all that shows here. */
static void every_case_builds_in_bfloat16(void **state)
{
    for (int i = 0; i < op_case_count; i++) build_in_bfloat16(&op_cases[i], false);
}

static void every_case_builds_with_a_wide_residual(void **state)
{
    for (int i = 0; i < op_case_count; i++) build_in_bfloat16(&op_cases[i], true);
}

/* --- costs --- */

static const dt_node *find_node(const dt_graph *g, const dt_op *op)
{
    for (const dt_node *n = dt_graph_first(g); n; n = n->next)
        if (n->op == op) return n;
    return NULL;
}

static void costs_are_the_textbook_numbers(void **state)
{
    dt_graph *g;
    assert_int_equal(dt_graph_create(NULL, true, &g), DT_OK);
    dt_tensor *x = dt_input(g, "x", DT_F32, DT_SHAPE(8, 196, 768)), *w = dt_input(g, "w", DT_F32, DT_SHAPE(2304, 768));
    dt_attention(g, dt_linear(g, x, w, NULL), NULL, (dt_attention_attr){.heads = 12});
    assert_int_equal(dt_graph_status(g), DT_OK);

    const dt_node *linear = find_node(g, &dt_op_matmul), *attention = find_node(g, &dt_op_attention);
    double rows = 8.0 * 196, out = 2304, in = 768;
    dt_cost cost = linear->op->cost(linear);
    assert_true(cost.flops == 2 * rows * out * in);
    assert_true(cost.bytes == 4 * (rows * in + out * in + rows * out));
    cost = attention->op->cost(attention);
    assert_true(cost.flops == 4.0 * 8 * 12 * 196 * 196 * 64);
    assert_true(cost.bytes == 4 * (rows * 2304 + rows * 768 + rows * 12));
    dt_graph_free(g);
}

/* --- messages --- */

static void refuse(dt_tensor *(*build)(dt_graph *), const char *message)
{
    dt_graph *g;
    assert_int_equal(dt_graph_create(NULL, true, &g), DT_OK);
    dt_scope_begin(g, "blocks.3.attn");
    assert_null(build(g));
    assert_true(dt_graph_failed(g));
    assert_int_equal(dt_graph_status(g), DT_ERR_USAGE);
    assert_string_equal(dt_error_message(), message);
    dt_graph_free(g);
}

static dt_tensor *floats(dt_graph *g, dt_shape shape) { return dt_input(g, "x", DT_F32, shape); }

static dt_tensor *bad_linear(dt_graph *g)
{
    return dt_linear(g, floats(g, DT_SHAPE(64, 17, 192)), floats(g, DT_SHAPE(576, 384)), NULL);
}

static dt_tensor *bad_bias(dt_graph *g)
{
    return dt_linear(g, floats(g, DT_SHAPE(64, 17, 192)), floats(g, DT_SHAPE(576, 192)), floats(g, DT_SHAPE(192)));
}

static dt_tensor *bad_matmul(dt_graph *g)
{
    return dt_matmul(g, floats(g, DT_SHAPE(3, 4)), floats(g, DT_SHAPE(5, 6)), (dt_matmul_attr){.transpose_a = true});
}

static dt_tensor *bad_add(dt_graph *g)
{
    return dt_add(g, floats(g, DT_SHAPE(3, 4)), floats(g, DT_SHAPE(3, 5)));
}

static dt_tensor *bad_types(dt_graph *g)
{
    return dt_add(g, floats(g, DT_SHAPE(3)), dt_input(g, "y", DT_F64, DT_SHAPE(3)));
}

static dt_tensor *bad_reshape(dt_graph *g)
{
    return dt_reshape(g, floats(g, DT_SHAPE(3, 4)), DT_SHAPE(2, 5));
}

static dt_tensor *bad_heads(dt_graph *g)
{
    return dt_attention(g, floats(g, DT_SHAPE(2, 17, 576)), NULL, (dt_attention_attr){.heads = 5});
}

static dt_tensor *bad_starts(dt_graph *g)
{
    dt_tensor *starts = dt_input(g, "starts", DT_I32, DT_SHAPE(2, 16));
    return dt_attention(g, floats(g, DT_SHAPE(2, 17, 576)), starts, (dt_attention_attr){.heads = 6, .causal = true});
}

static dt_tensor *starts_of_floats(dt_graph *g)
{
    dt_tensor *starts = dt_input(g, "starts", DT_F32, DT_SHAPE(2, 17));
    return dt_attention(g, floats(g, DT_SHAPE(2, 17, 576)), starts, (dt_attention_attr){.heads = 6, .causal = true});
}

static dt_tensor *starts_without_order(dt_graph *g)
{
    dt_tensor *starts = dt_input(g, "starts", DT_I32, DT_SHAPE(2, 17));
    return dt_attention(g, floats(g, DT_SHAPE(2, 17, 576)), starts, (dt_attention_attr){.heads = 6});
}

static dt_tensor *no_heads_to_rotate(dt_graph *g)
{
    return dt_rope(g, floats(g, DT_SHAPE(2, 17, 576)), NULL, (dt_rope_attr){.heads = 0, .size = 64, .theta = 100});
}

static dt_tensor *bad_patch(dt_graph *g)
{
    return dt_patchify(g, floats(g, DT_SHAPE(2, 3, 28, 30)), 7);
}

static dt_tensor *bad_gamma(dt_graph *g)
{
    return dt_point_norm(g, floats(g, DT_SHAPE(2, 5, 12)), floats(g, DT_SHAPE(10)), NULL, floats(g, DT_SHAPE(1)), NULL,
                         DT_POINTWISE_dyt);
}

static dt_tensor *bad_rate(dt_graph *g)
{
    dt_tensor *sample = dt_input(g, "sample", DT_I64, DT_SHAPE(2)), *step = dt_input(g, "step", DT_I64, DT_SHAPE(1));
    return dt_dropout(g, floats(g, DT_SHAPE(2, 5)), sample, step, (dt_drop_attr){.rate = 1.5});
}

static dt_tensor *after_a_failure(dt_graph *g)
{
    dt_tensor *x = bad_add(g);
    return dt_gelu(g, dt_row_norm(g, x, NULL, NULL, (dt_row_norm_attr){true, 1e-6}), DT_ACT_GELU);
}

static void messages_name_scope_and_shapes(void **state)
{
    refuse(bad_linear, "blocks.3.attn: linear: the input of shape [64, 17, 192] does not fit the weight of shape "
                       "[576, 384]");
    refuse(bad_bias, "blocks.3.attn: matmul: bias has shape [192], but [576] would fit the input of shape "
                     "[64, 17, 192]");
    refuse(bad_matmul, "blocks.3.attn: matmul: [3, 4] transposed does not fit [5, 6]");
    refuse(bad_add, "blocks.3.attn: add: the second input has shape [3, 5], but [3, 4] would fit the input of shape "
                    "[3, 4]");
    refuse(bad_types, "blocks.3.attn: add: inputs of types f64 and f32");
    refuse(bad_reshape, "blocks.3.attn: reshape: [3, 4] does not have as many elements as [2, 5]");
    refuse(bad_heads, "blocks.3.attn: attention: 5 heads, 5 of them with keys and values, do not divide the queries, "
                      "keys and values of shape [2, 17, 576]");
    refuse(bad_starts, "blocks.3.attn: attention: where documents begin has shape [2, 16], but [2, 17] would fit the "
                       "input of shape [2, 17, 576]");
    refuse(starts_of_floats, "blocks.3.attn: attention: where documents begin is of type f32, not i32");
    refuse(starts_without_order, "blocks.3.attn: attention: where documents begin is for causal attention alone");
    refuse(no_heads_to_rotate, "blocks.3.attn: rope: 0 heads of size 64 do not fit the shape [2, 17, 576]");
    refuse(bad_patch, "blocks.3.attn: patchify: images of 28 by 30 pixels cannot be cut into patches of 7 by 7");
    refuse(bad_gamma, "blocks.3.attn: point_norm: gamma has shape [10], but [12] would fit the input of shape "
                      "[2, 5, 12]");
    refuse(bad_rate, "blocks.3.attn: dropout: a rate of 1.5 is not between 0 and 1");
    refuse(after_a_failure, "blocks.3.attn: add: the second input has shape [3, 5], but [3, 4] would fit the input of "
                            "shape [3, 4]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_match_references),       cmocka_unit_test(masks_keep_or_drop),
        cmocka_unit_test(every_operator_has_a_case),     cmocka_unit_test(every_operator_is_complete),
        cmocka_unit_test(every_case_builds_in_bfloat16), cmocka_unit_test(every_case_builds_with_a_wide_residual),
        cmocka_unit_test(costs_are_the_textbook_numbers), cmocka_unit_test(messages_name_scope_and_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
