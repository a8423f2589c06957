/* Images: normalize (bytes to floats), patchify and unpatchify (pixels to patches and back). */
#include "ops/ops.h"
#include "ops/rule.h"

/* --- normalize: y = (x / 255 - mean) / std per channel --- */

static bool normalize_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    enum { MAX_CHANNELS = sizeof(((dt_normalize_attr *)0)->mean) / sizeof(double) };
    const dt_shape *shape = &node->in[0]->shape;
    if (!dt_rule_type(graph, node, 0, "the images", DT_U8) || !dt_rule_rank(graph, node, 0, "the images", 4))
        return false;
    if (shape->dim[1] > MAX_CHANNELS) {
        char text[96];
        dt_graph_fail(graph, "normalize: the images of shape %s have more than %d channels",
                      dt_shape_text(shape, text), MAX_CHANNELS);
        return false;
    }
    return dt_node_output(graph, node, 0, DT_F32, shape) != NULL;
}

static dt_cost normalize_cost(const dt_node *node)
{
    return dt_rule_cost(node, 2.0 * (double)dt_rule_elements(node->out[0]));
}

static dt_status normalize_run(const dt_node *node, const dt_exec *exec)
{
    const dt_normalize_attr *attr = node->attr;
    const dt_tensor *x = node->in[0], *y = node->out[0];
    const int64_t *dim = x->shape.dim;
    return exec->kernels->normalize(exec->queue, y->dtype, dim[0], dim[1], dim[2] * dim[3], attr->mean, attr->std,
                                    x->data, y->data);
}

const dt_op dt_op_normalize = {
    .name = "normalize",
    .attr_size = sizeof(dt_normalize_attr),
    .max_outputs = 1,
    .shape = normalize_shape,
    .cost = normalize_cost,
    .run = normalize_run,
};

dt_tensor *dt_normalize(dt_graph *graph, dt_tensor *u8_images, dt_normalize_attr attr)
{
    if (!u8_images) return NULL;
    return dt_apply(graph, &dt_op_normalize, &attr, &u8_images, 1);
}

/* --- patchify and unpatchify: each is the gradient of the other --- */

typedef struct patch_attr {
    int64_t channels, rows, cols, patch; /* rows and cols of patches */
} patch_attr;

static bool patchify_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const patch_attr *attr = node->attr;
    int64_t batch = node->in[0]->shape.dim[0], size = attr->channels * attr->patch * attr->patch;
    return dt_rule_types(graph, node, 1) &&
           dt_node_output(graph, node, 0, node->in[0]->dtype, &DT_SHAPE(batch, attr->rows * attr->cols, size));
}

static bool unpatchify_shape(dt_graph *graph, dt_node *node, unsigned wanted)
{
    const patch_attr *attr = node->attr;
    int64_t batch = node->in[0]->shape.dim[0], size = attr->channels * attr->patch * attr->patch;
    return dt_rule_types(graph, node, 1) &&
           dt_rule_shape(graph, node, 0, "the patches", &DT_SHAPE(batch, attr->rows * attr->cols, size)) &&
           dt_node_output(graph, node, 0, node->in[0]->dtype,
                          &DT_SHAPE(batch, attr->channels, attr->rows * attr->patch, attr->cols * attr->patch));
}

static void patchify_grad(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    const int64_t *dim = node->in[0]->shape.dim;
    din[0] = dt_unpatchify(graph, dout[0], dim[1], dim[2], dim[3], ((const patch_attr *)node->attr)->patch);
}

static void unpatchify_grad(dt_graph *graph, const dt_node *node, dt_tensor *const *dout, dt_tensor **din)
{
    din[0] = dt_patchify(graph, dout[0], ((const patch_attr *)node->attr)->patch);
}

static dt_cost patch_cost(const dt_node *node) { return dt_rule_cost(node, 0); }

static dt_status patchify_run(const dt_node *node, const dt_exec *exec)
{
    const patch_attr *attr = node->attr;
    const dt_tensor *x = node->in[0];
    return exec->kernels->patchify(exec->queue, x->dtype, x->shape.dim[0], attr->channels, attr->rows, attr->cols,
                                   attr->patch, x->data, node->out[0]->data);
}

static dt_status unpatchify_run(const dt_node *node, const dt_exec *exec)
{
    const patch_attr *attr = node->attr;
    const dt_tensor *x = node->in[0];
    return exec->kernels->unpatchify(exec->queue, x->dtype, x->shape.dim[0], attr->channels, attr->rows, attr->cols,
                                     attr->patch, x->data, node->out[0]->data);
}

const dt_op dt_op_patchify = {
    .name = "patchify",
    .attr_size = sizeof(patch_attr),
    .max_outputs = 1,
    .shape = patchify_shape,
    .grad = patchify_grad,
    .cost = patch_cost,
    .run = patchify_run,
};

const dt_op dt_op_unpatchify = {
    .name = "unpatchify",
    .attr_size = sizeof(patch_attr),
    .max_outputs = 1,
    .shape = unpatchify_shape,
    .grad = unpatchify_grad,
    .cost = patch_cost,
    .run = unpatchify_run,
};

static bool can_cut(dt_graph *graph, const dt_op *op, int64_t height, int64_t width, int64_t patch)
{
    if (patch > 0 && height % patch == 0 && width % patch == 0) return true;
    dt_graph_fail(graph, "%s: images of %lld by %lld pixels cannot be cut into patches of %lld by %lld", op->name,
                  (long long)height, (long long)width, (long long)patch, (long long)patch);
    return false;
}

dt_tensor *dt_patchify(dt_graph *graph, dt_tensor *images, int64_t patch)
{
    if (!images) return NULL;
    const dt_shape *shape = &images->shape;
    if (shape->rank != 4) {
        char text[96];
        return dt_graph_fail(graph, "patchify: the images have shape %s, not 4 dimensions", dt_shape_text(shape, text));
    }
    if (!can_cut(graph, &dt_op_patchify, shape->dim[2], shape->dim[3], patch)) return NULL;
    patch_attr attr = {shape->dim[1], shape->dim[2] / patch, shape->dim[3] / patch, patch};
    return dt_apply(graph, &dt_op_patchify, &attr, &images, 1);
}

dt_tensor *dt_unpatchify(dt_graph *graph, dt_tensor *patches, int64_t channels, int64_t height, int64_t width,
                         int64_t patch)
{
    if (!patches || !can_cut(graph, &dt_op_unpatchify, height, width, patch)) return NULL;
    patch_attr attr = {channels, height / patch, width / patch, patch};
    return dt_apply(graph, &dt_op_unpatchify, &attr, &patches, 1);
}
