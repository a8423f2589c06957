/* Prompts from a file: one a line, or of JSON lines the text "prompt" of each. */
#ifndef DT_CMD_PROMPTS_H
#define DT_CMD_PROMPTS_H

#include "base/text.h"

typedef struct dt_prompts { /* starts with {0} */
    dt_text *text;
    int64_t count;
} dt_prompts;

DT_MUST_USE dt_status dt_prompts_add(dt_prompts *, const char *text, size_t bytes);
/* Adds those of a file's bytes; empty lines are prompts, but not among lines of JSON. `name` is the file's for
 * messages. DT_ERR_DATA names the line that is not JSON or has no prompt, and a file without any. */
DT_MUST_USE dt_status dt_prompts_parse(dt_prompts *, const char *name, bool json, const char *bytes, size_t size);
/* From a file, plain, gzip or zstd, or from standard input (-); lines are JSON where a file's name says so, .jsonl say
 * (dt_path_is_json). */
DT_MUST_USE dt_status dt_prompts_read(dt_prompts *, const char *path);
void dt_prompts_free(dt_prompts *);

#endif
