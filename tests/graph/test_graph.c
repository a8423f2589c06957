/* The graph and its store: readers, parameters and their layout, sizes that no memory holds, plans, and states. */
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/random.h"
#include "ops/ops.h"
#include "support/trial.h"

typedef struct fixture {
    dt_store *store;
    dt_graph *g;
} fixture;

static fixture open_graph(void)
{
    fixture f;
    assert_int_equal(dt_store_create(&f.store), DT_OK);
    assert_int_equal(dt_graph_create(f.store, true, &f.g), DT_OK);
    return f;
}

static void close_graph(fixture *f)
{
    dt_graph_free(f->g);
    dt_store_free(f->store);
}

static const dt_param_options matrix = {.role = DT_ROLE_MATRIX}, bias = {.role = DT_ROLE_BIAS};

static void expect_failure(const dt_graph *g, const char *words)
{
    assert_int_equal(dt_graph_status(g), DT_ERR_USAGE);
    if (!strstr(dt_error_message(), words)) fail_msg("'%s' does not say '%s'", dt_error_message(), words);
}

/* --- readers --- */

static void only_readers_are_found(void **state)
{
    fixture f = open_graph();
    dt_tensor *x = dt_input(f.g, "x", DT_F32, DT_SHAPE(4)), *y = dt_scale(f.g, x, 2), *twice = dt_add(f.g, y, y);
    assert_ptr_equal(dt_graph_only_reader(f.g, x), y->maker);
    assert_null(dt_graph_only_reader(f.g, y)); /* one node, but two inputs */
    assert_null(dt_graph_only_reader(f.g, twice));
    dt_graph_replace_uses(f.g, y, x, NULL);
    assert_null(dt_graph_only_reader(f.g, x));
    assert_null(y->uses);
    assert_ptr_equal(twice->maker->in[0], x);
    assert_ptr_equal(twice->maker->in[1], x);
    dt_graph_remove(f.g, twice->maker);
    assert_ptr_equal(dt_graph_only_reader(f.g, x), y->maker);
    dt_graph_output(f.g, "x", x);
    assert_null(dt_graph_only_reader(f.g, x));
    close_graph(&f);
}

static void replacing_can_leave_one_reader_out(void **state)
{
    fixture f = open_graph();
    dt_tensor *x = dt_input(f.g, "x", DT_F32, DT_SHAPE(4)), *y = dt_scale(f.g, x, 2), *z = dt_scale(f.g, x, 3);
    dt_graph_output(f.g, "x", x);
    dt_graph_replace_uses(f.g, x, y, y->maker);
    assert_ptr_equal(y->maker->in[0], x);
    assert_ptr_equal(z->maker->in[0], y);
    assert_ptr_equal(dt_graph_output_at(f.g, 0, NULL), y);
    close_graph(&f);
}

/* In bfloat16 mode the GELU reads a cast of the vector, and the vector the cast alone. */
static void a_cast_takes_over_its_reader(void **state)
{
    fixture f = open_graph();
    dt_unit_begin(f.g, "a");
    dt_tensor *vector = dt_param_tensor(f.g, "v", DT_SHAPE(4), bias), *y = dt_gelu(f.g, vector, DT_ACT_GELU);
    dt_unit_end(f.g);
    assert_int_equal(dt_pass_cast(f.g, DT_PRECISION_BF16, false), DT_OK);
    const dt_tensor *cast = y->maker->in[0];
    assert_int_equal(cast->dtype, DT_BF16);
    assert_ptr_equal(dt_graph_only_reader(f.g, vector), cast->maker);
    assert_ptr_equal(dt_graph_only_reader(f.g, cast), y->maker);
    close_graph(&f);
}

/* --- parameters --- */

static void parameters_are_found_and_laid_out(void **state)
{
    enum { UNITS = 40, EACH = 25 };
    fixture f = open_graph();
    char name[32];
    for (int unit = 0; unit < UNITS; unit++) {
        dt_unit_begin(f.g, "blocks.%d", unit);
        for (int i = 0; i < EACH; i++) {
            snprintf(name, sizeof name, "p%d", i);
            assert_non_null(dt_param_tensor(f.g, name, DT_SHAPE(i + 1), i % 2 ? bias : matrix));
        }
        dt_unit_end(f.g);
    }
    assert_int_equal(dt_store_layout(f.store, DT_F32), DT_OK);
    int64_t end[DT_GROUPS] = {0}, unit[DT_GROUPS] = {0};
    for (int i = 0; i < dt_store_params(f.store); i++) { /* declared unit by unit, as they lie */
        const dt_param *param = dt_store_param(f.store, i);
        assert_ptr_equal(dt_store_find(f.store, param->name), param);
        assert_int_equal(param->offset, end[param->group]);
        assert_true(param->unit >= unit[param->group]);
        unit[param->group] = param->unit;
        end[param->group] += (param->count + 15) / 16 * 16;
    }
    assert_int_equal(dt_store_params(f.store), UNITS * EACH);
    assert_int_equal(dt_store_count(f.store, DT_GROUP_MATRIX), end[DT_GROUP_MATRIX]);
    assert_int_equal(dt_store_count(f.store, DT_GROUP_VECTOR), end[DT_GROUP_VECTOR]);
    assert_null(dt_store_find(f.store, "blocks.40.p0"));
    close_graph(&f);
}

static void a_parameter_can_be_read_from_two_buffers(void **state)
{
    fixture f = open_graph();
    dt_unit_begin(f.g, "unit");
    dt_tensor *student = dt_param_tensor(f.g, "w", DT_SHAPE(3, 2), matrix);
    dt_graph_read_buffer(f.g, DT_BUFFER_EMA);
    dt_tensor *teacher = dt_param_tensor(f.g, "w", DT_SHAPE(3, 2), matrix);
    dt_graph_read_buffer(f.g, DT_BUFFER_VALUE);
    assert_ptr_equal(dt_param_tensor(f.g, "w", DT_SHAPE(3, 2), matrix), student);
    assert_ptr_not_equal(teacher, student);
    assert_int_equal(teacher->buffer, DT_BUFFER_EMA);
    assert_int_equal(student->buffer, DT_BUFFER_VALUE);
    assert_true(student->needs_grad);
    assert_false(teacher->needs_grad);
    assert_null(dt_param_tensor(f.g, "w", DT_SHAPE(2, 3), matrix));
    expect_failure(f.g, "unit: parameter w is [2, 3] here and [3, 2] in the first graph");
    close_graph(&f);
}

/* Three matrices read as one, with no gap between them, and one whose last rows are padding. */
static void joined_parameters_lie_together(void **state)
{
    static const dt_param_part parts[] = {{"q", 5, {0}}, {"k", 2, {0}}, {"v", 2, {0}}};
    dt_shape published = DT_SHAPE(5, 3);
    dt_param_options padded = {.role = DT_ROLE_MATRIX, .published = &published};
    fixture f = open_graph();
    dt_unit_begin(f.g, "unit");
    dt_tensor *joined = dt_param_joined(f.g, parts, 3, 3, matrix);
    dt_tensor *table = dt_param_tensor(f.g, "table", DT_SHAPE(64, 3), padded);
    dt_tensor *after = dt_param_tensor(f.g, "after", DT_SHAPE(1), matrix);
    dt_unit_end(f.g);
    assert_int_equal(dt_store_layout(f.store, DT_F32), DT_OK);
    assert_non_null(after);
    assert_true(dt_shape_equal(&joined->shape, &DT_SHAPE(9, 3)));
    assert_true(dt_shape_equal(&dt_param_gradient(f.g, joined)->shape, &DT_SHAPE(9, 3)));
    assert_int_equal(dt_store_find(f.store, "unit.q")->offset, 0);
    assert_int_equal(dt_store_find(f.store, "unit.k")->offset, 15);
    assert_int_equal(dt_store_find(f.store, "unit.v")->offset, 21);
    assert_int_equal(table->param->offset, 32);
    assert_int_equal(table->param->count, 15);
    assert_int_equal(after->param->offset, 32 + 192);
    close_graph(&f);
}

static void parameters_stand_in_units(void **state)
{
    fixture f = open_graph();
    dt_scope_begin(f.g, "mlp");
    assert_null(dt_param_tensor(f.g, "w", DT_SHAPE(2), matrix));
    expect_failure(f.g, "mlp: parameter w is declared outside any unit");
    close_graph(&f);
}

/* The second graph reads the parameter by its name, without its unit. */
static void a_parameter_of_a_unit_that_is_not_open_is_reduced(void **state)
{
    fixture f = open_graph();
    const dt_pass_options options = {.precision = DT_PRECISION_FP32};
    for (int i = 0; i < 9; i++) {
        dt_unit_begin(f.g, "%d", i);
        assert_non_null(dt_param_tensor(f.g, "w", DT_SHAPE(4), bias));
        dt_unit_end(f.g);
    }
    dt_graph_free(f.g);
    assert_int_equal(dt_graph_create(f.store, true, &f.g), DT_OK);
    dt_tensor *loss = dt_sum(f.g, dt_gelu(f.g, dt_param_tensor(f.g, "8.w", DT_SHAPE(4), bias), DT_ACT_GELU));
    dt_graph_output(f.g, "loss", loss);
    assert_int_equal(dt_store_layout(f.store, DT_F32), DT_OK);
    assert_int_equal(dt_passes_run(f.g, loss, &options), DT_OK);
    const dt_node *last = dt_graph_first(f.g);
    while (last->next) last = last->next;
    assert_ptr_equal(last->op, &dt_op_join);
    assert_ptr_equal(last->prev->op, &dt_op_all_gather);
    assert_ptr_equal(last->prev->prev->op, &dt_op_reduce_scatter);
    assert_string_equal(last->prev->in[1]->name, "vectors.0-8.gradient");
    close_graph(&f);
}

/* --- sizes that no memory holds --- */

static const int64_t huge = (int64_t)1 << 46;

static void a_huge_tensor_is_refused(void **state)
{
    static const dt_shape shapes[] = {
        {1, {(int64_t)1 << 48}},
        {2, {(int64_t)1 << 32, (int64_t)1 << 32}}, /* a product of 0 in 64 bits */
        {3, {3037000500, 3037000500, 2}},          /* a small negative one */
        {1, {-1}},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        fixture f = open_graph();
        dt_scope_begin(f.g, "stem");
        assert_null(dt_input(f.g, "x", DT_U8, shapes[i]));
        expect_failure(f.g, "stem: a tensor of shape [");
        expect_failure(f.g, "would be larger than any memory");
        close_graph(&f);
    }
}

static void shapes_are_shown_as_far_as_there_is_room(void **state)
{
    static const struct {
        dt_shape shape;
        const char *text;
    } cases[] = {
        {{0, {0}}, "[]"},
        {{3, {64, 17, 192}}, "[64, 17, 192]"},
        {{6, {999999999, 999999999, 999999999, 999999999, 999999999, 9}},
         "[999999999, 999999999, 999999999, 999999999, 999999999, 9]"},
        {{5, {INT64_MAX, INT64_MIN, INT64_MAX, 999999999999, INT64_MIN}},
         "[9223372036854775807, -9223372036854775808, 9223372036854775807, 999999999999, ...]"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[97];
        text[96] = '#';
        assert_string_equal(dt_shape_text(&cases[i].shape, text), cases[i].text);
        assert_int_equal(text[96], '#');
    }
}

static void a_huge_product_is_refused(void **state)
{
    fixture f = open_graph();
    dt_tensor *column = dt_input(f.g, "a", DT_F32, DT_SHAPE((int64_t)1 << 36, 1));
    dt_tensor *row = dt_input(f.g, "b", DT_F32, DT_SHAPE(1, (int64_t)1 << 36));
    assert_non_null(row);
    assert_null(dt_matmul(f.g, column, row, (dt_matmul_attr){0}));
    expect_failure(f.g, "a tensor of shape [68719476736, 68719476736]");
    close_graph(&f);
}

static void huge_parameters_are_refused(void **state)
{
    fixture f = open_graph();
    dt_unit_begin(f.g, "unit");
    assert_null(dt_param_tensor(f.g, "w", DT_SHAPE((int64_t)1 << 35), matrix));
    expect_failure(f.g, "unit: parameter w has 34359738368 numbers");
    close_graph(&f);
    f = open_graph();
    dt_unit_begin(f.g, "unit");
    char name[32];
    for (int i = 0; i < 1025; i++) {
        snprintf(name, sizeof name, "w%d", i);
        assert_non_null(dt_param_tensor(f.g, name, DT_SHAPE((int64_t)1 << 34), matrix));
    }
    assert_int_equal(dt_store_layout(f.store, DT_F32), DT_ERR_USAGE);
    assert_non_null(strstr(dt_error_message(), "the parameters would be larger than any memory"));
    close_graph(&f);
}

static void a_huge_arena_is_refused(void **state)
{
    fixture f = open_graph();
    dt_tensor *x[3];
    for (int i = 0; i < 3; i++) x[i] = dt_scale(f.g, dt_input(f.g, "x", DT_F32, DT_SHAPE(huge / 4)), 2);
    for (int i = 0; i < 3; i++) dt_graph_output(f.g, "x", x[i]);
    dt_program *program = NULL;
    dt_device_info info = {.threads = 1};
    assert_int_equal(dt_program_create(f.g, "huge", DT_CPU, &info, NULL, &program), DT_ERR_USAGE);
    assert_non_null(strstr(dt_error_message(), "activations would be larger than any memory"));
    dt_store_free(f.store); /* the program took the graph */
}

/* --- plans --- */

static dt_program *plan(dt_graph *g)
{
    dt_program *program = NULL;
    dt_device_info info = {.threads = 1};
    assert_int_equal(dt_program_create(g, "plan", DT_CPU, &info, NULL, &program), DT_OK);
    return program;
}

/* 1 KiB each: x dies in y; y lives beside a and b to the end. */
static void the_peak_is_found(void **state)
{
    fixture f = open_graph();
    dt_shape shape = DT_SHAPE(256);
    dt_tensor *y = dt_scale(f.g, dt_input(f.g, "x", DT_F32, shape), 2);
    dt_tensor *a = dt_fill(f.g, DT_F32, &shape, 1), *b = dt_fill(f.g, DT_F32, &shape, 2);
    dt_graph_output(f.g, "sum", dt_add(f.g, dt_add(f.g, a, b), y));
    dt_program *program = plan(f.g);
    const dt_tensor *most[8];
    assert_int_equal(dt_program_arena_bytes(program), 3 * 1024);
    assert_int_equal(dt_program_peak(program, most, 8), 3);
    assert_int_equal(dt_program_peak(program, most, 2), 2);
    dt_program_free(program);
    dt_store_free(f.store);
}

/* A value that two inputs read must not be overwritten by an output; an output of the graph by nothing. */
static void shared_values_are_not_overwritten(void **state)
{
    fixture f = open_graph();
    dt_tensor *x = dt_input(f.g, "x", DT_F32, DT_SHAPE(4)), *view = dt_reshape(f.g, x, DT_SHAPE(2, 2));
    dt_tensor *sum = dt_add(f.g, dt_reshape(f.g, view, DT_SHAPE(4)), x), *kept = dt_scale(f.g, sum, 2);
    dt_tensor *last = dt_scale(f.g, kept, 3);
    dt_graph_output(f.g, "kept", dt_reshape(f.g, kept, DT_SHAPE(2, 2)));
    dt_graph_output(f.g, "last", last);
    dt_program *program = plan(f.g);
    assert_ptr_equal(view->root, x);
    assert_ptr_equal(sum->root, sum);   /* x stands on both sides */
    assert_ptr_equal(kept->root, sum);  /* the sum dies here */
    assert_ptr_equal(last->root, last); /* a view of kept is an output */
    dt_program_free(program);
    dt_store_free(f.store);
}

/* --- states --- */

/* The sum over gelu(x + s), with s written before its last reader was built: through a view of it, and by what
 * recomputation makes of the first sum. */
static dt_tensor *build_with_state(dt_graph *g, void *context)
{
    dt_unit_begin(g, "unit");
    dt_init uniform = {DT_INIT_UNIFORM, 1};
    dt_tensor *x = dt_param_tensor(g, "x", DT_SHAPE(6), (dt_param_options){.role = DT_ROLE_MATRIX, .init = uniform});
    dt_tensor *s = dt_state_tensor(g, "s", DT_F32, DT_SHAPE(6), true), *view = dt_reshape(g, s, DT_SHAPE(2, 3));
    dt_tensor *y = dt_gelu(g, dt_scale(g, dt_add(g, x, s), 2), DT_ACT_GELU);
    dt_assign(g, s, dt_fill(g, DT_F32, &DT_SHAPE(6), 0.7));
    dt_tensor *loss = dt_sum(g, dt_add(g, dt_reshape(g, y, DT_SHAPE(2, 3)), view));
    dt_unit_end(g);
    return loss;
}

static void run_with_state(dt_recompute level, double loss[2], double gradients[2][16])
{
    trial t;
    const trial_options options = {.passes = {.precision = DT_PRECISION_FP64, .recompute = level}};
    if (trial_open(&t, build_with_state, NULL, &options)) fail_msg("%s", dt_error_message());
    for (int run = 0; run < 2; run++) {
        size_t bytes;
        assert_int_equal(trial_run(&t, NULL, NULL, false), DT_OK);
        loss[run] = trial_loss(&t);
        void *all = trial_gradients(&t, &bytes);
        assert_int_equal(bytes, 16 * sizeof(double));
        memcpy(gradients[run], all, bytes);
        free(all);
    }
    trial_close(&t);
}

static void states_are_read_at_their_value_before_the_program(void **state)
{
    double loss[3][2], gradients[3][2][16];
    for (int level = 0; level < 3; level++) run_with_state((dt_recompute)level, loss[level], gradients[level]);
    assert_true(loss[0][1] > loss[0][0] + 6 * 0.69); /* the second run reads what the first wrote */
    for (int level = 1; level < 3; level++) {
        assert_memory_equal(loss[level], loss[0], sizeof loss[0]);
        assert_memory_equal(gradients[level], gradients[0], sizeof gradients[0]);
    }
}

/* b takes the value that a had, although a is assigned, too, and a later node reads both. */
static void a_state_may_be_assigned_from_another(void **state)
{
    fixture f = open_graph();
    dt_tensor *a = dt_state_tensor(f.g, "a", DT_F32, DT_SHAPE(4), true);
    dt_tensor *b = dt_state_tensor(f.g, "b", DT_F32, DT_SHAPE(4), true);
    dt_assign(f.g, b, a);
    const dt_node *to_b = dt_graph_first(f.g);
    dt_assign(f.g, a, dt_fill(f.g, DT_F32, &DT_SHAPE(4), 1));
    dt_tensor *sum = dt_add(f.g, a, b);
    dt_graph_output(f.g, "sum", sum);
    assert_int_equal(dt_pass_order(f.g), DT_OK);
    dt_graph_number(f.g);
    const dt_node *to_a = dt_graph_first(f.g);
    while (to_a->next) to_a = to_a->next;
    assert_ptr_equal(to_a->op, &dt_op_assign);
    assert_ptr_equal(to_a->in[0], a);
    assert_true(sum->maker->position < to_b->position);
    close_graph(&f);
}

static void states_assigned_in_a_circle_are_refused(void **state)
{
    fixture f = open_graph();
    dt_tensor *a = dt_state_tensor(f.g, "a", DT_F32, DT_SHAPE(4), true);
    dt_tensor *b = dt_state_tensor(f.g, "b", DT_F32, DT_SHAPE(4), true);
    dt_assign(f.g, a, b);
    dt_assign(f.g, b, a);
    assert_int_equal(dt_pass_order(f.g), DT_ERR_USAGE);
    expect_failure(f.g, "in a circle");
    close_graph(&f);
}

static void a_state_keeps_its_type(void **state)
{
    fixture f = open_graph();
    dt_device *device;
    char arena[256];
    assert_non_null(dt_state_tensor(f.g, "s", DT_F32, DT_SHAPE(4), true));
    dt_graph_free(f.g);
    assert_int_equal(dt_graph_create(f.store, true, &f.g), DT_OK);
    dt_graph_output(f.g, "twice", dt_scale(f.g, dt_state_tensor(f.g, "s", DT_F64, DT_SHAPE(4), true), 2));
    dt_program *program = plan(f.g);
    assert_int_equal(dt_device_open(DT_CPU, 0, 1, &device), DT_OK);
    assert_int_equal(dt_store_alloc(f.store, device, 0), DT_OK);
    assert_in_range(dt_program_arena_bytes(program), 1, sizeof arena);
    assert_int_equal(dt_program_bind(program, device, NULL, arena), DT_ERR_USAGE);
    assert_non_null(strstr(dt_error_message(), "takes state s for f64, but an earlier one made it f32"));
    dt_program_free(program);
    dt_store_free(f.store);
    dt_device_close(device);
}

/* --- initial values --- */

/* A parameter of more than one stretch, and its working copy: each value is that of its place, whatever the threads. */
static void initial_values_depend_on_their_place(void **state)
{
    enum { ROWS = 5, COLUMNS = (1 << 20) + 3 };
    static const int64_t places[] = {0, 1, 4095, 4096, (1 << 22) - 1, 1 << 22, (int64_t)ROWS * COLUMNS - 1};
    fixture f = open_graph();
    dt_device *device;
    dt_param_options options = {.role = DT_ROLE_MATRIX, .init = {DT_INIT_NORMAL, 0.5}};
    dt_unit_begin(f.g, "unit");
    assert_non_null(dt_param_tensor(f.g, "w", DT_SHAPE(ROWS, COLUMNS), options));
    dt_unit_end(f.g);
    assert_int_equal(dt_store_layout(f.store, DT_F32), DT_OK);
    assert_int_equal(dt_device_open(DT_CPU, 0, 2, &device), DT_OK);
    assert_int_equal(dt_store_alloc(f.store, device, 1u << DT_BUFFER_VALUE | 1u << DT_BUFFER_WORKING), DT_OK);
    assert_int_equal(dt_store_initialise(f.store, 9), DT_OK);
    const float *value = dt_store_data(f.store, DT_GROUP_MATRIX, DT_BUFFER_VALUE);
    const uint16_t *working = dt_store_data(f.store, DT_GROUP_MATRIX, DT_BUFFER_WORKING);
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        int64_t at = places[i];
        uint32_t upper = (uint32_t)working[at] << 16;
        float rounded;
        memcpy(&rounded, &upper, sizeof rounded);
        double want = 0.5 * dt_random_normal(9, DT_PURPOSE_INIT, dt_hash_text("unit.w"), 0, (uint64_t)at);
        assert_true(value[at] == (float)want);
        assert_true(fabsf(rounded - value[at]) <= fabsf(value[at]) / 256);
    }
    dt_graph_free(f.g);
    dt_store_free(f.store);
    dt_device_close(device);
}

/* --- values that are not finite --- */

static void every_float_type_is_checked(void **state)
{
    static const unsigned char nan[][8] = {{0, 0, 0xc0, 0x7f}, {0, 0, 0, 0, 0, 0, 0xf8, 0x7f}, {0x80, 0xff}};
    static const dt_dtype types[] = {DT_F32, DT_F64, DT_BF16};
    dt_device *device;
    char arena[256];
    assert_int_equal(dt_device_open(DT_CPU, 0, 1, &device), DT_OK);
    for (int i = 0; i < 3; i++) {
        dt_graph *g;
        char slot[64] = {0};
        assert_int_equal(dt_graph_create(NULL, false, &g), DT_OK);
        dt_graph_output(g, "x", dt_input(g, "x", types[i], DT_SHAPE(2)));
        dt_program *program = plan(g);
        assert_int_equal(dt_program_bind(program, device, NULL, arena), DT_OK);
        assert_int_equal(dt_program_check_finite(program, &(dt_run){.slot = slot}), DT_OK);
        memcpy(slot + dt_dtype_size(types[i]), nan[i], dt_dtype_size(types[i]));
        assert_int_equal(dt_program_check_finite(program, &(dt_run){.slot = slot}), DT_ERR_NUMERIC);
        dt_program_free(program);
    }
    dt_device_close(device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_readers_are_found),
        cmocka_unit_test(replacing_can_leave_one_reader_out),
        cmocka_unit_test(a_cast_takes_over_its_reader),
        cmocka_unit_test(initial_values_depend_on_their_place),
        cmocka_unit_test(every_float_type_is_checked),
        cmocka_unit_test(parameters_are_found_and_laid_out),
        cmocka_unit_test(a_parameter_can_be_read_from_two_buffers),
        cmocka_unit_test(joined_parameters_lie_together),
        cmocka_unit_test(parameters_stand_in_units),
        cmocka_unit_test(a_parameter_of_a_unit_that_is_not_open_is_reduced),
        cmocka_unit_test(shapes_are_shown_as_far_as_there_is_room),
        cmocka_unit_test(a_huge_tensor_is_refused),
        cmocka_unit_test(a_huge_product_is_refused),
        cmocka_unit_test(huge_parameters_are_refused),
        cmocka_unit_test(a_huge_arena_is_refused),
        cmocka_unit_test(the_peak_is_found),
        cmocka_unit_test(shared_values_are_not_overwritten),
        cmocka_unit_test(states_are_read_at_their_value_before_the_program),
        cmocka_unit_test(a_state_keeps_its_type),
        cmocka_unit_test(a_state_may_be_assigned_from_another),
        cmocka_unit_test(states_assigned_in_a_circle_are_refused),
    };
    return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
