/* Lifetimes over the ordered list, shared memory, and offsets in the arena. */
#include "graph/plan.h"

#include <limits.h>
#include <stdlib.h>

#include "base/hash.h"
#include "graph/space.h"
#include "kernels/kernels.h"

/* Arena memory in use at some positions: a root tensor or a node's workspace. */
typedef struct block {
    dt_span at;
    int64_t bytes;
    int64_t *offset; /* where it goes */
    uint64_t key; /* order among equals, or the shuffle */
} block;

int64_t dt_tensor_bytes(const dt_tensor *t) { return dt_shape_count(&t->shape) * (int64_t)dt_dtype_size(t->dtype); }

/* --- lifetimes and sharing --- */

static bool is_join(const dt_node *n, dt_stream waiting, dt_stream awaited)
{
    return (n->op->flags & DT_OP_JOIN) && n->stream == waiting && *(const dt_stream *)n->attr == awaited;
}

/* From which position on, and until which, may a node be at work, seen from the compute stream? On a side stream it is
 * so from the join that it waited in to the one in which it is waited for. */
static dt_span span_of(const dt_node *n)
{
    if (n->stream == DT_STREAM_COMPUTE) return (dt_span){n->position, n->position};
    const dt_node *before = n, *behind = n;
    while (before && !is_join(before, n->stream, DT_STREAM_COMPUTE)) before = before->prev;
    while (behind && !is_join(behind, DT_STREAM_COMPUTE, n->stream)) behind = behind->next;
    return (dt_span){before ? before->position : 0, behind ? behind->position : INT_MAX};
}

static void keep_until(dt_tensor *t, int position)
{
    if (t && t->last < position) t->last = position;
}

static void find_last_reads(dt_graph *g)
{
    for (int i = 0; i < g->tensors.count; i++) {
        dt_tensor *t = g->tensors.at[i];
        t->root = NULL;
        t->root_at = 0;
        t->first = t->last = -1;
    }
    for (const dt_node *n = g->first; n; n = n->next) {
        int last = span_of(n).last;
        for (int i = 0; i < n->input_count; i++) keep_until(n->in[i], last);
        for (int k = 0; k < n->output_count; k++) keep_until(n->out[k], last);
    }
    for (int i = 0; i < g->outputs.count; i++) ((dt_graph_output_entry *)g->outputs.at[i])->tensor->last = INT_MAX;
}

static dt_tensor *root_of(dt_tensor *t) { return t->root ? t->root : t; }

/* `t` lies in the memory of `other`, from that byte on. */
static void join(dt_tensor *t, dt_tensor *other, int64_t at)
{
    dt_tensor *root = root_of(other);
    t->root = root;
    t->root_at = other->root_at + at;
    if (root->last < t->last) root->last = t->last;
}

/* May output 0 of `n` take the memory of its input i? Only if nothing reads that memory later, in this node no other
 * input shares it, and it is arena memory of the same size. */
static bool dies_here(const dt_node *n, int i)
{
    dt_tensor *in = n->in[i];
    if (!in || in->kind != DT_VALUE || root_of(in)->kind != DT_VALUE) return false;
    if (root_of(in)->last != n->position || dt_tensor_bytes(in) != dt_tensor_bytes(root_of(in))) return false;
    for (int j = 0; j < n->input_count; j++)
        if (j != i && n->in[j] && root_of(n->in[j]) == root_of(in)) return false;
    return dt_tensor_bytes(in) == dt_tensor_bytes(n->out[0]);
}

static dt_tensor *shared_input(const dt_node *n, bool in_place)
{
    if (n->op->flags & DT_OP_VIEW) return n->in[0];
    if (!in_place || !n->out[0] || n->out[0]->kind != DT_VALUE) return NULL;
    for (int i = 0; i < n->input_count; i++)
        if (((n->op->in_place >> i) & 1u) && dies_here(n, i)) return n->in[i];
    return NULL;
}

static void assign_roots(dt_graph *g, bool in_place)
{
    for (int i = 0; i < g->tensors.count; i++) {
        dt_tensor *t = g->tensors.at[i];
        if (t->inside) join(t, t->inside, t->inside_at);
    }
    for (dt_node *n = g->first; n; n = n->next) {
        dt_tensor *shared = shared_input(n, in_place);
        if (shared) join(n->out[0], shared, 0);
        for (int k = 0; k < n->output_count; k++)
            if (n->out[k] && n->out[k]->kind == DT_VALUE && !n->out[k]->root) {
                n->out[k]->root = n->out[k];
                n->out[k]->first = span_of(n).first;
            }
    }
}

/* --- placement --- */

static int by_size(const void *a, const void *b)
{
    const block *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    if (x->at.first != y->at.first) return x->at.first < y->at.first ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

static int by_key(const void *a, const void *b)
{
    const block *x = a, *y = b;
    return x->key < y->key ? -1 : x->key > y->key;
}

/* The order in which blocks are placed: the largest first, or shuffled. */
static void sort(block *blocks, int count, uint64_t shuffle)
{
    for (int i = 0; i < count; i++) {
        uint64_t key = (uint64_t)i;
        blocks[i].key = shuffle ? dt_hash_bytes(&key, sizeof key, shuffle) : key;
    }
    if (count) qsort(blocks, (size_t)count, sizeof *blocks, shuffle ? by_key : by_size);
}

/* Each block as low as it can lie beside those placed before. */
static dt_status place(const block *blocks, int count, int positions, int64_t *total)
{
    dt_space space;
    DT_TRY(dt_space_create(positions, &space));
    dt_status status = DT_OK;
    *total = 0;
    for (int i = 0; i < count && !status && *total <= DT_MOST_BYTES; i++) {
        const block *b = &blocks[i];
        int64_t offset = dt_space_find(&space, b->at, b->bytes), end = offset + b->bytes;
        status = dt_space_take(&space, b->at, (dt_range){offset, end});
        *b->offset = offset;
        if (end > *total) *total = end;
    }
    dt_space_free(&space);
    if (status || *total <= DT_MOST_BYTES) return status;
    return dt_fail(DT_ERR_USAGE, "activations would be larger than any memory; choose a smaller batch, image or model");
}

/* The first position of the `positions` at which the most bytes are in use. */
static dt_status find_peak(const block *blocks, int count, int positions, int *out)
{
    int64_t *change = calloc((size_t)positions + 1, sizeof *change), bytes = 0, most = 0;
    if (!change) return dt_fail_memory(((size_t)positions + 1) * sizeof *change, "the memory plan");
    for (int i = 0; i < count; i++) {
        change[blocks[i].at.first] += blocks[i].bytes;
        if (blocks[i].at.last < positions) change[blocks[i].at.last + 1] -= blocks[i].bytes;
    }
    *out = 0;
    for (int position = 0; position < positions; position++) {
        bytes += change[position];
        if (bytes > most) most = bytes, *out = position;
    }
    free(change);
    return DT_OK;
}

static int64_t align_up(int64_t bytes) { return (bytes + DT_PLAN_ALIGN - 1) / DT_PLAN_ALIGN * DT_PLAN_ALIGN; }

static int collect(dt_graph *g, const dt_kernels *kernels, const dt_device_info *info, block *blocks)
{
    int count = 0;
    for (int i = 0; i < g->tensors.count; i++) {
        dt_tensor *t = g->tensors.at[i];
        if (t->kind == DT_VALUE && t->root == t)
            blocks[count++] = (block){{t->first, t->last}, align_up(dt_tensor_bytes(t)), &t->offset, 0};
    }
    for (dt_node *n = g->first; n; n = n->next) {
        n->workspace_bytes = n->op->workspace ? n->op->workspace(n, kernels, info) : 0;
        if (n->workspace_bytes)
            blocks[count++] = (block){span_of(n), align_up(n->workspace_bytes), &n->workspace_offset, 0};
    }
    return count;
}

dt_status dt_plan_make(dt_graph *g, dt_backend backend, const dt_device_info *info, const dt_plan_options *options,
                       dt_plan *out)
{
    static const dt_plan_options plain = {0};
    if (!options) options = &plain;
    dt_graph_number(g);
    find_last_reads(g);
    assign_roots(g, !options->no_in_place);
    size_t room = (size_t)g->tensors.count + (size_t)g->node_count + 1;
    block *blocks = calloc(room, sizeof *blocks);
    if (!blocks) return dt_fail_memory(room * sizeof *blocks, "the memory plan");
    int count = collect(g, dt_kernels_of(backend), info, blocks);
    sort(blocks, count, options->shuffle);
    dt_status status = place(blocks, count, g->node_count, &out->bytes);
    if (!status) status = find_peak(blocks, count, g->node_count, &out->peak);
    free(blocks);
    return status;
}
