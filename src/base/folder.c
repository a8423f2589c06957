/* Folders: made with their parents, listed in order, removed whole, synced. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

dt_status dt_folder_sync(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return dt_fail(DT_ERR_IO, "cannot open folder '%s': %s", path, strerror(errno));
    dt_status status = DT_OK;
    bool synced = fsync(fd) == 0 || errno == EINVAL; /* EINVAL: a file system without sync for folders */
    if (!synced) status = dt_fail(DT_ERR_IO, "cannot sync folder '%s': %s", path, strerror(errno));
    close(fd);
    return status;
}

static dt_status name_folder_of(const char *path, char folder[PATH_MAX])
{
    const char *slash = strrchr(path, '/');
    size_t length = slash == path ? 1 : slash ? (size_t)(slash - path) : 0;
    if (length >= PATH_MAX)
        return dt_fail(DT_ERR_IO, "cannot name the folder of '%s': %s", path, strerror(ENAMETOOLONG));
    memcpy(folder, path, length);
    folder[length] = '\0';
    if (!slash) memcpy(folder, ".", sizeof ".");
    return DT_OK;
}

dt_status dt_folder_sync_of(const char *path)
{
    char folder[PATH_MAX];
    DT_TRY(name_folder_of(path, folder));
    return dt_folder_sync(folder);
}

dt_status dt_folder_check_of(const char *path)
{
    char folder[PATH_MAX];
    DT_TRY(name_folder_of(path, folder));
    if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0) return DT_OK;
    return dt_fail(DT_ERR_IO, "cannot write to folder '%s': %s", folder, strerror(errno));
}

static dt_status make_one(const char *path)
{
    if (mkdir(path, 0777) == 0) return dt_folder_sync_of(path);
    int reason = errno;
    struct stat info;
    if (reason == EEXIST && stat(path, &info) == 0 && S_ISDIR(info.st_mode)) return DT_OK;
    return dt_fail(DT_ERR_IO, "cannot make folder '%s': %s", path, strerror(reason));
}

dt_status dt_folder_make(const char *path)
{
    char part[PATH_MAX];
    size_t length = strlen(path);
    if (length >= sizeof part) return dt_fail(DT_ERR_IO, "cannot make folder '%s': %s", path, strerror(ENAMETOOLONG));
    memcpy(part, path, length + 1);
    for (char *slash = part + 1; length && (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        DT_TRY(make_one(part));
        *slash = '/';
    }
    return make_one(part);
}

/* For nftw: what is not zero ends the walk and is passed on. */
static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place)
{
    if (remove(path) == 0 || errno == ENOENT) return DT_OK;
    return (int)dt_fail(DT_ERR_IO, "cannot remove '%s': %s", path, strerror(errno));
}

dt_status dt_folder_remove(const char *path)
{
    enum { OPEN_FOLDERS = 16 };
    int result = nftw(path, remove_one, OPEN_FOLDERS, FTW_DEPTH | FTW_PHYS);
    if (result != -1) return (dt_status)result;
    if (errno == ENOENT || errno == ENOTDIR) return DT_OK; /* there is none */
    return dt_fail(DT_ERR_IO, "cannot remove '%s': %s", path, strerror(errno));
}

dt_status dt_folder_discard(const char *path, dt_status failed)
{
    char why[3072]; /* leaves room for what is added */
    snprintf(why, sizeof why, "%s", dt_error_message());
    return dt_folder_remove(path) ? dt_fail(failed, "%s; '%s' is left", why, path) : failed;
}

static int is_own_name(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int by_bytes(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

dt_status dt_folder_list(const char *path, char ***names, size_t *count)
{
    struct dirent **entries;
    int found = scandir(path, &entries, is_own_name, by_bytes);
    if (found < 0) return dt_fail(DT_ERR_IO, "cannot list folder '%s': %s", path, strerror(errno));
    size_t bytes = ((size_t)found + 1) * sizeof **names;
    *names = calloc(1, bytes);
    dt_status status = *names ? DT_OK : dt_fail_memory(bytes, path);
    for (int i = 0; i < found && !status; i++) {
        (*names)[i] = strdup(entries[i]->d_name);
        if (!(*names)[i]) status = dt_fail_memory(strlen(entries[i]->d_name) + 1, path);
    }
    *count = (size_t)found;
    if (status) dt_folder_list_free(*names, *count);
    for (int i = 0; i < found; i++) free(entries[i]);
    free(entries);
    return status;
}

void dt_folder_list_free(char **names, size_t count)
{
    if (!names) return;
    for (size_t i = 0; i < count; i++) free(names[i]);
    free(names);
}
