/* Multiple-choice questions: what is read, and how what is wrong is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "data/questions.h"
#include "scene.h"

#define GOOD \
    "{\"context\": \"The sky is\", \"choices\": [\" blue\", \" gr\\u00fcn\", \"\\n\"], \"answer\": 1, " \
    "\"id\": 18446744073709551615}\n"

static void check_good(dt_questions *list, int64_t count)
{
    assert_int_equal(list->count, count);
    const dt_question *q = &list->question[count - 1];
    assert_string_equal(q->context, "The sky is");
    assert_int_equal(q->choices, 3);
    assert_int_equal(q->answer, 1);
    assert_int_equal(q->line, 2 * count - 1);
    assert_string_equal(dt_question_choice(q, 0), " blue");
    assert_string_equal(dt_question_choice(q, 1), " gr\xC3\xBCn");
    dt_questions_free(list);
}

static void test_reads(void **state)
{
    static const char two[] = GOOD " \t\r\n" GOOD;
    dt_questions list = {0};
    assert_int_equal(dt_questions_parse(&list, "file", two, sizeof two - 1), DT_OK);
    check_good(&list, 2);
    assert_int_equal(dt_questions_parse(&list, "file", two, sizeof GOOD - 2), DT_OK); /* no end of line */
    check_good(&list, 1);
    scene_write_gzip("q.jsonl.gz", two, sizeof two - 1);
    assert_int_equal(dt_questions_read(&list, "q.jsonl.gz"), DT_OK);
    check_good(&list, 2);
}

static void refuse(const char *line, const char *part)
{
    dt_questions list = {0};
    char text[512] = GOOD "\n";
    strcat(text, line);
    dt_status status = dt_questions_parse(&list, "file", text, strlen(text));
    assert_fails(status, DT_ERR_DATA, "file:3:");
    assert_fails(status, DT_ERR_DATA, part);
    dt_questions_free(&list);
}

static void test_refuses(void **state)
{
    refuse("{\"context\": \"a\", \"choices\": [\"b\"", "not valid JSON");
    refuse("{\"context\": \"\xFF\", \"choices\": [\"b\", \"c\"], \"answer\": 0}", "0xff");
    refuse("{\"context\": \"a\\u0000\", \"choices\": [\"b\", \"c\"], \"answer\": 0}", "NUL character");
    refuse("[1]", "'context'");
    refuse("{\"choices\": [\"b\", \"c\"], \"answer\": 0}", "'context' is missing");
    refuse("{\"context\": 1, \"choices\": [\"b\", \"c\"], \"answer\": 0}", "'context' must be a string");
    refuse("{\"context\": \"a\", \"answer\": 0}", "'choices' is missing");
    refuse("{\"context\": \"a\", \"choices\": \"b\", \"answer\": 0}", "'choices' must be an array");
    refuse("{\"context\": \"a\", \"choices\": [], \"answer\": 0}", "'choices' has 0 choices");
    refuse("{\"context\": \"a\", \"choices\": [\"b\"], \"answer\": 0}", "'choices' has 1 choices");
    refuse("{\"context\": \"a\", \"choices\": [\"b\", 2], \"answer\": 0}", "choice 1 is not a text");
    refuse("{\"context\": \"a\", \"choices\": [\"\", \"c\"], \"answer\": 0}", "choice 0 is empty");
    refuse("{\"context\": \"a\", \"choices\": [\"b\", \"c\"]}", "'answer' is missing");
    refuse("{\"context\": \"a\", \"choices\": [\"b\", \"c\"], \"answer\": \"0\"}", "'answer' must be an integer");
    refuse("{\"context\": \"a\", \"choices\": [\"b\", \"c\"], \"answer\": 0.5}", "'answer' must be an integer");
    refuse("{\"context\": \"a\", \"choices\": [\"b\", \"c\"], \"answer\": 18446744073709551615}",
           "'answer' must be an integer");
    refuse("{\"context\": \"a\", \"choices\": [\"b\", \"c\"], \"answer\": 2}",
           "'answer' is 2, but the choices are 0 to 1");
    refuse("{\"context\": \"a\", \"choices\": [\"b\", \"c\"], \"answer\": -1}", "'answer' is -1");
}

static void test_nothing(void **state)
{
    dt_questions list = {0};
    assert_fails(dt_questions_parse(&list, "file", "\n \n", 3), DT_ERR_DATA, "'file' holds no questions");
    assert_fails(dt_questions_parse(&list, "file", "", 0), DT_ERR_DATA, "'file' holds no questions");
    assert_fails(dt_questions_read(&list, "missing.jsonl"), DT_ERR_IO, "missing.jsonl");
    dt_questions_free(&list);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_reads, scene_enter, scene_leave),
        cmocka_unit_test(test_refuses),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests_name("questions", tests, NULL, NULL);
}
