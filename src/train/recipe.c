/* Reads and checks the settings that shape the programs. */
#include "train/recipe.h"

#include <string.h>

bool dt_recipe_needs_gpu(const dt_settings *settings)
{
    const char *mode = dt_setting_text(settings, "precision.mode");
    return !strcmp(mode, "tf32") || !strcmp(mode, "bf16");
}

static dt_status read_precision(const dt_settings *settings, dt_backend backend, bool widens, dt_recipe *r)
{
    enum { FP32, FP64, TF32, BF16 };
    static const dt_precision precision[] = {[FP32] = DT_PRECISION_FP32, [FP64] = DT_PRECISION_FP64,
                                             [TF32] = DT_PRECISION_TF32, [BF16] = DT_PRECISION_BF16};
    int mode = dt_setting_choice(settings, "precision.mode");
    if (mode == BF16) r->passes.wide_residual = dt_setting_choice(settings, "precision.residual") == 1;
    bool needs_gpu = dt_recipe_needs_gpu(settings);
    r->widened = backend == DT_CPU && needs_gpu && widens;
    if (r->widened) mode = FP32;
    if (backend == DT_CPU && needs_gpu && !widens)
        return dt_setting_fail(settings, "precision.mode", "%s needs a GPU: on the CPU use fp32 or fp64",
                               dt_setting_text(settings, "precision.mode"));
    if (backend == DT_CUDA && mode == FP64)
        return dt_setting_fail(settings, "precision.mode", "fp64 is computed on the CPU only: add device=cpu");
    r->type = mode == FP64 ? DT_F64 : DT_F32;
    r->working = mode == BF16;
    r->passes.precision = precision[mode];
    return DT_OK;
}

/* The fewest equal parts of a batch that hold no more than `most` samples each. */
static int64_t count_parts(int64_t batch, int64_t most)
{
    int64_t parts = (batch + most - 1) / most;
    while (batch % parts) parts++;
    return parts;
}

static dt_status read_batch(dt_settings *settings, int ranks, dt_recipe *r)
{
    r->batch = dt_setting_int(settings, "data.batch");
    if (dt_setting_has(settings, "train.micro_batch"))
        r->accumulate = count_parts((r->batch + ranks - 1) / ranks, dt_setting_int(settings, "train.micro_batch"));
    else r->accumulate = dt_setting_int(settings, "train.accumulate");
    int64_t parts = r->accumulate * ranks;
    if (r->batch % parts)
        return dt_setting_fail(settings, "data.batch", "a batch of %lld does not divide into %lld micro-batches on %d "
                               "rank%s", (long long)r->batch, (long long)r->accumulate, ranks, ranks == 1 ? "" : "s");
    r->micro = r->batch / parts;
    if (!dt_setting_has(settings, "eval.batch")) DT_TRY(dt_setting_derive_int(settings, "eval.batch", r->micro));
    r->eval_batch = dt_setting_int(settings, "eval.batch");
    return DT_OK;
}

void dt_recipe_warn(const dt_recipe *r, const dt_settings *settings, int ranks, dt_log *log)
{
    if (!dt_setting_has(settings, "train.micro_batch")) return;
    int64_t share = r->batch / ranks, most = dt_setting_int(settings, "train.micro_batch");
    int64_t fewest = (share + most - 1) / most;
    if (r->accumulate < 2 * fewest) return;
    dt_log_warn(log, "a batch of %lld cut into equal parts of at most train.micro_batch=%lld takes %lld passes of "
                "%lld; data.batch=%lld would take %lld of %lld", (long long)r->batch, (long long)most,
                (long long)r->accumulate, (long long)r->micro, (long long)(share / fewest * fewest * ranks),
                (long long)fewest, (long long)(share / fewest));
}

dt_status dt_recipe_read(dt_settings *settings, dt_backend backend, bool widens, int ranks, dt_recipe *out)
{
    dt_recipe r = {.smoothing = dt_setting_real(settings, "train.label_smoothing"),
                   .clip = dt_setting_real(settings, "train.clip_norm"),
                   .ema = dt_setting_real(settings, "train.ema"),
                   .direct = dt_setting_bool(settings, "debug.direct") || dt_setting_bool(settings, "debug.nonfinite"),
                   .passes.recompute = (dt_recompute)dt_setting_choice(settings, "train.recompute")};
    if (dt_setting_int(settings, "parallel.zero"))
        return dt_setting_fail(settings, "parallel.zero", "one rank has nobody to share with: only 0 is possible");
    DT_TRY(read_precision(settings, backend, widens, &r));
    DT_TRY(read_batch(settings, ranks, &r));
    *out = r;
    return DT_OK;
}
