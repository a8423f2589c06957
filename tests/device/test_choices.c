/* The table of choices: what is used stays, records and files are noted, and a file that is none is passed over. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
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

/* --- what goes wrong with the file --- */

/* What the tables write to their logs. */
static struct {
    char *text;
    size_t size;
    FILE *stream;
    dt_log *log;
} said;

static dt_log *listen_from(dt_log_level level)
{
    said.stream = open_memstream(&said.text, &said.size);
    OK(dt_log_create(said.stream, level, &said.log));
    return said.log;
}

static dt_log *listen(void) { return listen_from(DT_LOG_INFO); }

/* Once `words`, and no other line. */
static void assert_said(const char *words)
{
    dt_log_free(said.log);
    assert_int_equal(fclose(said.stream), 0);
    const char *end = strchr(said.text, '\n');
    if (!strstr(said.text, words) || !end || end[1]) fail_msg("'%s' is not one line with '%s'", said.text, words);
    free(said.text);
}

/* The folder goes behind the opening: one warning, and from then on nothing is kept. */
static void a_lost_folder_is_one_warning(void **state)
{
    char inner[128];
    dt_choices *c = open_kept("gpu", listen());
    decide(c, "before", 1);
    snprintf(inner, sizeof inner, "%s/dyttrain", folder);
    OK(dt_folder_remove(inner));
    for (int i = 0; i < 3; i++) decide(c, (const char *[]){"a", "b", "c"}[i], 2 + i);
    assert_false(dt_choices_kept(c) || dt_file_exists(inner));
    assert_finds(c, "before", DT_CHOICE_USED, 1);
    assert_finds(c, "b", DT_CHOICE_USED, 3);
    dt_choices_free(c);
    assert_said("from here on nothing is tuned");
}

/* The file can no longer be written once an algorithm was found: it is used, and the next is not to be timed. */
static void a_full_disk_is_one_warning(void **state)
{
    char temporary[600];
    algorithm have, mine = make(1);
    dt_choices *c = open_kept("gpu", listen());
    snprintf(temporary, sizeof temporary, "%s.tmp%ld", file_path(), (long)getpid());
    assert_int_equal(mkdir(temporary, 0700), 0); /* where the new file is to be written */
    assert_int_equal(dt_choices_claim(c, "work", &have), DT_CHOICE_NONE);
    assert_true(dt_choices_kept(c));
    OK(dt_choices_decide(c, "work", &mine));
    dt_choices_release(c);
    assert_false(dt_choices_kept(c));
    decide(c, "more", 2);
    assert_finds(c, "work", DT_CHOICE_USED, 1);
    dt_choices_free(c);
    assert_said("from here on nothing is tuned");
}

/* As somebody who may read the folder; the superuser may do more. */
static void forbid_writing(void)
{
    char inner[128];
    snprintf(inner, sizeof inner, "%s/dyttrain", folder);
    assert_int_equal(chmod(folder, 0755) | chmod(inner, 0555), 0);
    if (getuid() == 0) assert_int_equal(seteuid(65534), 0);
}

static void allow_writing(void)
{
    char inner[128];
    if (getuid() == 0) assert_int_equal(seteuid(0), 0);
    snprintf(inner, sizeof inner, "%s/dyttrain", folder);
    assert_int_equal(chmod(inner, 0755), 0);
}

static void what_can_only_be_read_is_used(void **state)
{
    dt_choices *c = open_kept("gpu", NULL);
    decide(c, "work", 1);
    dt_choices_free(c);
    c = open_table();
    forbid_writing();
    dt_status status = dt_choices_open(c, "gpu", listen());
    allow_writing();
    assert_int_equal(status, DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "cannot write to folder '"));
    assert_false(dt_choices_kept(c));
    assert_true(dt_choices_found(c));
    assert_finds(c, "work", DT_CHOICE_NOTED, 1);
    dt_log_info(said.log, "told by the caller");
    dt_choices_free(c);
    assert_said("told by the caller");
}

/* A folder of several people, in which the lock is another's. */
static void a_lock_that_cannot_be_opened_is_told_at_once(void **state)
{
    char lock[600];
    dt_choices *c = open_kept("gpu", NULL);
    decide(c, "work", 1);
    dt_choices_free(c);
    snprintf(lock, sizeof lock, "%s.lock", file_path());
    assert_int_equal(remove(lock) | mkdir(lock, 0700), 0);
    c = open_table();
    assert_int_equal(dt_choices_open(c, "gpu", NULL), DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), ".lock"));
    assert_true(dt_choices_found(c));
    dt_choices_free(c);
}

static bool hurried; /* the pauses between looks at a lock are left out */

int nanosleep(const struct timespec *pause, struct timespec *left)
{
    return hurried ? 0 : clock_nanosleep(CLOCK_MONOTONIC, 0, pause, left);
}

/* Who has the lock was stopped: that is told once, then every turn is taken without it. */
static void a_lock_that_is_never_given_is_one_warning(void **state)
{
    algorithm have;
    dt_choices *a = open_kept("gpu", NULL), *b = open_kept("gpu", listen_from(DT_LOG_WARN));
    assert_int_equal(dt_choices_claim(a, "work", &have), DT_CHOICE_NONE);
    hurried = true;
    decide(b, "one", 1);
    hurried = false; /* nor is the lock waited for again */
    decide(b, "two", 2);
    decide(b, "three", 3);
    assert_true(dt_choices_kept(b));
    dt_choices_free(a);
    dt_choices_free(b);
    assert_said("other runs may choose other algorithms");
    b = open_kept("gpu", NULL);
    assert_finds(b, "three", DT_CHOICE_NOTED, 3);
    dt_choices_free(b);
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

static void a_damaged_file_that_stays_is_not_said_to_be_renewed(void **state)
{
    dt_choices *c = open_kept("gpu", NULL);
    dt_choices_free(c);
    write_over("{}", 2);
    c = open_table();
    forbid_writing();
    dt_status status = dt_choices_open(c, "gpu", listen());
    allow_writing();
    assert_int_equal(status, DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "'format' is missing; it cannot be written anew: cannot "));
    assert_false(dt_choices_kept(c) || dt_choices_found(c));
    dt_log_info(said.log, "told by the caller");
    dt_choices_free(c);
    assert_said("told by the caller");
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
        WITH_FOLDER(a_lost_folder_is_one_warning),
        WITH_FOLDER(a_full_disk_is_one_warning),
        WITH_FOLDER(what_can_only_be_read_is_used),
        WITH_FOLDER(a_lock_that_cannot_be_opened_is_told_at_once),
        WITH_FOLDER(a_lock_that_is_never_given_is_one_warning),
        WITH_FOLDER(a_record_comes_before_the_file),
        WITH_FOLDER(a_damaged_file_is_renewed),
        WITH_FOLDER(a_damaged_file_that_stays_is_not_said_to_be_renewed),
        WITH_FOLDER(without_a_place_nothing_is_kept),
    };
    return cmocka_run_group_tests_name("device/choices", tests, NULL, NULL);
}
