/* Random masks: dropout (of elements; Srivastava et al., 2014) and drop_path (of a sample's whole branch; Huang et al.,
 * "Deep networks with stochastic depth", 2016). A mask is a function of seed, step, sample and site, so the gradient is
 * the same operator applied to dy. */
#include "ops/ops.h"
#include "ops/rule.h"

enum { X, SAMPLE, STEP, INPUTS };

static bool drop_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_tensor *x = node->in[X];
    if (x->shape.rank == 0) {
        dt_graph_fail(graph, "%s: the input is a scalar, without a dimension of samples", node->op->name);
        return false;
    }
    return dt_rule_types(graph, node, 1u << X) && dt_rule_type(graph, node, SAMPLE, "the sample indices", DT_I64) &&
           dt_rule_shape(graph, node, SAMPLE, "the sample indices", &DT_SHAPE(x->shape.dim[0])) &&
           dt_rule_type(graph, node, STEP, "the step", DT_I64) && dt_rule_count(graph, node, STEP, "the step", 1) &&
           dt_rule_like_input(graph, node);
}

static void drop_grad(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    dt_tensor *const in[INPUTS] = {[X] = dout[0], [SAMPLE] = node->in[SAMPLE], [STEP] = node->in[STEP]};
    din[X] = dt_apply(graph, node->op, node->attr, in, INPUTS);
}

static dt_cost drop_cost(const dt_node *node) { return dt_rule_cost(node, (double)dt_rule_elements(node->in[X])); }

static dt_drop_args describe(const dt_node *node)
{
    const dt_drop_attr *attr = node->attr;
    const dt_tensor *x = node->in[X];
    int64_t samples = x->shape.dim[0];
    return (dt_drop_args){
        .samples = samples,
        .per_sample = samples ? dt_rule_elements(x) / samples : 0,
        .rate = attr->rate,
        .seed = attr->seed,
        .site = attr->site,
        .step = node->in[STEP]->data,
        .sample = node->in[SAMPLE]->data,
        .x = x->data,
        .y = node->out[0]->data,
    };
}

/* The two differ in the kernel alone. */
#define DROP_OP(kind)                                                                    \
    static dt_status kind##_run(const dt_node *node, const dt_exec *exec)                \
    {                                                                                    \
        dt_drop_args args = describe(node);                                              \
        return exec->kernels->kind(exec->queue, node->in[X]->dtype, &args);              \
    }                                                                                    \
    const dt_op dt_op_##kind = {                                                         \
        .name = #kind,                                                                   \
        .attr_size = sizeof(dt_drop_attr),                                               \
        .max_outputs = 1,                                                                \
        .flags = DT_OP_CHEAP,                                                            \
        .in_place = 1u << X,                                                             \
        .trunk_inputs = 1u << X,                                                         \
        .trunk_outputs = 1,                                                              \
        .shape = drop_shape,                                                             \
        .grad = drop_grad,                                                               \
        .cost = drop_cost,                                                               \
        .run = kind##_run,                                                               \
    };
DROP_OP(dropout)
DROP_OP(drop_path)

static dt_tensor *drop(dt_graph *graph, const dt_op *op, dt_tensor *const in[INPUTS], const dt_drop_attr *attr)
{
    if (!in[X] || attr->rate == 0) return in[X];
    if (!in[SAMPLE] || !in[STEP]) return NULL;
    if (!(attr->rate > 0 && attr->rate < 1))
        return dt_graph_fail(graph, "%s: a rate of %g is not between 0 and 1", op->name, attr->rate);
    return dt_apply(graph, op, attr, in, INPUTS);
}

dt_tensor *dt_dropout(dt_graph *graph, dt_tensor *x, dt_tensor *sample, dt_tensor *step, dt_drop_attr attr)
{
    return drop(graph, &dt_op_dropout, (dt_tensor *[]){x, sample, step}, &attr);
}

dt_tensor *dt_drop_path(dt_graph *graph, dt_tensor *x, dt_tensor *sample, dt_tensor *step, dt_drop_attr attr)
{
    return drop(graph, &dt_op_drop_path, (dt_tensor *[]){x, sample, step}, &attr);
}
