/* Lines to a stream and a file, and the status line below them on a terminal. */
#include "base/log.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/text.h"

struct dt_log {
    pthread_mutex_t mutex;
    FILE *stream; /* not ours; may be NULL */
    FILE *file;   /* ours; NULL until opened, and after a write to it failed */
    char *path;   /* of the file */
    dt_log_level level;
    bool terminal;
    char *status; /* the line shown at the bottom; NULL: none */
};

static bool is_terminal(FILE *stream)
{
    const char *kind = getenv("TERM");
    return stream && isatty(fileno(stream)) && kind && strcmp(kind, "dumb") != 0;
}

dt_status dt_log_create(FILE *stream, dt_log_level level, dt_log **out)
{
    dt_log *log = calloc(1, sizeof *log);
    if (!log) return dt_fail_memory(sizeof *log, "the log");
    pthread_mutex_init(&log->mutex, NULL);
    log->stream = stream;
    log->level = level;
    log->terminal = is_terminal(stream);
    *out = log;
    return DT_OK;
}

void dt_log_free(dt_log *log)
{
    if (!log) return;
    dt_log_status_line(log, NULL);
    if (log->file) fclose(log->file);
    pthread_mutex_destroy(&log->mutex);
    free(log->path);
    free(log);
}

dt_status dt_log_open_file(dt_log *log, const char *path)
{
    char *copy = strdup(path);
    if (!copy) return dt_fail_memory(strlen(path) + 1, "the log's path");
    FILE *file = fopen(path, "ae");
    if (!file) {
        dt_status status = dt_fail(DT_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
        free(copy);
        return status;
    }
    pthread_mutex_lock(&log->mutex);
    if (log->file) fclose(log->file);
    free(log->path);
    log->file = file;
    log->path = copy;
    pthread_mutex_unlock(&log->mutex);
    return DT_OK;
}

void dt_log_mute(dt_log *log)
{
    dt_log_status_line(log, NULL);
    pthread_mutex_lock(&log->mutex);
    log->stream = NULL;
    log->terminal = false;
    pthread_mutex_unlock(&log->mutex);
}

static const char *level_prefix(dt_log_level level)
{
    return level == DT_LOG_WARN ? "warning: " : level == DT_LOG_ERROR ? "error: " : "";
}

/* The bytes of `line` that fill at most `columns` columns, counting a UTF-8 sequence as one. */
static int fitting_bytes(const char *line, int columns)
{
    int bytes = 0;
    for (; line[bytes]; bytes++) {
        bool starts_character = ((unsigned char)line[bytes] & 0xC0) != 0x80;
        if (starts_character && columns-- == 0) break;
    }
    return bytes;
}

static void erase_status(const dt_log *log)
{
    if (log->status) fputs("\r\033[K", log->stream);
}

static void draw_status(const dt_log *log)
{
    if (!log->status) return;
    /* one column less: filling the last one would wrap on some terminals */
    fprintf(log->stream, "%.*s", fitting_bytes(log->status, dt_log_columns(log) - 1), log->status);
}

static void write_stream(const dt_log *log, dt_log_level level, const char *line)
{
    erase_status(log);
    fprintf(log->stream, "%s%s\n", level_prefix(level), line);
    draw_status(log);
    fflush(log->stream);
}

static void write_file(dt_log *log, dt_log_level level, const char *line)
{
    char when[32];
    time_t now = time(NULL);
    struct tm local;
    localtime_r(&now, &local);
    strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", &local);
    bool written = fprintf(log->file, "%s %s%s\n", when, level_prefix(level), line) >= 0 && fflush(log->file) == 0;
    if (written) return;
    const char *reason = strerror(errno);
    dt_text warning = {0};
    dt_text_add(&warning, "cannot write '%s', so the log goes on without it: %s", log->path, reason);
    if (log->stream && warning.data) write_stream(log, DT_LOG_WARN, warning.data);
    dt_text_free(&warning);
    fclose(log->file);
    log->file = NULL;
}

void dt_log_write(dt_log *log, dt_log_level level, const char *format, ...)
{
    if (!log) return;
    dt_text line = {0};
    va_list args;
    va_start(args, format);
    dt_text_add_va(&line, format, args);
    va_end(args);
    const char *shown = line.data && !line.failed ? line.data : "(a line was lost: out of memory)";
    pthread_mutex_lock(&log->mutex);
    if (log->stream && level >= log->level) write_stream(log, level, shown);
    if (log->file && level >= DT_LOG_INFO) write_file(log, level, shown);
    pthread_mutex_unlock(&log->mutex);
    dt_text_free(&line);
}

bool dt_log_has_terminal(const dt_log *log) { return log && log->terminal; }

void dt_log_status_line(dt_log *log, const char *line)
{
    if (!dt_log_has_terminal(log)) return;
    pthread_mutex_lock(&log->mutex);
    erase_status(log);
    free(log->status);
    log->status = line ? strdup(line) : NULL; /* out of memory: no status line this time */
    draw_status(log);
    fflush(log->stream);
    pthread_mutex_unlock(&log->mutex);
}

int dt_log_columns(const dt_log *log)
{
    struct winsize size;
    bool known = dt_log_has_terminal(log) && ioctl(fileno(log->stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? size.ws_col : 80;
}
