/* JSON with our messages, and the checksums. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/hash.h"
#include "base/json.h"

static dt_status parse(const char *text, json_t **out) { return dt_json_parse(text, strlen(text), "m.json", out); }

static void assert_message(dt_status status, const char *message)
{
    assert_int_equal(status, DT_ERR_DATA);
    assert_string_equal(dt_error_message(), message);
}

static void members_are_typed(void **state)
{
    json_t *root, *list;
    int64_t integer;
    double real;
    const char *text;
    assert_int_equal(parse("{\"n\": 3, \"x\": 0.5, \"s\": \"a\", \"l\": [1], \"t\": false}", &root), DT_OK);
    assert_int_equal(dt_json_int(root, "n", "m", &integer), DT_OK);
    assert_int_equal(integer, 3);
    assert_int_equal(dt_json_real(root, "x", "m", &real), DT_OK);
    assert_true(real == 0.5);
    assert_int_equal(dt_json_real(root, "n", "m", &real), DT_OK);
    assert_true(real == 3);
    assert_int_equal(dt_json_text(root, "s", "m", &text), DT_OK);
    assert_string_equal(text, "a");
    assert_int_equal(dt_json_member(root, "l", JSON_ARRAY, "m", &list), DT_OK);
    assert_int_equal(dt_json_member(root, "t", JSON_TRUE, "m", &list), DT_OK);
    assert_message(dt_json_int(root, "x", "m", &integer), "m: 'x' must be an integer, not a real number");
    assert_message(dt_json_text(root, "l", "m", &text), "m: 'l' must be a string, not an array");
    assert_message(dt_json_real(root, "none", "m", &real), "m: 'none' is missing");
    assert_int_equal(dt_json_member(root, "l", JSON_ARRAY, "m", &list), DT_OK);
    assert_message(dt_json_int(list, "n", "m: l", &integer), "m: l: is not a JSON object, so has no 'n'");
    json_decref(root);
}

static void damage_is_named_with_its_place(void **state)
{
    json_t *root;
    assert_int_equal(parse("{\"a\": 1,\n \"b\": }", &root), DT_ERR_DATA);
    assert_memory_equal(dt_error_message(), "m.json:2:", 9);
    assert_int_equal(parse("{\"a\": 1, \"a\": 2}", &root), DT_ERR_DATA);
    assert_non_null(strstr(dt_error_message(), "duplicate"));
    assert_message(parse("{\n\"a\": \"b\\u0000c\"}", &root),
                   "m.json:2:15: a text has the NUL character (\\u0000), which is not taken");
    assert_int_equal(parse("", &root), DT_ERR_DATA);
    assert_int_equal(parse("{} x", &root), DT_ERR_DATA);
    enum { DEEP = 100000 };
    char *deep = malloc(DEEP + 1);
    memset(deep, '[', DEEP);
    deep[DEEP] = '\0';
    assert_int_equal(parse(deep, &root), DT_ERR_DATA);
    assert_non_null(strstr(dt_error_message(), "it is nested deeper than 2048 levels"));
    free(deep);
    assert_int_equal(dt_json_read("no-such-file", 10, &root), DT_ERR_IO);
}

static dt_status parse_line(const char *text, json_t **out)
{
    return dt_json_parse_line(text, strlen(text), "l", out);
}

/* Of lines that others wrote; of files of ours an integer of more than 64 bits is damage. */
static void lines_have_numbers_of_every_size(void **state)
{
    json_t *root;
    int64_t integer;
    assert_int_equal(parse("{\"id\": 18446744073709551615}", &root), DT_ERR_DATA);
    assert_non_null(strstr(dt_error_message(), ": a number is too large, which is not taken: too big integer near"));
    assert_int_equal(parse_line("{\"id\": 18446744073709551615, \"a\": -3, \"b\": 0.5}", &root), DT_OK);
    assert_int_equal(dt_json_line_int(root, "a", "l", &integer), DT_OK);
    assert_int_equal(integer, -3);
    assert_message(dt_json_line_int(root, "b", "l", &integer), "l: 'b' must be an integer, not a real number");
    assert_message(dt_json_line_int(root, "id", "l", &integer), "l: 'id' must be an integer, not a real number");
    json_decref(root);
}

static void what_is_valid_but_not_taken_is_named(void **state)
{
    json_t *root;
    assert_message(parse_line("{\"a\": 1e400}", &root),
                   "l:1:11: a number is too large, which is not taken: real number overflow near '1e400'");
    assert_int_equal(parse_line("{\"a\": \"\\ud800\"}", &root), DT_ERR_DATA);
    assert_non_null(strstr(dt_error_message(), ": a text has half a character (a surrogate by itself), which is not"));
    assert_int_equal(parse_line("{\"a\": \"\\udc00x\"}", &root), DT_ERR_DATA);
    assert_non_null(strstr(dt_error_message(), ": a text has half a character"));
    assert_int_equal(parse_line("{\"a\": \"\\ud80x\"}", &root), DT_ERR_DATA);
    assert_non_null(strstr(dt_error_message(), ": not valid JSON: "));
}

static void checksums_give_the_known_answers(void **state)
{
    static const unsigned char zeros[32];
    assert_int_equal(dt_crc32c("123456789", 9), 0xE3069283); /* the check value of CRC-32C */
    assert_int_equal(dt_crc32c(zeros, 32), 0x8A9136AA);      /* RFC 3720, B.4 */
    assert_int_equal(dt_crc32c("", 0), 0);
    assert_int_equal(dt_crc32c_masked("123456789", 9), 0xC78AB0E5);
}

static void streaming_gives_the_same_hash(void **state)
{
    static char bytes[3000];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (char)(i * 7);
    dt_hasher *hasher = dt_hasher_create();
    assert_non_null(hasher);
    assert_true(dt_hasher_value(hasher) == dt_hash_bytes("", 0, 0));
    for (size_t i = 0; i < sizeof bytes; i += 300) dt_hasher_add(hasher, bytes + i, 300);
    assert_true(dt_hasher_value(hasher) == dt_hash_bytes(bytes, sizeof bytes, 0));
    assert_true(dt_hash_bytes(bytes, sizeof bytes, 1) != dt_hash_bytes(bytes, sizeof bytes, 0));
    assert_true(dt_hash_text("") == 0x2D06800538D394C2ull); /* XXH3_64bits of nothing */
    dt_hasher_free(hasher);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_typed),
        cmocka_unit_test(damage_is_named_with_its_place),
        cmocka_unit_test(lines_have_numbers_of_every_size),
        cmocka_unit_test(what_is_valid_but_not_taken_is_named),
        cmocka_unit_test(checksums_give_the_known_answers),
        cmocka_unit_test(streaming_gives_the_same_hash),
    };
    return cmocka_run_group_tests_name("base/json", tests, NULL, NULL);
}
