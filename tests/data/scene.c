/* The shared parts of the tests of data. */
#include "scene.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <cmocka.h>

#include "base/file.h"

int scene_enter(void **state)
{
    static char name[32];
    strcpy(name, "dt-data-XXXXXX");
    *state = mkdtemp(name);
    return *state && chdir(*state) == 0 ? 0 : -1;
}

int scene_leave(void **state) { return chdir("..") == 0 && dt_folder_remove(*state) == DT_OK ? 0 : -1; }

dt_settings *scene_settings(const char *const *overrides, size_t count)
{
    dt_settings *settings = NULL;
    dt_status status = dt_settings_load(NULL, overrides, count, &dt_data_settings, 1, &settings);
    if (status) fail_msg("%s", dt_error_message());
    return settings;
}

void scene_write(const char *path, const void *bytes, size_t count)
{
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, count, file), count);
    assert_int_equal(fclose(file), 0);
}

void scene_write_gzip(const char *path, const void *bytes, size_t count)
{
    gzFile file = gzopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(gzwrite(file, bytes, (unsigned)count), count);
    assert_int_equal(gzclose(file), Z_OK);
}

void scene_write_idx(const char *path, int dims, const uint32_t *size, const uint8_t *bytes, size_t count, bool gzip)
{
    size_t header = 4 + 4 * (size_t)dims;
    uint8_t *file = malloc(header + count);
    assert_non_null(file);
    memcpy(file, (uint8_t[]){0, 0, 8, (uint8_t)dims}, 4);
    for (int d = 0; d < dims; d++)
        for (int b = 0; b < 4; b++) file[4 + 4 * d + b] = (uint8_t)(size[d] >> (24 - 8 * b));
    if (count) memcpy(file + header, bytes, count);
    (gzip ? scene_write_gzip : scene_write)(path, file, header + count);
    free(file);
}

void scene_write_cifar(const char *path, int count, int classes)
{
    size_t labels = classes == 100 ? 2 : 1, record = labels + 3072;
    uint8_t *file = malloc((size_t)count * record);
    assert_non_null(file);
    for (int i = 0; i < count; i++) {
        uint8_t *at = file + (size_t)i * record;
        at[0] = 3;
        at[labels - 1] = (uint8_t)(i % classes);
        memset(at + labels, i % 251, 3072);
    }
    scene_write(path, file, (size_t)count * record);
    free(file);
}

void assert_fails(dt_status status, dt_status wanted, const char *part)
{
    assert_int_equal(status, wanted);
    if (!strstr(dt_error_message(), part)) fail_msg("'%s' is not in '%s'", part, dt_error_message());
}
