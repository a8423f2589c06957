/* Files, folders and locks, in a folder of our own under the working folder. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"

static int enter_new_folder(void **state)
{
    static char name[32];
    strcpy(name, "dt-file-XXXXXX");
    *state = mkdtemp(name);
    return *state && chdir(*state) == 0 ? 0 : -1;
}

static int leave_folder(void **state) { return chdir("..") == 0 && dt_folder_remove(*state) == DT_OK ? 0 : -1; }

static void assert_fails(dt_status status, dt_status wanted, const char *message)
{
    assert_int_equal(status, wanted);
    assert_string_equal(dt_error_message(), message);
}

static void a_replaced_file_reads_back(void **state)
{
    char *bytes;
    size_t size;
    int64_t length;
    char **names;
    size_t count;
    assert_int_equal(dt_file_replace("a", "old", 3), DT_OK);
    assert_int_equal(dt_file_replace("./a", "newer\0x", 7), DT_OK);
    assert_int_equal(dt_file_read("a", 7, &bytes, &size), DT_OK);
    assert_int_equal(size, 7);
    assert_memory_equal(bytes, "newer\0x", 8); /* and a NUL beyond */
    free(bytes);
    assert_int_equal(dt_file_size("a", &length), DT_OK);
    assert_int_equal(length, 7);
    assert_int_equal(dt_folder_list(".", &names, &count), DT_OK);
    assert_int_equal(count, 1); /* no temporary file is left */
    dt_folder_list_free(names, count);
    assert_int_equal(dt_file_replace("empty", "", 0), DT_OK);
    assert_int_equal(dt_file_read("empty", 0, &bytes, &size), DT_OK);
    assert_int_equal(size, 0);
    assert_string_equal(bytes, "");
    free(bytes);
}

static void refusals_name_the_path(void **state)
{
    char *bytes;
    size_t size;
    int64_t length;
    assert_int_equal(dt_file_replace("a", "12345678", 8), DT_OK);
    assert_fails(dt_file_read("a", 7, &bytes, &size), DT_ERR_DATA, "'a' has 8 bytes, more than the 7 allowed here");
    assert_fails(dt_file_read("none", 7, &bytes, &size), DT_ERR_IO, "cannot open 'none': No such file or directory");
    assert_fails(dt_file_size(".", &length), DT_ERR_IO, "cannot read '.': it is a folder");
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_fails(dt_file_read("pipe", 7, &bytes, &size), DT_ERR_IO, "cannot read 'pipe': it is not a regular file");
    assert_int_equal(dt_file_replace("none/a", "", 0), DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "none/a"));
    assert_fails(dt_folder_make("a/b"), DT_ERR_IO, "cannot make folder 'a': File exists");
    assert_false(dt_file_exists("none"));
    assert_true(dt_file_exists("a"));
}

static void folders_are_made_listed_and_removed(void **state)
{
    char **names;
    size_t count;
    assert_int_equal(dt_folder_make("x/y//z/"), DT_OK);
    assert_int_equal(dt_folder_make("x/y/z"), DT_OK);
    assert_int_equal(dt_file_replace("x/y/b", "", 0), DT_OK);
    assert_int_equal(dt_file_replace("x/y/B", "", 0), DT_OK);
    assert_int_equal(symlink("..", "x/y/up"), 0);
    assert_int_equal(dt_folder_list("x/y", &names, &count), DT_OK);
    const char *const wanted[] = {"B", "b", "up", "z"};
    assert_int_equal(count, 4);
    for (size_t i = 0; i < count; i++) assert_string_equal(names[i], wanted[i]);
    dt_folder_list_free(names, count);
    assert_int_equal(dt_folder_sync("x/y"), DT_OK);
    assert_int_equal(dt_folder_remove("x/y"), DT_OK); /* and not what the link points to */
    assert_true(dt_file_exists("x"));
    assert_false(dt_file_exists("x/y"));
    assert_int_equal(dt_folder_remove("x/y"), DT_OK);
    assert_int_equal(dt_folder_list("x/y", &names, &count), DT_ERR_IO);
}

static void a_lock_is_for_one_process(void **state)
{
    dt_lock *lock, *second;
    char message[64];
    assert_int_equal(dt_lock_take("lock", &lock), DT_OK);
    snprintf(message, sizeof message, "'lock' is locked by process %ld", (long)getpid());
    assert_fails(dt_lock_take("lock", &second), DT_ERR_USAGE, message);
    assert_true(dt_lock_holds(lock, "lock"));
    assert_int_equal(rename("lock", "moved"), 0);
    assert_false(dt_lock_holds(lock, "lock"));
    assert_int_equal(dt_lock_take("lock", &second), DT_OK);
    assert_false(dt_lock_holds(lock, "lock"));
    dt_lock_free(second);
    dt_lock_free(lock);
    dt_lock_free(NULL);
    assert_int_equal(dt_lock_take("lock", &second), DT_OK);
    dt_lock_free(second);
}

static void a_lock_ends_with_its_process(void **state)
{
    dt_lock *lock;
    int ready[2], status;
    char byte;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (child == 0) {
        if (dt_lock_take("lock", &lock) == DT_OK && write(ready[1], "x", 1) == 1) pause();
        _exit(1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(dt_lock_take("lock", &lock), DT_ERR_USAGE);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(dt_lock_take("lock", &lock), DT_OK);
    dt_lock_free(lock);
    close(ready[0]);
    close(ready[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_replaced_file_reads_back, enter_new_folder, leave_folder),
        cmocka_unit_test_setup_teardown(refusals_name_the_path, enter_new_folder, leave_folder),
        cmocka_unit_test_setup_teardown(folders_are_made_listed_and_removed, enter_new_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_lock_is_for_one_process, enter_new_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_lock_ends_with_its_process, enter_new_folder, leave_folder),
    };
    return cmocka_run_group_tests_name("base/file", tests, NULL, NULL);
}
