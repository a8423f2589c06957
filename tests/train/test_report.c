/* What a run tells: the text of metrics.jsonl, its cutting on resume, and the bytes of event files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/json.h"
#include "train/bar.h"
#include "train/report.h"

enum { FILE_LIMIT = 1 << 20 };

static char folder[] = "/tmp/dyttrain-report-XXXXXX";

static int make_folder(void **state)
{
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state) { return dt_folder_remove(folder) ? -1 : 0; }

static char *path_in_folder(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static char *read_text(const char *path)
{
    char *text;
    size_t size;
    assert_int_equal(dt_file_read(path, FILE_LIMIT, &text, &size), DT_OK);
    return text;
}

static void write_text(const char *path, const char *text)
{
    assert_int_equal(dt_file_replace(path, text, strlen(text)), DT_OK);
}

static dt_report *create(int64_t resume_step, dt_log *log)
{
    dt_report *report;
    assert_int_equal(dt_report_create(folder, resume_step, 100, log, &report), DT_OK);
    return report;
}

static dt_step_report example(int64_t step)
{
    return (dt_step_report){.step = step, .epoch = 0.5, .loss = 1.25, .top1 = 40, .lr = 0.001, .grad_norm = 0.1,
                            .samples_per_s = 1773.5, .tokens_per_s = 30149.5, .mfu = NAN, .data_wait = 0.003,
                            .memory_gib = 0.125, .unit = "images"};
}

static void lines_have_the_documented_keys(void **state)
{
    dt_report *report = create(-1, NULL);
    dt_step_report step = example(7);
    dt_eval_report sets[] = {{.step = 7, .set = "eval", .loss = 1.0 / 3, .top1 = 87.5, .top5 = 99, .perplexity = NAN,
                              .bits_per_byte = NAN, .samples = 8},
                             {.step = 7, .set = "ema", .loss = INFINITY, .top1 = 88, .top5 = 99, .perplexity = NAN,
                              .bits_per_byte = NAN, .samples = 8}};
    assert_int_equal(dt_report_step(report, &step), DT_OK);
    assert_int_equal(dt_report_eval(report, sets, 2), DT_OK);
    char *text = read_text(path_in_folder("metrics.jsonl")); /* before flush and free: a line is there at once */
    assert_string_equal(text,
                        "{\"step\":7,\"epoch\":0.5,\"loss\":1.25,\"lr\":0.001,\"grad_norm\":0.1,"
                        "\"samples_per_s\":1773.5,\"tokens_per_s\":30149.5,\"data_wait\":0.003,\"memory_gib\":0.125}\n"
                        "{\"step\":7,\"eval\":{\"loss\":0.3333333333333333,\"top1\":87.5,\"top5\":99}}\n"
                        "{\"step\":7,\"eval_ema\":{\"top1\":88,\"top5\":99}}\n");
    free(text);
    assert_int_equal(dt_report_flush(report), DT_OK);
    dt_report_free(report);
}

static void numbers_read_back_exactly(void **state)
{
    const double values[] = {0, 1e-310, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 1e21, 123456789, M_PI};
    dt_report *report = create(-1, NULL);
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        dt_step_report step = {.step = 1, .loss = values[i]};
        assert_int_equal(dt_report_step(report, &step), DT_OK);
    }
    dt_report_free(report);
    char *text = read_text(path_in_folder("metrics.jsonl")), *line = text;
    for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
        json_t *object;
        double loss;
        char *end = strchr(line, '\n');
        assert_int_equal(dt_json_parse(line, (size_t)(end - line), "a line", &object), DT_OK);
        assert_int_equal(dt_json_real(object, "loss", "a line", &loss), DT_OK);
        assert_memory_equal(&loss, &values[i], sizeof loss);
        json_decref(object);
        line = end + 1;
    }
    free(text);
}

static void resume_cuts_what_will_come_again(void **state)
{
    write_text(path_in_folder("metrics.jsonl"), "{\"step\":10,\"loss\":2}\n"
                                                "{\"step\":20,\"loss\":1}\n"
                                                "{\"step\":20,\"eval\":{\"loss\":1}}\n"
                                                "{\"step\":30,\"loss\":0.5}\n"
                                                "{\"step\":40,\"los");
    dt_report_free(create(20, NULL));
    char *text = read_text(path_in_folder("metrics.jsonl"));
    assert_string_equal(text, "{\"step\":10,\"loss\":2}\n"
                              "{\"step\":20,\"loss\":1}\n"
                              "{\"step\":20,\"eval\":{\"loss\":1}}\n");
    free(text);
}

static void resume_cuts_a_torn_line(void **state)
{
    write_text(path_in_folder("metrics.jsonl"), "a note by hand\n{\"step\":10,\"loss\":2}\n{\"step\":1");
    dt_report *report = create(20, NULL);
    dt_step_report step = {.step = 30, .epoch = NAN, .loss = 1, .lr = NAN, .grad_norm = NAN, .samples_per_s = NAN,
                           .tokens_per_s = NAN, .mfu = NAN, .data_wait = NAN, .memory_gib = NAN};
    assert_int_equal(dt_report_step(report, &step), DT_OK);
    dt_report_free(report);
    char *text = read_text(path_in_folder("metrics.jsonl"));
    assert_string_equal(text, "a note by hand\n{\"step\":10,\"loss\":2}\n{\"step\":30,\"loss\":1}\n");
    free(text);
}

/* A limit on file size stands for a full disk: the write gives up in the middle of the line. */
static void a_full_disk_leaves_whole_lines(void **state)
{
    struct rlimit old, tight;
    dt_report *report = create(-1, NULL);
    dt_step_report step = example(1);
    assert_int_equal(dt_report_step(report, &step), DT_OK);
    char *before = read_text(path_in_folder("metrics.jsonl"));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    tight = old;
    tight.rlim_cur = strlen(before) + 20;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    dt_status status = dt_report_step(report, &step);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(status, DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "metrics.jsonl"));
    char *after = read_text(path_in_folder("metrics.jsonl"));
    assert_string_equal(after, before);
    free(before);
    free(after);
    dt_report_free(report);
}

static void the_log_gets_a_line_for_people(void **state)
{
    FILE *stream = tmpfile();
    char text[256] = "";
    dt_log *log;
    assert_int_equal(dt_log_create(stream, DT_LOG_INFO, &log), DT_OK);
    dt_report *report = create(-1, log);
    dt_step_report step = example(50);
    assert_int_equal(dt_report_step(report, &step), DT_OK);
    dt_report_progress(report, &step); /* no terminal: nothing */
    rewind(stream);
    assert_non_null(fgets(text, sizeof text, stream));
    assert_string_equal(text, "step 50/100  epoch 0.50  loss 1.2500  lr 0.001  1774 images/s  "
                              "data wait 0.3 %  128 MiB  top-1 40.0 %  grad norm 0.1\n");
    assert_null(fgets(text, sizeof text, stream));
    dt_report_free(report);
    dt_log_free(log);
    fclose(stream);
}

static void assert_bar(int64_t step, double remaining, int columns, const char *wanted)
{
    dt_text line = {0};
    dt_step_report report = example(step);
    dt_bar_print(&line, &report, 2000, remaining, columns);
    assert_string_equal(line.data ? line.data : "", wanted);
    assert_true((int)line.length <= (columns > 0 ? columns : 0));
    dt_text_free(&line);
}

static void a_terminals_line_holds_whole_fields(void **state)
{
    assert_bar(900, 3723, 105, "[====>     ]  45 %  ETA 1:02:03  loss 1.2500  lr 0.001  1774 images/s  wait 0.3 %  "
                               "128 MiB  step 900/2000");
    assert_bar(900, 3723, 79, " 45 % ETA 1:02:03 loss 1.2500 lr 0.001 1774 images/s wait 0.3 % 128 MiB");
    assert_bar(900, NAN, 40, " 45 % ETA n/a loss 1.2500 lr 0.001");
    assert_bar(2000, 0, 5, "100 %");
    assert_bar(900, 1, 4, "");
    assert_bar(900, 1, -1, "");
}

/* --- event files --- */

static uint64_t little_endian(const unsigned char *bytes, int count)
{
    uint64_t value = 0;
    for (int i = 0; i < count; i++) value |= (uint64_t)bytes[i] << (8 * i);
    return value;
}

/* Checks every frame of a file and joins the payloads, so that tests can look for tags in them. */
static int check_records(const char *path, char *payloads, size_t room)
{
    char *bytes;
    size_t size, at = 0, used = 0;
    int records = 0;
    assert_int_equal(dt_file_read(path, FILE_LIMIT, &bytes, &size), DT_OK);
    for (; at < size; records++) {
        const unsigned char *record = (const unsigned char *)bytes + at;
        assert_true(size - at >= 16);
        uint64_t length = little_endian(record, 8);
        assert_int_equal(little_endian(record + 8, 4), dt_crc32c_masked(record, 8));
        assert_true(length <= size - at - 16);
        assert_int_equal(little_endian(record + 12 + length, 4), dt_crc32c_masked(record + 12, length));
        assert_true(used + length <= room);
        memcpy(payloads + used, record + 12, length);
        used += length;
        at += 16 + length;
    }
    free(bytes);
    return records;
}

static size_t event_files(char out[4][256])
{
    char **names;
    size_t count, found = 0;
    assert_int_equal(dt_folder_list(folder, &names, &count), DT_OK);
    for (size_t i = 0; i < count; i++)
        if (strncmp(names[i], "events.out.tfevents.", 20) == 0 && found < 4)
            snprintf(out[found++], 256, "%s/%s", folder, names[i]);
    dt_folder_list_free(names, count);
    return found;
}

static void events_are_framed_and_tagged(void **state)
{
    char payloads[4096] = "", files[4][256];
    dt_report *report = create(-1, NULL);
    dt_step_report step = example(7);
    dt_eval_report eval = {.step = 7, .set = "eval", .loss = 1, .top1 = 87.5, .top5 = 99, .perplexity = NAN,
                           .bits_per_byte = NAN};
    assert_int_equal(dt_report_step(report, &step), DT_OK);
    assert_int_equal(dt_report_eval(report, &eval, 1), DT_OK);
    dt_report_free(report);
    assert_int_equal(event_files(files), 1);
    assert_int_equal(check_records(files[0], payloads, sizeof payloads), 4);
    const char *wanted[] = {"brain.Event:2", "train/loss", "train/lr", "train/top1", "eval/loss", "eval/top1"};
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        assert_non_null(memmem(payloads, sizeof payloads, wanted[i], strlen(wanted[i])));
    assert_null(memmem(payloads, sizeof payloads, "train/mfu", 9)); /* not known: not there */
}

/* loss = 1.25 at step 300 as protocol buffers spell it, apart from the wall time */
static void a_scalar_is_encoded_as_published(void **state)
{
    static const unsigned char expected[] = {
        0x10, 0xAC, 0x02,             /* step: varint 300 */
        0x2A, 0x13, 0x0A, 0x11,       /* summary of 19 bytes: a value of 17 */
        0x0A, 0x0A, 't', 'r', 'a', 'i', 'n', '/', 'l', 'o', 's', 's', /* tag */
        0x15, 0x00, 0x00, 0xA0, 0x3F, /* simple_value: 1.25f */
    };
    char payloads[4096] = "", files[4][256];
    dt_report *report = create(-1, NULL);
    dt_step_report step = {.step = 300, .epoch = NAN, .loss = 1.25, .top1 = NAN, .lr = NAN, .grad_norm = NAN,
                           .samples_per_s = NAN, .tokens_per_s = NAN, .mfu = NAN, .data_wait = NAN, .memory_gib = NAN};
    assert_int_equal(dt_report_step(report, &step), DT_OK);
    dt_report_free(report);
    assert_int_equal(event_files(files), 1);
    assert_int_equal(check_records(files[0], payloads, sizeof payloads), 3);
    assert_non_null(memmem(payloads, sizeof payloads, expected, sizeof expected));
}

static void a_resume_starts_an_event_file_behind_the_others(void **state)
{
    char payloads[4096] = "", files[4][256];
    static const unsigned char start[] = {0x10, 21, 0x3A, 2, 0x08, 1}; /* step 21, session_log {status: START} */
    dt_report_free(create(-1, NULL));
    assert_int_equal(event_files(files), 1);
    char first[256];
    strcpy(first, files[0]);
    dt_report_free(create(20, NULL));
    assert_int_equal(event_files(files), 2);
    assert_string_equal(files[0], first);
    assert_int_equal(check_records(files[1], payloads, sizeof payloads), 2);
    assert_non_null(memmem(payloads, sizeof payloads, start, sizeof start));
}

static void what_is_taken_back_comes_again(void **state)
{
    char payloads[4096] = "", files[4][256];
    static const unsigned char start[] = {0x10, 11, 0x3A, 2, 0x08, 1}; /* step 11, session_log {status: START} */
    static const int64_t steps[] = {10, 20};
    dt_report *report = create(-1, NULL);
    for (int i = 0; i < 2; i++) {
        dt_step_report step = {.step = steps[i], .epoch = NAN, .loss = 1, .lr = NAN, .grad_norm = NAN, .mfu = NAN,
                               .samples_per_s = NAN, .tokens_per_s = NAN, .data_wait = NAN, .memory_gib = NAN};
        assert_int_equal(dt_report_step(report, &step), DT_OK);
    }
    assert_int_equal(dt_report_rewind(report, 10), DT_OK);
    dt_report_free(report);
    char *text = read_text(path_in_folder("metrics.jsonl"));
    assert_string_equal(text, "{\"step\":10,\"loss\":1}\n");
    free(text);
    assert_int_equal(event_files(files), 1);
    assert_int_equal(check_records(files[0], payloads, sizeof payloads), 5);
    assert_non_null(memmem(payloads, sizeof payloads, start, sizeof start));
}

static void a_missing_folder_is_an_error(void **state)
{
    dt_report *report;
    assert_int_equal(dt_report_create("/nonexistent/run", -1, 100, NULL, &report), DT_ERR_IO);
    assert_non_null(strstr(dt_error_message(), "/nonexistent/run/metrics.jsonl"));
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(lines_have_the_documented_keys),
        IN_FOLDER(numbers_read_back_exactly),
        IN_FOLDER(resume_cuts_what_will_come_again),
        IN_FOLDER(resume_cuts_a_torn_line),
        IN_FOLDER(a_full_disk_leaves_whole_lines),
        IN_FOLDER(the_log_gets_a_line_for_people),
        cmocka_unit_test(a_terminals_line_holds_whole_fields),
        IN_FOLDER(events_are_framed_and_tagged),
        IN_FOLDER(a_scalar_is_encoded_as_published),
        IN_FOLDER(a_resume_starts_an_event_file_behind_the_others),
        IN_FOLDER(what_is_taken_back_comes_again),
        cmocka_unit_test(a_missing_folder_is_an_error),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
