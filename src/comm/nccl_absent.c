/* Stands in for nccl.c in a build that did not find NCCL's header: nothing is ever opened. */
#include <stdio.h>

#include "comm/nccl.h"

bool dt_nccl_built(void) { return false; }

dt_status dt_nccl_open(dt_nccl **out)
{
    return dt_fail(DT_ERR_DEVICE, "this program was built without NCCL, which ranks on GPUs need: install its header "
                   "(nccl.h, Debian's and NVIDIA's package libnccl-dev) and build again with -Dnccl=enabled");
}

void dt_nccl_close(dt_nccl *nccl) {}

const char *dt_nccl_text(const dt_nccl *nccl, char out[DT_NCCL_TEXT])
{
    snprintf(out, DT_NCCL_TEXT, "no NCCL");
    return out;
}

dt_status dt_nccl_make_id(dt_nccl *nccl, char id[DT_NCCL_ID_BYTES]) { return dt_nccl_open(&nccl); }

dt_status dt_comm_create_nccl(dt_nccl *nccl, dt_device *device, const char id[DT_NCCL_ID_BYTES], int rank, int size,
                              dt_comm **out)
{
    return dt_nccl_open(&nccl);
}
