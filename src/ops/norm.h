/* What the two families of norms, row_norm.c and point_norm.c, have in common. */
#ifndef DT_OPS_NORM_H
#define DT_OPS_NORM_H

#include "ops/ops.h"
#include "ops/rule.h"

/* Inputs and outputs that the gradients of both families begin with; from GRAD_MORE and DMORE on follow each family's
 * own, at most two outputs. */
enum { DT_NORM_DY, DT_NORM_DSUM, DT_NORM_GRAD_X, DT_NORM_GRAD_GAMMA, DT_NORM_GRAD_MORE };
enum { DT_NORM_DX, DT_NORM_DGAMMA, DT_NORM_DBETA, DT_NORM_DMORE, DT_NORM_DRESIDUAL = DT_NORM_DMORE + 2 };

/* Shape rule: checks types and what is optional, makes y and, where there is a residual, the sum. */
bool dt_norm_shape(dt_graph *, dt_node *);
/* Shape rule of a gradient: checks types, dsum and x, makes what is wanted of dx, dgamma, dbeta and dresidual. */
bool dt_norm_grad_shape(dt_graph *, dt_node *, unsigned wanted);
/* What the norm was taken of: x, or its sum with the residual. */
dt_tensor *dt_norm_operand(const dt_node *);
/* The output bit of dresidual, where the residual is narrower than the trunk; else it takes dx. */
unsigned dt_norm_wants_dresidual(const dt_node *);
/* x and residual enter by their sum alone, so they share the gradient dx; dresidual, which may be NULL, is dx in the
 * residual's type. */
void dt_norm_share_dx(dt_graph *, const dt_node *, dt_tensor *dx, dt_tensor *dresidual, dt_tensor **din);

/* What the kernels of both families are told alike, as initialisers of dt_row_norm_args or dt_point_norm_args. */
#define DT_NORM_ARGS(node)                                                                  \
    .rows = dt_shape_rows(&(node)->in[DT_NORM_X]->shape),                                   \
    .channels = dt_shape_last(&(node)->in[DT_NORM_X]->shape),                               \
    .wide_trunk = dt_rule_wide_trunk((node)->in[DT_NORM_X], (node)->out[DT_NORM_Y]),        \
    .x = (node)->in[DT_NORM_X]->data,                                                       \
    .residual = dt_rule_data((node)->in[DT_NORM_RESIDUAL]),                                 \
    .sum = dt_rule_data((node)->out[DT_NORM_SUM]),                                          \
    .gamma = dt_rule_data((node)->in[DT_NORM_GAMMA]),                                       \
    .beta = dt_rule_data((node)->in[DT_NORM_BETA]),                                         \
    .y = (node)->out[DT_NORM_Y]->data

/* What the kernels of both gradients are told alike, as initialisers of dt_row_norm_grad_args
 * or dt_point_norm_grad_args. */
#define DT_NORM_GRAD_ARGS(node, exec)                                      \
    .rows = dt_shape_rows(&(node)->in[DT_NORM_DY]->shape),                 \
    .channels = dt_shape_last(&(node)->in[DT_NORM_DY]->shape),             \
    .wide_trunk = dt_rule_wide_trunk((node)->in[DT_NORM_GRAD_X], (node)->in[DT_NORM_DY]), \
    .x = (node)->in[DT_NORM_GRAD_X]->data,                                 \
    .gamma = dt_rule_data((node)->in[DT_NORM_GRAD_GAMMA]),                 \
    .dy = (node)->in[DT_NORM_DY]->data,                                    \
    .dsum = dt_rule_data((node)->in[DT_NORM_DSUM]),                        \
    .dx = dt_rule_data((node)->out[DT_NORM_DX]),                           \
    .dresidual = dt_rule_data((node)->out[DT_NORM_DRESIDUAL]),             \
    .dgamma = dt_rule_data((node)->out[DT_NORM_DGAMMA]),                   \
    .dbeta = dt_rule_data((node)->out[DT_NORM_DBETA]),                     \
    .accumulate_gamma = dt_node_adds((node), (exec), DT_NORM_DGAMMA),      \
    .accumulate_beta = dt_node_adds((node), (exec), DT_NORM_DBETA),        \
    .scratch = (node)->workspace

#endif
