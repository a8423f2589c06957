/* Every allocation, write, sync and rename of base and config made to fail in turn: an error, nothing leaked, nothing
 * half written. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "../config/table.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "base/threads.h"
#include "data/corpus.h"
#include "fault.h"

static int enter_new_folder(void **state)
{
    static char name[32];
    strcpy(name, "dt-fault-XXXXXX");
    *state = mkdtemp(name);
    return *state && chdir(*state) == 0 ? 0 : -1;
}

static int leave_folder(void **state) { return chdir("..") == 0 && dt_folder_remove(*state) == DT_OK ? 0 : -1; }

/* The n-th call of `kind` fails during `action`; returns whether there was an n-th call. */
static bool run_with_fault(const char *kind, int n, dt_status (*action)(void), dt_status *status, long *leaked)
{
    char fault[32];
    snprintf(fault, sizeof fault, "%s:%d", kind, n);
    dt_error_clear();
    dt_fault_arm(fault);
    *status = action();
    bool struck = dt_fault_calls() >= n;
    *leaked = dt_fault_live();
    dt_fault_arm(NULL);
    return struck;
}

static dt_status replace_file(void) { return dt_file_replace("file", "new", 3); }

static void assert_only_file(const char *content)
{
    char *bytes, **names;
    size_t size, count;
    assert_int_equal(dt_file_read("file", 10, &bytes, &size), DT_OK);
    assert_string_equal(bytes, content);
    free(bytes);
    assert_int_equal(dt_folder_list(".", &names, &count), DT_OK);
    assert_int_equal(count, 1);
    dt_folder_list_free(names, count);
}

static void a_failed_replacement_keeps_the_file(void **state)
{
    const char *const faults[] = {"write:1", "sync:1", "rename:1"};
    assert_int_equal(dt_file_replace("file", "old", 3), DT_OK);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        dt_fault_arm(faults[i]);
        dt_status status = replace_file();
        bool struck = dt_fault_calls() > 0;
        dt_fault_arm(NULL);
        assert_true(struck);
        assert_int_equal(status, DT_ERR_IO);
        assert_non_null(strstr(dt_error_message(), "'file"));
        assert_only_file("old");
    }
    dt_fault_arm("sync:2"); /* of the folder: the new file is there, but it may not last */
    dt_status status = replace_file();
    dt_fault_arm(NULL);
    assert_int_equal(status, DT_ERR_IO);
    assert_only_file("new");
}

/* The name of a new folder lasts only once the folder that holds it is synced; for one that is there nothing is due. */
static void a_new_folder_is_synced(void **state)
{
    for (int n = 1; n <= 3; n++) {
        char fault[32], path[32];
        snprintf(fault, sizeof fault, "sync:%d", n);
        snprintf(path, sizeof path, "a%d/b/c", n);
        dt_fault_arm(fault);
        dt_status status = dt_folder_make(path);
        dt_fault_arm(NULL);
        assert_int_equal(status, DT_ERR_IO);
        assert_non_null(strstr(dt_error_message(), "cannot sync folder"));
    }
    dt_fault_arm("sync:1");
    dt_status status = dt_folder_make("a3/b/c");
    dt_fault_arm(NULL);
    assert_int_equal(status, DT_OK);
}

static void a_full_disk_stays_full(void **state)
{
    dt_fault_arm("write:2+:full");
    dt_status first = dt_file_replace("full1", "x", 1), second = dt_file_replace("full2", "x", 1);
    dt_status other = dt_file_replace("other", "x", 1), third = dt_file_replace("full3", "x", 1);
    dt_fault_arm(NULL);
    assert_int_equal(first, DT_OK);
    assert_int_equal(second, DT_ERR_IO);
    assert_int_equal(third, DT_ERR_IO);
    assert_int_equal(other, DT_OK);
    assert_non_null(strstr(dt_error_message(), "No space left on device"));
}

static dt_status load_settings(void)
{
    static const char *const words[] = {"norm.alpha0.ffn=0.3", "run.name=x", "optim.betas=[0.5, 0.6]"};
    dt_settings *settings;
    dt_text out = {0};
    DT_TRY(dt_settings_load("a.yaml", words, 3, tables, TABLES, &settings));
    dt_settings_print(settings, &out);
    dt_status status = dt_text_status(&out);
    dt_text_free(&out);
    dt_settings_free(settings);
    return status;
}

static dt_status parse_json(void)
{
    static const char text[] = "{\"a\": [1, 2.5, \"text\"], \"b\": {\"c\": null}}";
    json_t *root;
    DT_TRY(dt_json_parse(text, sizeof text - 1, "text", &root));
    json_decref(root);
    return DT_OK;
}

static dt_status read_line(void)
{
    static const char line[] = "{\"id\": [1, \"x\"], \"text\": \"a text\"}";
    dt_text text = {0};
    dt_status status = dt_json_line_text(line, sizeof line - 1, "text", &text);
    dt_text_free(&text);
    return status;
}

static dt_status list_folder(void)
{
    char **names;
    size_t count;
    DT_TRY(dt_folder_list(".", &names, &count));
    dt_folder_list_free(names, count);
    return DT_OK;
}

static dt_status take_lock(void)
{
    dt_lock *lock;
    DT_TRY(dt_lock_take("lock", &lock));
    dt_lock_free(lock);
    return DT_OK;
}

static dt_status open_log(void)
{
    dt_log *log;
    DT_TRY(dt_log_create(NULL, DT_LOG_INFO, &log));
    dt_status status = dt_log_open_file(log, "log");
    dt_log_info(log, "a line may be lost, but nothing else");
    dt_log_free(log);
    return status;
}

static dt_status make_pool(void)
{
    dt_pool *pool;
    DT_TRY(dt_pool_create(3, &pool));
    dt_pool_free(pool);
    return DT_OK;
}

static void every_allocation_may_fail(void **state)
{
    static const struct {
        const char *name;
        dt_status (*action)(void);
        bool may_go_on; /* some failures lose nothing that matters */
    } actions[] = {
        {"load settings", load_settings}, {"parse JSON", parse_json},  {"list a folder", list_folder},
        {"take a lock", take_lock},       {"open the log", open_log, true}, {"make a pool", make_pool, true},
    };
    static const char base[] = "seed: 3\nnorm:\n  alpha0: {default: 0.5, final: 0.2}\n";
    static const char file[] = "base: b.yaml\nrun: {name: \"long enough for a buffer to grow\", dir: x}\n";
    assert_int_equal(dt_file_replace("b.yaml", base, sizeof base - 1), DT_OK);
    assert_int_equal(dt_file_replace("a.yaml", file, sizeof file - 1), DT_OK);
    for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
        dt_status status = actions[i].action(); /* what libc allocates once and keeps */
        long leaked;
        if (status) fail_msg("%s: %s", actions[i].name, dt_error_message());
        for (int n = 1; run_with_fault("alloc", n, actions[i].action, &status, &leaked); n++) {
            if (!status && !actions[i].may_go_on) fail_msg("%s: allocation %d failed unseen", actions[i].name, n);
            if (status && !dt_error_message()[0]) fail_msg("%s: allocation %d: no message", actions[i].name, n);
            if (leaked) fail_msg("%s: allocation %d: %ld blocks leaked", actions[i].name, n, leaked);
        }
        assert_int_equal(status, DT_OK);
    }
}

/* jansson mostly says nothing where memory runs out: that is not JSON with an error that has no name. */
static void assert_not_called_wrong(dt_status (*action)(void))
{
    static const char nothing[] = "not valid JSON: ";
    dt_status status;
    long leaked;
    int told = 0;
    for (int n = 1; run_with_fault("alloc", n, action, &status, &leaked); n++) {
        const char *message = dt_error_message();
        size_t length = strlen(message), end = sizeof nothing - 1;
        if (length >= end && !strcmp(message + length - end, nothing)) fail_msg("allocation %d: %s", n, message);
        if (strstr(message, "NUL")) fail_msg("allocation %d: %s", n, message);
        if (leaked) fail_msg("allocation %d: %ld blocks leaked", n, leaked);
        told += status == DT_ERR_MEMORY;
    }
    assert_true(told > 0);
}

static void json_without_memory_is_not_called_wrong(void **state)
{
    assert_not_called_wrong(parse_json);
    assert_not_called_wrong(read_line);
}

int main(int count, char **args)
{
    const struct CMUnitTest files[] = {
        cmocka_unit_test_setup_teardown(a_failed_replacement_keeps_the_file, enter_new_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_new_folder_is_synced, enter_new_folder, leave_folder),
        cmocka_unit_test_setup_teardown(a_full_disk_stays_full, enter_new_folder, leave_folder),
    };
    const struct CMUnitTest allocations[] = {
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, enter_new_folder, leave_folder),
        cmocka_unit_test(json_without_memory_is_not_called_wrong),
    };
    if (count > 1 && !strcmp(args[1], "allocations")) return cmocka_run_group_tests(allocations, NULL, NULL);
    return cmocka_run_group_tests(files, NULL, NULL);
}
