/* Adds block by block: a block of sums stays in the nearest cache while the terms pass by. */
#include "comm/rank_sum.h"

#include <assert.h>
#include <string.h>

enum { BLOCK = 1024 };

static float from_bf16(uint16_t bits)
{
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, sizeof value);
    return value;
}

/* To the nearest, ties to even; what is no number stays none. */
static uint16_t to_bf16(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

#define AS_IT_IS(x) (x)

/* Unsigned, whole numbers wrap around. */
#define DEFINE_SUM(name, type, wide, widen, narrow)                                                         \
    static void name(int term_count, const void *const *terms, int64_t count, void *out)                    \
    {                                                                                                       \
        wide sums[BLOCK];                                                                                   \
        for (int64_t at = 0; at < count; at += BLOCK) {                                                     \
            int length = (int)(count - at < BLOCK ? count - at : BLOCK);                                    \
            const type *first = (const type *)terms[0] + at;                                                \
            for (int i = 0; i < length; i++) sums[i] = widen(first[i]);                                     \
            for (int t = 1; t < term_count; t++) {                                                          \
                const type *term = (const type *)terms[t] + at;                                             \
                for (int i = 0; i < length; i++) sums[i] += widen(term[i]);                                 \
            }                                                                                               \
            for (int i = 0; i < length; i++) ((type *)out)[at + i] = narrow(sums[i]);                       \
        }                                                                                                   \
    }

DEFINE_SUM(sum_f32, float, float, AS_IT_IS, AS_IT_IS)
DEFINE_SUM(sum_f64, double, double, AS_IT_IS, AS_IT_IS)
DEFINE_SUM(sum_bf16, uint16_t, float, from_bf16, to_bf16)
DEFINE_SUM(sum_i32, uint32_t, uint32_t, AS_IT_IS, AS_IT_IS)
DEFINE_SUM(sum_i64, uint64_t, uint64_t, AS_IT_IS, AS_IT_IS)

void dt_rank_sum(dt_dtype type, int term_count, const void *const *terms, int64_t count, void *out)
{
    switch (type) {
    case DT_F32: sum_f32(term_count, terms, count, out); return;
    case DT_F64: sum_f64(term_count, terms, count, out); return;
    case DT_BF16: sum_bf16(term_count, terms, count, out); return;
    case DT_I32: sum_i32(term_count, terms, count, out); return;
    case DT_I64: sum_i64(term_count, terms, count, out); return;
    default: assert(!"a type that ranks add up");
    }
}
