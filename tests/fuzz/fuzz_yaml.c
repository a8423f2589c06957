/* Settings from foreign YAML. What loads must print as YAML that loads and prints the same. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../config/table.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dt_settings *settings, *again;
    dt_text first = {0}, second = {0};
    if (dt_settings_parse((const char *)data, size, "input", NULL, 0, tables, TABLES, &settings)) return 0;
    dt_settings_print(settings, &first);
    if (dt_settings_parse(first.data, first.length, "printed", NULL, 0, tables, TABLES, &again)) abort();
    dt_settings_print(again, &second);
    if (strcmp(first.data, second.data) != 0) abort();
    dt_settings_free(settings);
    dt_settings_free(again);
    dt_text_free(&first);
    dt_text_free(&second);
    return 0;
}
