/* Reads and checks the settings that shape the programs. */
#include "train/recipe.h"

#include <stdio.h>
#include <string.h>

bool dt_recipe_needs_gpu(const dt_settings *settings)
{
    const char *mode = dt_setting_text(settings, "precision.mode");
    return !strcmp(mode, "tf32") || !strcmp(mode, "bf16");
}

static dt_status read_precision(const dt_settings *settings, dt_backend backend, bool forward, dt_recipe *r)
{
    enum { FP32, FP64, TF32, BF16 };
    static const dt_precision precision[] = {[FP32] = DT_PRECISION_FP32, [FP64] = DT_PRECISION_FP64,
                                             [TF32] = DT_PRECISION_TF32, [BF16] = DT_PRECISION_BF16};
    int mode = dt_setting_choice(settings, "precision.mode");
    if (mode == BF16) r->passes.wide_residual = dt_setting_choice(settings, "precision.residual") == 1;
    bool needs_gpu = dt_recipe_needs_gpu(settings);
    r->widened = backend == DT_CPU && needs_gpu && forward;
    if (r->widened) mode = FP32;
    if (backend == DT_CPU && needs_gpu && !forward)
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

/* Names the batches next to this one that do divide. */
static dt_status refuse_batch(const dt_settings *settings, int64_t batch, int64_t accumulate, int ranks)
{
    int64_t parts = accumulate * ranks, below = batch / parts * parts;
    char passes[48] = "", of_ranks[32] = "", least[32] = "";
    if (accumulate > 1) snprintf(passes, sizeof passes, "%lld micro-batches", (long long)accumulate);
    if (ranks > 1) snprintf(of_ranks, sizeof of_ranks, "%s%d ranks", accumulate > 1 ? " on " : "", ranks);
    if (below) snprintf(least, sizeof least, "%lld or ", (long long)below);
    return dt_setting_fail(settings, "data.batch", "a batch of %lld does not divide into %s%s: take %s%lld",
                           (long long)batch, passes, of_ranks, least, (long long)(below + parts));
}

static dt_status read_batch(dt_settings *settings, bool forward, int ranks, dt_recipe *r)
{
    r->batch = dt_setting_int(settings, "data.batch");
    bool most = dt_setting_has(settings, "train.micro_batch"); /* then a rank's share, whatever it is, is cut up */
    int64_t accumulate = most ? 1 : dt_setting_int(settings, "train.accumulate"), parts = accumulate * ranks;
    if (r->batch % parts && !forward) return refuse_batch(settings, r->batch, accumulate, ranks);
    r->micro = (r->batch + parts - 1) / parts;
    r->accumulate = most ? count_parts(r->micro, dt_setting_int(settings, "train.micro_batch")) : accumulate;
    if (most) r->micro /= r->accumulate;
    if (!dt_setting_has(settings, "eval.batch")) DT_TRY(dt_setting_derive_int(settings, "eval.batch", r->micro));
    r->eval_batch = dt_setting_int(settings, "eval.batch");
    return DT_OK;
}

static void warn_of_check(const dt_recipe *r, const dt_settings *settings, dt_log *log)
{
    if (r->zero < 3 || r->sharers < r->ranks || !dt_setting_int(settings, "debug.check_ranks_every_steps")) return;
    dt_log_warn(log, "debug.check_ranks_every_steps finds nothing to compare with parallel.zero=3: each rank keeps "
                "other weights; parallel.zero=2 keeps the same on all, parallel.shard_group on several");
}

void dt_recipe_warn(const dt_recipe *r, const dt_settings *settings, int ranks, dt_log *log)
{
    if (ranks > 1) warn_of_check(r, settings, log);
    if (!dt_setting_has(settings, "train.micro_batch")) return;
    int64_t share = r->batch / ranks, most = dt_setting_int(settings, "train.micro_batch");
    int64_t fewest = (share + most - 1) / most;
    if (r->accumulate < 2 * fewest) return;
    dt_log_warn(log, "a batch of %lld cut into equal parts of at most train.micro_batch=%lld takes %lld passes of "
                "%lld; data.batch=%lld would take %lld of %lld", (long long)r->batch, (long long)most,
                (long long)r->accumulate, (long long)r->micro, (long long)(share / fewest * fewest * ranks),
                (long long)fewest, (long long)(share / fewest));
}

/* Evaluations are of other ranks than the run that is evaluated was of: all of them share where there are no groups. */
static dt_status read_group(const dt_settings *settings, bool forward, int ranks, dt_recipe *r)
{
    int64_t group = dt_setting_int(settings, "parallel.shard_group");
    if (!group || (forward && ranks % group)) return DT_OK;
    if (ranks % group)
        return dt_setting_fail(settings, "parallel.shard_group", "%d ranks cannot be put into groups of %lld", ranks,
                               (long long)group);
    r->sharers = (int)group;
    if (group == 1) r->zero = 0; /* a group of one shares nothing */
    return DT_OK;
}

/* A single rank shares with nobody, whatever the level. */
static dt_status read_sharing(dt_settings *settings, dt_backend backend, bool forward, int ranks, dt_recipe *r)
{
    if (!dt_setting_has(settings, "parallel.zero"))
        DT_TRY(dt_setting_derive_int(settings, "parallel.zero", ranks > 1));
    r->zero = (int)dt_setting_int(settings, "parallel.zero");
    r->passes.wire = r->type;
    r->sharers = ranks;
    if (ranks == 1) return DT_OK;
    DT_TRY(read_group(settings, forward, ranks, r));
    r->bucket_bytes = (int64_t)(dt_setting_real(settings, "parallel.bucket_mib") * (1 << 20));
    if (forward || !dt_setting_choice(settings, "parallel.grad_dtype")) return DT_OK;
    if (backend == DT_CPU)
        return dt_setting_fail(settings, "parallel.grad_dtype", "bf16 needs GPUs: on the CPU use fp32");
    r->passes.wire = DT_BF16;
    return DT_OK;
}

dt_status dt_recipe_read(dt_settings *settings, dt_backend backend, bool forward, int ranks, dt_recipe *out)
{
    dt_recipe r = {.ranks = ranks,
                   .smoothing = dt_setting_real(settings, "train.label_smoothing"),
                   .clip = dt_setting_real(settings, "train.clip_norm"),
                   .ema = dt_setting_real(settings, "train.ema"),
                   .direct = dt_setting_bool(settings, "debug.direct") || dt_setting_bool(settings, "debug.nonfinite"),
                   .passes.recompute = (dt_recompute)dt_setting_choice(settings, "train.recompute")};
    DT_TRY(read_precision(settings, backend, forward, &r));
    DT_TRY(read_sharing(settings, backend, forward, ranks, &r));
    DT_TRY(read_batch(settings, forward, ranks, &r));
    *out = r;
    return DT_OK;
}
