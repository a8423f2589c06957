/* Collectives as operators: all_reduce, reduce_scatter, all_gather, gather; and gradient_room, where a bucket's
 * gradients wait for theirs. */
#include <string.h>

#include "kernels/kernels.h"
#include "ops/ops.h"
#include "ops/rule.h"

static dt_node *add_on_comm(dt_graph *graph, const dt_op *op, const void *attr, dt_tensor *const *in, int count,
                            unsigned wanted)
{
    dt_node *node = dt_node_add(graph, op, attr, in, count, wanted);
    if (node) node->stream = DT_STREAM_COMM;
    return node;
}

/* --- all_reduce --- */

/* The sum, in place: the node makes no tensor, and what reads the input behind it sees the sum. */
static bool all_reduce_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_types(graph, node, 1);
}

static dt_cost all_reduce_cost(const dt_node *node)
{
    return (dt_cost){.bytes = 2.0 * (double)dt_rule_bytes(node->in[0])};
}

static dt_status all_reduce_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *x = node->in[0];
    dt_comm *over = *(const bool *)node->attr ? exec->sharers : exec->comm;
    return dt_comm_all_reduce(over, exec->stream, x->dtype, dt_rule_elements(x), x->data);
}

const dt_op dt_op_all_reduce = {
    .name = "all_reduce",
    .attr_size = sizeof(bool),
    .flags = DT_OP_EFFECT,
    .shape = all_reduce_shape,
    .cost = all_reduce_cost,
    .run = all_reduce_run,
};

void dt_all_reduce(dt_graph *graph, dt_tensor *x)
{
    if (x) add_on_comm(graph, &dt_op_all_reduce, &(bool){false}, &x, 1, 0);
}

void dt_reduce_pieces(dt_graph *graph, dt_tensor *x)
{
    if (x) add_on_comm(graph, &dt_op_all_reduce, &(bool){true}, &x, 1, 0);
}

/* --- reduce_scatter --- */

enum { DATA, PIECE };

static bool divides(dt_graph *graph, const dt_node *node, int whole, int piece)
{
    int64_t count = dt_rule_elements(node->in[whole]), part = dt_rule_elements(node->in[piece]);
    if (part && count % part == 0) return true;
    dt_graph_fail(graph, "%lld elements are not pieces of %lld", (long long)count, (long long)part);
    return false;
}

static bool reduce_scatter_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_type(graph, node, PIECE, "the piece", node->in[DATA]->dtype) && divides(graph, node, DATA, PIECE);
}

static dt_cost reduce_scatter_cost(const dt_node *node)
{
    return (dt_cost){(double)dt_rule_elements(node->in[DATA]),
                     (double)dt_rule_bytes(node->in[DATA]) + (double)dt_rule_bytes(node->in[PIECE])};
}

static int64_t align(int64_t bytes) { return (bytes + 255) / 256 * 256; }

/* Both ends as they travel, then the sum in its own type. */
typedef struct wire_room {
    int64_t data, piece, sum;
} wire_room;

static bool changes_type(const dt_node *node)
{
    const dt_reduce_attr *attr = node->attr;
    return attr->wire != node->in[DATA]->dtype;
}

static wire_room room_of(const dt_node *node)
{
    const dt_reduce_attr *attr = node->attr;
    int64_t size = changes_type(node) ? (int64_t)dt_dtype_size(attr->wire) : 0;
    return (wire_room){.data = align(size * dt_rule_elements(node->in[DATA])),
                       .piece = align(size * dt_rule_elements(node->in[PIECE])),
                       .sum = attr->each ? dt_rule_bytes(node->in[PIECE]) : 0};
}

static int64_t reduce_scatter_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    wire_room room = room_of(node);
    return room.data + room.piece + room.sum;
}

/* The sum over those that share, then over the replicas of this rank's piece. */
static dt_status reduce(const dt_exec *exec, dt_dtype type, int64_t count, const void *data, void *out)
{
    DT_TRY(dt_comm_reduce_scatter(exec->sharers, exec->stream, type, count, data, out));
    return exec->replicas ? dt_comm_all_reduce(exec->replicas, exec->stream, type, count, out) : DT_OK;
}

/* Over the wire in its type: into `out` in that of the data. */
static dt_status reduce_over_wire(const dt_node *node, const dt_exec *exec, void *out)
{
    const dt_reduce_attr *attr = node->attr;
    const dt_tensor *data = node->in[DATA];
    int64_t count = dt_rule_elements(node->in[PIECE]);
    if (!changes_type(node))
        return reduce(exec, data->dtype, count, data->data, out);
    char *wide = node->workspace, *sum = wide + room_of(node).data;
    DT_TRY(exec->kernels->cast(exec->queue, data->dtype, attr->wire, dt_rule_elements(data), data->data, wide));
    DT_TRY(reduce(exec, attr->wire, count, wide, sum));
    return exec->kernels->cast(exec->queue, attr->wire, data->dtype, count, sum, out);
}

static dt_status reduce_scatter_run(const dt_node *node, const dt_exec *exec)
{
    const dt_reduce_attr *attr = node->attr;
    const dt_tensor *piece = node->in[PIECE];
    wire_room room = room_of(node);
    if (!attr->each && !exec->last) return DT_OK;
    if (!attr->each || !exec->accumulate) return reduce_over_wire(node, exec, piece->data);
    void *sum = (char *)node->workspace + room.data + room.piece;
    DT_TRY(reduce_over_wire(node, exec, sum));
    return exec->kernels->add(exec->queue, piece->dtype, false, dt_rule_elements(piece), piece->data, sum, piece->data);
}

const dt_op dt_op_reduce_scatter = {
    .name = "reduce_scatter",
    .attr_size = sizeof(dt_reduce_attr),
    .flags = DT_OP_EFFECT,
    .shape = reduce_scatter_shape,
    .cost = reduce_scatter_cost,
    .workspace = reduce_scatter_workspace,
    .run = reduce_scatter_run,
};

void dt_reduce_scatter(dt_graph *graph, dt_tensor *data, dt_tensor *piece, dt_reduce_attr attr)
{
    if (!data || !piece) return;
    add_on_comm(graph, &dt_op_reduce_scatter, &attr, (dt_tensor *[]){[DATA] = data, [PIECE] = piece}, 2, 0);
}

/* --- all_gather, gather --- */

enum { OWN, WHOLE };

static bool all_gather_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_type(graph, node, WHOLE, "the whole", node->in[OWN]->dtype) && divides(graph, node, WHOLE, OWN);
}

static dt_cost all_gather_cost(const dt_node *node)
{
    return (dt_cost){.bytes = (double)dt_rule_bytes(node->in[WHOLE])};
}

static dt_status all_gather_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *own = node->in[OWN];
    if (!exec->last) return DT_OK;
    return dt_comm_all_gather(exec->sharers, exec->stream, own->dtype, dt_rule_elements(own), own->data,
                              node->in[WHOLE]->data);
}

const dt_op dt_op_all_gather = {
    .name = "all_gather",
    .flags = DT_OP_EFFECT,
    .shape = all_gather_shape,
    .cost = all_gather_cost,
    .run = all_gather_run,
};

void dt_all_gather(dt_graph *graph, dt_tensor *piece, dt_tensor *whole)
{
    if (!piece || !whole) return;
    add_on_comm(graph, &dt_op_all_gather, NULL, (dt_tensor *[]){[OWN] = piece, [WHOLE] = whole}, 2, 0);
}

static bool gather_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_node_output(graph, node, 0, node->in[OWN]->dtype, &DT_SHAPE(*(const int64_t *)node->attr));
}

static dt_cost gather_cost(const dt_node *node) { return dt_rule_cost(node, 0); }

static dt_status gather_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *own = node->in[OWN];
    return dt_comm_all_gather(exec->sharers, exec->stream, own->dtype, dt_rule_elements(own), own->data,
                              node->out[0]->data);
}

const dt_op dt_op_gather = {
    .name = "gather",
    .attr_size = sizeof(int64_t),
    .max_outputs = 1,
    .shape = gather_shape,
    .cost = gather_cost,
    .run = gather_run,
};

dt_tensor *dt_gather(dt_graph *graph, dt_tensor *piece, int64_t count)
{
    if (!piece) return NULL;
    dt_node *node = add_on_comm(graph, &dt_op_gather, &count, &piece, 1, 1);
    return node ? node->out[0] : NULL;
}

/* --- gradient_room --- */

typedef struct room_attr {
    dt_dtype type;
    int64_t count;
    const dt_gap *gaps;
    int gap_count;
} room_attr;

static bool room_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const room_attr *attr = node->attr;
    return dt_node_output(graph, node, 0, attr->type, &DT_SHAPE(attr->count));
}

static dt_cost room_cost(const dt_node *node)
{
    const room_attr *attr = node->attr;
    double bytes = 0;
    for (int i = 0; i < attr->gap_count; i++) bytes += (double)attr->gaps[i].count;
    return (dt_cost){.bytes = bytes * (double)dt_dtype_size(node->out[0]->dtype)};
}

static dt_status room_run(const dt_node *node, const dt_exec *exec)
{
    const room_attr *attr = node->attr;
    size_t size = dt_dtype_size(node->out[0]->dtype);
    for (int i = 0; i < attr->gap_count; i++)
        DT_TRY(dt_device_clear(exec->device, exec->stream,
                               (char *)node->out[0]->data + (size_t)attr->gaps[i].offset * size,
                               (size_t)attr->gaps[i].count * size));
    return DT_OK;
}

const dt_op dt_op_gradient_room = {
    .name = "gradient_room",
    .attr_size = sizeof(room_attr),
    .max_outputs = 1,
    .flags = DT_OP_ROOM,
    .shape = room_shape,
    .cost = room_cost,
    .run = room_run,
};

dt_tensor *dt_gradient_room(dt_graph *graph, dt_dtype type, int64_t count, const dt_gap *gaps, int gap_count)
{
    dt_gap *kept = dt_arena_alloc(dt_graph_arena(graph), ((size_t)gap_count + 1) * sizeof *kept);
    if (!kept) return dt_graph_fail(graph, "out of memory");
    memcpy(kept, gaps, (size_t)gap_count * sizeof *kept);
    return dt_apply(graph, &dt_op_gradient_room, &(room_attr){type, count, kept, gap_count}, NULL, 0);
}
