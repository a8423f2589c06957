/* Whole files: read, written, replaced durably. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool dt_file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

dt_status dt_file_look(const char *path, bool *exists)
{
    struct stat info;
    *exists = stat(path, &info) == 0;
    if (*exists || errno == ENOENT || errno == ENOTDIR) return DT_OK;
    return dt_fail(DT_ERR_IO, "cannot look at '%s': %s", path, strerror(errno));
}

/* Opens without waiting on a pipe, and only what has a size. */
static dt_status open_regular(const char *path, int *fd, int64_t *size)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) return dt_fail(DT_ERR_IO, "cannot open '%s': %s", path, strerror(errno));
    struct stat info;
    dt_status status = DT_OK;
    if (fstat(*fd, &info) != 0) status = dt_fail(DT_ERR_IO, "cannot look at '%s': %s", path, strerror(errno));
    else if (S_ISDIR(info.st_mode)) status = dt_fail(DT_ERR_IO, "cannot read '%s': it is a folder", path);
    else if (!S_ISREG(info.st_mode)) status = dt_fail(DT_ERR_IO, "cannot read '%s': it is not a regular file", path);
    else *size = info.st_size;
    if (status) close(*fd);
    return status;
}

dt_status dt_file_size(const char *path, int64_t *out)
{
    int fd;
    DT_TRY(open_regular(path, &fd, out));
    close(fd);
    return DT_OK;
}

dt_status dt_file_open(const char *path, FILE **out)
{
    int fd;
    int64_t size;
    DT_TRY(open_regular(path, &fd, &size));
    *out = fdopen(fd, "r");
    if (*out) return DT_OK;
    close(fd);
    return dt_fail_memory(sizeof **out, path);
}

/* Reads until `room` bytes or the end of the file; `*count` is what came. */
static dt_status read_all(int fd, char *bytes, size_t room, const char *path, size_t *count)
{
    *count = 0;
    while (*count < room) {
        ssize_t got = read(fd, bytes + *count, room - *count);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return dt_fail(DT_ERR_IO, "cannot read '%s': %s", path, strerror(errno));
        if (got == 0) break;
        *count += (size_t)got;
    }
    return DT_OK;
}

dt_status dt_file_read(const char *path, size_t limit, char **out, size_t *size)
{
    int fd;
    int64_t bytes = 0;
    char *data = NULL;
    DT_TRY(open_regular(path, &fd, &bytes));
    dt_status status = DT_OK;
    if ((uint64_t)bytes > limit) {
        status = dt_fail(DT_ERR_DATA, "'%s' has %lld bytes, more than the %zu allowed here", path, (long long)bytes,
                         limit);
        goto done;
    }
    data = malloc((size_t)bytes + 1);
    if (!data) {
        status = dt_fail_memory((size_t)bytes + 1, path);
        goto done;
    }
    DT_TRY_GOTO(read_all(fd, data, (size_t)bytes, path, size), done);
    data[*size] = '\0';
    *out = data;
    data = NULL;
done:
    free(data);
    close(fd);
    return status;
}

dt_status dt_file_write_all(int fd, const void *bytes, size_t count, const char *path)
{
    const char *p = bytes;
    while (count) {
        ssize_t done = write(fd, p, count);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return dt_fail(DT_ERR_IO, "cannot write '%s': %s", path, strerror(errno));
        p += done;
        count -= (size_t)done;
    }
    return DT_OK;
}

dt_status dt_file_append(int fd, const void *bytes, size_t count, const char *path)
{
    struct stat before;
    if (fstat(fd, &before) != 0) return dt_fail(DT_ERR_IO, "cannot look at '%s': %s", path, strerror(errno));
    dt_status status = dt_file_write_all(fd, bytes, count, path);
    if (status && ftruncate(fd, before.st_size) != 0)
        status = dt_fail_in(status, "a torn record is left in '%s'", path);
    return status;
}

dt_status dt_file_sync_close(int fd, const char *path)
{
    dt_status status = DT_OK;
    if (fsync(fd) != 0) status = dt_fail(DT_ERR_IO, "cannot sync '%s': %s", path, strerror(errno));
    if (close(fd) != 0 && !status) status = dt_fail(DT_ERR_IO, "cannot close '%s': %s", path, strerror(errno));
    return status;
}

/* A new file `path` with these bytes, synced; nothing is left behind when that fails. */
static dt_status write_new(const char *path, const void *bytes, size_t count)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return dt_fail(DT_ERR_IO, "cannot create '%s': %s", path, strerror(errno));
    dt_status status = dt_file_write_all(fd, bytes, count, path);
    if (status) close(fd);
    else status = dt_file_sync_close(fd, path);
    if (status) unlink(path);
    return status;
}

dt_status dt_file_replace(const char *path, const void *bytes, size_t count)
{
    char temporary[PATH_MAX];
    int length = snprintf(temporary, sizeof temporary, "%s.tmp%ld", path, (long)getpid());
    if (length < 0 || (size_t)length >= sizeof temporary)
        return dt_fail(DT_ERR_IO, "cannot write '%s': %s", path, strerror(ENAMETOOLONG));
    DT_TRY(write_new(temporary, bytes, count));
    if (rename(temporary, path) != 0) {
        dt_status status = dt_fail(DT_ERR_IO, "cannot rename '%s' to '%s': %s", temporary, path, strerror(errno));
        unlink(temporary);
        return status;
    }
    return dt_folder_sync_of(path);
}
