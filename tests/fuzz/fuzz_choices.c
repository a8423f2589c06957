/* The choices of a machine, as kept for later runs, from foreign bytes. */
#include "base/json.h"
#include "device/choices.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    json_t *choices;
    if (dt_choices_parse((const char *)data, size, "input", "gpu", &choices)) return 0;
    json_decref(choices);
    return 0;
}
