/* fuse: rewrites pairs of nodes into the fused operators of the registry. Before differentiation, so that a fused
 * operator brings its own gradient; behind it, pairs that only differentiation makes. The lists stand in `rules`. */
#include "ops/list.h"
#include "ops/norm.h"
#include "passes/passes.h"

/* Puts a new node where `at` stands and takes scope and direction from `like`. */
static dt_node *replace_like(dt_graph *g, dt_node *at, dt_node *like, const dt_op *op, const void *attr,
                             dt_tensor *const *inputs, int input_count, unsigned wanted)
{
    dt_graph_like(g, like);
    dt_graph_insert_before(g, at);
    dt_node *fused = dt_node_add(g, op, attr, inputs, input_count, wanted);
    dt_graph_insert_before(g, NULL);
    dt_graph_like(g, NULL);
    return fused;
}

static dt_node *replace_at(dt_graph *g, dt_node *at, const dt_op *op, const void *attr, dt_tensor *const *inputs,
                           int input_count, unsigned wanted)
{
    return replace_like(g, at, at, op, attr, inputs, input_count, wanted);
}

/* Makes a node anew where `at` stands, of other inputs and with outputs beyond those that it has. */
static dt_node *remake_at(dt_graph *g, dt_node *at, dt_node *node, dt_tensor *const *inputs, unsigned beyond)
{
    unsigned wanted = beyond;
    for (int k = 0; k < node->output_count; k++) wanted |= node->out[k] ? 1u << k : 0;
    dt_node *made = replace_at(g, at, node->op, node->attr, inputs, node->input_count, wanted);
    if (!made) return NULL;
    for (int k = 0; k < node->output_count; k++)
        if (node->out[k]) dt_graph_replace_uses(g, node->out[k], made->out[k], NULL);
    dt_graph_remove(g, node);
    return made;
}

static bool read_between(const dt_node *from, const dt_node *to, const dt_tensor *t)
{
    for (const dt_node *n = from->next; n && n != to; n = n->next)
        for (int i = 0; i < n->input_count; i++)
            if (n->in[i] == t) return true;
    return false;
}

static dt_node *maker_of(const dt_tensor *t, const dt_op *op)
{
    return t && t->maker && t->maker->op == op ? t->maker : NULL;
}

/* s = a + b; y = norm(s)  ->  y, s = norm(a, residual b). The sum is made where the norm stands, so nothing may read it
 * before. */
static void fuse_add_norm(dt_graph *g, dt_node *norm)
{
    dt_tensor *sum = norm->in[DT_NORM_X];
    dt_node *add = maker_of(sum, &dt_op_add);
    if (!add || norm->in[DT_NORM_RESIDUAL] || read_between(add, norm, sum)) return;
    dt_tensor *inputs[DT_MAX_INPUTS];
    for (int i = 0; i < norm->input_count; i++) inputs[i] = norm->in[i];
    inputs[DT_NORM_X] = add->in[0];
    inputs[DT_NORM_RESIDUAL] = add->in[1];
    dt_node *fused = remake_at(g, norm, norm, inputs, 1u << DT_NORM_SUM);
    if (!fused) return;
    dt_graph_replace_uses(g, sum, fused->out[DT_NORM_SUM], add);
    dt_graph_remove(g, add);
}

/* A product whose only reader is `reader` and whose epilogue is still free behind the bias. */
static dt_node *free_product(dt_graph *g, dt_tensor *product, const dt_node *reader)
{
    dt_node *matmul = maker_of(product, &dt_op_matmul);
    if (!matmul || dt_graph_only_reader(g, product) != reader) return NULL;
    const dt_matmul_attr *attr = matmul->attr;
    bool taken = attr->act != DT_ACT_NONE || matmul->in[DT_MATMUL_RESIDUAL] || matmul->in[DT_MATMUL_ACT_GRAD_OF];
    return taken ? NULL : matmul;
}

/* gelu(a b + bias) as the product's epilogue, which keeps its argument where a gradient will want it. */
static void fuse_gelu(dt_graph *g, dt_node *gelu)
{
    dt_node *matmul = free_product(g, gelu->in[0], gelu);
    if (!matmul) return;
    dt_matmul_attr attr = *(const dt_matmul_attr *)matmul->attr;
    attr.act = *(const dt_activation *)gelu->attr;
    unsigned wanted = gelu->out[0]->needs_grad ? 3u : 1u;
    dt_node *fused = replace_at(g, gelu, &dt_op_matmul, &attr, matmul->in, matmul->input_count, wanted);
    if (!fused) return;
    dt_graph_replace_uses(g, gelu->out[0], fused->out[0], NULL);
    dt_graph_remove(g, gelu);
    dt_graph_remove(g, matmul);
}

/* x + a b as the product's epilogue. */
static void fuse_residual(dt_graph *g, dt_node *add)
{
    for (int side = 0; side < 2; side++) {
        dt_tensor *other = add->in[1 - side];
        dt_node *matmul = other == add->in[side] ? NULL : free_product(g, add->in[side], add);
        if (!matmul || other->dtype != add->out[0]->dtype) continue;
        dt_tensor *inputs[DT_MATMUL_INPUTS];
        for (int i = 0; i < DT_MATMUL_INPUTS; i++) inputs[i] = matmul->in[i];
        inputs[DT_MATMUL_RESIDUAL] = other;
        dt_node *fused = replace_like(g, add, matmul, &dt_op_matmul, matmul->attr, inputs, DT_MATMUL_INPUTS, 1u);
        if (!fused) return;
        dt_graph_replace_uses(g, add->out[0], fused->out[0], NULL);
        dt_graph_remove(g, add);
        dt_graph_remove(g, matmul);
        return;
    }
}

/* Where both have one type, this comes before the norms: the product reads x once, where a norm would read the product
 * too. A wider x is left to a norm that follows, whose gradient makes the narrow one on its way. */
static void fuse_residual_alike(dt_graph *g, dt_node *add)
{
    if (add->in[0]->dtype == add->in[1]->dtype) fuse_residual(g, add);
}

static void fuse_cross_entropy(dt_graph *g, dt_node *loss)
{
    dt_node *softmax = maker_of(loss->in[0], &dt_op_log_softmax);
    if (!softmax || dt_graph_only_reader(g, loss->in[0]) != loss) return;
    dt_tensor *inputs[] = {softmax->in[0], loss->in[1], loss->in[2]};
    unsigned wanted = 1u << DT_XENT_PROB | 1u << DT_XENT_LOSS;
    dt_node *fused = replace_at(g, loss, &dt_op_softmax_xent, NULL, inputs, 3, wanted);
    if (!fused) return;
    dt_graph_replace_uses(g, loss->out[0], fused->out[DT_XENT_LOSS], NULL);
    dt_graph_remove(g, loss);
    dt_graph_remove(g, softmax);
}

typedef struct fuse_rule {
    const dt_op *op; /* of the second node of the pair */
    void (*apply)(dt_graph *, dt_node *);
} fuse_rule;

static void apply_rule(dt_graph *g, const fuse_rule *rule)
{
    for (dt_node *n = dt_graph_first(g), *next; n && !dt_graph_failed(g); n = next) {
        next = n->next;
        if (n->op == rule->op) rule->apply(g, n);
    }
}

dt_status dt_pass_fuse(dt_graph *g)
{
    static const fuse_rule rules[] = {
        {&dt_op_gelu, fuse_gelu},         {&dt_op_add, fuse_residual_alike},
        {&dt_op_row_norm, fuse_add_norm}, {&dt_op_point_norm, fuse_add_norm},
        {&dt_op_add, fuse_residual},      {&dt_op_cross_entropy, fuse_cross_entropy},
    };
    DT_TRY(dt_graph_status(g));
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) apply_rule(g, &rules[i]);
    return dt_graph_status(g);
}

/* dx = (dy w) gelu'(pre): the derivative joins the epilogue of the product that makes its argument. */
static void fuse_gelu_grad(dt_graph *g, dt_node *grad)
{
    dt_node *matmul = free_product(g, grad->in[1], grad);
    if (!matmul || matmul->in[DT_MATMUL_BIAS]) return;
    dt_matmul_attr attr = *(const dt_matmul_attr *)matmul->attr;
    attr.act = *(const dt_activation *)grad->attr;
    dt_tensor *inputs[DT_MATMUL_INPUTS];
    for (int i = 0; i < DT_MATMUL_INPUTS; i++) inputs[i] = matmul->in[i];
    inputs[DT_MATMUL_ACT_GRAD_OF] = grad->in[0];
    dt_node *fused = replace_at(g, grad, &dt_op_matmul, &attr, inputs, DT_MATMUL_INPUTS, 1u);
    if (!fused) return;
    dt_graph_replace_uses(g, grad->out[0], fused->out[0], NULL);
    dt_graph_remove(g, grad);
    dt_graph_remove(g, matmul);
}

/* The gradient of a norm that adds nothing yet to what it sends to the norm's input, and sends it there alone: where it
 * makes a branch's narrow gradient, that would get what is added, too. */
static dt_node *free_norm_grad(dt_graph *g, dt_tensor *dx, const dt_node *reader)
{
    dt_node *grad = maker_of(dx, &dt_op_point_norm_grad);
    if (!grad) grad = maker_of(dx, &dt_op_row_norm_grad);
    if (!grad || dx->maker_output != DT_NORM_DX) return NULL;
    if (grad->in[DT_NORM_DSUM] || grad->out[DT_NORM_DRESIDUAL]) return NULL;
    for (int k = 0; k < grad->output_count; k++)
        if (grad->out[k] && read_between(grad, reader, grad->out[k])) return NULL;
    return dt_graph_only_reader(g, dx) == reader ? grad : NULL;
}

/* What a norm and the later readers of its input send back to it, added up by the norm's gradient: the sums of a
 * residual stream that products made. */
static void fuse_sum_grad(dt_graph *g, dt_node *add)
{
    dt_tensor *later = add->in[0], *dx = add->in[1], *inputs[DT_MAX_INPUTS];
    dt_node *grad = free_norm_grad(g, dx, add);
    if (!grad || later->dtype != dx->dtype) return;
    for (int i = 0; i < grad->input_count; i++) inputs[i] = grad->in[i];
    inputs[DT_NORM_DSUM] = later;
    dt_node *fused = remake_at(g, add, grad, inputs, 0);
    if (!fused) return;
    dt_graph_replace_uses(g, add->out[0], fused->out[DT_NORM_DX], NULL);
    dt_graph_remove(g, add);
}

dt_status dt_pass_fuse_backward(dt_graph *g)
{
    static const fuse_rule rules[] = {{&dt_op_gelu_grad, fuse_gelu_grad}, {&dt_op_add, fuse_sum_grad}};
    DT_TRY(dt_graph_status(g));
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) apply_rule(g, &rules[i]);
    return dt_graph_status(g);
}
