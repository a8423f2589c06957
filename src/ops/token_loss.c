/* Cross-entropy with one target a row, a next-token loss. The gradient with respect to the logits needs nothing that
 * the loss does not need, so both are made at once and the gradient takes the memory of the logits: they exist once. */
#include "ops/ops.h"
#include "ops/rule.h"

enum { LOGITS, TARGETS, INPUTS };
enum { DLOGITS, LOSS, COUNT }; /* dlogits first: what is made in place is output 0 */
enum { FLOPS = 4 };            /* per element */

static bool token_loss_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const int64_t *classes = node->attr;
    const dt_tensor *x = node->in[LOGITS];
    char text[96];
    if (!dt_rule_types(graph, node, 1u << LOGITS) || !dt_rule_type(graph, node, TARGETS, "the targets", DT_I32) ||
        !dt_rule_count(graph, node, TARGETS, "the targets", dt_shape_rows(&x->shape)))
        return false;
    if (*classes < 1 || *classes > dt_shape_last(&x->shape)) {
        dt_graph_fail(graph, "token_loss: logits of shape %s do not have %lld classes", dt_shape_text(&x->shape, text),
                      (long long)*classes);
        return false;
    }
    return (!dt_rule_wanted(wanted, DLOGITS) || dt_node_output(graph, node, DLOGITS, x->dtype, &x->shape)) &&
           dt_node_output(graph, node, LOSS, x->dtype, &DT_SCALAR) &&
           dt_node_output(graph, node, COUNT, x->dtype, &DT_SCALAR);
}

/* Where the loss is what is differentiated, its own gradient is one. */
static void token_loss_backward(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    if (!dt_rule_wants(node, LOGITS) || !dout[LOSS]) return;
    din[LOGITS] = dt_is_filled(dout[LOSS], 1) ? node->out[DLOGITS]
                                              : dt_scale_by(graph, node->out[DLOGITS], dout[LOSS]);
}

static dt_cost token_loss_cost(const dt_node *node)
{
    return dt_rule_cost(node, FLOPS * (double)dt_rule_elements(node->in[LOGITS]));
}

static int64_t token_loss_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    return 2 * kernels->reduce_scratch(info, dt_shape_rows(&node->in[LOGITS]->shape));
}

static dt_status token_loss_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *logits = node->in[LOGITS];
    dt_token_loss_args args = {
        .rows = dt_shape_rows(&logits->shape),
        .width = dt_shape_last(&logits->shape),
        .classes = *(const int64_t *)node->attr,
        .logits = logits->data,
        .targets = node->in[TARGETS]->data,
        .dlogits = dt_rule_data(node->out[DLOGITS]),
        .loss = node->out[LOSS]->data,
        .count = node->out[COUNT]->data,
        .scratch = node->workspace,
    };
    return exec->kernels->token_loss(exec->queue, logits->dtype, &args);
}

const dt_op dt_op_token_loss = {
    .name = "token_loss",
    .attr_size = sizeof(int64_t),
    .max_outputs = 3,
    .in_place = 1u << LOGITS,
    .wide_outputs = 1u << LOSS | 1u << COUNT,
    .shape = token_loss_shape,
    .grad = token_loss_backward,
    .cost = token_loss_cost,
    .workspace = token_loss_workspace,
    .run = token_loss_run,
};

dt_token_loss_out dt_token_loss(dt_graph *graph, dt_tensor *logits, dt_tensor *targets, int64_t classes)
{
    if (!logits || !targets) return (dt_token_loss_out){0};
    unsigned wanted = 1u << LOSS | 1u << COUNT | (unsigned)logits->needs_grad << DLOGITS;
    dt_tensor *const in[INPUTS] = {logits, targets};
    dt_node *node = dt_node_add(graph, &dt_op_token_loss, &classes, in, INPUTS, wanted);
    if (!node) return (dt_token_loss_out){0};
    return (dt_token_loss_out){.loss = node->out[LOSS], .count = node->out[COUNT]};
}
