/* Prompts: of lines, and of lines of JSON. What is read holds one at least. */
#include <stdlib.h>

#include "cmd/prompts.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    for (int json = 0; json < 2; json++) {
        dt_prompts prompts = {0};
        if (!dt_prompts_parse(&prompts, "input", json, (const char *)data, size) && !prompts.count) abort();
        dt_prompts_free(&prompts);
    }
    return 0;
}
