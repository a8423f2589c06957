/* Who computes an attention: our own kernels, or cuDNN where the queue has it and it takes the shape. With `always` it
 * is then cuDNN. Otherwise the engine is the one that the table of choices has for the shape and direction, and where
 * it has none, the faster of the two that repeats its bits: ours unless the other is worth it, and ours where nothing
 * can be timed. The shape goes by cuDNN's version, too: another one may be faster, and gives other bits. Forward and
 * backward choose apart: they meet in the results and in the logs of sums, which both have. */
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstring>

#include "kernels/cuda/attention.cuh"
#include "kernels/cuda/attention_cudnn.h"
#include "kernels/cuda/tune.cuh"

namespace {

using namespace dt;

dt_status run_own(const dt_queue *q, dt_dtype t, const dt_attention_args *a, bool backward)
{
    return backward ? attention_grad_own(q, t, a) : attention_own(q, t, a);
}

int64_t scratch_of(const dt_device_info *info, dt_dtype t, const dt_attention_args *a, bool backward)
{
    const int64_t own = backward ? attention_grad_own_scratch(a) : 0;
    const dt_attention_slice slice = dt_cudnn_slice(t, a, backward);
    dt_cudnn_layout layout;
    if (!info->cudnn || !slice.samples) return own;
    dt_cudnn_lay_out(a, &slice, backward, &layout);
    return std::max(own, layout.bytes);
}

#ifdef DT_HAVE_CUDNN

enum { NAME_ROOM = 192 };

/* What the table of choices holds. */
struct engine {
    char name[DT_ALGORITHM_BYTES];
};

engine own_engine(void) { return {"own"}; }
engine library_engine(void) { return {"cudnn"}; }
bool is_same(const engine &a, const engine &b) { return memcmp(&a, &b, sizeof a) == 0; }

/* "attention grad bf16 256x197x12:12x64 causal, cuDNN 9.19.0" */
void name_attention(char name[NAME_ROOM], const dt_queue *q, const dt_attention_args *a, bool backward)
{
    char library[DT_CUDNN_TEXT];
    snprintf(name, NAME_ROOM, "attention%s bf16 %" PRId64 "x%" PRId64 "x%" PRId64 ":%" PRId64 "x%" PRId64 "%s, %s",
             backward ? " grad" : "", a->batch, a->tokens, a->heads, a->kv_heads, a->size, a->causal ? " causal" : "",
             dt_cudnn_text(q->cudnn, library));
}

/* Reasons of the library are answers here. */
dt_status is_ready(const dt_queue *q, dt_dtype t, const dt_attention_args *a, bool backward, bool *ready)
{
    DT_TRY(dt_cudnn_prepare(q, t, a, backward, ready));
    if (!*ready) dt_error_clear();
    return DT_OK;
}

dt_status time_both(const dt_queue *q, dt_dtype t, const dt_attention_args *a, bool backward, engine *faster)
{
    const int64_t rows = a->batch * a->tokens, row = a->size * (int64_t)sizeof(bf16);
    const tune_result made = {a->out, rows * a->heads * row}, logs = {a->lse, rows * a->heads * (int64_t)sizeof(float)};
    const tune_result gradient = {a->dqkv, rows * (a->heads + 2 * a->kv_heads) * row}, none = {};
    const auto run = [&](int i) {
        const bool done = !(i ? dt_cudnn_attend(q, t, a, backward) : run_own(q, t, a, backward));
        if (!done) dt_error_clear();
        return done;
    };
    int winner = 0;
    contest<decltype(run)> both = {q, 2, run, {backward ? gradient : made, backward ? none : logs}, a->scratch};
    DT_TRY(find_fastest(both, &winner));
    *faster = winner == 1 ? library_engine() : own_engine();
    return DT_OK;
}

/* A new choice: for all later runs where choices are kept and this can be timed. */
dt_status decide(const dt_queue *q, dt_dtype t, const dt_attention_args *a, bool backward, const char *name,
                 engine *chosen)
{
    bool ready;
    *chosen = own_engine();
    if (!dt_choices_kept(q->choices) || is_recording(q)) return dt_choices_use(q->choices, name, chosen);
    DT_TRY(is_ready(q, t, a, backward, &ready));
    if (ready) DT_TRY(time_both(q, t, a, backward, chosen));
    return dt_choices_decide(q->choices, name, chosen);
}

/* Where readiness cannot be told, deciding tells why. */
bool is_accepted(const dt_queue *q, dt_dtype t, const dt_attention_args *a, bool backward, const engine &e)
{
    bool ready = false;
    if (is_same(e, own_engine())) return true;
    return is_same(e, library_engine()) && !is_ready(q, t, a, backward, &ready) && ready;
}

dt_status choose(const dt_queue *q, dt_dtype t, const dt_attention_args *a, bool backward, engine *chosen)
{
    char name[NAME_ROOM];
    name_attention(name, q, a, backward);
    const dt_choice known = find_choice(q, name, chosen, [&] { return is_accepted(q, t, a, backward, *chosen); });
    dt_status status = DT_OK;
    if (known == DT_CHOICE_NOTED) status = dt_choices_use(q->choices, name, chosen);
    else if (known == DT_CHOICE_NONE) status = decide(q, t, a, backward, name, chosen);
    dt_choices_release(q->choices);
    return status;
}

dt_status attend(const dt_queue *q, dt_dtype t, const dt_attention_args *a, bool backward)
{
    bool library = false;
    engine chosen;
    if (!q->cudnn || !dt_cudnn_slice(t, a, backward).samples) return run_own(q, t, a, backward);
    if (dt_cudnn_always(q->cudnn)) {
        DT_TRY(is_ready(q, t, a, backward, &library));
    } else {
        DT_TRY(choose(q, t, a, backward, &chosen));
        library = is_same(chosen, library_engine());
    }
    return library ? dt_cudnn_attend(q, t, a, backward) : run_own(q, t, a, backward);
}

#else

dt_status attend(const dt_queue *q, dt_dtype t, const dt_attention_args *a, bool backward)
{
    return run_own(q, t, a, backward);
}

#endif

/* A thread makes 16 bytes of a sum. */
__global__ void __launch_bounds__(256) add_heads(int64_t packs, int heads, int groups, int size, const bf16 *from,
                                                 bf16 *to, int64_t stride)
{
    const int64_t number = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (number >= packs) return;
    const int per_head = size / 8, at = (int)(number % per_head) * 8, members = heads / groups;
    const int64_t row = number / per_head / groups;
    const int group = (int)(number / per_head % groups);
    const bf16 *x = from + (row * heads + group * members) * size + at;
    float sum[8] = {};
    for (int member = 0; member < members; member++, x += size) {
        const pack<bf16> p = load_pack(x);
        for (int i = 0; i < 8; i++) sum[i] += widen(p.at[i]);
    }
    pack<bf16> result;
    for (int i = 0; i < 8; i++) result.at[i] = narrow<bf16>(sum[i]);
    store_pack(to + row * stride + group * size + at, result);
}

}

dt_status dt_cuda_attention(const dt_queue *q, dt_dtype t, const dt_attention_args *a)
{
    return attend(q, t, a, false);
}

dt_status dt_cuda_attention_grad(const dt_queue *q, dt_dtype t, const dt_attention_args *a)
{
    return attend(q, t, a, true);
}

int64_t dt_cuda_attention_scratch(const dt_device_info *info, dt_dtype t, const dt_attention_args *a)
{
    return scratch_of(info, t, a, false);
}

int64_t dt_cuda_attention_grad_scratch(const dt_device_info *info, dt_dtype t, const dt_attention_args *a)
{
    return scratch_of(info, t, a, true);
}

dt_status dt_cuda_add_heads(const dt_queue *q, int64_t rows, int64_t heads, int64_t groups, int64_t size,
                            const void *from, void *to, int64_t stride)
{
    const int64_t packs = rows * groups * (size / 8);
    add_heads<<<(unsigned)ceil_div<int64_t>(packs, 256), 256, 0, stream_of(q)>>>(
        packs, (int)heads, (int)groups, (int)size, (const bf16 *)from, (bf16 *)to, stride);
    return launched();
}
