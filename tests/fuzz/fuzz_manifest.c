/* The manifest of a checkpoint from foreign bytes. */
#include "fuzz.h"
#include "train/checkpoint_manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *manifest;
    if (dt_manifest_parse((const char *)data, size, "input", &manifest)) return 0;
    json_decref(manifest);
    return 0;
}
