/* Frames and what they hold: whole, in pieces, damaged; hellos and members; names of ranks in messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "comm/hello.h"

static void feed(dt_wire_reader *reader, const char *bytes, size_t count)
{
    while (count) {
        void *at;
        size_t room;
        assert_int_equal(dt_wire_reader_space(reader, &at, &room), DT_OK);
        size_t now = room < count ? room : count;
        memcpy(at, bytes, now);
        dt_wire_reader_filled(reader, now);
        bytes += now;
        count -= now;
    }
}

static void frames_come_in_any_pieces(void **state)
{
    dt_text stream = {0}, frame = {0};
    enum { FRAMES = 40 };
    for (int i = 0; i < FRAMES; i++) {
        frame.length = 0;
        dt_wire_begin(&frame, DT_WIRE_PART);
        dt_wire_add_number(&frame, (uint64_t)i);
        for (int j = 0; j < i * i; j++) dt_wire_add_text(&frame, "some text");
        assert_int_equal(dt_wire_end(&frame), DT_OK);
        dt_text_add_bytes(&stream, frame.data, frame.length);
    }
    for (size_t piece = 1; piece < 20000; piece = piece * 3 + 1) {
        dt_wire_reader reader = {.limit = 1 << 20};
        dt_wire_frame got;
        int count = 0;
        for (size_t at = 0; at < stream.length; at += piece) {
            bool there;
            feed(&reader, stream.data + at, at + piece < stream.length ? piece : stream.length - at);
            while (dt_wire_reader_next(&reader, &got, &there) == DT_OK && there)
                assert_int_equal(dt_wire_take_number(&got.payload), count++);
        }
        assert_int_equal(count, FRAMES);
        dt_wire_reader_free(&reader);
    }
    dt_text_free(&stream);
    dt_text_free(&frame);
}

static void assert_malformed(const char *bytes, size_t count, const char *words)
{
    dt_wire_reader reader = {.limit = 100};
    dt_wire_frame frame;
    bool there;
    feed(&reader, bytes, count);
    assert_int_equal(dt_wire_reader_next(&reader, &frame, &there), DT_ERR_DATA);
    assert_non_null(strstr(dt_error_message(), words));
    dt_wire_reader_free(&reader);
}

static void what_is_not_ours_is_refused(void **state)
{
    assert_malformed("GET / HTTP/1.1", 14, "not a message of this program");
    assert_malformed("D?", 2, "not a message of this program"); /* at its second byte */
    assert_malformed("DYTw\x63\0\0\0\0\0\0\0\0\0\0\0", 16, "of kind 99 is unknown");
    assert_malformed("DYTw\0\0\0\0\0\0\0\0\0\0\0\0", 16, "of kind 0 is unknown");
    assert_malformed("DYTw\1\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff", 16, "longer than the 100");
    assert_malformed("DYTw\1\0\0\0\x65\0\0\0\0\0\0\0", 16, "of 101 bytes");
}

static void fields_do_not_reach_behind_the_payload(void **state)
{
    char text[8];
    dt_wire_cursor empty = {.at = (const unsigned char *)"", .left = 0};
    assert_int_equal(dt_wire_take_number(&empty), 0);
    assert_true(empty.failed);
    dt_wire_cursor longer = {.at = (const unsigned char *)"\4\0\0\0\0\0\0\0abc", .left = 11};
    dt_wire_take_text(&longer, text, sizeof text);
    assert_true(longer.failed);
    assert_string_equal(text, "");
    dt_wire_cursor full = {.at = (const unsigned char *)"\x8\0\0\0\0\0\0\0abcdefgh", .left = 16};
    dt_wire_take_text(&full, text, sizeof text); /* no room for the 0 */
    assert_true(full.failed);
    dt_wire_cursor control = {.at = (const unsigned char *)"\5\0\0\0\0\0\0\0a\nb\033c", .left = 13};
    dt_wire_take_text(&control, text, sizeof text);
    assert_false(control.failed);
    assert_string_equal(text, "a b c");
    dt_wire_cursor high = {.at = (const unsigned char *)"\xff\xff\xff\xff\xff\xff\xff\xff", .left = 8};
    assert_int_equal(dt_wire_take_int(&high, 0, 10), 0);
    assert_true(high.failed);
}

static dt_wire_cursor payload_of(const dt_text *frame)
{
    const unsigned char *bytes = (const unsigned char *)frame->data;
    return (dt_wire_cursor){.at = bytes + DT_WIRE_HEAD, .left = frame->length - DT_WIRE_HEAD};
}

static void a_hello_arrives_as_it_was(void **state)
{
    dt_hello hello, back;
    dt_text frame = {0};
    assert_int_equal(dt_hello_introduce(&hello), DT_OK);
    assert_true(hello.binary != 0);
    hello.rank = 3;
    hello.size = 8;
    hello.key = UINT64_MAX;
    assert_int_equal(dt_hello_pack(&hello, &frame), DT_OK);
    assert_int_equal(dt_hello_unpack(payload_of(&frame), &back), DT_OK);
    assert_string_equal(back.host, hello.host);
    assert_string_equal(back.version, hello.version);
    assert_int_equal(back.rank, 3);
    assert_int_equal(back.size, 8);
    assert_int_equal(back.local_rank, -1);
    assert_true(back.key == hello.key && back.binary == hello.binary && back.machine == hello.machine);
    assert_true(back.process == hello.process && hello.process != 0);
    assert_int_equal(back.pid, hello.pid);
    for (size_t cut = 1; cut < frame.length - DT_WIRE_HEAD; cut++) {
        dt_wire_cursor shorter = payload_of(&frame);
        shorter.left -= cut;
        assert_int_equal(dt_hello_unpack(shorter, &back), DT_ERR_DATA);
    }
    dt_text_free(&frame);
    /* of another protocol only the version is understood, whatever follows */
    hello.protocol = DT_HELLO_PROTOCOL + 1;
    assert_int_equal(dt_hello_pack(&hello, &frame), DT_OK);
    dt_wire_cursor other = payload_of(&frame);
    other.left -= 60;
    assert_int_equal(dt_hello_unpack(other, &back), DT_OK);
    assert_int_equal(back.protocol, DT_HELLO_PROTOCOL + 1);
    assert_string_equal(back.version, hello.version);
    dt_text_free(&frame);
}

enum { RANKS = 6 };

static void number(const char *hosts, const int *local_ranks, dt_member *members)
{
    dt_hello hellos[RANKS] = {0};
    for (int r = 0; r < RANKS; r++) {
        hellos[r].host[0] = hosts[r];
        hellos[r].machine = (uint64_t)hosts[r];
        hellos[r].pid = 100 + r;
        hellos[r].local_size = -1;
        hellos[r].local_rank = local_ranks ? local_ranks[r] : -1;
    }
    dt_members_number(hellos, RANKS, members);
}

static void members_are_numbered_by_host(void **state)
{
    dt_member members[RANKS], back[RANKS];
    dt_text frame = {0};
    static const int nodes[RANKS] = {0, 0, 1, 0, 1, 2}, locals[RANKS] = {0, 1, 0, 2, 1, 0};
    static const int sizes[RANKS] = {3, 3, 2, 3, 2, 1};
    number("aababc", NULL, members);
    assert_int_equal(dt_members_pack(members, RANKS, &frame), DT_OK);
    assert_int_equal(dt_members_unpack(payload_of(&frame), RANKS, back), DT_OK);
    for (int r = 0; r < RANKS; r++) {
        assert_int_equal(back[r].node, nodes[r]);
        assert_int_equal(back[r].local_rank, locals[r]);
        assert_int_equal(back[r].local_size, sizes[r]);
        assert_string_equal(back[r].host, members[r].host);
        assert_int_equal(back[r].pid, 100 + r);
    }
    assert_int_equal(dt_members_unpack(payload_of(&frame), RANKS - 1, back), DT_ERR_DATA);
    dt_wire_cursor cut = {.at = payload_of(&frame).at, .left = 20};
    assert_int_equal(dt_members_unpack(cut, RANKS, back), DT_ERR_DATA);
    dt_text_free(&frame);
    /* where every process sees one GPU alone, all may be of local rank 0 */
    number("aaaaaa", (int[]){0, 0, 0, 0, 0, 0}, members);
    assert_int_equal(members[5].local_rank, 0);
    assert_int_equal(members[5].local_size, RANKS);
}

static void assert_listed(const dt_member *members, const char *marks, const char *expected)
{
    bool has[RANKS];
    dt_text text = {0};
    for (int r = 0; r < RANKS; r++) has[r] = marks[r] == 'x';
    dt_members_list(members, has, RANKS, &text);
    assert_string_equal(text.data, expected);
    dt_text_free(&text);
}

static void ranks_are_listed(void **state)
{
    dt_member members[RANKS];
    number("aababc", NULL, members);
    assert_listed(members, "..x...", "rank 2 on b (process 102)");
    assert_listed(NULL, "..x...", "rank 2");
    assert_listed(members, "xxx..x", "ranks 0-2, 5 (on a, b, c)");
    assert_listed(NULL, ".x.xxx", "ranks 1, 3-5");
    number("abcdef", NULL, members);
    assert_listed(members, "xxxxxx", "ranks 0-5 (on a, b, c, d, ...)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_come_in_any_pieces),
        cmocka_unit_test(what_is_not_ours_is_refused),
        cmocka_unit_test(fields_do_not_reach_behind_the_payload),
        cmocka_unit_test(a_hello_arrives_as_it_was),
        cmocka_unit_test(members_are_numbered_by_host),
        cmocka_unit_test(ranks_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
