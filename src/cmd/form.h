/* The forms of published weights that export writes and import reads: option --format. */
#ifndef DT_CMD_FORM_H
#define DT_CMD_FORM_H

#include "cmd/arguments.h"

extern const char *const dt_forms[];
#define DT_FORM_OPTION \
    {"--format", "FORM", "safetensors (default), or hf: a folder as transformers has it", dt_forms, .needs_value = true}
bool dt_form_is_hf(const dt_arguments *);

#endif
