/* The thread-local error slot: one message for each thread, kept until the next failure on it. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

static _Thread_local char kept_message[DT_MESSAGE_ROOM];

/* Messages quote foreign words; a control character in one must not reach a terminal. */
static void keep(const char *message)
{
    char *to = kept_message, *last = kept_message + DT_MESSAGE_ROOM - 1;
    while (*message && to < last) {
        int control = *message == '\n' || *message == '\t' ? 0 : dt_text_control(message);
        *to++ = control ? '?' : *message;
        message += control ? control : 1;
    }
    *to = '\0';
}

dt_status dt_fail(dt_status code, const char *format, ...)
{
    char message[DT_MESSAGE_ROOM]; /* apart from the slot, as an argument may be the kept message */
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    keep(message);
    return code;
}

/* What does not fit is cut off. */
static void append(char *message, const char *text)
{
    size_t used = strlen(message), count = strnlen(text, DT_MESSAGE_ROOM - 1 - used);
    memcpy(message + used, text, count);
    message[used + count] = 0;
}

dt_status dt_fail_in(dt_status code, const char *format, ...)
{
    char message[DT_MESSAGE_ROOM];
    va_list args;
    va_start(args, format);
    vsnprintf(message, sizeof message, format, args);
    va_end(args);
    append(message, ": ");
    append(message, kept_message);
    keep(message);
    return code;
}

dt_status dt_fail_memory(unsigned long long bytes, const char *what)
{
    return dt_fail(DT_ERR_MEMORY, "out of memory: cannot get %llu bytes for %s", bytes, what);
}

const char *dt_error_message(void) { return kept_message; }

void dt_error_clear(void) { kept_message[0] = '\0'; }
