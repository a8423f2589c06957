/* Attention as two graphs of cuDNN (Dao et al., "FlashAttention", 2022; cuDNN fuses each into a kernel or a few):
 *   forward   s = scale q k' (later keys: -infinity), m = rowmax(s), e = exp(s - m), out = (e / rowsum(e)) v,
 *             lse = m + log(rowsum(e))
 *   backward  delta = rowsum(dout out), p = exp(s - lse), dv = p' dout, ds = scale p (dout v' - delta),
 *             dk = ds' q, dq = ds k
 * FLOPs: 4 tokens^2 size per head, backward 10. Bytes: qkv and out once each; backward out, dout, qkv and dqkv, and
 * 4 tokens^2 of gradients of scores per head, written and read. Where heads share keys and values, the library makes
 * gradients for each head, which dt_cuda_add_heads adds up: the library's own sums have no stated order.
 *
 * A NaN in a later key or value passes the causal mask, unlike in our own kernel. */
#include "kernels/cuda/attention_cudnn.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/cudnn_graph.h"

enum { Q = 1, K, V, OUT, LSE, DOUT, DQ, DK, DV, DELTA, SCALE, ONE, LOWEST, NAMED };

/* One call: a slice of an attention. */
typedef struct piece {
    const dt_attention_args *a;
    int64_t samples, heads, kv_heads, sample, head, kv_head; /* how many, and the first */
    bool backward;
} piece;

/* --- the graphs --- */

/* rows [tokens, size] of `heads` heads, whose tokens are `width` elements apart */
static dt_cudnn_shape rows_of(const piece *p, int64_t heads, int64_t width)
{
    int64_t tokens = p->a->tokens, size = p->a->size;
    return (dt_cudnn_shape){{p->samples, heads, tokens, size}, {tokens * width, size, width, 1}};
}

static int64_t wide(const dt_attention_args *a) { return (a->heads + 2 * a->kv_heads) * a->size; }
static dt_cudnn_shape queries(const piece *p) { return rows_of(p, p->heads, wide(p->a)); }
static dt_cudnn_shape keys(const piece *p) { return rows_of(p, p->kv_heads, wide(p->a)); }
static dt_cudnn_shape results(const piece *p) { return rows_of(p, p->heads, p->a->heads * p->a->size); }

static dt_cudnn_shape key_grads(const piece *p)
{
    return p->a->kv_heads < p->a->heads ? rows_of(p, p->heads, p->heads * p->a->size) : keys(p);
}

static dt_cudnn_shape scores(const piece *p)
{
    int64_t t = p->a->tokens;
    return (dt_cudnn_shape){{p->samples, p->heads, t, t}, {p->heads * t * t, t * t, t, 1}};
}

/* The rows of all heads of all samples of the whole attention follow one another. */
static dt_cudnn_shape sums(const piece *p)
{
    int64_t t = p->a->tokens;
    return (dt_cudnn_shape){{p->samples, p->heads, t, 1}, {p->a->heads * t, t, 1, 1}};
}

static dt_cudnn_shape own_sums(const piece *p)
{
    int64_t t = p->a->tokens;
    return (dt_cudnn_shape){{p->samples, p->heads, t, 1}, {p->heads * t, t, 1, 1}};
}

static dt_cudnn_shape turned(dt_cudnn_shape x)
{
    return (dt_cudnn_shape){{x.dim[0], x.dim[1], x.dim[3], x.dim[2]},
                            {x.stride[0], x.stride[1], x.stride[3], x.stride[2]}};
}

static const cudnnDataType_t narrow = CUDNN_DATA_BFLOAT16, single = CUDNN_DATA_FLOAT;

static dt_cudnn_node masked(dt_cudnn_graph *g, const piece *p, dt_cudnn_node x, const dt_cudnn_shape *shape)
{
    if (!p->a->causal) return x;
    return dt_cudnn_lower(g, x, dt_cudnn_number(g, LOWEST), shape, dt_cudnn_inner(g, single, shape));
}

static void write_forward(dt_cudnn_graph *g, const piece *p)
{
    const dt_cudnn_shape qs = queries(p), vs = keys(p), ks = turned(vs), os = results(p), ss = scores(p), rs = sums(p);
    dt_cudnn_node x, top, e, sum, log;
    x = dt_cudnn_matmul(g, dt_cudnn_array(g, Q, narrow, &qs), dt_cudnn_array(g, K, narrow, &ks),
                        dt_cudnn_inner(g, single, &ss));
    x = dt_cudnn_apply(g, CUDNN_POINTWISE_MUL, x, dt_cudnn_number(g, SCALE), dt_cudnn_inner(g, single, &ss));
    x = masked(g, p, x, &ss);
    top = dt_cudnn_reduce(g, CUDNN_REDUCE_TENSOR_MAX, x, dt_cudnn_inner(g, single, &rs));
    e = dt_cudnn_apply(g, CUDNN_POINTWISE_SUB, x, top, dt_cudnn_inner(g, single, &ss));
    e = dt_cudnn_apply(g, CUDNN_POINTWISE_EXP, e, NULL, dt_cudnn_inner(g, single, &ss));
    sum = dt_cudnn_reduce(g, CUDNN_REDUCE_TENSOR_ADD, e, dt_cudnn_inner(g, single, &rs));
    log = dt_cudnn_apply(g, CUDNN_POINTWISE_LOG, sum, NULL, dt_cudnn_inner(g, single, &rs));
    dt_cudnn_apply(g, CUDNN_POINTWISE_ADD, top, log, dt_cudnn_array(g, LSE, single, &rs));
    x = dt_cudnn_apply(g, CUDNN_POINTWISE_DIV, e, sum, dt_cudnn_inner(g, narrow, &ss));
    dt_cudnn_matmul(g, x, dt_cudnn_array(g, V, narrow, &vs), dt_cudnn_array(g, OUT, narrow, &os));
}

static dt_cudnn_node write_delta(dt_cudnn_graph *g, const piece *p, dt_cudnn_node dout)
{
    const dt_cudnn_shape os = results(p), rs = sums(p), own = own_sums(p);
    dt_cudnn_node x = dt_cudnn_apply(g, CUDNN_POINTWISE_MUL, dout, dt_cudnn_array(g, OUT, narrow, &os),
                                     dt_cudnn_inner(g, single, &os));
    x = dt_cudnn_reduce(g, CUDNN_REDUCE_TENSOR_ADD, x, dt_cudnn_inner(g, single, &rs));
    return dt_cudnn_apply(g, CUDNN_POINTWISE_MUL, x, dt_cudnn_number(g, ONE), dt_cudnn_array(g, DELTA, single, &own));
}

/* dq is made in bfloat16 from all of ds at once: a sum in float32 outside of the product would be added to in any
 * order. */
static void write_backward(dt_cudnn_graph *g, const piece *p)
{
    const dt_cudnn_shape qs = queries(p), vs = keys(p), ks = turned(vs), os = results(p), ss = scores(p), rs = sums(p);
    const dt_cudnn_shape columns = turned(ss), gs = key_grads(p);
    dt_cudnn_node dout = dt_cudnn_array(g, DOUT, narrow, &os), delta = write_delta(g, p, dout), x, prob, ds;
    dt_cudnn_node q = dt_cudnn_array(g, Q, narrow, &qs), k = dt_cudnn_array(g, K, narrow, &ks);
    dt_cudnn_node scale = dt_cudnn_number(g, SCALE);
    x = dt_cudnn_matmul(g, q, k, dt_cudnn_inner(g, single, &ss));
    x = dt_cudnn_apply(g, CUDNN_POINTWISE_MUL, x, scale, dt_cudnn_inner(g, single, &ss));
    x = dt_cudnn_apply(g, CUDNN_POINTWISE_SUB, x, dt_cudnn_array(g, LSE, single, &rs), dt_cudnn_inner(g, single, &ss));
    x = masked(g, p, x, &ss);
    prob = dt_cudnn_apply(g, CUDNN_POINTWISE_EXP, x, NULL, dt_cudnn_inner(g, single, &ss));
    x = dt_cudnn_reshape(g, prob, dt_cudnn_inner(g, narrow, &columns));
    dt_cudnn_matmul(g, x, dout, dt_cudnn_array(g, DV, narrow, &gs));

    x = dt_cudnn_matmul(g, dout, dt_cudnn_array(g, V, narrow, &ks), dt_cudnn_inner(g, single, &ss));
    x = dt_cudnn_apply(g, CUDNN_POINTWISE_SUB, x, delta, dt_cudnn_inner(g, single, &ss));
    x = dt_cudnn_apply(g, CUDNN_POINTWISE_MUL, x, prob, dt_cudnn_inner(g, single, &ss));
    ds = dt_cudnn_apply(g, CUDNN_POINTWISE_MUL, x, scale, dt_cudnn_inner(g, single, &ss));
    x = dt_cudnn_reshape(g, ds, dt_cudnn_inner(g, narrow, &columns));
    dt_cudnn_matmul(g, x, q, dt_cudnn_array(g, DK, narrow, &gs));
    x = dt_cudnn_reshape(g, k, dt_cudnn_inner(g, narrow, &vs));
    dt_cudnn_matmul(g, ds, x, dt_cudnn_array(g, DQ, narrow, &qs));
}

/* --- plans --- */

/* All that a plan depends on. */
static void name_piece(char name[DT_CUDNN_NAME], const piece *p)
{
    const dt_attention_args *a = p->a;
    snprintf(name, DT_CUDNN_NAME, "%s %" PRId64 "x%" PRId64 "x%" PRId64 ":%" PRId64 "x%" PRId64 " of %" PRId64
             ":%" PRId64 "%s", p->backward ? "backward" : "forward", p->samples, a->tokens, p->heads, p->kv_heads,
             a->size, a->heads, a->kv_heads, a->causal ? " causal" : "");
}

/* A shape for which the library has no plan gets an empty one, so that it is asked once. */
static dt_status make_plan(dt_cudnn *c, const piece *p, const char *name, const dt_cudnn_plan **out)
{
    dt_cudnn_plan *plan = calloc(1, sizeof *plan);
    dt_cudnn_graph g = {.c = c, .plan = plan};
    dt_cudnn_layout layout;
    if (!plan) return dt_fail_memory(sizeof *plan, "a plan of cuDNN");
    snprintf(plan->name, sizeof plan->name, "%s", name);
    dt_cudnn_lay_out(p->a, &(dt_attention_slice){p->samples, p->heads, p->kv_heads}, p->backward, &layout);
    (p->backward ? write_backward : write_forward)(&g, p);
    dt_cudnn_plan_graph(&g, layout.workspace);
    dt_cudnn_keep_plan(c, plan);
    *out = plan;
    return DT_OK;
}

static dt_status plan_of(dt_cudnn *c, const piece *p, const dt_cudnn_plan **out)
{
    char name[DT_CUDNN_NAME];
    name_piece(name, p);
    *out = dt_cudnn_find_plan(c, name);
    return *out ? DT_OK : make_plan(c, p, name, out);
}

/* --- running --- */

typedef struct binding {
    int64_t name[NAMED];
    void *at[NAMED];
    int count;
} binding;

static void bind(binding *b, int64_t name, const void *at)
{
    b->name[b->count] = name;
    b->at[b->count++] = (void *)at;
}

static const char *at(const void *array, int64_t elements)
{
    return (const char *)array + elements * (int64_t)sizeof(uint16_t);
}

static void bind_backward(binding *b, const piece *p, int64_t q, int64_t k, int64_t out, const dt_cudnn_layout *layout)
{
    const dt_attention_args *a = p->a;
    const bool shared = a->kv_heads < a->heads;
    bind(b, DOUT, at(a->dout, out));
    bind(b, DQ, at(a->dqkv, q));
    bind(b, DK, shared ? (char *)a->scratch + layout->dk : at(a->dqkv, k));
    bind(b, DV, shared ? (char *)a->scratch + layout->dv : at(a->dqkv, k + a->kv_heads * a->size));
    bind(b, DELTA, (char *)a->scratch + layout->delta);
}

static dt_status execute(const dt_cudnn *c, const dt_cudnn_plan *plan, const binding *b, void *workspace)
{
    dt_cudnn_node pack = NULL;
    bool failed =
        c->BackendCreateDescriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR, &pack) ||
        c->BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, b->count, b->name) ||
        c->BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, b->count, b->at) ||
        c->BackendSetAttribute(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, 1, &workspace) ||
        c->BackendFinalize(pack) || c->BackendExecute(c->handle, plan->plan, pack);
    dt_status status = failed ? dt_cudnn_fail(c, "run attention") : DT_OK;
    if (failed) status = dt_fail_in(status, "%s", plan->name);
    if (pack) c->BackendDestroyDescriptor(pack);
    return status;
}

static dt_status add_heads(const dt_queue *q, const piece *p, int64_t k, const dt_cudnn_layout *layout)
{
    const dt_attention_args *a = p->a;
    const int64_t rows = p->samples * a->tokens, v = k + a->kv_heads * a->size;
    DT_TRY(dt_cuda_add_heads(q, rows, p->heads, p->kv_heads, a->size, (char *)a->scratch + layout->dk,
                             (void *)at(a->dqkv, k), wide(a)));
    return dt_cuda_add_heads(q, rows, p->heads, p->kv_heads, a->size, (char *)a->scratch + layout->dv,
                             (void *)at(a->dqkv, v), wide(a));
}

static dt_status run_piece(const dt_queue *queue, const piece *p, const dt_cudnn_layout *layout)
{
    const dt_attention_args *a = p->a;
    const int64_t row = p->sample * a->tokens, out = (row * a->heads + p->head) * a->size;
    const int64_t q = row * wide(a) + p->head * a->size, k = row * wide(a) + (a->heads + p->kv_head) * a->size;
    const float scale = (float)a->scale, one = 1, lowest = -INFINITY;
    const dt_cudnn_plan *plan;
    binding b = {.count = 0};
    DT_TRY(plan_of(queue->cudnn, p, &plan));
    bind(&b, Q, at(a->qkv, q));
    bind(&b, K, at(a->qkv, k));
    bind(&b, V, at(a->qkv, k + a->kv_heads * a->size));
    bind(&b, OUT, at(a->out, out));
    bind(&b, LSE, (float *)a->lse + (p->sample * a->heads + p->head) * a->tokens);
    bind(&b, SCALE, &scale);
    if (a->causal) bind(&b, LOWEST, &lowest);
    if (p->backward) bind(&b, ONE, &one), bind_backward(&b, p, q, k, out, layout);
    DT_TRY(execute(queue->cudnn, plan, &b, a->scratch));
    return p->backward && a->kv_heads < a->heads ? add_heads(queue, p, k, layout) : DT_OK;
}

/* --- slices --- */

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

/* The piece that begins at `sample` and `kv_head`. */
static piece cut(const dt_attention_args *a, const dt_attention_slice *s, bool backward, int64_t sample,
                 int64_t kv_head)
{
    const int64_t group = a->heads / a->kv_heads, kv_heads = least(s->kv_heads, a->kv_heads - kv_head);
    return (piece){a, least(s->samples, a->batch - sample), kv_heads * group, kv_heads,
                   sample, kv_head * group, kv_head, backward};
}

/* All pieces are like the first, but for those at the ends. */
dt_status dt_cudnn_prepare(const dt_queue *q, dt_dtype t, const dt_attention_args *a, bool backward, bool *ready)
{
    const dt_attention_slice s = dt_cudnn_slice(t, a, backward);
    const dt_cudnn_plan *plan;
    *ready = !dt_cudnn_start(q->cudnn, q->stream);
    for (int end = 0; end < 4 && *ready; end++) {
        int64_t sample = end / 2 ? (a->batch - 1) / s.samples * s.samples : 0;
        int64_t kv_head = end % 2 ? (a->kv_heads - 1) / s.kv_heads * s.kv_heads : 0;
        piece p = cut(a, &s, backward, sample, kv_head);
        DT_TRY(plan_of(q->cudnn, &p, &plan));
        *ready = plan->plan;
    }
    return DT_OK;
}

dt_status dt_cudnn_attend(const dt_queue *q, dt_dtype t, const dt_attention_args *a, bool backward)
{
    const dt_attention_slice s = dt_cudnn_slice(t, a, backward);
    dt_cudnn_layout layout;
    dt_cudnn_lay_out(a, &s, backward, &layout);
    DT_TRY(dt_cudnn_start(q->cudnn, q->stream));
    for (int64_t sample = 0; sample < a->batch; sample += s.samples)
        for (int64_t kv_head = 0; kv_head < a->kv_heads; kv_head += s.kv_heads) {
            piece p = cut(a, &s, backward, sample, kv_head);
            DT_TRY(run_piece(q, &p, &layout));
        }
    return DT_OK;
}
