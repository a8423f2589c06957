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

static dt_status open_all(const dt_arguments *args, tasks *t)
{
    DT_TRY(read_files(args, t));
    DT_TRY(dt_loaded_open_scores(args, &t->loaded));
    DT_TRY(dt_run_tokenizer_open(t->loaded.settings, t->loaded.weights.checkpoint,
                                 dt_arguments_value(args, "--tokenizer"), &t->tokenizer));
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

static int64_t count_choices(const task *t)
{
    int64_t count = 0;
    for (int64_t i = 0; i < t->questions.count; i++) count += t->questions.question[i].choices;
    return count;
}

static dt_status name_line(dt_status status, const task *t, const dt_question *q)
{
    return status ? dt_fail_in(status, "%s:%lld", t->path, (long long)q->line) : DT_OK;
}

/* The log-probability of every choice, one question behind the other. */
static dt_status score_choices(dt_scorer *scorer, const task *t, double *sums)
{
    for (int64_t i = 0; i < t->questions.count; i++) {
        const dt_question *q = &t->questions.question[i];
        for (int c = 0; c < q->choices; c++)
            DT_TRY(name_line(dt_scorer_add(scorer, q->context, dt_question_choice(q, c), sums++), t, q));
    }
    return dt_scorer_finish(scorer);
}

/* Of equal choices the first is taken. */
static dt_status answer(const dt_question *q, const double *sums, int *likeliest, int *normalised)
{
    double best = -INFINITY, best_normalised = -INFINITY;
    for (int c = 0; c < q->choices; c++) {
        double each = sums[c] / (double)strlen(dt_question_choice(q, c));
        if (!isfinite(sums[c])) return dt_fail(DT_ERR_NUMERIC, "the loss of choice %d is not finite", c);
        if (sums[c] > best) best = sums[c], *likeliest = c;
        if (each > best_normalised) best_normalised = each, *normalised = c;
    }
    return DT_OK;
}

static dt_status mark_answers(task *t, const double *sums)
{
    for (int64_t i = 0; i < t->questions.count; i++) {
        const dt_question *q = &t->questions.question[i];
        int likeliest = -1, normalised = -1;
        DT_TRY(name_line(answer(q, sums, &likeliest, &normalised), t, q));
        t->right += likeliest == q->answer;
        t->right_normalised += normalised == q->answer;
        sums += q->choices;
    }
    return DT_OK;
}

static dt_status score(dt_scorer *scorer, task *t)
{
    double start = dt_clock();
    size_t bytes = (size_t)count_choices(t) * sizeof(double);
    double *sums = malloc(bytes);
    if (!sums) return dt_fail_memory(bytes, "the choices");
    dt_status status = score_choices(scorer, t, sums);
    if (!status) status = mark_answers(t, sums);
    free(sums);
    t->seconds = dt_clock() - start;
    return status;
}

/* --- what comes of it --- */

static double percent(int64_t right, const task *t) { return 100 * (double)right / (double)t->questions.count; }

static void print_table(const tasks *t)
{
    int width = 4;
    for (int i = 0; i < t->count; i++)
        if ((int)strlen(t->task[i].path) > width) width = (int)strlen(t->task[i].path);
    printf("checkpoint   %s (step %lld)\n", t->loaded.weights.checkpoint, (long long)t->loaded.progress.step);
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
    json_t *object = json_pack("{ss sI ss so}", "checkpoint", t->loaded.weights.checkpoint, "step",
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
    if (dt_arguments_has(args, "--print-config")) return dt_table_print(t->loaded.settings);
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
