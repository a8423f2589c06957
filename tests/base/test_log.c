/* The log on a plain stream, on a terminal and in a file. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "base/log.h"

static void a_plain_stream_gets_plain_lines(void **state)
{
    char *text = NULL;
    size_t size;
    dt_log *log;
    FILE *stream = open_memstream(&text, &size);
    assert_int_equal(dt_log_create(stream, DT_LOG_INFO, &log), DT_OK);
    dt_log_write(log, DT_LOG_DEBUG, "hidden");
    dt_log_info(log, "step %d", 3);
    dt_log_status_line(log, "not on a plain stream");
    dt_log_warn(log, "careful");
    assert_false(dt_log_has_terminal(log));
    assert_int_equal(dt_log_columns(log), 80);
    dt_log_free(log);
    fclose(stream);
    assert_string_equal(text, "step 3\nwarning: careful\n");
    free(text);
    dt_log_info((dt_log *)NULL, "to nobody");
}

static void a_file_gets_lines_with_the_time(void **state)
{
    char path[] = "dt-log-XXXXXX", *text;
    size_t size;
    dt_log *log;
    close(mkstemp(path));
    assert_int_equal(dt_log_create(NULL, DT_LOG_INFO, &log), DT_OK);
    assert_int_equal(dt_log_open_file(log, "no-such-folder/log"), DT_ERR_IO);
    assert_int_equal(dt_log_open_file(log, path), DT_OK);
    dt_log_warn(log, "careful");
    dt_log_write(log, DT_LOG_DEBUG, "hidden");
    dt_log_free(log);
    assert_int_equal(dt_file_read(path, 1000, &text, &size), DT_OK);
    assert_int_equal(size, strlen("2026-11-21 18:41:14 warning: careful\n"));
    assert_string_equal(text + 20, "warning: careful\n");
    free(text);
    unlink(path);
}

static void a_full_disk_ends_the_file_but_not_the_log(void **state)
{
    char *text = NULL;
    size_t size;
    dt_log *log;
    FILE *stream = open_memstream(&text, &size);
    assert_int_equal(dt_log_create(stream, DT_LOG_INFO, &log), DT_OK);
    if (dt_log_open_file(log, "/dev/full")) skip();
    dt_log_info(log, "one");
    dt_log_info(log, "two");
    dt_log_free(log);
    fclose(stream);
    assert_string_equal(text, "one\nwarning: cannot write '/dev/full', so the log goes on without it: "
                              "No space left on device\ntwo\n");
    free(text);
}

/* Reads what came out of the terminal's other end. */
static void assert_terminal_shows(int terminal, const char *wanted)
{
    char shown[1000];
    ssize_t got = read(terminal, shown, sizeof shown - 1);
    shown[got > 0 ? got : 0] = '\0';
    assert_string_equal(shown, wanted);
}

static void a_terminal_keeps_the_status_line_below(void **state)
{
    dt_log *log;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY);
    if (terminal < 0 || grantpt(terminal) != 0 || unlockpt(terminal) != 0) skip();
    FILE *stream = fdopen(open(ptsname(terminal), O_RDWR | O_NOCTTY), "w"); /* not ours to be hung up with */
    struct winsize size = {.ws_row = 24, .ws_col = 11};
    struct termios raw;
    assert_int_equal(tcgetattr(terminal, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(terminal, TCSANOW, &raw), 0);
    assert_int_equal(ioctl(terminal, TIOCSWINSZ, &size), 0);
    setenv("TERM", "xterm", 1);
    assert_int_equal(dt_log_create(stream, DT_LOG_INFO, &log), DT_OK);
    assert_true(dt_log_has_terminal(log));
    assert_int_equal(dt_log_columns(log), 11);
    dt_log_status_line(log, "12345678\xC3\xA9ghijkl"); /* the ninth of ten columns is an e with an accent */
    assert_terminal_shows(terminal, "12345678\xC3\xA9g");
    dt_log_info(log, "line");
    assert_terminal_shows(terminal, "\r\033[Kline\n12345678\xC3\xA9g");
    dt_log_status_line(log, "two");
    assert_terminal_shows(terminal, "\r\033[Ktwo");
    dt_log_free(log);
    assert_terminal_shows(terminal, "\r\033[K");
    fclose(stream);
    close(terminal);
}

static void *write_lines(void *log)
{
    for (int i = 0; i < 200; i++) dt_log_info((dt_log *)log, "0123456789");
    return NULL;
}

static void lines_of_threads_do_not_mix(void **state)
{
    char *text = NULL;
    size_t size;
    dt_log *log;
    pthread_t threads[3];
    FILE *stream = open_memstream(&text, &size);
    assert_int_equal(dt_log_create(stream, DT_LOG_INFO, &log), DT_OK);
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, write_lines, log), 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    dt_log_free(log);
    fclose(stream);
    assert_int_equal(size, 3 * 200 * 11);
    for (size_t i = 0; i < size; i += 11) assert_memory_equal(text + i, "0123456789\n", 11);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_plain_stream_gets_plain_lines),
        cmocka_unit_test(a_file_gets_lines_with_the_time),
        cmocka_unit_test(a_full_disk_ends_the_file_but_not_the_log),
        cmocka_unit_test(a_terminal_keeps_the_status_line_below),
        cmocka_unit_test(lines_of_threads_do_not_mix),
    };
    return cmocka_run_group_tests_name("base/log", tests, NULL, NULL);
}
