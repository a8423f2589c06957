/* cast: gives every tensor the type that the precision mode says, and puts casts where types meet.
 *
 * Model code builds in float32. In fp64 the whole graph becomes float64; only what the host feeds keeps its type and is
 * cast behind the input. In bf16 what operators compute in becomes bfloat16, what they declare as wide stays float32
 * (graph/op.h), and matrices are read from their working copies. The trunk, which is the residual stream, stays float32
 * on request: what models add branches to (nn/drop.c), and where that comes from and goes. In tf32 products may round
 * their float32 inputs. Runs before differentiation, so gradients take the types of what they belong to. */
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

/* A cache keeps what operators compute. */
static void narrow_cache(const dt_node *n)
{
    if (n->op == &dt_op_cache_append) n->in[0]->dtype = n->in[0]->state->dtype = DT_BF16;
}

/* What has no arithmetic and a type of its own. */
static bool keeps_types(const dt_node *n)
{
    return n->op == &dt_op_input || n->op == &dt_op_fill || n->op == &dt_op_cast;
}

static bool is_narrowable(const dt_tensor *t) { return t && (t->dtype == DT_F32 || t->dtype == DT_BF16); }

/* What is written to persistent memory is float32 like that memory, but for caches; a buffer has the type that it
 * has. */
static bool reads_wide(const dt_node *n, int i, bool wide_trunk)
{
    if (n->op->flags & DT_OP_EFFECT) return n->op != &dt_op_cache_append;
    return ((n->op->wide_inputs >> i) & 1u) ||
           (wide_trunk && n->in[i]->trunk && ((n->op->trunk_inputs >> i) & 1u));
}

/* Views take the type of what they show. */
static bool makes_wide(const dt_node *n, int k, bool wide_trunk)
{
    if (n->op->flags & DT_OP_VIEW) return n->in[0]->dtype == DT_F32;
    return ((n->op->wide_outputs >> k) & 1u) ||
           (wide_trunk && n->out[k]->trunk && ((n->op->trunk_outputs >> k) & 1u));
}

static dt_status narrow_node(dt_graph *g, dt_node *n, bool wide_trunk)
{
    for (int i = 0; i < n->input_count && !(n->op->flags & DT_OP_VIEW); i++) {
        if (!n->in[i]) continue;
        dt_dtype type = reads_wide(n, i, wide_trunk) ? DT_F32 : DT_BF16;
        if (!is_narrowable(n->in[i]) || n->in[i]->dtype == type || n->in[i]->kind == DT_BUFFER) continue;
        dt_tensor *other = cast_before(g, n, n, n->in[i], type);
        if (!other) return dt_graph_status(g);
        dt_node_set_input(n, i, other);
    }
    for (int k = 0; k < n->output_count; k++)
        if (is_narrowable(n->out[k])) n->out[k]->dtype = makes_wide(n, k, wide_trunk) ? DT_F32 : DT_BF16;
    return DT_OK;
}

/* Marks the tensors in `mask` of `tensors` and returns how many were not marked yet. */
static int mark_trunk(dt_tensor *const *tensors, int count, unsigned mask)
{
    int marked = 0;
    for (int i = 0; i < count; i++) {
        if (!tensors[i] || !((mask >> i) & 1u) || tensors[i]->trunk) continue;
        tensors[i]->trunk = true;
        marked++;
    }
    return marked;
}

static bool has_trunk(dt_tensor *const *tensors, int count, unsigned mask)
{
    for (int i = 0; i < count; i++)
        if (tensors[i] && ((mask >> i) & 1u) && tensors[i]->trunk) return true;
    return false;
}

/* Where the trunk reaches an operator that it can pass through, it does, both ways, until nothing is new. */
static void follow_trunk(dt_graph *g)
{
    for (int marked = 1; marked;) {
        marked = 0;
        for (dt_node *n = dt_graph_first(g); n; n = n->next) {
            unsigned in = n->op->trunk_inputs, out = n->op->trunk_outputs;
            if (has_trunk(n->in, n->input_count, in) || has_trunk(n->out, n->output_count, out))
                marked += mark_trunk(n->in, n->input_count, in) + mark_trunk(n->out, n->output_count, out);
        }
    }
}

static dt_status cast_to_bf16(dt_graph *g, bool wide_residual)
{
    for (int i = 0; i < dt_graph_tensor_count(g); i++) read_working_copy(dt_graph_tensor(g, i));
    for (const dt_node *n = dt_graph_first(g); n; n = n->next) narrow_cache(n);
    if (wide_residual) follow_trunk(g);
    for (dt_node *n = dt_graph_first(g); n; n = n->next)
        if (!keeps_types(n)) DT_TRY(narrow_node(g, n, wide_residual));
    return DT_OK;
}

/* --- tf32 --- */

static void allow_tf32(dt_graph *g)
{
    for (dt_node *n = dt_graph_first(g); n; n = n->next)
        if (n->op == &dt_op_matmul) ((dt_matmul_attr *)n->attr)->tf32 = true;
}

dt_status dt_pass_cast(dt_graph *g, dt_precision precision, bool wide_residual)
{
    DT_TRY(dt_graph_status(g));
    switch (precision) {
    case DT_PRECISION_FP64: return cast_to_f64(g);
    case DT_PRECISION_BF16: return cast_to_bf16(g, wide_residual);
    case DT_PRECISION_TF32: allow_tf32(g); break;
    case DT_PRECISION_FP32: break;
    }
    return DT_OK;
}
