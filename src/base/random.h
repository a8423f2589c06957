/* Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).
 * A draw is a pure function of its five words, so nothing depends on threads, ranks or order. The functions are
 * static inline because CPU and CUDA kernels compile the same text. */
#ifndef DT_BASE_RANDOM_H
#define DT_BASE_RANDOM_H

#include <stdint.h>

#ifdef __CUDACC__
#define DT_RANDOM_FN static __host__ __device__ inline
#else
#define DT_RANDOM_FN static inline
#endif

/* What a stream of numbers is for: the high word of the key, so that no two uses share numbers. */
typedef enum dt_purpose {
    DT_PURPOSE_INIT = 1, /* a = hash of the parameter's name */
    DT_PURPOSE_ORDER,    /* a = epoch */
    DT_PURPOSE_AUGMENT,  /* a = epoch, b = sample */
    DT_PURPOSE_DROPOUT,  /* a = step, b = sample */
    DT_PURPOSE_DROP_PATH,
    DT_PURPOSE_SYNTHETIC,
    DT_PURPOSE_GENERATE, /* a = text; an element a token */
} dt_purpose;

typedef struct dt_random4 {
    uint32_t word[4];
} dt_random4;

DT_RANDOM_FN uint32_t dt_mul_high(uint32_t a, uint32_t b) { return (uint32_t)(((uint64_t)a * b) >> 32); }

/* The ten rounds for a key of two words and a counter of four, as published. */
DT_RANDOM_FN dt_random4 dt_philox_words(uint32_t k0, uint32_t k1, uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3)
{
    for (int round = 0; round < 10; round++) {
        uint32_t hi0 = dt_mul_high(0xD2511F53u, c0), lo0 = 0xD2511F53u * c0;
        uint32_t hi1 = dt_mul_high(0xCD9E8D57u, c2), lo1 = 0xCD9E8D57u * c2;
        c0 = hi1 ^ c1 ^ k0, c1 = lo1, c2 = hi0 ^ c3 ^ k1, c3 = lo0;
        k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
    }
    dt_random4 out = {{c0, c1, c2, c3}};
    return out;
}

/* Four words for block `block` of the stream (seed, purpose, a, b). */
DT_RANDOM_FN dt_random4 dt_philox(uint64_t seed, uint32_t purpose, uint64_t a, uint64_t b, uint32_t block)
{
    uint32_t k0 = (uint32_t)seed ^ (purpose * 0x85EBCA6Bu), k1 = (uint32_t)(seed >> 32) ^ (uint32_t)(a >> 32);
    return dt_philox_words(k0, k1, block, (uint32_t)a, (uint32_t)b, (uint32_t)(b >> 32));
}

/* [0, 1) with 24 bits: the same float on every machine. */
DT_RANDOM_FN float dt_uniform(uint32_t word) { return (float)(word >> 8) * (1.0f / 16777216.0f); }

#ifndef __CUDACC__
/* The same for tools and initialisers. Element `index` (below 2^34) of the stream (seed, purpose, a, b): its word,
 * that word as a double in [0, 1) with 32 bits, a standard normal (Box-Muller: the elements 2k and 2k + 1 are the
 * cosine and the sine over the words 2k and 2k + 1). */
uint32_t dt_random_word(uint64_t seed, dt_purpose purpose, uint64_t a, uint64_t b, uint64_t index);
double dt_random_uniform(uint64_t seed, dt_purpose purpose, uint64_t a, uint64_t b, uint64_t index);
double dt_random_normal(uint64_t seed, dt_purpose purpose, uint64_t a, uint64_t b, uint64_t index);
/* The normals of `count` elements from `first` on: the same numbers, in half the time. */
void dt_random_normals(uint64_t seed, dt_purpose purpose, uint64_t a, uint64_t b, uint64_t first, int64_t count,
                       double *out);
/* A keyed permutation of 0 .. count-1 with O(1) memory (Feistel network with cycle walking); position < count. */
uint64_t dt_permute(uint64_t seed, uint64_t epoch, uint64_t count, uint64_t position);
#endif

#endif
