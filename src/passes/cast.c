/* cast: gives every tensor the type that the precision mode says, and puts casts where types meet.
 *
 * Model code builds in float32. In fp64 the whole graph becomes float64; only what the host feeds keeps its type and is
 * cast behind the input. In bf16 what operators compute in becomes bfloat16, what they declare as wide stays float32
 * (graph/op.h), and matrices are read from their working copies. In tf32 products may round their float32 inputs. Runs
 * before differentiation, so gradients take the types of what they belong to. */
#include "ops/list.h"
#include "passes/passes.h"

/* `t` in another type, cast in front of node `before`. */
static dt_tensor *cast_before(dt_graph *g, dt_node *like, dt_node *before, dt_tensor *t, dt_dtype type)
{
    dt_graph_like(g, like);
    dt_graph_insert_before(g, before);
    dt_tensor *other = dt_cast(g, t, type);
    dt_graph_insert_before(g, NULL);
    dt_graph_like(g, NULL);
    return other;
}

/* --- fp64 --- */

static dt_status widen_input(dt_graph *g, dt_node *input)
{
    dt_tensor *fed = input->out[0], *wide = cast_before(g, input, input->next, fed, DT_F64);
    if (wide) dt_graph_replace_uses(g, fed, wide, wide->maker);
    return dt_graph_status(g);
}

static void widen(dt_tensor *t)
{
    if (t->dtype != DT_F32) return;
    t->dtype = DT_F64;
    if (t->kind == DT_STATE) t->state->dtype = DT_F64;
}

static dt_status cast_to_f64(dt_graph *g)
{
    for (int i = 0; i < dt_graph_tensor_count(g); i++) {
        dt_tensor *t = dt_graph_tensor(g, i);
        if (!t->maker || t->maker->op != &dt_op_input) widen(t);
    }
    for (dt_node *n = dt_graph_first(g), *next; n; n = next) {
        next = n->next;
        if (n->op == &dt_op_input && n->out[0]->dtype == DT_F32) DT_TRY(widen_input(g, n));
    }
    return DT_OK;
}

/* --- bf16 --- */

static void read_working_copy(dt_tensor *t)
{
    if (t->kind != DT_PARAM || t->param->group != DT_GROUP_MATRIX || t->buffer != DT_BUFFER_VALUE) return;
    t->buffer = DT_BUFFER_WORKING;
    t->dtype = DT_BF16;
}

/* What has no arithmetic and a type of its own. */
static bool keeps_types(const dt_node *n)
{
    return n->op == &dt_op_input || n->op == &dt_op_fill || n->op == &dt_op_cast;
}

static bool is_narrowable(const dt_tensor *t) { return t && (t->dtype == DT_F32 || t->dtype == DT_BF16); }

/* What is written to persistent memory is float32 like that memory; a buffer has the type that it has. */
static bool reads_wide(const dt_node *n, int i)
{
    return (n->op->flags & DT_OP_EFFECT) || ((n->op->wide_inputs >> i) & 1u);
}

/* Views take the type of what they show. */
static dt_status narrow_node(dt_graph *g, dt_node *n)
{
    for (int i = 0; i < n->input_count && !(n->op->flags & DT_OP_VIEW); i++) {
        dt_dtype type = reads_wide(n, i) ? DT_F32 : DT_BF16;
        if (!is_narrowable(n->in[i]) || n->in[i]->dtype == type || n->in[i]->kind == DT_BUFFER) continue;
        dt_tensor *other = cast_before(g, n, n, n->in[i], type);
        if (!other) return dt_graph_status(g);
        dt_node_set_input(n, i, other);
    }
    for (int k = 0; k < n->output_count; k++) {
        if (!is_narrowable(n->out[k])) continue;
        bool wide = (n->op->flags & DT_OP_VIEW) ? n->in[0]->dtype == DT_F32 : (n->op->wide_outputs >> k) & 1u;
        n->out[k]->dtype = wide ? DT_F32 : DT_BF16;
    }
    return DT_OK;
}

static dt_status cast_to_bf16(dt_graph *g)
{
    for (int i = 0; i < dt_graph_tensor_count(g); i++) read_working_copy(dt_graph_tensor(g, i));
    for (dt_node *n = dt_graph_first(g); n; n = n->next)
        if (!keeps_types(n)) DT_TRY(narrow_node(g, n));
    return DT_OK;
}

/* --- tf32 --- */

static void allow_tf32(dt_graph *g)
{
    for (dt_node *n = dt_graph_first(g); n; n = n->next)
        if (n->op == &dt_op_matmul) ((dt_matmul_attr *)n->attr)->tf32 = true;
}

dt_status dt_pass_cast(dt_graph *g, dt_precision precision)
{
    DT_TRY(dt_graph_status(g));
    switch (precision) {
    case DT_PRECISION_FP64: return cast_to_f64(g);
    case DT_PRECISION_BF16: return cast_to_bf16(g);
    case DT_PRECISION_TF32: allow_tf32(g); break;
    case DT_PRECISION_FP32: break;
    }
    return DT_OK;
}
