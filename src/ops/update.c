/* The update of the parameters, on flat buffers: grad_squares and grad_norm, then adamw or sgd, then ema. What writes
 * persistent memory leaves it alone when the norm is not finite. */
#include "ops/ops.h"
#include "ops/rule.h"

/* --- grad_squares --- */

enum { RANGE_ALIGN = 16 }; /* elements: kernels load whole words */

static bool squares_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const dt_grad_squares_attr *attr = node->attr;
    bool narrow = node->in[DT_GROUP_MATRIX]->dtype == DT_BF16; /* as a store may keep them */
    for (int i = 0; i < attr->count; i++)
        if (attr->ranges[i].offset % RANGE_ALIGN)
            return dt_graph_fail(graph, "range %d begins at element %lld, not at a multiple of %d", i,
                                 (long long)attr->ranges[i].offset, RANGE_ALIGN) != NULL;
    return dt_rule_types(graph, node, ((1u << DT_GROUPS) - 1) & ~((unsigned)narrow << DT_GROUP_MATRIX)) &&
           dt_node_output(graph, node, 0, DT_F64, &DT_SCALAR);
}

static dt_cost squares_cost(const dt_node *node)
{
    const dt_grad_squares_attr *attr = node->attr;
    double elements = 0, bytes = 0;
    for (int i = 0; i < attr->count; i++) {
        elements += (double)attr->ranges[i].count;
        bytes += (double)attr->ranges[i].count * (double)dt_dtype_size(node->in[attr->ranges[i].group]->dtype);
    }
    return (dt_cost){2 * elements, bytes};
}

static int64_t squares_workspace(const dt_node *node, const dt_kernels *kernels, const dt_device_info *info)
{
    const dt_grad_squares_attr *attr = node->attr;
    int64_t most = 0;
    for (int i = 0; i < attr->count; i++) {
        int64_t bytes = kernels->reduce_scratch(info, attr->ranges[i].count);
        if (bytes > most) most = bytes;
    }
    return most;
}

static dt_status squares_run(const dt_node *node, const dt_exec *exec)
{
    const dt_grad_squares_attr *attr = node->attr;
    for (int i = 0; i < attr->count; i++) {
        const dt_gradient_range *range = &attr->ranges[i];
        const dt_tensor *in = node->in[range->group];
        const char *data = (const char *)in->data + range->offset * (int64_t)dt_dtype_size(in->dtype);
        DT_TRY(exec->kernels->square_sum(exec->queue, in->dtype, range->count, data, node->out[0]->data, i > 0,
                                         node->workspace));
    }
    return DT_OK;
}

const dt_op dt_op_grad_squares = {
    .name = "grad_squares",
    .attr_size = sizeof(dt_grad_squares_attr),
    .max_outputs = 1,
    .wide_inputs = (1u << DT_GROUPS) - 1,
    .shape = squares_shape,
    .cost = squares_cost,
    .workspace = squares_workspace,
    .run = squares_run,
};

dt_tensor *dt_grad_squares(dt_graph *graph, dt_tensor *const gradients[DT_GROUPS], const dt_gradient_range *ranges,
                           int count)
{
    if (!gradients[DT_GROUP_MATRIX] || !gradients[DT_GROUP_VECTOR]) return NULL;
    return dt_apply(graph, &dt_op_grad_squares, &(dt_grad_squares_attr){ranges, count}, gradients, DT_GROUPS);
}

/* --- grad_norm --- */

enum { SQUARES, COUNT, NORM_INPUTS };
enum { NORM, SCALE, FINITE, NORM_OUTPUTS };

static bool grad_norm_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_type(graph, node, SQUARES, "the sum of squares", DT_F64) &&
           dt_rule_count(graph, node, SQUARES, "the sum of squares", 1) &&
           dt_rule_types(graph, node, 1u << COUNT) &&
           dt_rule_count(graph, node, COUNT, "the count of samples", 1) &&
           dt_node_output(graph, node, NORM, DT_F64, &DT_SCALAR) &&
           dt_node_output(graph, node, SCALE, DT_F64, &DT_SCALAR) &&
           dt_node_output(graph, node, FINITE, DT_I32, &DT_SCALAR);
}

static dt_cost grad_norm_cost(const dt_node *node) { return dt_rule_cost(node, 8); }

static dt_status grad_norm_run(const dt_node *node, const dt_exec *exec)
{
    const dt_grad_norm_attr *attr = node->attr;
    return exec->kernels->norm_scale(exec->queue, node->in[COUNT]->dtype, attr->clip, node->in[SQUARES]->data,
                                     node->in[COUNT]->data, node->out[NORM]->data, node->out[SCALE]->data,
                                     node->out[FINITE]->data);
}

const dt_op dt_op_grad_norm = {
    .name = "grad_norm",
    .attr_size = sizeof(dt_grad_norm_attr),
    .max_outputs = NORM_OUTPUTS,
    .wide_inputs = (1u << NORM_INPUTS) - 1,
    .shape = grad_norm_shape,
    .cost = grad_norm_cost,
    .run = grad_norm_run,
};

dt_grad_norm_out dt_grad_norm(dt_graph *graph, dt_tensor *squares, dt_tensor *count, dt_grad_norm_attr attr)
{
    if (!squares || !count) return (dt_grad_norm_out){0};
    dt_tensor *in[NORM_INPUTS] = {[SQUARES] = squares, [COUNT] = count};
    dt_node *node = dt_node_add(graph, &dt_op_grad_norm, &attr, in, NORM_INPUTS, (1u << NORM_OUTPUTS) - 1);
    if (!node) return (dt_grad_norm_out){0};
    return (dt_grad_norm_out){node->out[NORM], node->out[SCALE], node->out[FINITE]};
}

/* --- adamw (Loshchilov and Hutter, 2019) and sgd with momentum --- */

enum { VALUE, GRADIENT, MOMENT1, UPDATE_SCALE, UPDATE_FINITE, LR, WORKING, SGD_INPUTS };
enum { MOMENT2 = SGD_INPUTS, CORRECTION1, CORRECTION2, ADAMW_INPUTS };

static dt_dtype update_type(const dt_node *node, int i)
{
    switch (i) {
    case VALUE: case GRADIENT: case MOMENT1: case MOMENT2: return node->in[VALUE]->dtype;
    case WORKING: return DT_BF16;
    case UPDATE_FINITE: return DT_I32;
    default: return DT_F64;
    }
}

/* Buffers alike, step values one float64 each. */
static bool update_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    static const char *const names[ADAMW_INPUTS] = {
        [VALUE] = "the value",
        [GRADIENT] = "the gradient",
        [MOMENT1] = "the first moment",
        [MOMENT2] = "the second moment",
        [UPDATE_SCALE] = "the scale",
        [UPDATE_FINITE] = "finite",
        [LR] = "the learning rate",
        [WORKING] = "the working copy",
        [CORRECTION1] = "the first correction",
        [CORRECTION2] = "the second correction",
    };
    for (int i = 0; i < node->input_count; i++) {
        bool buffer = i <= MOMENT1 || i == MOMENT2 || i == WORKING;
        int64_t count = buffer ? dt_rule_elements(node->in[VALUE]) : 1;
        if (!dt_rule_type(graph, node, i, names[i], update_type(node, i)) ||
            !dt_rule_count(graph, node, i, names[i], count))
            return false;
    }
    return true;
}

/* All buffers are read; all but the gradient are written; the working copy is only written. */
static dt_cost update_cost(const dt_node *node, double flops)
{
    bool has_moment2 = node->input_count > MOMENT2;
    return (dt_cost){flops * (double)dt_rule_elements(node->in[VALUE]),
                     (has_moment2 ? 7.0 : 5.0) * (double)dt_rule_bytes(node->in[VALUE]) +
                         (node->in[WORKING] ? (double)dt_rule_bytes(node->in[WORKING]) : 0)};
}

static dt_cost adamw_cost(const dt_node *node) { return update_cost(node, 16); }

static dt_cost sgd_cost(const dt_node *node) { return update_cost(node, 7); }

static dt_update_args describe(const dt_node *node)
{
    const dt_update_attr *attr = node->attr;
    return (dt_update_args){
        .count = dt_rule_elements(node->in[VALUE]),
        .spans = attr->spans,
        .span_count = attr->span_count,
        .grad = node->in[GRADIENT]->data,
        .scale = node->in[UPDATE_SCALE]->data,
        .finite = node->in[UPDATE_FINITE]->data,
        .lr = node->in[LR]->data,
        .beta1 = attr->beta1,
        .beta2 = attr->beta2,
        .epsilon = attr->epsilon,
        .weight_decay = attr->weight_decay,
        .nesterov = attr->nesterov,
        .value = node->in[VALUE]->data,
        .moment1 = node->in[MOMENT1]->data,
        .working = dt_rule_data(node->in[WORKING]),
    };
}

static dt_status adamw_run(const dt_node *node, const dt_exec *exec)
{
    dt_update_args args = describe(node);
    args.moment2 = node->in[MOMENT2]->data;
    args.correction1 = node->in[CORRECTION1]->data;
    args.correction2 = node->in[CORRECTION2]->data;
    return exec->kernels->adamw(exec->queue, node->in[VALUE]->dtype, &args);
}

static dt_status sgd_run(const dt_node *node, const dt_exec *exec)
{
    dt_update_args args = describe(node);
    return exec->kernels->sgd(exec->queue, node->in[VALUE]->dtype, &args);
}

const dt_op dt_op_adamw = {
    .name = "adamw",
    .attr_size = sizeof(dt_update_attr),
    .flags = DT_OP_EFFECT,
    .shape = update_shape,
    .cost = adamw_cost,
    .run = adamw_run,
};

const dt_op dt_op_sgd = {
    .name = "sgd",
    .attr_size = sizeof(dt_update_attr),
    .flags = DT_OP_EFFECT,
    .shape = update_shape,
    .cost = sgd_cost,
    .run = sgd_run,
};

static void add_update(dt_graph *graph, const dt_op *op, const dt_update_inputs *in, const dt_update_attr *attr,
                       int input_count)
{
    dt_tensor *const all[ADAMW_INPUTS] = {
        [VALUE] = in->value,     [GRADIENT] = in->gradient,       [MOMENT1] = in->moment1,
        [MOMENT2] = in->moment2, [UPDATE_SCALE] = in->scale,      [UPDATE_FINITE] = in->finite,
        [LR] = in->lr,           [CORRECTION1] = in->correction1, [CORRECTION2] = in->correction2,
        [WORKING] = in->working,
    };
    for (int i = 0; i < input_count; i++)
        if (!all[i] && i != WORKING) return;
    dt_node_add(graph, op, attr, all, input_count, 0);
}

void dt_adamw(dt_graph *graph, const dt_update_inputs *in, dt_update_attr attr)
{
    add_update(graph, &dt_op_adamw, in, &attr, ADAMW_INPUTS);
}

void dt_sgd(dt_graph *graph, const dt_update_inputs *in, dt_update_attr attr)
{
    add_update(graph, &dt_op_sgd, in, &attr, SGD_INPUTS);
}

/* --- ema --- */

enum { EMA_VALUE, EMA_AVERAGE, EMA_FINITE, EMA_INPUTS };

static bool ema_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    return dt_rule_types(graph, node, 1u << EMA_VALUE | 1u << EMA_AVERAGE) &&
           dt_rule_shape(graph, node, EMA_AVERAGE, "the average", &node->in[EMA_VALUE]->shape) &&
           dt_rule_type(graph, node, EMA_FINITE, "finite", DT_I32) &&
           dt_rule_count(graph, node, EMA_FINITE, "finite", 1);
}

static dt_cost ema_cost(const dt_node *node)
{
    const dt_tensor *value = node->in[EMA_VALUE];
    return (dt_cost){3.0 * (double)dt_rule_elements(value), 3.0 * (double)dt_rule_bytes(value)};
}

static dt_status ema_run(const dt_node *node, const dt_exec *exec)
{
    const dt_tensor *value = node->in[EMA_VALUE];
    return exec->kernels->ema(exec->queue, value->dtype, dt_rule_elements(value), *(const double *)node->attr,
                              node->in[EMA_FINITE]->data, value->data, node->in[EMA_AVERAGE]->data);
}

const dt_op dt_op_ema = {
    .name = "ema",
    .attr_size = sizeof(double),
    .flags = DT_OP_EFFECT,
    .shape = ema_shape,
    .cost = ema_cost,
    .run = ema_run,
};

void dt_ema(dt_graph *graph, dt_tensor *value, dt_tensor *average, dt_tensor *finite, double decay)
{
    if (!value || !average || !finite) return;
    dt_node_add(graph, &dt_op_ema, &decay, (dt_tensor *[]){value, average, finite}, EMA_INPUTS, 0);
}
