/* Lines about settings that nothing reads. */
#include "train/inactive.h"

#include <string.h>

void dt_inactive_log(const dt_settings *settings, const dt_inactive_options *options, const char *what, dt_log *log)
{
    dt_text text = {0};
    dt_settings_inactive(settings, options, &text);
    for (char *line = text.data, *end; line && (end = strchr(line, '\n')); line = end + 1)
        dt_log_info(log, "%.*s is inactive: nothing in this %s reads it", (int)(end - line), line, what);
    dt_text_free(&text);
}
