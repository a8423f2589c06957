/* The table of choices: what is used stays, records and files are noted, and a file that is none is passed over. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/json.h"
#include "device/choices.h"

#define OK(call)                                            \
    do {                                                    \
        if (call) fail_msg("%s", dt_error_message());       \
    } while (0)

typedef struct algorithm {
    unsigned char bytes[DT_ALGORITHM_BYTES];
} algorithm;

static algorithm make(int seed)
{
    algorithm a;
    for (int i = 0; i < DT_ALGORITHM_BYTES; i++) a.bytes[i] = (unsigned char)(seed * 37 + i * 11);
    return a;
}

static dt_choices *open_table(void)
{
    dt_choices *c;
    OK(dt_choices_create(&c));
    return c;
}

static void use(dt_choices *c, const char *work, int seed)
{
    algorithm a = make(seed);
    OK(dt_choices_use(c, work, &a));
}

/* A whole turn: what others decided is taken. */
static void decide(dt_choices *c, const char *work, int seed)
{
    algorithm a = make(seed), theirs;
    if (dt_choices_claim(c, work, &theirs) == DT_CHOICE_NOTED) OK(dt_choices_use(c, work, &theirs));
    else OK(dt_choices_decide(c, work, &a));
    dt_choices_release(c);
}

static void assert_finds(const dt_choices *c, const char *work, dt_choice how, int seed)
{
    algorithm want = make(seed), have;
    assert_int_equal(dt_choices_find(c, work, &have), how);
    if (how != DT_CHOICE_NONE) assert_memory_equal(&want, &have, sizeof want);
}

static void what_is_used_stays(void **state)
{
    dt_choices *c = open_table();
    assert_finds(c, "a", DT_CHOICE_NONE, 0);
    use(c, "a", 1);
    use(c, "b", 2);
    assert_finds(c, "a", DT_CHOICE_USED, 1);
    assert_finds(c, "b", DT_CHOICE_USED, 2);
    assert_false(dt_choices_kept(c));
    dt_choices_free(c);
}

static void a_record_is_recalled(void **state)
{
    dt_choices *first = open_table(), *second = open_table();
    use(first, "a", 1);
    use(first, "b", 2);
    json_t *record = dt_choices_record(first), *again;
    assert_int_equal(json_object_size(record), 2);
    use(second, "b", 3);
    json_object_set_new(record, "short", json_string("00ff"));
    json_object_set_new(record, "number", json_integer(7));
    OK(dt_choices_recall(second, record));
    assert_finds(second, "a", DT_CHOICE_NOTED, 1);
    assert_finds(second, "b", DT_CHOICE_USED, 3);
    assert_finds(second, "short", DT_CHOICE_NONE, 0);
    OK(dt_choices_recall(second, NULL));
    again = dt_choices_record(second); /* of "a" too, which this run has not come to */
    assert_int_equal(json_object_size(again), 2);
    assert_true(json_equal(json_object_get(again, "a"), json_object_get(record, "a")));
    assert_false(json_equal(json_object_get(again, "b"), json_object_get(record, "b")));
    json_decref(again);
    json_decref(record);
    dt_choices_free(first);
    dt_choices_free(second);
}

/* --- the file --- */

static char folder[64];

static int enter(void **state)
{
    strcpy(folder, "/tmp/dyttrain-choices-XXXXXX");
    return mkdtemp(folder) && !setenv("XDG_CACHE_HOME", folder, 1) ? 0 : -1;
}

static int leave(void **state) { return dt_folder_remove(folder) == DT_OK && !unsetenv("XDG_CACHE_HOME") ? 0 : -1; }

/* The one file below the folder, besides the lock. */
static char *file_path(void)
{
    static char path[512];
    char inner[128], **names;
    size_t count;
    snprintf(inner, sizeof inner, "%s/dyttrain", folder);
    OK(dt_folder_list(inner, &names, &count));
    assert_in_range(count, 1, 2);
    int file = strstr(names[0], ".lock") ? 1 : 0;
    snprintf(path, sizeof path, "%s/%s", inner, names[file]);
    dt_folder_list_free(names, count);
    return path;
}

static dt_choices *open_kept(const char *machine, dt_log *log)
{
    dt_choices *c = open_table();
    OK(dt_choices_open(c, machine, log));
    assert_true(dt_choices_kept(c));
    return c;
}

static void what_is_decided_is_kept(void **state)
{
    dt_choices *c = open_kept("gpu 1", NULL);
    decide(c, "decided", 1);
    use(c, "used", 2);
    dt_choices_free(c);
    c = open_kept("gpu 1", NULL);
    assert_finds(c, "decided", DT_CHOICE_NOTED, 1);
    assert_finds(c, "used", DT_CHOICE_NONE, 0);
    json_t *record = dt_choices_record(c); /* of this run, which has used nothing */
    assert_int_equal(json_object_size(record), 0);
    json_decref(record);
    dt_choices_free(c);
    c = open_kept("gpu 2", NULL);
    assert_finds(c, "decided", DT_CHOICE_NONE, 0);
    dt_choices_free(c);
}

static void the_first_of_two_runs_decides(void **state)
{
    dt_choices *a = open_kept("gpu", NULL), *b = open_kept("gpu", NULL);
    decide(a, "both", 1);
    decide(b, "both", 2);
    decide(b, "other", 3);
    assert_finds(b, "both", DT_CHOICE_USED, 1);
    dt_choices_free(a);
    dt_choices_free(b);
    dt_choices *c = open_kept("gpu", NULL);
    assert_finds(c, "both", DT_CHOICE_NOTED, 1);
    assert_finds(c, "other", DT_CHOICE_NOTED, 3);
    dt_choices_free(c);
}

static void *claim_in_turn(void *arg)
{
    algorithm have;
    dt_choices *c = arg;
    dt_choice found = dt_choices_claim(c, "work", &have);
    dt_choices_release(c);
    return found == DT_CHOICE_NOTED ? c : NULL;
}

static void who_comes_second_waits(void **state)
{
    pthread_t second;
    void *found;
    algorithm have, mine = make(1);
    dt_choices *a = open_kept("gpu", NULL), *b = open_kept("gpu", NULL);
    assert_int_equal(dt_choices_claim(a, "work", &have), DT_CHOICE_NONE);
    assert_int_equal(pthread_create(&second, NULL, claim_in_turn, b), 0);
    usleep(50000); /* long enough to come to the wrong answer, were there no waiting */
    OK(dt_choices_decide(a, "work", &mine));
    dt_choices_release(a);
    assert_int_equal(pthread_join(second, &found), 0);
    assert_non_null(found);
    dt_choices_free(a);
    dt_choices_free(b);
}

/* Who has the turn may have been stopped: the log names the process before the wait is over. */
static void waiting_is_told(void **state)
{
    pthread_t second;
    void *found;
    char *text, holder[64];
    size_t size;
    dt_log *log;
    algorithm have, mine = make(1);
    FILE *stream = open_memstream(&text, &size);
    OK(dt_log_create(stream, DT_LOG_INFO, &log));
    dt_choices *a = open_kept("gpu", NULL), *b = open_kept("gpu", log);
    assert_int_equal(dt_choices_claim(a, "work", &have), DT_CHOICE_NONE);
    assert_int_equal(pthread_create(&second, NULL, claim_in_turn, b), 0);
    usleep(1500000);
    OK(dt_choices_decide(a, "work", &mine));
    dt_choices_release(a);
    assert_int_equal(pthread_join(second, &found), 0);
    assert_non_null(found);
    dt_choices_free(a);
    dt_choices_free(b);
    dt_log_free(log);
    assert_int_equal(fclose(stream), 0);
    snprintf(holder, sizeof holder, "is locked by process %ld, which is choosing", (long)getpid());
    if (!strstr(text, holder)) fail_msg("%s", text);
    free(text);
}

static void *open_in_turn(void *arg)
{
    return dt_choices_open(arg, "gpu", NULL) ? NULL : arg;
}

/* A run that finds no file must not write an empty one over that of a run which has just decided. */
static void a_new_file_is_written_in_turn(void **state)
{
    pthread_t second;
    void *opened;
    algorithm have, mine = make(1);
    dt_choices *a = open_kept("gpu", NULL), *b = open_table();
    assert_int_equal(dt_choices_claim(a, "work", &have), DT_CHOICE_NONE);
    assert_int_equal(remove(file_path()), 0);
    assert_int_equal(pthread_create(&second, NULL, open_in_turn, b), 0);
    usleep(50000);
    OK(dt_choices_decide(a, "work", &mine));
    dt_choices_release(a);
    assert_int_equal(pthread_join(second, &opened), 0);
    assert_non_null(opened);
    assert_finds(b, "work", DT_CHOICE_NOTED, 1);
    dt_choices_free(a);
    dt_choices_free(b);
}

/* The disk fails behind the opening: a warning, and this run goes on with its choice. */
static void a_file_that_cannot_be_written_is_a_warning(void **state)
{
    char *text, inner[128];
    size_t size;
    dt_log *log;
    FILE *stream = open_memstream(&text, &size);
    OK(dt_log_create(stream, DT_LOG_INFO, &log));
    dt_choices *c = open_kept("gpu", log);
    snprintf(inner, sizeof inner, "%s/dyttrain", folder);
    OK(dt_folder_remove(inner));
    decide(c, "work", 1);
    assert_finds(c, "work", DT_CHOICE_USED, 1);
    dt_choices_free(c);
    dt_log_free(log);
    assert_int_equal(fclose(stream), 0);
    assert_non_null(strstr(text, "other runs may choose other algorithms"));
    assert_non_null(strstr(text, "what other runs chose is not known"));
    assert_non_null(strstr(text, "the next run chooses its algorithms again"));
    free(text);
}

static void a_record_comes_before_the_file(void **state)
{
    dt_choices *a = open_kept("gpu", NULL), *run = open_table();
    decide(a, "work", 1);
    dt_choices_free(a);
    use(run, "work", 2);
    json_t *record = dt_choices_record(run);
    dt_choices *b = open_kept("gpu", NULL);
    OK(dt_choices_recall(b, record));
    assert_finds(b, "work", DT_CHOICE_NOTED, 2);
    decide(b, "work", 3); /* as if the library did not accept what the record says: the file's then */
    assert_finds(b, "work", DT_CHOICE_USED, 1);
    json_decref(record);
    dt_choices_free(run);
    dt_choices_free(b);
}

/* Opens the table over what lies there, which must give a warning with `words`, and a new file that holds. */
static void assert_renewed(const char *words)
{
    char *text;
    size_t size;
    dt_log *log;
    FILE *stream = open_memstream(&text, &size);
    OK(dt_log_create(stream, DT_LOG_INFO, &log));
    dt_choices *c = open_kept("gpu", log);
    assert_finds(c, "work", DT_CHOICE_NONE, 0);
    decide(c, "new", 5);
    dt_choices_free(c);
    dt_log_free(log);
    assert_int_equal(fclose(stream), 0);
    if (!strstr(text, words) || !strstr(text, "written anew")) fail_msg("%s", text);
    free(text);
    c = open_kept("gpu", NULL);
    assert_finds(c, "new", DT_CHOICE_NOTED, 5);
    dt_choices_free(c);
}

static void write_over(const char *bytes, size_t size) { OK(dt_file_replace(file_path(), bytes, size)); }

static void a_damaged_file_is_renewed(void **state)
{
    dt_choices *c = open_kept("gpu", NULL);
    decide(c, "work", 1);
    dt_choices_free(c);
    char *bytes;
    size_t size;
    OK(dt_file_read(file_path(), 1 << 20, &bytes, &size));
    char *digit = strstr(bytes, "\"work\": \"") + 12;
    *digit = *digit == '0' ? '1' : '0';
    write_over(bytes, size);
    assert_renewed("checksum does not hold");
    write_over(bytes, size / 2);
    assert_renewed("not valid JSON");
    write_over("{}", 2);
    assert_renewed("'format' is missing");
    free(bytes);
}

static void without_a_place_nothing_is_kept(void **state)
{
    char *home = getenv("HOME") ? strdup(getenv("HOME")) : NULL;
    dt_choices *c = open_table();
    unsetenv("HOME");
    assert_int_equal(setenv("XDG_CACHE_HOME", "relative", 1), 0);
    assert_int_equal(dt_choices_open(c, "gpu", NULL), DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "XDG_CACHE_HOME"));
    assert_int_equal(setenv("XDG_CACHE_HOME", "/dev/null", 1), 0);
    assert_int_equal(dt_choices_open(c, "gpu", NULL), DT_ERR_IO);
    assert_false(dt_choices_kept(c));
    if (home) setenv("HOME", home, 1);
    free(home);
    dt_choices_free(c);
}

#define WITH_FOLDER(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_used_stays),
        cmocka_unit_test(a_record_is_recalled),
        WITH_FOLDER(what_is_decided_is_kept),
        WITH_FOLDER(the_first_of_two_runs_decides),
        WITH_FOLDER(who_comes_second_waits),
        WITH_FOLDER(waiting_is_told),
        WITH_FOLDER(a_new_file_is_written_in_turn),
        WITH_FOLDER(a_file_that_cannot_be_written_is_a_warning),
        WITH_FOLDER(a_record_comes_before_the_file),
        WITH_FOLDER(a_damaged_file_is_renewed),
        WITH_FOLDER(without_a_place_nothing_is_kept),
    };
    return cmocka_run_group_tests_name("device/choices", tests, NULL, NULL);
}
