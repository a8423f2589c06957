/* Stands in for cuda.c in a build without the CUDA toolkit: there are no devices, and it says why. */
#include "device/backend.h"

static int absent_count(const char **why)
{
    *why = "no CUDA device: this program was built without CUDA";
    return 0;
}

/* With a count of 0 nothing is ever opened, so nothing else is called. */
const dt_backend_table dt_backend_cuda = {.name = "cuda", .built = false, .count = absent_count};
