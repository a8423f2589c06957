/* See fault.h. The counters are global, as they count for the whole process. */
#include "fault.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

typedef enum kind { NONE, ALLOC, WRITE, SYNC, RENAME, REMOVE, GONE } kind;

static kind armed;
static long fatal_call;
static bool onward;
static char part[64];
static _Atomic long calls, live;

EXPORT void dt_fault_arm(const char *fault)
{
    static const char *const names[] = {[ALLOC] = "alloc:", [WRITE] = "write:", [SYNC] = "sync:", [RENAME] = "rename:",
                                        [REMOVE] = "remove:", [GONE] = "gone:"};
    armed = NONE;
    atomic_store(&calls, 0);
    atomic_store(&live, 0);
    part[0] = '\0';
    for (int k = ALLOC; fault && k <= GONE; k++) {
        if (strncmp(fault, names[k], strlen(names[k])) != 0) continue;
        char *end;
        fatal_call = strtol(fault + strlen(names[k]), &end, 10);
        onward = *end == '+';
        end += onward;
        if (*end == ':') snprintf(part, sizeof part, "%s", end + 1);
        armed = (kind)k;
    }
}

EXPORT long dt_fault_calls(void) { return atomic_load(&calls); }

EXPORT long dt_fault_live(void) { return atomic_load(&live); }

static void stall(int signal)
{
    for (;;) pause();
}

__attribute__((constructor)) static void arm_from_environment(void)
{
    const char *fault = getenv("DT_FAULT");
    dt_fault_arm(fault);
    if (fault && !strcmp(fault, "stall")) signal(SIGUSR2, stall);
}

static bool strikes(kind k)
{
    if (armed != k) return false;
    long call = atomic_fetch_add(&calls, 1) + 1;
    return call == fatal_call || (onward && call > fatal_call);
}

static bool strikes_path(kind k, const char *path) { return armed == k && strstr(path, part) && strikes(k); }

static bool strikes_file(kind k, int fd)
{
    if (armed != k || fd == STDOUT_FILENO || fd == STDERR_FILENO) return false;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = '\0';
    return strikes_path(k, path);
}

EXPORT ssize_t write(int fd, const void *bytes, size_t count)
{
    if (!strikes_file(WRITE, fd)) return syscall(SYS_write, fd, bytes, count);
    errno = ENOSPC;
    return -1;
}

EXPORT int fsync(int fd)
{
    if (!strikes_file(SYNC, fd)) return (int)syscall(SYS_fsync, fd);
    errno = EIO;
    return -1;
}

EXPORT int rename(const char *from, const char *to)
{
    if (!strikes_path(RENAME, to)) return (int)syscall(SYS_rename, from, to);
    errno = EIO;
    return -1;
}

EXPORT int remove(const char *path)
{
    if (strikes_path(REMOVE, path)) {
        errno = EACCES;
        return -1;
    }
    int result = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    return result && errno == EISDIR ? (int)syscall(SYS_unlinkat, AT_FDCWD, path, AT_REMOVEDIR) : result;
}

static void rename_folder_of(const char *path)
{
    char folder[4096], aside[4096 + 4];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (!slash) return;
    *slash = '\0';
    snprintf(aside, sizeof aside, "%s.tmp", folder);
    syscall(SYS_rename, folder, aside);
}

EXPORT int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    int mode = flags & O_CREAT ? va_arg(more, int) : 0;
    va_end(more);
    if (strikes_path(GONE, path)) rename_folder_of(path);
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* glibc's allocator under the names that it keeps for libraries like this one. */
extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

static void *fail_alloc(void)
{
    errno = ENOMEM;
    return NULL;
}

static void *counted(void *got)
{
    if (got) atomic_fetch_add(&live, 1);
    return got;
}

EXPORT void *malloc(size_t bytes) { return strikes(ALLOC) ? fail_alloc() : counted(__libc_malloc(bytes)); }

EXPORT void *calloc(size_t count, size_t bytes)
{
    return strikes(ALLOC) ? fail_alloc() : counted(__libc_calloc(count, bytes));
}

EXPORT void *realloc(void *old, size_t bytes)
{
    if (strikes(ALLOC)) return fail_alloc();
    void *got = __libc_realloc(old, bytes);
    return old ? got : counted(got);
}

EXPORT void *aligned_alloc(size_t alignment, size_t bytes)
{
    return strikes(ALLOC) ? fail_alloc() : counted(__libc_memalign(alignment, bytes));
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t bytes)
{
    void *got = aligned_alloc(alignment, bytes);
    if (!got) return ENOMEM;
    *out = got;
    return 0;
}

EXPORT void free(void *old)
{
    if (old) atomic_fetch_sub(&live, 1);
    __libc_free(old);
}
