/* What attention leaves out stays out on CUDA: a document that is not finite reaches no other, forward or backward, by
 * the kernels for tensor cores and by the plain ones. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/device.h"
#include "kernels/kernels.h"

#define OK(call)                                      \
    do {                                              \
        if (call) fail_msg("%s", dt_error_message()); \
    } while (0)

enum { TOKENS = 210, DOCUMENTS = 7, QKV = 0, DOUT, OUT, DQKV, LSE, STARTS, SCRATCH, ARRAYS };
static const int begins[DOCUMENTS + 1] = {0, 1, 37, 40, 41, 129, 160, TOKENS};

typedef struct shape {
    dt_dtype type;
    int64_t heads, kv_heads, size;
} shape;
static const shape shapes[] = {{DT_BF16, 2, 2, 64}, {DT_BF16, 4, 2, 40}, {DT_BF16, 1, 1, 128},
                               {DT_BF16, 2, 1, 20}, {DT_F32, 2, 2, 64},  {DT_F32, 2, 1, 136}};

typedef struct bench {
    dt_device *device;
    shape s;
    void *host[ARRAYS], *memory[ARRAYS];
    size_t bytes[ARRAYS];
} bench;

static void put(const bench *b, int array, int64_t i, float value)
{
    if (b->s.type == DT_F32) ((float *)b->host[array])[i] = value;
    else memcpy((uint16_t *)b->host[array] + i, (const char *)&value + 2, 2);
}

static float get(const bench *b, int array, int64_t i)
{
    uint32_t bits = 0;
    float value;
    if (b->s.type == DT_F32) return ((const float *)b->host[array])[i];
    bits = (uint32_t)((const uint16_t *)b->host[array])[i] << 16;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static int64_t packed_width(const shape *s) { return (s->heads + 2 * s->kv_heads) * s->size; }

static dt_attention_args describe(const bench *b)
{
    return (dt_attention_args){.batch = 1, .tokens = TOKENS, .heads = b->s.heads, .kv_heads = b->s.kv_heads,
                               .size = b->s.size, .causal = true, .documents = true, .scale = 0.125,
                               .qkv = b->memory[QKV], .starts = b->memory[STARTS], .out = b->memory[OUT],
                               .lse = b->memory[LSE], .dout = b->memory[DOUT], .dqkv = b->memory[DQKV],
                               .scratch = b->memory[SCRATCH]};
}

static void open_bench(bench *b, const shape *s)
{
    dt_device_info info;
    *b = (bench){.s = *s};
    size_t element = dt_dtype_size(s->type), wide = TOKENS * (size_t)packed_width(s) * element;
    size_t narrow = TOKENS * (size_t)(s->heads * s->size) * element;
    OK(dt_device_open(DT_CUDA, 0, 1, &b->device));
    OK(dt_device_query(b->device, &info));
    dt_attention_args a = describe(b);
    size_t scratch = (size_t)dt_kernels_of(DT_CUDA)->attention_grad_scratch(&info, s->type, &a);
    const size_t bytes[ARRAYS] = {wide, narrow, narrow, wide, TOKENS * (size_t)s->heads * 4, TOKENS * 4, scratch};
    memcpy(b->bytes, bytes, sizeof bytes);
    for (int i = 0; i < ARRAYS; i++) {
        OK(dt_device_alloc(b->device, DT_MEMORY_ARENA, bytes[i], &b->memory[i]));
        assert_non_null(b->host[i] = malloc(bytes[i]));
    }
    for (int d = 0; d < DOCUMENTS; d++)
        for (int t = begins[d]; t < begins[d + 1]; t++) ((int32_t *)b->host[STARTS])[t] = begins[d];
}

static void close_bench(bench *b)
{
    for (int i = 0; i < ARRAYS; i++) {
        dt_device_free(b->device, DT_MEMORY_ARENA, b->memory[i], b->bytes[i]);
        free(b->host[i]);
    }
    dt_device_close(b->device);
}

/* Row `bad` of everything is NaN. */
static void run(bench *b, int bad)
{
    const int64_t wide = packed_width(&b->s), narrow = b->s.heads * b->s.size;
    const dt_queue *queue = dt_device_queue(b->device, DT_STREAM_COMPUTE);
    for (int64_t i = 0; i < TOKENS * wide; i++) put(b, QKV, i, i / wide == bad ? NAN : (float)(i * 37 % 64 - 32) / 16);
    for (int64_t i = 0; i < TOKENS * narrow; i++)
        put(b, DOUT, i, i / narrow == bad ? NAN : (float)(i * 29 % 64 - 32) / 16);
    for (int i = QKV; i <= DOUT; i++)
        OK(dt_device_upload(b->device, DT_STREAM_COMPUTE, b->memory[i], b->host[i], b->bytes[i]));
    OK(dt_device_upload(b->device, DT_STREAM_COMPUTE, b->memory[STARTS], b->host[STARTS], b->bytes[STARTS]));
    dt_attention_args a = describe(b);
    OK(dt_kernels_of(DT_CUDA)->attention(queue, b->s.type, &a));
    OK(dt_kernels_of(DT_CUDA)->attention_grad(queue, b->s.type, &a));
    for (int i = OUT; i <= DQKV; i++)
        OK(dt_device_download(b->device, DT_STREAM_COMPUTE, b->host[i], b->memory[i], b->bytes[i]));
    OK(dt_device_sync(b->device, DT_STREAM_COMPUTE));
}

static void assert_finite(const bench *b, int array, int64_t width, int document)
{
    for (int64_t t = 0; t < TOKENS; t++) {
        bool inside = t >= begins[document] && t < begins[document + 1];
        for (int64_t i = t * width; i < (t + 1) * width; i++)
            if (!inside && !isfinite(get(b, array, i)))
                fail_msg("%s, %d:%d heads of %d: row %d is not finite where document %d is not",
                         dt_dtype_name(b->s.type), (int)b->s.heads, (int)b->s.kv_heads, (int)b->s.size, (int)t,
                         document);
    }
}

static void documents_keep_what_is_not_finite(void **state)
{
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        bench b;
        open_bench(&b, &shapes[i]);
        for (int d = 0; d < DOCUMENTS; d++) {
            int bad = (begins[d] + begins[d + 1]) / 2;
            run(&b, bad);
            assert_true(isnan(get(&b, OUT, bad * b.s.heads * b.s.size)));
            assert_finite(&b, OUT, b.s.heads * b.s.size, d);
            assert_finite(&b, DQKV, packed_width(&b.s), d);
        }
        close_bench(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(documents_keep_what_is_not_finite)};
    if (dt_backend_check(DT_CUDA, 0)) return printf("1..0 # SKIP %s\n", dt_error_message()) < 0;
    return cmocka_run_group_tests_name("kernels/masks", tests, NULL, NULL);
}
