/* Stands in for cudnn.c in a build that did not find cuDNN's header. */
#include <stdio.h>

#include "device/cudnn.h"

bool dt_cudnn_built(void) { return false; }

dt_status dt_cudnn_open(int capability, bool always, dt_cudnn **out)
{
    return dt_fail(DT_ERR_DEVICE, "this program was built without cuDNN: install its headers (cudnn_graph.h) and build "
                   "again with -Dcudnn=enabled");
}

/* None was ever opened. */
void dt_cudnn_close(dt_cudnn *c) {}
bool dt_cudnn_always(const dt_cudnn *c) { return false; }

const char *dt_cudnn_text(const dt_cudnn *c, char out[DT_CUDNN_TEXT])
{
    snprintf(out, DT_CUDNN_TEXT, "own kernels");
    return out;
}
