/* Chooses the back end of a run from the settings and from what is built and present. */
#include "train/device_choice.h"

#include "ops/ops.h"

/* The first operator that a back end cannot run, or NULL. */
static const dt_op *first_lacking(dt_backend backend)
{
    for (int i = 0; i < dt_op_count; i++)
        if (!(dt_ops[i]->flags & DT_OP_VIEW) && !dt_ops[i]->kernel[backend]) return dt_ops[i];
    return NULL;
}

/* Whether CUDA can run a whole program; `why` says what is missing. */
static bool cuda_ready(char why[160])
{
    const char *reason = "";
    if (!dt_backend_built(DT_CUDA)) {
        snprintf(why, 160, "this binary was built without CUDA");
        return false;
    }
    if (!dt_backend_count(DT_CUDA, &reason)) {
        snprintf(why, 160, "%s", reason);
        return false;
    }
    const dt_op *lacking = first_lacking(DT_CUDA);
    if (lacking) snprintf(why, 160, "the operator %s has no CUDA kernel yet", lacking->name);
    return !lacking;
}

dt_status dt_device_choose(const dt_settings *settings, dt_log *log, dt_backend *out)
{
    enum { AUTO, CPU, CUDA };
    int wish = dt_setting_choice(settings, "device");
    char why[160] = "";
    bool cuda = wish != CPU && cuda_ready(why);
    if (wish == CUDA && !cuda) return dt_setting_fail(settings, "device", "cuda cannot be used: %s", why);
    if (wish == AUTO && !cuda && dt_backend_built(DT_CUDA)) dt_log_info(log, "computing on the CPU: %s", why);
    *out = cuda ? DT_CUDA : DT_CPU;
    return DT_OK;
}
