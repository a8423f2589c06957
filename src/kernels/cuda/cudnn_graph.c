/* Writes graphs through cuDNN's backend API: every thing is a descriptor with attributes, which is then made final. */
#include "kernels/cuda/cudnn_graph.h"

#include <assert.h>

/* --- descriptors --- */

static void note(dt_cudnn_graph *g, cudnnStatus_t status) { g->failed |= status != CUDNN_STATUS_SUCCESS; }

static dt_cudnn_node make(dt_cudnn_graph *g, cudnnBackendDescriptorType_t type)
{
    dt_cudnn_node d = NULL;
    if (g->failed) return NULL;
    assert(g->plan->made_count < DT_CUDNN_DESCRIPTORS);
    note(g, g->c->BackendCreateDescriptor(type, &d));
    if (d) g->plan->made[g->plan->made_count++] = d;
    return d;
}

static void set(dt_cudnn_graph *g, dt_cudnn_node d, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                int64_t count, const void *values)
{
    if (!g->failed) note(g, g->c->BackendSetAttribute(d, name, type, count, values));
}

static void put(dt_cudnn_graph *g, dt_cudnn_node d, cudnnBackendAttributeName_t name, dt_cudnn_node value)
{
    set(g, d, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &value);
}

static void finish(dt_cudnn_graph *g, dt_cudnn_node d)
{
    if (!g->failed) note(g, g->c->BackendFinalize(d));
}

static dt_cudnn_node add_operation(dt_cudnn_graph *g, dt_cudnn_node d, dt_cudnn_node to)
{
    assert(g->operation_count < DT_CUDNN_OPERATIONS);
    finish(g, d);
    g->operations[g->operation_count++] = d;
    return to;
}

/* --- arrays --- */

static dt_cudnn_node make_array(dt_cudnn_graph *g, int64_t name, cudnnDataType_t type, const dt_cudnn_shape *x,
                                bool number)
{
    dt_cudnn_node d = make(g, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
    const bool inner = !name;
    const int64_t alignment = 16;
    if (inner) name = DT_CUDNN_MADE_HERE + g->last_name++;
    set(g, d, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, &name);
    set(g, d, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &type);
    set(g, d, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 4, x->dim);
    set(g, d, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 4, x->stride);
    set(g, d, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, 1, &alignment);
    set(g, d, CUDNN_ATTR_TENSOR_IS_VIRTUAL, CUDNN_TYPE_BOOLEAN, 1, &inner);
    set(g, d, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, 1, &number);
    finish(g, d);
    return d;
}

dt_cudnn_node dt_cudnn_array(dt_cudnn_graph *g, int64_t name, cudnnDataType_t type, const dt_cudnn_shape *shape)
{
    return make_array(g, name, type, shape, false);
}

dt_cudnn_node dt_cudnn_number(dt_cudnn_graph *g, int64_t name)
{
    static const dt_cudnn_shape one = {{1, 1, 1, 1}, {1, 1, 1, 1}};
    return make_array(g, name, CUDNN_DATA_FLOAT, &one, true);
}

dt_cudnn_node dt_cudnn_inner(dt_cudnn_graph *g, cudnnDataType_t type, const dt_cudnn_shape *shape)
{
    return make_array(g, 0, type, shape, false);
}

/* --- operations --- */

static const cudnnDataType_t single = CUDNN_DATA_FLOAT;

dt_cudnn_node dt_cudnn_matmul(dt_cudnn_graph *g, dt_cudnn_node x, dt_cudnn_node y, dt_cudnn_node to)
{
    dt_cudnn_node kind = make(g, CUDNN_BACKEND_MATMUL_DESCRIPTOR);
    set(g, kind, CUDNN_ATTR_MATMUL_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &single);
    finish(g, kind);
    dt_cudnn_node d = make(g, CUDNN_BACKEND_OPERATION_MATMUL_DESCRIPTOR);
    put(g, d, CUDNN_ATTR_OPERATION_MATMUL_DESC, kind);
    put(g, d, CUDNN_ATTR_OPERATION_MATMUL_ADESC, x);
    put(g, d, CUDNN_ATTR_OPERATION_MATMUL_BDESC, y);
    put(g, d, CUDNN_ATTR_OPERATION_MATMUL_CDESC, to);
    return add_operation(g, d, to);
}

dt_cudnn_node dt_cudnn_reduce(dt_cudnn_graph *g, cudnnReduceTensorOp_t how, dt_cudnn_node x, dt_cudnn_node to)
{
    dt_cudnn_node kind = make(g, CUDNN_BACKEND_REDUCTION_DESCRIPTOR);
    set(g, kind, CUDNN_ATTR_REDUCTION_OPERATOR, CUDNN_TYPE_REDUCTION_OPERATOR_TYPE, 1, &how);
    set(g, kind, CUDNN_ATTR_REDUCTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, 1, &single);
    finish(g, kind);
    dt_cudnn_node d = make(g, CUDNN_BACKEND_OPERATION_REDUCTION_DESCRIPTOR);
    put(g, d, CUDNN_ATTR_OPERATION_REDUCTION_DESC, kind);
    put(g, d, CUDNN_ATTR_OPERATION_REDUCTION_XDESC, x);
    put(g, d, CUDNN_ATTR_OPERATION_REDUCTION_YDESC, to);
    return add_operation(g, d, to);
}

dt_cudnn_node dt_cudnn_reshape(dt_cudnn_graph *g, dt_cudnn_node x, dt_cudnn_node to)
{
    dt_cudnn_node d = make(g, CUDNN_BACKEND_OPERATION_RESHAPE_DESCRIPTOR);
    put(g, d, CUDNN_ATTR_OPERATION_RESHAPE_XDESC, x);
    put(g, d, CUDNN_ATTR_OPERATION_RESHAPE_YDESC, to);
    return add_operation(g, d, to);
}

/* `axis`: which index GEN_INDEX gives; -1 for all others. */
static dt_cudnn_node make_kind(dt_cudnn_graph *g, cudnnPointwiseMode_t mode, cudnnDataType_t in, int64_t axis)
{
    dt_cudnn_node kind = make(g, CUDNN_BACKEND_POINTWISE_DESCRIPTOR);
    set(g, kind, CUDNN_ATTR_POINTWISE_MODE, CUDNN_TYPE_POINTWISE_MODE, 1, &mode);
    set(g, kind, CUDNN_ATTR_POINTWISE_MATH_PREC, CUDNN_TYPE_DATA_TYPE, 1, &in);
    if (axis >= 0) set(g, kind, CUDNN_ATTR_POINTWISE_AXIS, CUDNN_TYPE_INT64, 1, &axis);
    finish(g, kind);
    return kind;
}

static dt_cudnn_node pointwise(dt_cudnn_graph *g, dt_cudnn_node kind, dt_cudnn_node x, dt_cudnn_node y,
                               dt_cudnn_node condition, dt_cudnn_node to)
{
    dt_cudnn_node d = make(g, CUDNN_BACKEND_OPERATION_POINTWISE_DESCRIPTOR);
    put(g, d, CUDNN_ATTR_OPERATION_POINTWISE_PW_DESCRIPTOR, kind);
    put(g, d, CUDNN_ATTR_OPERATION_POINTWISE_XDESC, x);
    if (y) put(g, d, CUDNN_ATTR_OPERATION_POINTWISE_BDESC, y);
    if (condition) put(g, d, CUDNN_ATTR_OPERATION_POINTWISE_TDESC, condition);
    put(g, d, CUDNN_ATTR_OPERATION_POINTWISE_YDESC, to);
    return add_operation(g, d, to);
}

dt_cudnn_node dt_cudnn_apply(dt_cudnn_graph *g, cudnnPointwiseMode_t mode, dt_cudnn_node x, dt_cudnn_node y,
                             dt_cudnn_node to)
{
    return pointwise(g, make_kind(g, mode, single, -1), x, y, NULL, to);
}

static dt_cudnn_node index_of(dt_cudnn_graph *g, int64_t axis, dt_cudnn_node x, const dt_cudnn_shape *shape)
{
    return pointwise(g, make_kind(g, CUDNN_POINTWISE_GEN_INDEX, single, axis), x, NULL, NULL,
                     dt_cudnn_inner(g, CUDNN_DATA_INT32, shape));
}

dt_cudnn_node dt_cudnn_lower(dt_cudnn_graph *g, dt_cudnn_node x, dt_cudnn_node y, const dt_cudnn_shape *shape,
                             dt_cudnn_node to)
{
    dt_cudnn_node row = index_of(g, 2, x, shape), column = index_of(g, 3, x, shape);
    dt_cudnn_node seen = dt_cudnn_inner(g, CUDNN_DATA_BOOLEAN, shape);
    pointwise(g, make_kind(g, CUDNN_POINTWISE_CMP_GE, CUDNN_DATA_BOOLEAN, -1), row, column, NULL, seen);
    return pointwise(g, make_kind(g, CUDNN_POINTWISE_BINARY_SELECT, single, -1), x, y, seen, to);
}

/* --- plans --- */

enum { OFFERS = 4 };

/* A search that finds nothing is an answer, not a failure of the graph. */
static int find_offers(dt_cudnn_graph *g, dt_cudnn_node whole, cudnnBackendHeurMode_t mode, dt_cudnn_node *offers)
{
    int64_t count = 0;
    dt_cudnn_node d = make(g, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
    put(g, d, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, whole);
    set(g, d, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, 1, &mode);
    for (int i = 0; i < OFFERS; i++) offers[i] = make(g, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
    if (g->failed || g->c->BackendFinalize(d)) return 0;
    if (g->c->BackendGetAttribute(d, CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, OFFERS, &count,
                                  offers))
        return 0;
    return count < OFFERS ? (int)count : OFFERS; /* the library may count more than it gave */
}

/* An offer that is refused is an answer, not a failure of the graph. */
static bool take_offer(dt_cudnn_graph *g, dt_cudnn_node offer, int64_t workspace)
{
    int64_t needed, count = 0;
    dt_cudnn_node d = make(g, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
    set(g, d, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, 1, &g->c->handle);
    put(g, d, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, offer);
    if (g->failed || g->c->BackendFinalize(d)) return false;
    if (g->c->BackendGetAttribute(d, CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1, &count, &needed))
        return false;
    if (needed > workspace) return false;
    g->plan->plan = d;
    return true;
}

bool dt_cudnn_plan_graph(dt_cudnn_graph *g, int64_t workspace)
{
    static const cudnnBackendHeurMode_t modes[] = {CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};
    dt_cudnn_node offers[OFFERS], whole = make(g, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
    set(g, whole, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, 1, &g->c->handle);
    set(g, whole, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, g->operation_count, g->operations);
    finish(g, whole);
    for (size_t m = 0; m < sizeof modes / sizeof *modes; m++) {
        int count = find_offers(g, whole, modes[m], offers);
        for (int i = 0; i < count; i++)
            if (take_offer(g, offers[i], workspace)) return true;
    }
    return false;
}
