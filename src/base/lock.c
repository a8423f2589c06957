/* A lock on a file: the system drops it when the process ends, however it ends. The file itself stays, as removing it
 * would let two processes lock two files of one name. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

struct dt_lock {
    int fd;
};

static dt_status fail_held(int fd, const char *path)
{
    char pid[24];
    ssize_t got = pread(fd, pid, sizeof pid - 1, 0);
    pid[got > 0 ? got : 0] = '\0';
    long number = strtol(pid, NULL, 10);
    if (number <= 0) return dt_fail(DT_ERR_USAGE, "'%s' is locked by another process", path);
    return dt_fail(DT_ERR_USAGE, "'%s' is locked by process %ld", path, number);
}

static dt_status write_pid(int fd, const char *path)
{
    char pid[24];
    int length = snprintf(pid, sizeof pid, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) != 0) return dt_fail(DT_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
    return dt_file_write_all(fd, pid, (size_t)length, path);
}

dt_status dt_lock_take(const char *path, dt_lock **out)
{
    dt_status status = DT_OK;
    dt_lock *lock = malloc(sizeof *lock);
    if (!lock) return dt_fail_memory(sizeof *lock, "a lock");
    lock->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (lock->fd < 0) {
        status = dt_fail(DT_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
        goto failed;
    }
    if (flock(lock->fd, LOCK_EX | LOCK_NB) != 0) {
        status = errno == EWOULDBLOCK ? fail_held(lock->fd, path)
                                      : dt_fail(DT_ERR_IO, "cannot lock '%s': %s", path, strerror(errno));
        goto failed;
    }
    DT_TRY_GOTO(write_pid(lock->fd, path), failed);
    *out = lock;
    return DT_OK;
failed:
    if (lock->fd >= 0) close(lock->fd);
    free(lock);
    return status;
}

bool dt_lock_holds(const dt_lock *lock, const char *path)
{
    struct stat ours, there;
    if (fstat(lock->fd, &ours) != 0 || stat(path, &there) != 0) return false;
    return ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

void dt_lock_free(dt_lock *lock)
{
    if (!lock) return;
    close(lock->fd);
    free(lock);
}
