/* Saving beside other work: what is written is the store at the start of the save, and a failure is told once. */
#include <math.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "toy_store.h"
#include "train/saver.h"

static const toy_options full = {DT_F32, .ema = true, .moments = true, .states = true, .classes = 4};

static int enter(void **state)
{
    static char name[32];
    strcpy(name, "dt-saver-XXXXXX");
    *state = mkdtemp(name);
    return *state && chdir(*state) == 0 ? 0 : -1;
}

static int leave(void **state) { return chdir("..") == 0 && dt_folder_remove(*state) == DT_OK ? 0 : -1; }

static dt_saver *open_saver(const toy *t, int keep, dt_log *log)
{
    dt_saver *saver;
    dt_checkpoint_options options = {.folder = "checkpoints", .keep = keep};
    OK(dt_saver_create(t->store, "seed: 1\n", &options, NULL, log, &saver));
    return saver;
}

static void start(toy *t, dt_saver *saver, int64_t step)
{
    toy_fill(t, step);
    OK(dt_saver_start(saver, &(dt_progress){.step = step, .samples = 64 * step, .best = NAN}, json_object()));
}

static void assert_saved(int64_t step)
{
    toy t;
    char path[64];
    dt_progress progress;
    toy_open(&t, full);
    snprintf(path, sizeof path, "checkpoints/step-%08lld", (long long)step);
    OK(toy_load(&t, path, &progress, NULL));
    assert_true(toy_holds(&t, step));
    assert_int_equal(progress.samples, 64 * step);
    toy_close(&t);
}

static void later_updates_are_not_in_it(void **state)
{
    toy t;
    toy_open(&t, full);
    dt_saver *saver = open_saver(&t, 2, NULL);
    OK(dt_saver_wait(saver)); /* nothing to wait for */
    OK(dt_saver_poll(saver));
    for (int64_t step = 1; step <= 8; step++) {
        start(&t, saver, step);
        toy_fill(&t, 100 + step); /* the next update, while the step is written */
        OK(dt_saver_wait(saver));
        assert_saved(step);
    }
    assert_saved(7);
    assert_false(dt_file_exists("checkpoints/step-00000006"));
    start(&t, saver, 9);
    dt_saver_free(saver); /* waits */
    assert_saved(9);
    toy_close(&t);
}

/* Makes all writes of files fail, or puts back the limit that was there before. */
static void fill_disk(bool full_disk)
{
    static struct rlimit before;
    if (full_disk) assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit limit = {full_disk ? 0 : before.rlim_cur, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void assert_fails(dt_status status, const char *step)
{
    assert_int_equal(status, DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), step));
}

static void a_failure_is_told_once(void **state)
{
    toy t;
    dt_status status;
    toy_open(&t, full);
    dt_saver *saver = open_saver(&t, 1, NULL);
    start(&t, saver, 1);
    OK(dt_saver_wait(saver));
    fill_disk(true);
    start(&t, saver, 2);
    assert_fails(dt_saver_wait(saver), "step 2 not saved");
    OK(dt_saver_wait(saver));
    start(&t, saver, 3);
    while (!(status = dt_saver_poll(saver))) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    assert_fails(status, "step 3 not saved");
    OK(dt_saver_poll(saver));
    fill_disk(false);
    assert_saved(1);
    start(&t, saver, 4); /* there is room again */
    OK(dt_saver_wait(saver));
    assert_saved(4);
    dt_saver_free(saver);
    toy_close(&t);
}

static void a_failure_that_nobody_asks_for_is_logged(void **state)
{
    toy t;
    dt_log *log;
    char *text;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    OK(dt_log_create(stream, DT_LOG_INFO, &log));
    toy_open(&t, full);
    dt_saver *saver = open_saver(&t, 1, log);
    OK(dt_folder_make("checkpoints"));
    fill_disk(true);
    start(&t, saver, 2);
    dt_saver_free(saver);
    fill_disk(false);
    dt_log_free(log);
    assert_int_equal(fclose(stream), 0);
    assert_non_null(strstr(text, "step 2 not saved"));
    free(text);
    toy_close(&t);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, enter, leave)

int main(void)
{
    const struct CMUnitTest tests[] = {TEST(later_updates_are_not_in_it), TEST(a_failure_is_told_once),
                                       TEST(a_failure_that_nobody_asks_for_is_logged)};
    return cmocka_run_group_tests_name("checkpoint/saver", tests, NULL, NULL);
}
