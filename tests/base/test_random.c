/* Philox against the published answers; the distributions and the permutation built on it. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/random.h"

/* Random123's kat_vectors, philox4x32 with 10 rounds. */
static void philox_gives_the_known_answers(void **state)
{
    static const struct {
        uint32_t counter[4], key[2], answer[4];
    } cases[] = {
        {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
         {0xffffffff, 0xffffffff},
         {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         {0xa4093822, 0x299f31d0},
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const uint32_t *c = cases[i].counter, *k = cases[i].key;
        dt_random4 out = dt_philox_words(k[0], k[1], c[0], c[1], c[2], c[3]);
        for (int w = 0; w < 4; w++) assert_int_equal(out.word[w], cases[i].answer[w]);
    }
}

static void every_argument_of_a_stream_matters(void **state)
{
    uint32_t base = dt_random_word(1, DT_PURPOSE_INIT, 2, 3, 4);
    assert_int_equal(dt_random_word(1, DT_PURPOSE_INIT, 2, 3, 4), base);
    assert_int_not_equal(dt_random_word(2, DT_PURPOSE_INIT, 2, 3, 4), base);
    assert_int_not_equal(dt_random_word(1 | 1ull << 32, DT_PURPOSE_INIT, 2, 3, 4), base);
    assert_int_not_equal(dt_random_word(1, DT_PURPOSE_ORDER, 2, 3, 4), base);
    assert_int_not_equal(dt_random_word(1, DT_PURPOSE_INIT, 3, 3, 4), base);
    assert_int_not_equal(dt_random_word(1, DT_PURPOSE_INIT, 2 | 1ull << 32, 3, 4), base);
    assert_int_not_equal(dt_random_word(1, DT_PURPOSE_INIT, 2, 3 | 1ull << 32, 4), base);
    assert_int_not_equal(dt_random_word(1, DT_PURPOSE_INIT, 2, 3, 4 + (1ull << 32)), base);
}

static void uniforms_stay_below_one(void **state)
{
    assert_true(dt_uniform(0xffffffffu) < 1.0f);
    assert_true(dt_uniform(0xffu) == 0.0f);
    double sum = 0;
    enum { DRAWS = 100000 };
    for (int i = 0; i < DRAWS; i++) {
        double u = dt_random_uniform(7, DT_PURPOSE_SYNTHETIC, 0, 0, (uint64_t)i);
        assert_true(u >= 0 && u < 1);
        sum += u;
    }
    assert_true(fabs(sum / DRAWS - 0.5) < 5 * sqrt(1.0 / 12 / DRAWS));
}

static void normals_have_the_moments_of_a_normal(void **state)
{
    enum { DRAWS = 200000 };
    double moment[5] = {0}, neighbours = 0, last = 0;
    for (int i = 0; i < DRAWS; i++) {
        double z = dt_random_normal(7, DT_PURPOSE_INIT, 1, 0, (uint64_t)i);
        for (int m = 1; m <= 4; m++) moment[m] += pow(z, m) / DRAWS;
        neighbours += z * last / DRAWS;
        last = z;
    }
    double error = 5 / sqrt(DRAWS); /* five standard deviations of a mean of unit variance */
    assert_true(fabs(moment[1]) < error);
    assert_true(fabs(moment[2] - 1) < error * sqrt(2));
    assert_true(fabs(moment[3]) < error * sqrt(15));
    assert_true(fabs(moment[4] - 3) < error * sqrt(96));
    assert_true(fabs(neighbours) < error);
}

/* Whole ranges, wherever in a block of four they begin and end. */
static void ranges_of_normals_are_the_single_ones(void **state)
{
    double many[40];
    for (uint64_t first = 0; first < 9; first++)
        for (int64_t count = 0; count <= 13; count++) {
            many[count] = 77;
            dt_random_normals(3, DT_PURPOSE_INIT, 11, 2, first, count, many);
            for (int64_t i = 0; i < count; i++)
                assert_true(many[i] == dt_random_normal(3, DT_PURPOSE_INIT, 11, 2, first + (uint64_t)i));
            assert_true(many[count] == 77);
        }
}

static void permutations_hit_every_position_once(void **state)
{
    for (uint64_t count = 1; count < 3000; count = count < 40 ? count + 1 : count * 2 + 1) {
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            unsigned char *hit = calloc(count, 1);
            for (uint64_t i = 0; i < count; i++) {
                uint64_t to = dt_permute(5, epoch, count, i);
                assert_true(to < count && !hit[to]);
                hit[to] = 1;
            }
            free(hit);
        }
    }
}

/* Over many epochs each of the 24 orders of four samples comes equally often. */
static void permutations_are_evenly_spread(void **state)
{
    enum { EPOCHS = 24000 };
    int seen[256] = {0}, orders = 0;
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        unsigned code = 0;
        for (uint64_t i = 0; i < 4; i++) code = code << 2 | (unsigned)dt_permute(9, epoch, 4, i);
        seen[code]++;
    }
    double chi_square = 0;
    for (int code = 0; code < 256; code++) {
        orders += seen[code] > 0;
        if (seen[code]) chi_square += pow(seen[code] - EPOCHS / 24.0, 2) / (EPOCHS / 24.0);
    }
    assert_int_equal(orders, 24);
    assert_true(chi_square < 60); /* 23 degrees of freedom: above 60 in 4 of 100,000 */
}

static void permutations_take_large_counts(void **state)
{
    uint64_t count = 1ull << 40;
    for (uint64_t i = 0; i < 100; i++) assert_true(dt_permute(1, 0, count + 1, i * 10000000001ull) <= count);
    assert_true(dt_permute(1, 0, UINT64_MAX, UINT64_MAX - 1) < UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_the_known_answers),
        cmocka_unit_test(every_argument_of_a_stream_matters),
        cmocka_unit_test(uniforms_stay_below_one),
        cmocka_unit_test(normals_have_the_moments_of_a_normal),
        cmocka_unit_test(ranges_of_normals_are_the_single_ones),
        cmocka_unit_test(permutations_hit_every_position_once),
        cmocka_unit_test(permutations_are_evenly_spread),
        cmocka_unit_test(permutations_take_large_counts),
    };
    return cmocka_run_group_tests_name("base/random", tests, NULL, NULL);
}
