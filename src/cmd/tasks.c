/* Scores multiple-choice tasks: the answer is the choice whose tokens the model holds likeliest behind the context, by
 * the sum of their log-probabilities, and normalised: by that sum over the choice's bytes. */
#include "cmd/tasks.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "cmd/loaded.h"
#include "cmd/run_tokenizer.h"
#include "cmd/table.h"
#include "data/questions.h"
#include "train/inactive.h"
#include "train/score.h"

typedef struct task {
    const char *path;
    dt_questions questions;
    int64_t right, right_normalised;
    double seconds;
} task;

typedef struct tasks {
    task *task;
    int count;
    dt_loaded loaded;
    dt_tokenizer *tokenizer;
    dt_scorer *scorer;
} tasks;

/* --- opening --- */

/* All files before the model: what is wrong with them is known at once. */
static dt_status read_files(const dt_arguments *args, tasks *t)
{
    if (args->word_count < 2) return dt_fail(DT_ERR_USAGE, "--tasks: no files of questions are given behind the run");
    t->task = calloc((size_t)args->word_count - 1, sizeof *t->task);
    if (!t->task) return dt_fail_memory((size_t)args->word_count * sizeof *t->task, "the tasks");
    for (t->count = 0; t->count < args->word_count - 1;) {
        task *one = &t->task[t->count++];
        one->path = args->words[t->count];
        DT_TRY(dt_questions_read(&one->questions, one->path));
    }
    return DT_OK;
}

/* The model, with the batch that a scorer needs. */
static dt_status open_model(const dt_arguments *args, dt_loaded *out)
{
    dt_arguments own = *args;
    own.settings = malloc((args->setting_count + 1) * sizeof *own.settings);
    if (!own.settings) return dt_fail_memory((args->setting_count + 1) * sizeof *own.settings, "the settings");
    memcpy(own.settings, args->settings, args->setting_count * sizeof *own.settings);
    own.settings[own.setting_count++] = "eval.batch=1";
    dt_status status = dt_loaded_open(&own, out);
    free(own.settings);
    return status;
}

static dt_status open_all(const dt_arguments *args, tasks *t)
{
    DT_TRY(read_files(args, t));
    DT_TRY(open_model(args, &t->loaded));
    DT_TRY(dt_run_tokenizer_open(t->loaded.settings, dt_arguments_value(args, "--tokenizer"), &t->tokenizer));
    return dt_scorer_create(t->loaded.session, t->tokenizer, &t->scorer);
}

static void close_all(tasks *t)
{
    dt_scorer_free(t->scorer);
    dt_tokenizer_close(t->tokenizer);
    dt_loaded_close(&t->loaded);
    for (int i = 0; i < t->count; i++) dt_questions_free(&t->task[i].questions);
    free(t->task);
}

/* --- scoring --- */

/* Of equal choices the first is taken. */
static dt_status answer(dt_scorer *scorer, const dt_question *q, int *likeliest, int *normalised)
{
    double best = -INFINITY, best_normalised = -INFINITY;
    for (int c = 0; c < q->choices; c++) {
        double sum = 0;
        const char *choice = dt_question_choice(q, c);
        DT_TRY(dt_scorer_run(scorer, q->context, choice, &sum));
        double each = sum / (double)strlen(choice);
        if (sum > best) best = sum, *likeliest = c;
        if (each > best_normalised) best_normalised = each, *normalised = c;
    }
    return DT_OK;
}

static dt_status score(dt_scorer *scorer, task *t)
{
    double start = dt_clock();
    for (int64_t i = 0; i < t->questions.count; i++) {
        const dt_question *q = &t->questions.question[i];
        int likeliest = -1, normalised = -1;
        dt_status status = answer(scorer, q, &likeliest, &normalised);
        if (status) return dt_fail_in(status, "%s:%lld", t->path, (long long)q->line);
        t->right += likeliest == q->answer;
        t->right_normalised += normalised == q->answer;
    }
    t->seconds = dt_clock() - start;
    return DT_OK;
}

/* --- what comes of it --- */

static double percent(int64_t right, const task *t) { return 100 * (double)right / (double)t->questions.count; }

static void print_table(const tasks *t)
{
    int width = 4;
    for (int i = 0; i < t->count; i++)
        if ((int)strlen(t->task[i].path) > width) width = (int)strlen(t->task[i].path);
    printf("checkpoint   %s (step %lld)\n", t->loaded.path, (long long)t->loaded.progress.step);
    printf("weights      %s\n\n", t->loaded.averaged ? "averaged (EMA)" : "trained");
    printf("%-*s  questions  accuracy  normalised    time\n", width, "task");
    for (int i = 0; i < t->count; i++) {
        const task *one = &t->task[i];
        char seconds[32];
        printf("%-*s  %9lld  %6.2f %%    %6.2f %%  %6s\n", width, one->path, (long long)one->questions.count,
               percent(one->right, one), percent(one->right_normalised, one), dt_text_duration(seconds, one->seconds));
    }
}

static json_t *describe(const task *t)
{
    return json_pack("{ss sI sf sf sf}", "file", t->path, "questions", (json_int_t)t->questions.count, "accuracy",
                     percent(t->right, t), "accuracy_normalised", percent(t->right_normalised, t), "seconds",
                     t->seconds);
}

static dt_status print_json(const tasks *t)
{
    json_t *list = json_array();
    bool sound = list != NULL;
    for (int i = 0; i < t->count; i++) sound = sound && !json_array_append_new(list, describe(&t->task[i]));
    json_t *object = json_pack("{ss sI ss so}", "checkpoint", t->loaded.path, "step",
                               (json_int_t)t->loaded.progress.step, "set", t->loaded.averaged ? "ema" : "eval",
                               "tasks", list); /* takes the list over, or frees it */
    if (!object || !sound) {
        json_decref(object);
        return dt_fail(DT_ERR_DATA, "JSON cannot tell the names of checkpoint and tasks: they are not UTF-8");
    }
    json_dumpf(object, stdout, JSON_COMPACT);
    printf("\n");
    json_decref(object);
    return DT_OK;
}

static dt_status score_all(const dt_arguments *args, tasks *t)
{
    if (dt_arguments_has(args, "--print-config")) return dt_table_print_config(t->loaded.settings, t->loaded.log);
    dt_inactive_log(t->loaded.settings, &(dt_inactive_options){.words_only = true}, "evaluation", t->loaded.log);
    for (int i = 0; i < t->count; i++) DT_TRY(score(t->scorer, &t->task[i]));
    if (dt_arguments_has(args, "--json")) return print_json(t);
    print_table(t);
    return DT_OK;
}

dt_status dt_tasks_run(const dt_arguments *args)
{
    tasks t = {0};
    dt_status status = open_all(args, &t);
    if (!status) status = score_all(args, &t);
    close_all(&t);
    return status;
}
