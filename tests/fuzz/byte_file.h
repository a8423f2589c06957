/* Bytes as a file, for readers that take a path: an anonymous file in memory under its name in /proc. */
#ifndef DT_TESTS_BYTE_FILE_H
#define DT_TESTS_BYTE_FILE_H

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

typedef struct byte_file {
    int fd;
    char path[32];
} byte_file;

static inline byte_file byte_file_open(const uint8_t *data, size_t size)
{
    byte_file file = {.fd = memfd_create("input", MFD_CLOEXEC)};
    if (file.fd < 0 || write(file.fd, data, size) != (ssize_t)size) abort();
    snprintf(file.path, sizeof file.path, "/proc/self/fd/%d", file.fd);
    return file;
}

static inline void byte_file_close(byte_file *file) { close(file->fd); }

#endif
