/* Chooses the back end of a run from the settings and from what is built and present. */
#include "train/device_choice.h"

#include <string.h>

/* Is there a GPU for this binary? `why` says what is missing. */
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
    return true;
}

dt_status dt_device_choose(const dt_settings *settings, dt_log *log, dt_backend *out)
{
    enum { AUTO, CPU, CUDA };
    int wish = dt_setting_choice(settings, "device");
    char why[160] = "";
    bool fp64 = !strcmp(dt_setting_text(settings, "precision.mode"), "fp64"); /* which only the CPU computes in */
    bool cuda = wish != CPU && !(wish == AUTO && fp64) && cuda_ready(why);
    if (wish == CUDA && !cuda) return dt_setting_fail(settings, "device", "cuda cannot be used: %s", why);
    if (wish == AUTO && !cuda && !fp64 && dt_backend_built(DT_CUDA)) dt_log_info(log, "computing on the CPU: %s", why);
    *out = cuda ? DT_CUDA : DT_CPU;
    return DT_OK;
}
