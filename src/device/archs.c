/* Reads the list of architectures, by the rules of the CUDA programming guide (compute capability, compatibility of
 * cubin and PTX). */
#include "device/archs.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* Machine code of "86" runs on 8.6 and later 8.x. PTX of it is compiled by the driver for all that came later, too. A
 * letter binds both to one capability: "90a" to 9.0. */
static bool arch_runs(int arch, bool bound, bool has_ptx, int capability)
{
    if (bound) return capability == arch;
    return capability >= arch && (has_ptx || capability / 10 == arch / 10);
}

bool dt_archs_run(const char *archs, int capability)
{
    for (const char *at = archs; *at;) {
        char *end;
        int arch = (int)strtol(at, &end, 10);
        if (arch_runs(arch, isalpha((unsigned char)*end), at == archs, capability)) return true;
        at = end + strcspn(end, ",");
        at += *at == ',';
    }
    return false;
}
