/* What one rank sends in a step, counted from the collectives of the programs. A ring of n ranks sends (n - 1) / n of
 * what it gathers or scatters, and twice that of what it sums up in place (Patarasuk and Yuan, "Bandwidth optimal
 * all-reduce algorithms for clusters of workstations", 2009). */
#include "ops/list.h"
#include "train/session.h"

/* Of `count` elements that are cut into pieces, those that do not stay. */
static double sent(int ranks, dt_dtype type, int64_t count)
{
    return (double)count * (double)dt_dtype_size(type) * (ranks - 1) / ranks;
}

static int64_t elements(const dt_tensor *x) { return dt_shape_count(&x->shape); }

/* Pieces of which there are replicas are summed up over these too. */
static void add_reduce_scatter(const dt_session *s, const dt_node *n, dt_traffic *out)
{
    const dt_reduce_attr *attr = n->attr;
    double times = attr->each ? (double)s->recipe.accumulate : 1;
    out->reduce_scatter += times * sent(dt_store_ranks(s->store), attr->wire, elements(n->in[0]));
    if (s->replicas) out->all_reduce += times * 2 * sent(dt_comm_size(s->replicas), attr->wire, elements(n->in[1]));
}

/* Over all ranks, or over those that share. */
static void add_all_reduce(const dt_session *s, const dt_node *n, dt_traffic *out)
{
    bool pieces = *(const bool *)n->attr;
    int ranks = pieces ? dt_store_ranks(s->store) : dt_comm_size(s->comm);
    out->all_reduce += 2 * sent(ranks, n->in[0]->dtype, elements(n->in[0]));
}

/* What passes gather they gather for every micro-batch; what is updated is gathered once. */
static void add_node(const dt_session *s, const dt_node *n, dt_traffic *out)
{
    int ranks = dt_store_ranks(s->store);
    if (n->op == &dt_op_reduce_scatter) add_reduce_scatter(s, n, out);
    if (n->op == &dt_op_all_gather) out->all_gather += sent(ranks, n->in[1]->dtype, elements(n->in[1]));
    if (n->op == &dt_op_gather)
        out->gather += (double)s->recipe.accumulate * sent(ranks, n->out[0]->dtype, elements(n->out[0]));
    if (n->op == &dt_op_all_reduce) add_all_reduce(s, n, out);
}

dt_traffic dt_session_traffic(const dt_session *s)
{
    static const dt_program_id of_step[] = {DT_PROGRAM_PASS, DT_PROGRAM_UPDATE};
    dt_traffic out = {0};
    for (size_t i = 0; i < sizeof of_step / sizeof *of_step; i++) {
        const dt_program *program = s->program[of_step[i]];
        if (!program) continue;
        for (const dt_node *n = dt_graph_first(dt_program_graph(program)); n; n = n->next) add_node(s, n, &out);
    }
    return out;
}
