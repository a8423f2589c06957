/* Which form was asked for. */
#include "cmd/form.h"

#include <string.h>

const char *const dt_forms[] = {"safetensors", "hf", NULL};

bool dt_form_is_hf(const dt_arguments *args)
{
    const char *form = dt_arguments_value(args, "--format");
    return form && !strcmp(form, "hf");
}
