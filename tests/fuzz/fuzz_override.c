/* Settings from the words of a command line, one a line of the input. What loads must print as YAML that loads. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../config/table.h"
#include "fuzz.h"

enum { WORDS = 64 };

/* Cuts `text` into its lines. */
static size_t split(char *text, const char *words[WORDS])
{
    size_t count = 0;
    for (char *line = text; line && count < WORDS;) {
        char *end = strchr(line, '\n');
        if (end) *end++ = '\0';
        words[count++] = line;
        line = end;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *words[WORDS];
    dt_settings *settings, *again;
    dt_text printed = {0};
    char *text = malloc(size + 1);
    if (!text) return 0;
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    size_t count = split(text, words);
    if (dt_settings_load(NULL, words, count, tables, TABLES, &settings) == DT_OK) {
        dt_settings_print(settings, &printed);
        if (dt_settings_parse(printed.data, printed.length, "printed", NULL, 0, tables, TABLES, &again)) abort();
        dt_settings_free(settings);
        dt_settings_free(again);
        dt_text_free(&printed);
    }
    free(text);
    return 0;
}
