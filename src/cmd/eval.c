/* dyttrain eval: loss and accuracy, or perplexity and bits per byte, of a checkpoint on the evaluation split;
 * or with --tasks its accuracy on multiple-choice questions. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "cmd/command.h"
#include "cmd/loaded.h"
#include "cmd/ranks.h"
#include "cmd/table.h"
#include "cmd/tasks.h"
#include "train/inactive.h"

static void print_table(const dt_loaded *loaded, const dt_eval_report *report)
{
    char seconds[32];
    printf("checkpoint   %s (step %lld)\n", loaded->weights.checkpoint, (long long)report->step);
    printf("weights      %s\n", strcmp(report->set, "ema") == 0 ? "averaged (EMA)" : "trained");
    bool images = isfinite(report->top1);
    printf("%s      %lld in %s, %.0f per second\n", images ? "samples" : "tokens ", (long long)report->samples,
           dt_text_duration(seconds, report->seconds), (double)report->samples / report->seconds);
    printf("loss         %.4f\n", report->loss);
    if (images) printf("top-1        %.2f %%\ntop-5        %.2f %%\n", report->top1, report->top5);
    if (isfinite(report->perplexity)) printf("perplexity   %.4f\n", report->perplexity);
    if (isfinite(report->bits_per_byte)) printf("bits/byte    %.4f\n", report->bits_per_byte);
}

static json_t *known(double value) { return isfinite(value) ? json_real(value) : NULL; } /* NULL: left out */

static dt_status print_json(const dt_loaded *loaded, const dt_eval_report *report)
{
    if (!isfinite(report->loss)) return dt_fail(DT_ERR_NUMERIC, "the loss is not finite: JSON cannot tell it");
    json_t *object = json_pack("{ss sI ss sf so* so* so* so* sI sf}", "checkpoint", loaded->weights.checkpoint,
                               "step", (json_int_t)report->step, "set", report->set, "loss", report->loss,
                               "top1", known(report->top1), "top5", known(report->top5),
                               "perplexity", known(report->perplexity), "bits_per_byte", known(report->bits_per_byte),
                               "samples", (json_int_t)report->samples, "seconds", report->seconds);
    if (!object)
        return dt_fail(DT_ERR_DATA, "JSON cannot tell the name '%s': it is not UTF-8", loaded->weights.checkpoint);
    json_dumpf(object, stdout, JSON_COMPACT);
    printf("\n");
    json_decref(object);
    return DT_OK;
}

static dt_status evaluate_loaded(const dt_loaded *loaded, bool leads, bool as_json)
{
    dt_eval_report report;
    DT_TRY(dt_evaluate(loaded->session, loaded->settings, loaded->log, &report));
    if (!leads) return DT_OK;
    (void)dt_world_options_of(loaded->settings); /* what words say of them was read when the ranks met */
    dt_inactive_log(loaded->settings, &(dt_inactive_options){.words_only = true}, "evaluation", loaded->log);
    report.step = loaded->progress.step;
    report.set = loaded->averaged ? "ema" : "eval";
    if (as_json) return print_json(loaded, &report);
    print_table(loaded, &report);
    return DT_OK;
}

/* On all ranks; the first prints. */
static dt_status run(const dt_arguments *args, const dt_party *party)
{
    dt_loaded loaded;
    DT_TRY(dt_loaded_open(args, party->world, party->log, &loaded));
    dt_status status = evaluate_loaded(&loaded, party->rank == 0, dt_arguments_has(args, "--json"));
    dt_loaded_close(&loaded);
    return status;
}

/* The checkpoint's settings are read together: the limits of the meeting are those that words give. */
static dt_status meet_and_run(const dt_arguments *args, dt_log *log)
{
    dt_party party;
    dt_settings *words = NULL;
    dt_status status = dt_table_load(args, NULL, &words);
    status = dt_party_meet(&party, words, log, status);
    dt_settings_free(words);
    if (!status) status = run(args, &party);
    return dt_party_leave(&party, status);
}

static dt_status print_config(const dt_arguments *args, dt_log *log)
{
    dt_loaded loaded;
    DT_TRY(dt_loaded_open(args, NULL, log, &loaded));
    dt_status status = dt_table_print(loaded.settings);
    dt_loaded_close(&loaded);
    return status;
}

static dt_status evaluate(const dt_arguments *args)
{
    dt_log *log;
    if (dt_arguments_has(args, "--tasks")) return dt_tasks_run(args);
    if (args->word_count > 1)
        return dt_fail(DT_ERR_USAGE, "one word too many: '%s'; files of questions need --tasks", args->words[1]);
    if (dt_arguments_has(args, "--tokenizer")) return dt_fail(DT_ERR_USAGE, "--tokenizer goes with --tasks");
    DT_TRY(dt_arguments_log(args, &log));
    dt_status status = dt_arguments_has(args, "--print-config") ? print_config(args, log) : meet_and_run(args, log);
    dt_log_free(log);
    return status;
}

static const dt_option options[] = {
    {"--ema", NULL, "the averaged weights instead of the trained ones"},
    {"--json", NULL, "print one JSON object"},
    {"--tasks", NULL, "score the files of multiple-choice questions that stand behind the run, instead"},
    {"--tokenizer", "T", "with --tasks: bytes, a folder, or a tokenizer.json; default: the one of the run's data"},
    {0},
};

const dt_command dt_command_eval = {
    .name = "eval",
    .usage = "eval RUN|CHECKPOINT [--tasks FILES...] [path=value ...]",
    .summary = "evaluate a checkpoint",
    .help = "Evaluates a checkpoint, or the newest valid one of a run, on the evaluation split of its own settings;\n"
            "path=value words change them, data.path=... or eval.batch=... say.\n"
            "With --tasks, FILES are JSON lines with a text 'context', texts 'choices' and 'answer', the number of\n"
            "the right one from 0 on; the choice likeliest behind the context is the model's (docs/text.md).",
    .options = options,
    .settings = true,
    .least_words = 1,
    .most_words = 1 << 20,
    .every = true,
    .but_with = "--tasks",
    .run = evaluate,
};
