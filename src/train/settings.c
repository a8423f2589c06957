/* The settings of a training run: seed, device, precision, run folder, length, optimizer, schedule, evaluation. */
#include "train/optimizer.h"
#include "train/recipe.h"
#include "train/schedule.h"
#include "train/train.h"

static const char *const devices[] = {"auto", "cpu", "cuda", NULL};
static const char *const attention_engines[] = {"auto", "own", "cudnn", NULL};
static const char *const modes[] = {"fp32", "fp64", "tf32", "bf16", NULL};
static const char *const residual_types[] = {"bf16", "f32", NULL};
static const char *const recompute_levels[] = {"none", "cheap", "block", NULL};
static const char *const wire_types[] = {"fp32", "bf16", NULL};
static const char *const nonfinite_policies[] = {"stop", "skip", "rollback", NULL};

static const dt_setting_row rows[] = {
    {"seed", DT_SETTING_INT, "0", 0, 9e15, .help = "seed of initial weights, sample order, augmentation and dropout"},
    {"device", DT_SETTING_CHOICE, "auto", .choices = devices,
     .help = "where to compute; auto: a CUDA GPU if it is of compute capability 8.0 or higher, else the CPU. Each rank "
             "of a host takes a GPU of its own"},
    {"threads", DT_SETTING_INT, "0", 0, 1024,
     .help = "compute threads of a rank on the CPU; 0: all processors, shared out among the ranks of a host"},
    {"cuda.tune", DT_SETTING_BOOL, "true",
     .help = "time the algorithms of a matrix product when its shape first comes and keep the fastest for later runs; "
             "false: the library's first choice"},
    {"cuda.attention", DT_SETTING_CHOICE, "auto", .choices = attention_engines,
     .help = "whose attention: our own kernels', cuDNN's wherever it takes the shape (in bf16), or by shape the faster "
             "one where cuDNN is there and cuda.tune may time both"},
    {"precision.mode", DT_SETTING_CHOICE, "fp32", .choices = modes,
     .help = "type of weights and activations; fp64 only on the CPU"},
    {"precision.residual", DT_SETTING_CHOICE, "bf16", .choices = residual_types,
     .help = "type of the residual stream with precision.mode=bf16; f32: its sums are not rounded, for more memory and "
             "time"},

    {"run.dir", DT_SETTING_TEXT, "runs", .help = "folder that holds the run folders"},
    {"run.name", DT_SETTING_TEXT, NULL, .name = true,
     .help = "name of this run's folder; model.arch and norm.kind when not set"},

    {"train.steps", DT_SETTING_INT, NULL, 1, 1e12, .replaces = "train.epochs", .help = "updates to make"},
    {"train.epochs", DT_SETTING_REAL, NULL, 1e-6, 1e6, .help = "passes over the training set, a fraction allowed"},
    {"train.accumulate", DT_SETTING_INT, "1", 1, 65536,
     .help = "micro-batches that make one batch: memory falls, the result stays the same"},
    {"train.micro_batch", DT_SETTING_INT, NULL, 1, 1 << 20, .replaces = "train.accumulate",
     .help = "most samples that one device takes at a time: the batch is cut into as few equal parts as that allows"},
    {"train.recompute", DT_SETTING_CHOICE, "none", .choices = recompute_levels,
     .help = "activations computed again in the backward pass instead of kept: none, the cheap ones, whole blocks"},
    {"train.clip_norm", DT_SETTING_REAL, "0", 0, 1e30, .help = "largest global gradient norm; 0: no clipping"},
    {"train.ema", DT_SETTING_REAL, "0", 0, 0.9999999,
     .help = "decay per update of the averaged weights, which are evaluated and saved too; 0: none"},
    {"train.label_smoothing", DT_SETTING_REAL, "0", 0, 0.999, .help = "share of the target spread over all classes"},
    {"train.on_nonfinite", DT_SETTING_CHOICE, "stop", .choices = nonfinite_policies,
     .help = "a step with a gradient that is not finite never commits; then: stop, skip it, or roll back to the last "
             "checkpoint and go on behind the bad batch"},
    {"train.skip_limit", DT_SETTING_INT, "100", 1, 1e12, .help = "steps skipped in a row before the run stops"},
    {"train.rollback_limit", DT_SETTING_INT, "3", 0, 1e6, .help = "rollbacks before the run stops"},

    {"optim.kind", DT_SETTING_CHOICE, "adamw", .choices = dt_optimizer_names, .help = "optimizer"},
    {"optim.lr", DT_SETTING_REAL, "1e-3", 0, 1e30, .help = "peak learning rate"},
    {"optim.betas", DT_SETTING_REALS, "[0.9, 0.999]", 0, 0.9999999, .help = "adamw: decay of both moments"},
    /* not 0: a parameter without gradient would move by 0 / 0 */
    {"optim.epsilon", DT_SETTING_REAL, "1e-8", 1e-20, 1, .help = "adamw: added to the root of the second moment"},
    {"optim.momentum", DT_SETTING_REAL, "0.9", 0, 0.9999999, .help = "sgd: momentum"},
    {"optim.nesterov", DT_SETTING_BOOL, "false", .help = "sgd: look ahead along the momentum"},
    {"optim.weight_decay", DT_SETTING_REAL, "0.05", 0, 1e6,
     .help = "times the learning rate: decay of the parameters that optim.decay names"},
    {"optim.decay", DT_SETTING_CHOICE, "matrices", .choices = dt_optimizer_decays,
     .help = "what decays: matrices and embeddings, and not biases, norms and positions; or all parameters"},
    {"optim.layer_decay", DT_SETTING_REAL, "1", 1e-6, 1,
     .help = "learning rate of each block relative to the one behind it; 1: all the same"},

    {"schedule.kind", DT_SETTING_CHOICE, "cosine", .choices = dt_schedule_names,
     .help = "learning rate after the warmup: constant, or down to schedule.min_lr in a line or half a cosine"},
    {"schedule.begin", DT_SETTING_CHOICE, "warmup", .choices = dt_schedule_begin_names,
     .help = "where the line or cosine begins: behind the warmup, at the full rate; or at the run's start, the lower "
             "of it and the warmup counting, as LLaMA's recipe has it"},
    {"schedule.warmup_steps", DT_SETTING_INT, NULL, 0, 1e12, .replaces = "schedule.warmup_epochs",
     .help = "updates of linear warmup from 0"},
    {"schedule.warmup_epochs", DT_SETTING_REAL, "0", 0, 1e6, .help = "epochs of linear warmup from 0"},
    {"schedule.warmup_kind", DT_SETTING_CHOICE, "linear", .choices = dt_warmup_names,
     .help = "the warmup's curve: a line, or steep at first and flat at its end, as LLaMA's recipe has it"},
    {"schedule.min_lr", DT_SETTING_REAL, "0", 0, 1e6, .help = "learning rate at the end"},

    {"eval.every_steps", DT_SETTING_INT, NULL, 0, 1e12, .replaces = "eval.every_epochs",
     .help = "updates between evaluations; 0: none"},
    {"eval.every_epochs", DT_SETTING_REAL, "1", 0, 1e6, .help = "epochs between evaluations; 0: none"},
    {"eval.at_end", DT_SETTING_BOOL, "true", .help = "evaluate after the last update"},
    {"eval.batch", DT_SETTING_INT, NULL, 1, 1 << 20,
     .help = "samples that a rank evaluates at a time; those of one micro-batch when not set"},

    {"log.every_steps", DT_SETTING_INT, "50", 1, 1e12, .help = "updates between lines of the log and of metrics.jsonl"},
    {"log.ranks_every_steps", DT_SETTING_INT, "1000", 0, 1e12,
     .help = "updates between lines that compare the step times of several ranks; 0: none"},

    {"parallel.zero", DT_SETTING_INT, NULL, 0, 3,
     .help = "what ranks share instead of each holding it: 0 nothing, 1 masters, moments and averages, 2 gradients too, "
             "3 all parameters too; when not set, 1 for several ranks"},
    {"parallel.shard_group", DT_SETTING_INT, "0", 0, 65536,
     .help = "so many neighbouring ranks share with each other, and every such group holds the same: those of one host, "
             "say; 0: all ranks share; 1: as parallel.zero=0"},
    {"parallel.grad_dtype", DT_SETTING_CHOICE, "fp32", .choices = wire_types,
     .help = "type in which gradients travel between ranks; bf16 halves what is sent and rounds every sum"},
    {"parallel.bucket_mib", DT_SETTING_REAL, "25", 0, 1e6,
     .help = "gradients that are put together before they are sent, in MiB, less for the first blocks, whose come last; 0: "
             "each block's as they come"},
    {"debug.direct", DT_SETTING_BOOL, "false",
     .help = "launch operations one by one and wait for each: same bits, slower; a GPU's failure names its operator"},
    {"debug.nonfinite", DT_SETTING_BOOL, "false",
     .help = "check every tensor and stop at the first operator that makes a value that is not finite; slow"},
    {"debug.check_ranks_every_steps", DT_SETTING_INT, "0", 0, 1e12,
     .help = "updates between checks that all ranks have the same weights, bit for bit, the first of them before the "
             "first update; 0: none; with parallel.zero=3 no two ranks of a parallel.shard_group keep the same"},
};

const dt_setting_table dt_train_settings = {rows, sizeof rows / sizeof *rows};
