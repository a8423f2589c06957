/* Numbers by index from the Philox streams, and the keyed permutation of the sample order. */
#include "base/random.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static dt_random4 block_of(uint64_t seed, dt_purpose purpose, uint64_t a, uint64_t b, uint64_t index)
{
    assert(index >> 34 == 0);
    return dt_philox(seed, purpose, a, b, (uint32_t)(index / 4));
}

uint32_t dt_random_word(uint64_t seed, dt_purpose purpose, uint64_t a, uint64_t b, uint64_t index)
{
    return block_of(seed, purpose, a, b, index).word[index % 4];
}

double dt_random_uniform(uint64_t seed, dt_purpose purpose, uint64_t a, uint64_t b, uint64_t index)
{
    return dt_random_word(seed, purpose, a, b, index) * 0x1p-32;
}

static void normal_pair(const uint32_t pair[2], double out[2])
{
    double radius = sqrt(-2 * log((pair[0] + 1.0) * 0x1p-32)); /* (0, 1]: the logarithm is finite */
    double angle = 2 * M_PI * (pair[1] * 0x1p-32);
    out[0] = radius * cos(angle);
    out[1] = radius * sin(angle);
}

double dt_random_normal(uint64_t seed, dt_purpose purpose, uint64_t a, uint64_t b, uint64_t index)
{
    double pair[2];
    dt_random4 block = block_of(seed, purpose, a, b, index);
    normal_pair(block.word + (index % 4 & 2), pair);
    return pair[index & 1];
}

/* Four numbers of one block, of which those from `first` on are wanted. Returns how many. */
static int64_t normals_of_block(const dt_random4 *block, uint64_t first, int64_t count, double *out)
{
    double four[4];
    int64_t there = 4 - (int64_t)first;
    normal_pair(block->word, four);
    normal_pair(block->word + 2, four + 2);
    if (count > there) count = there;
    memcpy(out, four + first, (size_t)count * sizeof *out);
    return count;
}

void dt_random_normals(uint64_t seed, dt_purpose purpose, uint64_t a, uint64_t b, uint64_t first, int64_t count,
                       double *out)
{
    while (count > 0) {
        dt_random4 block = block_of(seed, purpose, a, b, first);
        int64_t made = normals_of_block(&block, first % 4, count, out);
        first += (uint64_t)made, count -= made, out += made;
    }
}

enum { FEISTEL_ROUNDS = 8 };

/* A permutation of the numbers of 2 * half_bits bits: each round adds a keyed hash of one half to the other. */
static uint64_t feistel(uint64_t seed, uint64_t epoch, int half_bits, uint64_t value)
{
    uint32_t mask = (uint32_t)(((uint64_t)1 << half_bits) - 1);
    uint32_t left = (uint32_t)(value >> half_bits), right = (uint32_t)value & mask;
    for (uint64_t round = 0; round < FEISTEL_ROUNDS; round++) {
        uint32_t hash = dt_philox(seed, DT_PURPOSE_ORDER, epoch, round, right).word[0];
        uint32_t next = (left ^ hash) & mask;
        left = right;
        right = next;
    }
    return (uint64_t)left << half_bits | right;
}

uint64_t dt_permute(uint64_t seed, uint64_t epoch, uint64_t count, uint64_t position)
{
    assert(position < count);
    int half_bits = 1;
    while (half_bits < 32 && (count - 1) >> (2 * half_bits)) half_bits++;
    /* The network permutes 0 .. 4^half_bits - 1; walking its cycle until inside 0 .. count-1 permutes those. */
    uint64_t value = position;
    do value = feistel(seed, epoch, half_bits, value);
    while (value >= count);
    return value;
}
