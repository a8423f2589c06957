/* What the tests of data share: a folder of their own, files of the foreign formats in it, and settings. */
#ifndef DT_TESTS_DATA_SCENE_H
#define DT_TESTS_DATA_SCENE_H

#include "data/data.h"

/* cmocka fixtures: enter a new folder under the working folder; leave and remove it. */
int scene_enter(void **state);
int scene_leave(void **state);

/* Settings of data.* from `count` overrides, which must be right. */
dt_settings *scene_settings(const char *const *overrides, size_t count);
#define SETTINGS(...) \
    scene_settings((const char *const[]){__VA_ARGS__}, sizeof(const char *const[]){__VA_ARGS__} / sizeof(char *))

void scene_write(const char *path, const void *bytes, size_t count);
void scene_write_gzip(const char *path, const void *bytes, size_t count);
/* An IDX header with these sizes before `count` bytes. */
void scene_write_idx(const char *path, int dims, const uint32_t *size, const uint8_t *bytes, size_t count, bool gzip);
/* `count` CIFAR records: labels i mod classes (after a coarse label 3 for 100 classes), image bytes all i mod 251. */
void scene_write_cifar(const char *path, int count, int classes);

void assert_fails(dt_status, dt_status wanted, const char *part); /* the message has this part */

#endif
