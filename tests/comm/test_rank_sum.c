/* Sums over ranks: their order, their rounding, and that an array may be summed onto one of its terms. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "comm/rank_sum.h"

/* (1e8 + 1) - 1e8 is 0 in float32, and 1 in any other order. */
static void adds_from_the_left(void **state)
{
    enum { COUNT = 2500 }; /* several blocks, and a part of one */
    static float a[COUNT], b[COUNT], c[COUNT];
    for (int i = 0; i < COUNT; i++) a[i] = 1e8f, b[i] = 1 + (float)i / 4096, c[i] = -1e8f;
    dt_rank_sum(DT_F32, 3, (const void *[]){a, b, c}, COUNT, b); /* onto one of the terms */
    for (int i = 0; i < COUNT; i++) assert_true(b[i] == 0);
}

static uint16_t bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return (uint16_t)(bits >> 16);
}

/* 256 + 1 + 1 is 256 where every sum is rounded to 8 bits, and 258 where only the last one is. */
static void rounds_bf16_once(void **state)
{
    const uint16_t large[] = {bf16(256), bf16(256), bf16(256)}, one[] = {bf16(1), bf16(1), bf16(-1)},
                   last[] = {bf16(1), bf16(0), bf16(INFINITY)};
    uint16_t sum[3];
    dt_rank_sum(DT_BF16, 3, (const void *[]){large, one, last}, 3, sum);
    assert_int_equal(sum[0], bf16(258));
    assert_int_equal(sum[1], bf16(256)); /* 257 lies between 256 and 258: to even */
    assert_int_equal(sum[2], bf16(INFINITY));
}

static void keeps_what_is_no_number(void **state)
{
    const uint16_t up[] = {bf16(INFINITY), 0x7f81}, down[] = {bf16(-INFINITY), bf16(0)};
    uint16_t sum[2];
    dt_rank_sum(DT_BF16, 2, (const void *[]){up, down}, 2, sum);
    for (int i = 0; i < 2; i++) assert_true((sum[i] & 0x7fff) > 0x7f80);
}

static void whole_numbers_wrap_around(void **state)
{
    const int32_t a[] = {INT32_MAX, -5}, b[] = {1, 3};
    const int64_t wide_a[] = {INT64_MAX, INT64_C(1) << 40}, wide_b[] = {1, 1};
    int32_t sum[2];
    int64_t wide[2];
    dt_rank_sum(DT_I32, 2, (const void *[]){a, b}, 2, sum);
    dt_rank_sum(DT_I64, 2, (const void *[]){wide_a, wide_b}, 2, wide);
    assert_int_equal(sum[0], INT32_MIN);
    assert_int_equal(sum[1], -2);
    assert_true(wide[0] == INT64_MIN && wide[1] == (INT64_C(1) << 40) + 1);
}

static void one_term_is_its_sum(void **state)
{
    const double a[] = {0.1, -0.0};
    double sum[2];
    dt_rank_sum(DT_F64, 1, (const void *[]){a}, 2, sum);
    assert_memory_equal(sum, a, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adds_from_the_left),        cmocka_unit_test(rounds_bf16_once),
        cmocka_unit_test(keeps_what_is_no_number),   cmocka_unit_test(whole_numbers_wrap_around),
        cmocka_unit_test(one_term_is_its_sum),
    };
    return cmocka_run_group_tests_name("rank_sum", tests, NULL, NULL);
}
