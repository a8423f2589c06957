/* Dropout and residual branches with drop path (stochastic depth). Every random layer of a model has its own number, so
 * that no two share their draws. */
#include "nn/nn.h"

/* Counted also where nothing is dropped, so that a layer's draws do not depend on the settings of others. */
static dt_drop_attr next_drop(dt_nn_graph *ng, double rate)
{
    return (dt_drop_attr){.rate = rate, .seed = ng->nn->seed, .site = ng->drops++};
}

static bool drops(const dt_nn_graph *ng, double rate) { return dt_graph_training(ng->graph) && rate > 0; }

dt_tensor *dt_nn_dropout(dt_nn_graph *ng, dt_tensor *x)
{
    dt_drop_attr attr = next_drop(ng, ng->nn->dropout);
    return drops(ng, attr.rate) ? dt_dropout(ng->graph, x, ng->sample, ng->step, attr) : x;
}

dt_tensor *dt_nn_residual(dt_nn_graph *ng, dt_tensor *x, dt_tensor *branch, double rate)
{
    dt_drop_attr attr = next_drop(ng, rate);
    if (drops(ng, rate)) branch = dt_drop_path(ng->graph, branch, ng->sample, ng->step, attr);
    if (x) x->trunk = true;
    return dt_add(ng->graph, x, branch);
}
