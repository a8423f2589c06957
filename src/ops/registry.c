/* The table of all operators, and what differentiation needs of them. */
#include "ops/list.h"
#include "ops/ops.h"

const dt_op *const dt_ops[] = {
#define X(name) &dt_op_##name,
    DT_OP_LIST(X)
#undef X
};

const int dt_op_count = (int)(sizeof dt_ops / sizeof dt_ops[0]);

const dt_grad_ops dt_ops_grad = {.fill = dt_fill, .add = dt_add, .accumulate = dt_accumulate};
