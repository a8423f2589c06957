/* Files and folders, with errors that name the path; durable replacement; locks. */
#ifndef DT_BASE_FILE_H
#define DT_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"

bool dt_file_exists(const char *path);
/* The same, but DT_ERR_IO where nobody can tell: one may not look, or links go in a circle. */
DT_MUST_USE dt_status dt_file_look(const char *path, bool *exists);
/* Reads a whole regular file, DT_ERR_DATA above `limit` bytes; `*out` is NUL-terminated beyond `*size` and freed with
 * free(). */
DT_MUST_USE dt_status dt_file_read(const char *path, size_t limit, char **out, size_t *size);
DT_MUST_USE dt_status dt_file_size(const char *path, int64_t *out);
/* Opens a regular file to be read; anything else would keep a reader waiting, or never end. */
DT_MUST_USE dt_status dt_file_open(const char *path, FILE **out);
/* Writes a temporary file beside `path`, syncs it, renames it over `path`, syncs the folder. */
DT_MUST_USE dt_status dt_file_replace(const char *path, const void *bytes, size_t count);
/* With parents, each durable; an existing folder is fine. */
DT_MUST_USE dt_status dt_folder_make(const char *path);
DT_MUST_USE dt_status dt_folder_sync(const char *path);    /* makes the names inside it durable */
DT_MUST_USE dt_status dt_folder_sync_of(const char *path); /* of the folder that holds `path`, which ends in no '/' */
/* May this process make files in the folder that holds `path`? DT_ERR_IO says why not. */
DT_MUST_USE dt_status dt_folder_check_of(const char *path);
DT_MUST_USE dt_status dt_folder_remove(const char *path);  /* recursively; a missing one is fine */
/* Removes a folder that a failure left half made. Returns the failure's status `failed`, its message kept; where the
 * folder cannot be removed, the message says that too. */
DT_MUST_USE dt_status dt_folder_discard(const char *path, dt_status failed);
/* The names in a folder, sorted, without . and ..; free with dt_folder_list_free. */
DT_MUST_USE dt_status dt_folder_list(const char *path, char ***names, size_t *count);
void dt_folder_list_free(char **names, size_t count);

/* Writes with short writes and EINTR handled; `path` is for the message. */
DT_MUST_USE dt_status dt_file_write_all(int fd, const void *bytes, size_t count, const char *path);
/* To a file open with O_APPEND: all or nothing, also when the disk is full. */
DT_MUST_USE dt_status dt_file_append(int fd, const void *bytes, size_t count, const char *path);
/* Closes `fd` also when it fails. */
DT_MUST_USE dt_status dt_file_sync_close(int fd, const char *path);

/* An advisory lock on a file, held until freed or the process ends; DT_ERR_USAGE when another process holds it
 * (the message gives its pid). */
typedef struct dt_lock dt_lock;
DT_MUST_USE dt_status dt_lock_take(const char *path, dt_lock **out);
/* Is the file of this name still the one that was locked? Not when it was removed, or another was put in its place. */
bool dt_lock_holds(const dt_lock *, const char *path);
void dt_lock_free(dt_lock *);

#endif
