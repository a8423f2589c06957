/* Which attentions cuDNN takes, and in which slices: arithmetic on shapes alone, so that plans know it everywhere. */
#include "kernels/cuda/attention_cudnn.h"

enum { MOST_SIZE = 128, MOST_SAMPLES = 65535, OWN_WORKSPACE = 256, ALIGNMENT = 256 };
static const int64_t most_elements = INT32_MAX; /* of an array of a slice */

static int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t round_up(int64_t n, int64_t to) { return ceil_div(n, to) * to; }
static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }
/* The largest of the fewest parts of at most `most` that n can be cut into. */
static int64_t part_of(int64_t n, int64_t most) { return ceil_div(n, ceil_div(n, most)); }

/* One head's gradients of scores, in tiles. */
static int64_t score_bytes(const dt_attention_args *a)
{
    return round_up(a->tokens, 64) * round_up(a->tokens, 128) * (int64_t)sizeof(uint16_t);
}

static int64_t sample_elements(const dt_attention_args *a)
{
    return a->tokens * (a->heads + 2 * a->kv_heads) * a->size;
}

/* One token has no scores to speak of, and another engine; where documents begin cuDNN is not told. */
static bool takes(dt_dtype t, const dt_attention_args *a)
{
    return t == DT_BF16 && !a->documents && a->size % 8 == 0 && a->size > 0 && a->size <= MOST_SIZE && a->tokens > 1 &&
           a->batch > 0 && a->kv_heads > 0 && a->tokens <= most_elements && sample_elements(a) <= most_elements;
}

/* Do the sums of each row of scores (lse) start at a multiple of 16 bytes in every slice? */
static bool is_aligned(const dt_attention_args *a, const dt_attention_slice *s)
{
    if (s->heads < a->heads) return a->tokens % 4 == 0;
    return s->samples == a->batch || s->samples * s->heads * a->tokens % 4 == 0;
}

dt_attention_slice dt_cudnn_slice(dt_dtype t, const dt_attention_args *a, bool backward)
{
    dt_attention_slice none = {0}, s = {.heads = a->heads, .kv_heads = a->kv_heads};
    if (!takes(t, a)) return none;
    int64_t samples = least(MOST_SAMPLES, most_elements / sample_elements(a));
    int64_t heads = backward ? DT_CUDNN_WORKSPACE / score_bytes(a) : INT32_MAX; /* of all samples */
    if (heads >= a->heads) {
        s.samples = part_of(a->batch, least(samples, heads / a->heads));
    } else {
        int64_t group = a->heads / a->kv_heads;
        if (heads < group) return none;
        s = (dt_attention_slice){.samples = 1, .kv_heads = part_of(a->kv_heads, heads / group)};
        s.heads = s.kv_heads * group;
    }
    return is_aligned(a, &s) ? s : none;
}

void dt_cudnn_lay_out(const dt_attention_args *a, const dt_attention_slice *s, bool backward, dt_cudnn_layout *out)
{
    int64_t rows = s->samples * s->heads * a->tokens;
    bool shared = backward && a->kv_heads < a->heads;
    out->workspace = OWN_WORKSPACE + (backward ? s->samples * s->heads * score_bytes(a) : 0);
    out->delta = round_up(out->workspace, ALIGNMENT);
    out->dk = out->delta + (backward ? round_up(rows * (int64_t)sizeof(float), ALIGNMENT) : 0);
    out->dv = out->dk + (shared ? round_up(rows * a->size * (int64_t)sizeof(uint16_t), ALIGNMENT) : 0);
    out->bytes = out->dv + (out->dv - out->dk);
}
