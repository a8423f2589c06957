/* The log: a context with levels, two sinks (a stream and a file), and the one line on a terminal that redraws.
 * Nothing else in the program writes to the user, but `cmd/` printing a command's result to standard output. */
#ifndef DT_BASE_LOG_H
#define DT_BASE_LOG_H

#include <stdbool.h>
#include <stdio.h>

#include "base/status.h"

typedef enum dt_log_level { DT_LOG_DEBUG, DT_LOG_INFO, DT_LOG_WARN, DT_LOG_ERROR } dt_log_level;

typedef struct dt_log dt_log;

/* `stream` (usually stderr) may be NULL; is not closed. `level` is the lowest that is shown. */
DT_MUST_USE dt_status dt_log_create(FILE *stream, dt_log_level level, dt_log **out);
void dt_log_free(dt_log *);
/* Also append every line of level info and above to this file, with the time. */
DT_MUST_USE dt_status dt_log_open_file(dt_log *, const char *path);
/* From now on lines go to the file alone. */
void dt_log_mute(dt_log *);
/* A line; NULL as log is allowed and writes nothing. Thread safe. */
DT_PRINTF(3, 4) void dt_log_write(dt_log *, dt_log_level, const char *format, ...);
#define dt_log_info(log, ...) dt_log_write(log, DT_LOG_INFO, __VA_ARGS__)
#define dt_log_warn(log, ...) dt_log_write(log, DT_LOG_WARN, __VA_ARGS__)
/* Is the stream a terminal that can redraw a line? */
bool dt_log_has_terminal(const dt_log *);
/* Replaces the line at the bottom of the terminal (NULL removes it); lines written meanwhile go above it. */
void dt_log_status_line(dt_log *, const char *line);
/* The width of the terminal in columns, 80 when unknown. */
int dt_log_columns(const dt_log *);

#endif
