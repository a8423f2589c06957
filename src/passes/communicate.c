/* communicate: adds up gradients over the ranks, bucket by bucket, each as soon as its last contributor has run.
 *
 * A rank gets its piece of the sum. Where it needs the whole, that is gathered behind: so, whatever ranks share, the
 * same sums are made of the same terms in the same order. Where ranks keep shards of the gradients, those of a
 * micro-batch are made in the arena. A world of one takes the same pass; its collectives do nothing. */
#include <stdlib.h>

#include "ops/list.h"
#include "passes/passes.h"

typedef struct share {
    dt_graph *g;
    const dt_store *store;
    const dt_bucket *bucket;
    dt_dtype wire;
} share;

static bool is_in(const dt_bucket *bucket, const dt_param *param)
{
    return param->group == bucket->group && param->unit >= bucket->first_unit && param->unit < bucket->end_unit;
}

static void insert(dt_graph *g, const dt_node *like, dt_node *before)
{
    dt_graph_like(g, like);
    dt_graph_insert_before(g, before);
}

static void insert_no_more(dt_graph *g)
{
    dt_graph_insert_before(g, NULL);
    dt_graph_like(g, NULL);
}

/* --- gradients --- */

static bool is_slot(const share *s, const dt_tensor *t)
{
    return t && t->kind == DT_GRADIENT && is_in(s->bucket, t->param);
}

/* Does the node write a slot of the bucket? */
static bool contributes(const share *s, const dt_node *n)
{
    if (n->op == &dt_op_accumulate && is_slot(s, n->in[0])) return true;
    for (int k = 0; k < n->output_count; k++)
        if (is_slot(s, n->out[k])) return true;
    return false;
}

static int by_offset(const void *a, const void *b)
{
    const dt_gap *x = a, *y = b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static const dt_tensor *slot_at(const share *s, int i)
{
    const dt_tensor *t = dt_graph_tensor(s->g, i);
    return is_slot(s, t) ? t : NULL;
}

/* What of the bucket no slot of the graph covers, in place of the slots. Returns how many. */
static int find_gaps(const share *s, dt_gap *slots, int count)
{
    int64_t end = 0;
    int gaps = 0;
    qsort(slots, (size_t)count, sizeof *slots, by_offset);
    for (int i = 0; i <= count; i++) {
        dt_gap slot = i < count ? slots[i] : (dt_gap){s->bucket->count, 0};
        if (slot.offset > end) slots[gaps++] = (dt_gap){end, slot.offset - end};
        end = slot.offset + slot.count;
    }
    return gaps;
}

static dt_tensor *make_room(const share *s, dt_dtype type)
{
    int tensors = dt_graph_tensor_count(s->g), count = 0;
    dt_gap *slots = calloc((size_t)tensors + 1, sizeof *slots);
    if (!slots) return dt_graph_fail(s->g, "out of memory");
    for (int i = 0; i < tensors; i++) {
        const dt_tensor *t = slot_at(s, i);
        if (t) slots[count++] = (dt_gap){t->param->offset - s->bucket->offset, dt_shape_count(&t->shape)};
    }
    int gaps = find_gaps(s, slots, count);
    dt_tensor *room = dt_gradient_room(s->g, type, s->bucket->count, slots, gaps);
    free(slots);
    return room;
}

/* The slots lie in the arena: each micro-batch makes them anew. */
static dt_tensor *move_slots(const share *s, dt_node *first)
{
    dt_dtype type = dt_store_type(s->store);
    insert(s->g, first, first);
    dt_tensor *room = make_room(s, type);
    insert_no_more(s->g);
    for (int i = 0; room && i < dt_graph_tensor_count(s->g); i++) {
        dt_tensor *t = (dt_tensor *)slot_at(s, i);
        if (!t) continue;
        t->inside = room;
        t->inside_at = (t->param->offset - s->bucket->offset) * (int64_t)dt_dtype_size(type);
    }
    return room;
}

static void overwrite(const share *s, dt_node *n)
{
    if (n->op == &dt_op_accumulate) n->accumulates = 0;
    for (int k = 0; k < n->output_count; k++)
        if (is_slot(s, n->out[k])) n->accumulates &= ~(1u << k);
}

static void reduce_bucket(const share *s, dt_node *first, dt_node *last)
{
    bool whole = dt_store_keeps_whole(s->store, s->bucket->group, DT_BUFFER_GRADIENT);
    dt_tensor *data = whole ? dt_bucket_tensor(s->g, s->bucket, DT_BUFFER_GRADIENT) : move_slots(s, first);
    dt_tensor *piece = dt_piece_tensor(s->g, s->bucket, DT_BUFFER_GRADIENT);
    for (dt_node *n = first; !whole && n != last->next; n = n->next)
        if (contributes(s, n)) overwrite(s, n);
    if (!data || !piece) return;
    dt_dtype wire = s->wire == DT_BF16 && data->dtype == DT_F32 ? DT_BF16 : data->dtype;
    insert(s->g, last, last->next);
    dt_reduce_scatter(s->g, data, piece, (dt_reduce_attr){.wire = wire, .each = !whole});
    if (dt_store_keeps_whole(s->store, s->bucket->group, DT_BUFFER_MOMENT1)) dt_all_gather(s->g, piece, data);
    insert_no_more(s->g);
}

static void reduce_gradients(const share *s)
{
    dt_node *first = NULL, *last = NULL;
    for (dt_node *n = dt_graph_first(s->g); n; n = n->next) {
        if (!contributes(s, n)) continue;
        if (!first) first = n;
        last = n;
    }
    if (first) reduce_bucket(s, first, last);
}

dt_status dt_pass_communicate(dt_graph *g, dt_dtype wire)
{
    DT_TRY(dt_graph_status(g));
    const dt_store *store = dt_graph_store(g);
    for (int i = 0; store && i < dt_store_buckets(store); i++)
        reduce_gradients(&(share){g, store, dt_store_bucket(store, i), wire});
    return dt_graph_status(g);
}
