/* gather: brings together what a program reads of buffers of which every rank keeps a shard.
 *
 * A bucket is gathered into the arena for the forward pass, and again for the backward pass but where it is at hand
 * still: where the forward pass reads it to its end. Each gathering stands behind the first use of the one before it,
 * so that it is under way while that one is computed with, and two are there at a time. Before that use, for which the
 * compute stream waits, it would be waited for too. */
#include <stdlib.h>

#include "ops/list.h"
#include "passes/passes.h"

typedef struct fetch {
    const dt_bucket *bucket;
    int buffer;
    bool backward;         /* for the backward pass */
    bool at_hand;          /* then: from the forward pass */
    dt_node *first, *last; /* that read it */
} fetch;

typedef struct gathering {
    dt_graph *g;
    const dt_store *store;
    fetch *fetches;
    int count;
} gathering;

static bool is_shard(const gathering *w, const dt_tensor *t)
{
    return t && t->kind == DT_PARAM && !t->inside &&
           !dt_store_keeps_whole(w->store, t->param->group, (dt_buffer)t->buffer);
}

/* --- who reads what, and when --- */

static fetch *find(const gathering *w, const dt_bucket *bucket, int buffer, bool backward)
{
    for (int i = 0; i < w->count; i++) {
        fetch *f = &w->fetches[i];
        if (f->bucket == bucket && f->buffer == buffer && f->backward == backward) return f;
    }
    return NULL;
}

static void note(gathering *w, dt_node *n, const dt_tensor *t)
{
    const dt_bucket *bucket = dt_store_bucket_of(w->store, t->param);
    fetch *f = find(w, bucket, t->buffer, n->backward);
    if (!f) {
        f = &w->fetches[w->count++];
        *f = (fetch){.bucket = bucket, .buffer = t->buffer, .backward = n->backward, .first = n};
    }
    f->last = n;
}

/* In the order of their first uses. */
static void survey(gathering *w)
{
    for (dt_node *n = dt_graph_first(w->g); n; n = n->next)
        for (int i = 0; i < n->input_count; i++)
            if (is_shard(w, n->in[i])) note(w, n, n->in[i]);
}

/* Does the forward pass read it to its end, so that the backward pass finds it there? */
static bool is_at_hand(const gathering *w, const fetch *f)
{
    const dt_node *end = NULL;
    for (int i = 0; i < w->count; i++)
        if (!w->fetches[i].backward) end = w->fetches[i].first;
    const fetch *forward = f->backward ? find(w, f->bucket, f->buffer, false) : NULL;
    return forward && end && forward->last->position >= end->position;
}

static void drop_those_at_hand(gathering *w)
{
    int kept = 0;
    for (int i = 0; i < w->count; i++) w->fetches[i].at_hand = is_at_hand(w, &w->fetches[i]);
    for (int i = 0; i < w->count; i++)
        if (!w->fetches[i].at_hand) w->fetches[kept++] = w->fetches[i];
    w->count = kept;
}

/* --- gathering --- */

static void lie_inside(dt_tensor *t, const fetch *f, dt_tensor *gathered)
{
    t->inside = gathered;
    t->inside_at = (t->param->offset - f->bucket->offset) * (int64_t)dt_dtype_size(t->dtype);
}

/* Backward readers of `t` read a tensor of their own. */
static dt_status divert(dt_graph *g, dt_tensor *t, const fetch *f, dt_tensor *gathered)
{
    dt_tensor *again = NULL;
    for (dt_use *use = t->uses, *next; use; use = next) {
        next = use->next;
        if (!use->node->backward) continue;
        if (!again) {
            again = dt_tensor_new(g, DT_PARAM, t->dtype, &t->shape, t->name);
            if (!again) return dt_graph_status(g);
            again->param = t->param;
            again->buffer = t->buffer;
            lie_inside(again, f, gathered);
        }
        dt_node_set_input(use->node, (int)(use - use->node->use), again);
    }
    return DT_OK;
}

static bool is_of(const gathering *w, const fetch *f, const dt_tensor *t)
{
    return t->kind == DT_PARAM && t->buffer == f->buffer && dt_store_bucket_of(w->store, t->param) == f->bucket;
}

static dt_tensor *add_gather(const gathering *w, const fetch *f, dt_node *before)
{
    dt_graph_like(w->g, f->first);
    dt_graph_insert_before(w->g, before);
    dt_tensor *gathered = dt_gather(w->g, dt_piece_tensor(w->g, f->bucket, (dt_buffer)f->buffer), f->bucket->count);
    dt_graph_insert_before(w->g, NULL);
    dt_graph_like(w->g, NULL);
    return gathered;
}

static dt_status fetch_bucket(const gathering *w, const fetch *f, dt_node *before)
{
    int tensors = dt_graph_tensor_count(w->g);
    dt_tensor *gathered = add_gather(w, f, before);
    for (int i = 0; gathered && i < tensors; i++) {
        dt_tensor *t = dt_graph_tensor(w->g, i);
        if (!is_of(w, f, t)) continue;
        if (f->backward) DT_TRY(divert(w->g, t, f, gathered));
        if (!t->inside) lie_inside(t, f, gathered);
    }
    return dt_graph_status(w->g);
}

/* The node in front of which to gather. */
static dt_node *place_of(const gathering *w, int i)
{
    int before = i - 1;
    while (before >= 0 && w->fetches[before].first == w->fetches[i].first) before--;
    return before < 0 ? w->fetches[i].first : w->fetches[before].first->next;
}

dt_status dt_pass_gather(dt_graph *g)
{
    DT_TRY(dt_graph_status(g));
    gathering w = {.g = g, .store = dt_graph_store(g)};
    if (!w.store || !dt_store_buckets(w.store)) return DT_OK;
    size_t room = (size_t)dt_store_buckets(w.store) * DT_BUFFERS * 2;
    w.fetches = calloc(room, sizeof *w.fetches);
    if (!w.fetches) return dt_fail_memory(room * sizeof *w.fetches, "the gather pass");
    dt_graph_number(g);
    survey(&w);
    drop_those_at_hand(&w);
    dt_status status = DT_OK;
    for (int i = 0; i < w.count && !status; i++) status = fetch_bucket(&w, &w.fetches[i], place_of(&w, i));
    free(w.fetches);
    return status;
}
