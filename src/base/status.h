/* Status codes and the one kept error message.
 *
 * Whatever can fail returns dt_status. The first failure stores a message in a thread-local slot; callers pass the
 * status on with DT_TRY (or DT_TRY_GOTO, where there is something to release) and may put context before the
 * message with dt_fail_in. Messages are lower case, without a final dot, quote the user's own words, and read
 * `cannot open 'path': reason`. */
#ifndef DT_BASE_STATUS_H
#define DT_BASE_STATUS_H

#define DT_MUST_USE __attribute__((warn_unused_result))
#define DT_PRINTF(format_at, args_at) __attribute__((format(printf, format_at, args_at)))

typedef enum dt_status {
    DT_OK = 0,
    DT_ERR_USAGE,   /* the user's arguments or settings are wrong: exit code 2 */
    DT_ERR_IO,      /* a file or the system refused */
    DT_ERR_DATA,    /* a file holds something it must not */
    DT_ERR_MEMORY,  /* out of host or device memory */
    DT_ERR_DEVICE,  /* CUDA, NCCL, MPI */
    DT_ERR_NUMERIC, /* a loss or gradient that is not finite, where the settings say stop */
    DT_ERR_STOPPED, /* a signal stopped the run after it saved: exit code 3 */
} dt_status;

/* Stores the message and returns `code`, so that `return dt_fail(DT_ERR_IO, "...", ...)` reads well. */
DT_MUST_USE DT_PRINTF(2, 3) dt_status dt_fail(dt_status code, const char *format, ...);
/* Puts "context: " before the kept message and returns `code`. */
DT_MUST_USE DT_PRINTF(2, 3) dt_status dt_fail_in(dt_status code, const char *format, ...);
/* DT_ERR_MEMORY with "out of memory: cannot get N bytes for <what>". */
DT_MUST_USE dt_status dt_fail_memory(unsigned long long bytes, const char *what);
/* The kept message of this thread; "" if nothing failed. Valid until the next failure on this thread. */
const char *dt_error_message(void);
/* What is longer is cut off: paths may be long. Who keeps a message elsewhere has as much room for it. */
enum { DT_MESSAGE_ROOM = 4096 };
void dt_error_clear(void);

#define DT_TRY(call)                                  \
    do {                                              \
        dt_status dt_try_status_ = (call);            \
        if (dt_try_status_) return dt_try_status_;    \
    } while (0)

/* Needs a local `dt_status status`; jumps to `label` with it set. */
#define DT_TRY_GOTO(call, label)        \
    do {                                \
        status = (call);                \
        if (status) goto label;         \
    } while (0)

#endif
