/* The one place that turns numbers of a run into lines: metrics.jsonl, events, log, progress bar. */
#include "train/report.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/text.h"
#include "base/threads.h"
#include "train/bar.h"
#include "train/tensorboard.h"

enum { MAX_VALUES = 16 };

struct dt_report {
    dt_log *log;
    dt_tensorboard *board;
    char *path; /* of metrics.jsonl */
    int fd;
    int64_t total_steps;
    bool has_eval;               /* dt_report_has_eval */
    int64_t first_step;          /* of this process: rates for the ETA begin here */
    double first_time, bar_time; /* dt_clock: when the first bar was due, when the last one was drawn */
};

/* --- metrics.jsonl --- */

/* The step of a line that this file wrote; -1 for any other. */
static long long step_of_line(const char *line)
{
    static const char head[] = "{\"step\":";
    if (strncmp(line, head, sizeof head - 1) != 0) return -1;
    char *end;
    long long step = strtoll(line + sizeof head - 1, &end, 10);
    return *end == ',' ? step : -1;
}

/* The length up to the first line that is beyond `last_step` or has no end (the process died while writing it), and
 * whether a line there is of an evaluation of that step. -1, with errno: a line cannot be read. */
static off_t kept_length(FILE *file, int64_t last_step, bool *has_eval)
{
    char *line = NULL;
    size_t room = 0;
    ssize_t length;
    off_t kept = 0;
    while ((length = getline(&line, &room, file)) > 0) {
        if (line[length - 1] != '\n' || step_of_line(line) > last_step) break;
        kept += length;
        if (step_of_line(line) == last_step && strstr(line, ",\"eval")) *has_eval = true;
    }
    bool failed = length < 0 && !feof(file);
    free(line);
    return failed ? -1 : kept;
}

static dt_status cut_metrics(dt_report *report, int64_t last_step)
{
    FILE *file;
    DT_TRY(dt_file_open(report->path, &file));
    off_t kept = kept_length(file, last_step, &report->has_eval);
    dt_status status = DT_OK;
    if (kept < 0) status = dt_fail(DT_ERR_IO, "cannot read '%s': %s", report->path, strerror(errno));
    else if (ftruncate(report->fd, kept) != 0)
        status = dt_fail(DT_ERR_IO, "cannot shorten '%s': %s", report->path, strerror(errno));
    fclose(file);
    return status;
}

static dt_status open_metrics(dt_report *report, const char *folder, int64_t resume_step)
{
    dt_text path = {0};
    dt_text_add(&path, "%s/metrics.jsonl", folder);
    DT_TRY(dt_text_status(&path));
    report->path = path.data;
    int64_t size;
    if (dt_file_exists(report->path)) DT_TRY(dt_file_size(report->path, &size)); /* opening a pipe would wait */
    report->fd = open(report->path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (report->fd < 0) return dt_fail(DT_ERR_IO, "cannot open '%s': %s", report->path, strerror(errno));
    return resume_step >= 0 ? cut_metrics(report, resume_step) : DT_OK;
}

/* Appends with one call, and frees. */
static dt_status append_line(const dt_report *report, dt_text *line)
{
    dt_status status = dt_text_status(line);
    if (!status) status = dt_file_append(report->fd, line->data, line->length, report->path);
    dt_text_free(line);
    return status;
}

/* The fewest digits that read back as the same double (%g drops zeros at the end; six at least, or 10 were 1e+01). */
static void add_number(dt_text *out, double value)
{
    char digits[32];
    int precision = 6;
    do {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
    } while (strtod(digits, NULL) != value && precision++ < 17);
    dt_text_add(out, "%s", digits);
}

/* `,"key":value` for each value that is finite; JSON has no other numbers. */
static void add_members(dt_text *out, const dt_scalar *values, size_t count, const char *comma)
{
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i].value)) continue;
        dt_text_add(out, "%s\"%s\":", comma, values[i].tag);
        add_number(out, values[i].value);
        comma = ",";
    }
}

/* --- events --- */

/* The finite values under `group`/key. */
static dt_status add_event(dt_report *report, int64_t step, const char *group, const dt_scalar *values, size_t count)
{
    char tags[MAX_VALUES][48];
    dt_scalar scalars[MAX_VALUES];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i].value)) continue;
        snprintf(tags[used], sizeof tags[used], "%s/%s", group, values[i].tag);
        scalars[used] = (dt_scalar){tags[used], values[i].value};
        used++;
    }
    return dt_tensorboard_add(report->board, step, scalars, used);
}

/* --- lines for people --- */

/* `format` with one value, where the value is known. */
static void add_known(dt_text *out, const char *format, double value)
{
    if (isfinite(value)) dt_text_add(out, format, value);
}

static void log_step(const dt_report *report, const dt_step_report *step)
{
    dt_text line = {0};
    char memory[32];
    dt_text_add(&line, "step %lld/%lld", (long long)step->step, (long long)report->total_steps);
    add_known(&line, "  epoch %.2f", step->epoch);
    add_known(&line, "  loss %.4f", step->loss);
    add_known(&line, "  lr %.3g", step->lr);
    if (isfinite(step->samples_per_s))
        dt_text_add(&line, "  %.*f %s/s", step->samples_per_s < 100, step->samples_per_s,
                    step->unit ? step->unit : "samples");
    add_known(&line, "  data wait %.1f %%", 100 * step->data_wait);
    if (isfinite(step->memory_gib)) dt_text_add(&line, "  %s", dt_text_bytes(memory, step->memory_gib * 0x1p30));
    add_known(&line, "  top-1 %.1f %%", step->top1);
    add_known(&line, "  grad norm %.3g", step->grad_norm);
    add_known(&line, "  MFU %.1f %%", 100 * step->mfu);
    if (step->skipped) dt_text_add(&line, "  skipped %lld", (long long)step->skipped);
    if (!line.failed) dt_log_info(report->log, "%s", line.data);
    dt_text_free(&line);
}

static void log_eval(const dt_report *report, const dt_eval_report *eval, const char *key)
{
    dt_text line = {0};
    char seconds[32];
    dt_text_add(&line, "step %lld  %s: loss %.4f", (long long)eval->step, key, eval->loss);
    add_known(&line, "  top-1 %.2f %%", eval->top1);
    add_known(&line, "  top-5 %.2f %%", eval->top5);
    add_known(&line, "  perplexity %.4g", eval->perplexity);
    add_known(&line, "  %.4f bits per byte", eval->bits_per_byte);
    dt_text_add(&line, "  (%lld %s%s in %s)", (long long)eval->samples, isfinite(eval->top1) ? "sample" : "token",
                eval->samples == 1 ? "" : "s", dt_text_duration(seconds, eval->seconds));
    if (!line.failed) dt_log_info(report->log, "%s", line.data);
    dt_text_free(&line);
}

/* Seconds to the end at the mean speed of this process so far; NaN while unknown. */
static double remaining_seconds(const dt_report *report, int64_t step, double now)
{
    int64_t done = step - report->first_step;
    if (report->first_step < 0 || done <= 0) return NAN;
    return (now - report->first_time) / (double)done * (double)(report->total_steps - step);
}

/* --- the report --- */

dt_status dt_report_create(const char *folder, int64_t resume_step, int64_t total_steps, dt_log *log, dt_report **out)
{
    dt_status status;
    dt_report *report = calloc(1, sizeof *report);
    if (!report) return dt_fail_memory(sizeof *report, "the report of the run");
    report->log = log;
    report->fd = -1;
    report->total_steps = total_steps;
    report->first_step = -1;
    DT_TRY_GOTO(open_metrics(report, folder, resume_step), fail);
    DT_TRY_GOTO(dt_tensorboard_create(folder, resume_step >= 0 ? resume_step + 1 : 0, &report->board), fail);
    *out = report;
    return DT_OK;
fail:
    dt_report_free(report);
    return status;
}

void dt_report_free(dt_report *report)
{
    if (!report) return;
    dt_log_status_line(report->log, NULL);
    dt_tensorboard_free(report->board);
    if (report->fd >= 0) close(report->fd);
    free(report->path);
    free(report);
}

dt_status dt_report_rewind(dt_report *report, int64_t step)
{
    report->first_step = -1; /* the time that the taken back steps took says nothing about those left */
    DT_TRY(cut_metrics(report, step));
    return dt_tensorboard_restart(report->board, step + 1);
}

bool dt_report_has_eval(const dt_report *report) { return report->has_eval; }

dt_status dt_report_step(dt_report *report, const dt_step_report *step)
{
    const dt_scalar values[] = {
        {"epoch", step->epoch},
        {"loss", step->loss},
        {"lr", step->lr},
        {"grad_norm", step->grad_norm},
        {"samples_per_s", step->samples_per_s},
        {"tokens_per_s", step->tokens_per_s},
        {"mfu", step->mfu},
        {"data_wait", step->data_wait},
        {"memory_gib", step->memory_gib},
        {"top1", step->top1}, /* for the events only */
    };
    const size_t count = sizeof values / sizeof values[0];
    dt_text line = {0};
    dt_text_add(&line, "{\"step\":%lld", (long long)step->step);
    add_members(&line, values, count - 1, ",");
    dt_text_add(&line, "}\n");
    log_step(report, step);
    dt_status event = add_event(report, step->step, "train", values, count);
    dt_status status = append_line(report, &line);
    return status ? status : event;
}

/* The log line and the event of one set of weights; its line of metrics.jsonl is added to `line`. */
static dt_status report_set(dt_report *report, const dt_eval_report *eval, dt_text *line)
{
    const dt_scalar values[] = {{"loss", eval->loss}, {"top1", eval->top1}, {"top5", eval->top5},
                                {"perplexity", eval->perplexity}, {"bits_per_byte", eval->bits_per_byte}};
    const size_t count = sizeof values / sizeof values[0];
    const char *key = strcmp(eval->set, "ema") == 0 ? "eval_ema" : "eval";
    dt_text_add(line, "{\"step\":%lld,\"%s\":{", (long long)eval->step, key);
    add_members(line, values, count, "");
    dt_text_add(line, "}}\n");
    log_eval(report, eval, key);
    return add_event(report, eval->step, key, values, count);
}

dt_status dt_report_eval(dt_report *report, const dt_eval_report *sets, int count)
{
    dt_text lines = {0};
    dt_status event = DT_OK;
    for (int i = 0; i < count; i++) {
        dt_status one = report_set(report, &sets[i], &lines);
        if (!event) event = one;
    }
    dt_status status = append_line(report, &lines);
    return status ? status : event;
}

void dt_report_progress(dt_report *report, const dt_step_report *step)
{
    double now = dt_clock();
    if (!dt_log_has_terminal(report->log)) return;
    if (report->first_step < 0) {
        report->first_step = step->step;
        report->first_time = now;
    } else if (now - report->bar_time < 0.1) return;
    report->bar_time = now;
    dt_text line = {0};
    int columns = dt_log_columns(report->log) - 1; /* the log leaves the last one free */
    dt_bar_print(&line, step, report->total_steps, remaining_seconds(report, step->step, now), columns);
    if (!line.failed) dt_log_status_line(report->log, line.data);
    dt_text_free(&line);
}

dt_status dt_report_flush(dt_report *report)
{
    if (fsync(report->fd) != 0) return dt_fail(DT_ERR_IO, "cannot sync '%s': %s", report->path, strerror(errno));
    return dt_tensorboard_sync(report->board);
}
