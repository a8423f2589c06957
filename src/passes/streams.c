/* streams: puts `join` nodes where a node needs what another stream was given. A side stream (of communication, of
 * copies) waits for all that stands before its next node, and before its first one for the programs that ran before,
 * which end on the compute stream; that one waits for a side stream only where it touches memory that a node there
 * touches, at the end of the program, and where a side stream holds much of the arena: memory that a node there works
 * on is nobody else's until it was waited for, so that of such nodes two of a group are under way at most. */
#include <stdlib.h>

#include "ops/list.h"
#include "passes/passes.h"

typedef struct walk {
    dt_graph *graph;
    dt_node **pending;                     /* nodes of side streams that the compute stream did not wait for */
    int count;
    bool behind[DT_STREAMS][DT_STREAMS];   /* [a][b]: b was given work since a last waited for it; a is no compute */
} walk;

/* The tensor in whose memory it lies. */
static const dt_tensor *memory_of(const dt_tensor *t)
{
    for (;;) {
        if (t->inside) t = t->inside;
        else if (t->maker && (t->maker->op->flags & DT_OP_VIEW)) t = t->maker->in[0];
        else return t;
    }
}

/* What persistent memory lies in: elements of a buffer of a group. */
typedef struct range {
    int group, buffer;
    int64_t begin, end;
} range;

static range range_of(const dt_tensor *t)
{
    int64_t count = dt_shape_count(&t->shape), at = t->kind == DT_BUFFER ? t->at : t->param->offset;
    int group = t->kind == DT_BUFFER ? t->group : (int)t->param->group;
    return (range){group, t->kind == DT_GRADIENT ? DT_BUFFER_GRADIENT : t->buffer, at, at + count};
}

static bool share_memory(const dt_tensor *a, const dt_tensor *b)
{
    if (!a || !b) return false;
    a = memory_of(a), b = memory_of(b);
    if (a == b) return true;
    if (a->kind == DT_VALUE || b->kind == DT_VALUE || a->kind == DT_STATE || b->kind == DT_STATE) return false;
    range x = range_of(a), y = range_of(b);
    return x.group == y.group && x.buffer == y.buffer && x.begin < y.end && y.begin < x.end;
}

static bool touches(const dt_node *n, const dt_tensor *t)
{
    for (int i = 0; i < n->input_count; i++)
        if (share_memory(n->in[i], t)) return true;
    for (int k = 0; k < n->output_count; k++)
        if (share_memory(n->out[k], t)) return true;
    return false;
}

static bool meet(const dt_node *a, const dt_node *b)
{
    for (int i = 0; i < a->input_count; i++)
        if (a->in[i] && touches(b, a->in[i])) return true;
    for (int k = 0; k < a->output_count; k++)
        if (a->out[k] && touches(b, a->out[k])) return true;
    return false;
}

/* In front of `before` (NULL: at the end), in the scope of `like`. */
static void join(walk *w, const dt_node *like, dt_node *before, dt_stream waiting, dt_stream awaited)
{
    dt_graph_like(w->graph, like);
    dt_graph_insert_before(w->graph, before);
    dt_join(w->graph, waiting, awaited);
    dt_graph_insert_before(w->graph, NULL);
    dt_graph_like(w->graph, NULL);
}

/* The compute stream has waited for `stream`. */
static void forget(walk *w, dt_stream stream)
{
    int kept = 0;
    for (int i = 0; i < w->count; i++)
        if (w->pending[i]->stream != stream) w->pending[kept++] = w->pending[i];
    w->count = kept;
}

/* NULL stands for the end of the program, which needs everything. */
static void join_before_compute(walk *w, const dt_node *like, dt_node *n)
{
    for (int i = 0; i < w->count;) {
        if (n && !meet(w->pending[i], n)) {
            i++;
            continue;
        }
        dt_stream stream = w->pending[i]->stream;
        join(w, like, n, DT_STREAM_COMPUTE, stream);
        forget(w, stream);
        i = 0;
    }
}

/* Does it work on a bucket's gradients, or rounded ones, that lie in the arena? */
static bool holds_bucket(const dt_node *n)
{
    if (n->op != &dt_op_reduce_scatter) return false;
    const dt_reduce_attr *attr = n->attr;
    return memory_of(n->in[0])->kind == DT_VALUE || attr->wire != n->in[0]->dtype;
}

/* Is it well under way when bucket `n` is sent? What is gathered, and the bucket before this one in its group: those of
 * matrices and of vectors take turns. */
static bool is_older(const dt_node *n, const dt_node *pending)
{
    if (pending->stream != n->stream) return false;
    return pending->op == &dt_op_gather || (holds_bucket(pending) && pending->in[1]->group == n->in[1]->group);
}

/* The compute stream waits now, not once it needs what was gathered: behind the bucket it would wait for that too. */
static void join_before_bucket(walk *w, dt_node *n)
{
    bool held = false;
    if (!holds_bucket(n)) return;
    for (int i = 0; i < w->count && !held; i++) held = is_older(n, w->pending[i]);
    if (!held) return;
    join(w, n, n, DT_STREAM_COMPUTE, n->stream);
    forget(w, n->stream);
}

static void join_before_side(walk *w, dt_node *n)
{
    join_before_bucket(w, n);
    for (int s = 0; s < DT_STREAMS; s++) {
        if (!w->behind[n->stream][s]) continue;
        join(w, n, n, n->stream, (dt_stream)s);
        w->behind[n->stream][s] = false;
    }
    w->pending[w->count++] = n;
}

static void visit(walk *w, dt_node *n)
{
    if (n->stream == DT_STREAM_COMPUTE) join_before_compute(w, n, n);
    else join_before_side(w, n);
    for (int s = 0; s < DT_STREAMS; s++) w->behind[s][n->stream] |= s != (int)n->stream;
}

dt_status dt_pass_streams(dt_graph *g)
{
    DT_TRY(dt_graph_status(g));
    size_t room = (size_t)dt_graph_node_count(g) + 1;
    walk w = {.graph = g, .pending = calloc(room, sizeof(dt_node *))};
    if (!w.pending) return dt_fail_memory(room * sizeof(dt_node *), "the streams pass");
    for (int s = 0; s < DT_STREAMS; s++) w.behind[s][DT_STREAM_COMPUTE] = s != DT_STREAM_COMPUTE;
    const dt_node *last = NULL;
    for (dt_node *n = dt_graph_first(g); n; n = n->next) {
        if (!(n->op->flags & DT_OP_VIEW)) visit(&w, n);
        last = n;
    }
    join_before_compute(&w, last, NULL);
    free(w.pending);
    return dt_graph_status(g);
}
