/* Chooses the back end of a run from the settings and from what is built and present. */
#include "train/device_choice.h"

#include <string.h>

enum { WHY_ROOM = 512 };

/* Is there a GPU for this binary? `why` says what is missing. */
static bool cuda_ready(char why[WHY_ROOM])
{
    if (!dt_backend_built(DT_CUDA)) {
        snprintf(why, WHY_ROOM, "this binary was built without CUDA");
        return false;
    }
    if (dt_backend_check(DT_CUDA, 0)) {
        snprintf(why, WHY_ROOM, "%s", dt_error_message());
        dt_error_clear();
        return false;
    }
    return true;
}

static void name_choice(dt_log *log)
{
    int count = dt_backend_count(DT_CUDA, NULL);
    if (count > 1) dt_log_info(log, "computing on the first of %d GPUs; CUDA_VISIBLE_DEVICES chooses another", count);
}

dt_status dt_device_choose(const dt_settings *settings, bool alone, dt_log *log, dt_backend *out)
{
    enum { AUTO, CPU, CUDA };
    int wish = dt_setting_choice(settings, "device");
    char why[WHY_ROOM] = "";
    bool fp64 = !strcmp(dt_setting_text(settings, "precision.mode"), "fp64"); /* which only the CPU computes in */
    bool cuda = wish != CPU && !(wish == AUTO && fp64) && cuda_ready(why);
    if (wish == CUDA && !cuda) return dt_setting_fail(settings, "device", "cuda cannot be used: %s", why);
    if (wish == AUTO && !cuda && !fp64 && dt_backend_built(DT_CUDA)) dt_log_info(log, "computing on the CPU: %s", why);
    if (cuda && alone) name_choice(log);
    *out = cuda ? DT_CUDA : DT_CPU;
    return DT_OK;
}
