/* Which attentions cuDNN takes, in which slices, and what scratch is planned for them: no GPU is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "kernels/cuda/attention_cudnn.h"

enum { FORWARD, BACKWARD };

static dt_attention_args shape(int64_t batch, int64_t tokens, int64_t heads, int64_t kv_heads, int64_t size)
{
    return (dt_attention_args){.batch = batch, .tokens = tokens, .heads = heads, .kv_heads = kv_heads, .size = size};
}

static void expect(dt_attention_args a, bool backward, int64_t samples, int64_t heads, int64_t kv_heads)
{
    dt_attention_slice s = dt_cudnn_slice(DT_BF16, &a, backward);
    assert_int_equal(s.samples, samples);
    if (samples) assert_int_equal(s.heads, heads);
    if (samples) assert_int_equal(s.kv_heads, kv_heads);
}

static void what_is_not_taken(void **state)
{
    dt_attention_args a = shape(2, 64, 4, 4, 64);
    assert_int_equal(dt_cudnn_slice(DT_F32, &a, FORWARD).samples, 0);
    expect(a, FORWARD, 2, 4, 4);
    a.causal = a.documents = true;
    expect(a, FORWARD, 0, 0, 0);
    expect(shape(2, 64, 4, 4, 20), FORWARD, 0, 0, 0);
    expect(shape(2, 64, 4, 4, 136), FORWARD, 0, 0, 0);
    expect(shape(2, 1, 4, 4, 64), FORWARD, 0, 0, 0);
    expect(shape(0, 64, 4, 4, 64), FORWARD, 0, 0, 0);
    expect(shape(2, 1 << 24, 4, 4, 64), FORWARD, 0, 0, 0); /* a sample of more than 2^31 elements */
    expect(shape(1, 32768, 8, 8, 64), BACKWARD, 0, 0, 0);  /* a head's gradients of scores take more than the bound */
    expect(shape(1, 32768, 8, 8, 64), FORWARD, 1, 8, 8);
}

static void large_ones_are_cut(void **state)
{
    expect(shape(256, 197, 12, 12, 64), BACKWARD, 256, 12, 12);
    expect(shape(4, 4096, 32, 32, 128), BACKWARD, 1, 32, 32);
    expect(shape(7, 4096, 8, 8, 128), BACKWARD, 4, 8, 8);
    expect(shape(9, 4096, 8, 8, 128), BACKWARD, 3, 8, 8);   /* equal parts */
    expect(shape(2, 8192, 32, 8, 128), BACKWARD, 1, 8, 2);  /* heads that share keys stay together */
    expect(shape(2, 8192, 32, 1, 128), BACKWARD, 0, 0, 0);
    expect(shape(2, 8193, 32, 32, 128), BACKWARD, 0, 0, 0); /* slices would not start at multiples of 16 bytes */
    expect(shape(4, 65536, 32, 32, 128), FORWARD, 2, 32, 32);
}

static int64_t scratch(const dt_attention_args *a, bool backward, bool cudnn)
{
    dt_device_info info = {.capability = 90, .cudnn = cudnn};
    return backward ? dt_cuda_attention_grad_scratch(&info, DT_BF16, a) : dt_cuda_attention_scratch(&info, DT_BF16, a);
}

static void scratch_is_bounded(void **state)
{
    const dt_attention_args a = shape(4, 4096, 32, 32, 128), b = shape(2, 256, 8, 2, 64), c = shape(2, 5, 2, 2, 20);
    assert_int_equal(scratch(&a, FORWARD, false), 0);
    assert_int_equal(scratch(&a, FORWARD, true), 256);
    assert_int_equal(scratch(&a, BACKWARD, false), 4 * 32 * 4096 * 4);
    assert_int_equal(scratch(&a, BACKWARD, true), (1 << 30) + 256 + 32 * 4096 * 4);
    assert_int_equal(scratch(&b, BACKWARD, true),
                     2 * 8 * 256 * 256 * 2 + 256 + 2 * 8 * 256 * 4 + 2 * (2 * 256 * 8 * 64 * 2));
    assert_int_equal(scratch(&c, BACKWARD, true), scratch(&c, BACKWARD, false));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_is_not_taken), cmocka_unit_test(large_ones_are_cut),
                                       cmocka_unit_test(scratch_is_bounded)};
    return cmocka_run_group_tests_name("device/attention slices", tests, NULL, NULL);
}
