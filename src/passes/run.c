/* The order in which a program's passes run. */
#include "passes/passes.h"

static dt_status run_backward(dt_graph *g, dt_tensor *loss, const dt_pass_options *options)
{
    DT_TRY(dt_graph_differentiate(g, loss, &dt_ops_grad));
    if (!options->no_dead_nodes) DT_TRY(dt_pass_dead_nodes(g));
    DT_TRY(dt_pass_recompute(g, options->recompute));
    if (!options->no_fuse) DT_TRY(dt_pass_fuse_backward(g));
    if (!options->no_fuse_accumulation) DT_TRY(dt_pass_accumulate(g));
    if (!options->no_communicate) DT_TRY(dt_pass_communicate(g, options->wire));
    return DT_OK;
}

dt_status dt_passes_run(dt_graph *g, dt_tensor *loss, const dt_pass_options *options)
{
    DT_TRY(dt_graph_status(g));
    DT_TRY(dt_pass_cast(g, options->precision, options->wide_residual));
    /* Fusing replaces the node that makes the loss: the loss is found again by its place among the outputs. */
    int loss_output = -1;
    for (int i = 0; loss && i < dt_graph_output_count(g); i++)
        if (dt_graph_output_at(g, i, NULL) == loss) loss_output = i;
    if (loss && loss_output < 0) return dt_fail(DT_ERR_USAGE, "the loss must be an output of its graph");
    if (!options->no_fuse) DT_TRY(dt_pass_fuse(g));
    if (loss) DT_TRY(run_backward(g, dt_graph_output_at(g, loss_output, NULL), options));
    else if (!options->no_dead_nodes) DT_TRY(dt_pass_dead_nodes(g));
    DT_TRY(dt_pass_gather(g));
    DT_TRY(dt_pass_order(g));
    return dt_pass_streams(g);
}
