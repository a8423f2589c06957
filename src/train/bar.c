/* Fields are written apart, so that none is ever cut: half a number would be another number. */
#include "train/bar.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { FIELDS = 8, FIELD_ROOM = 48 };

typedef struct fields {
    char at[FIELDS][FIELD_ROOM];
    int count;
} fields;

/* A field whose `value` is known. */
static DT_PRINTF(3, 4) void add_field(fields *f, double value, const char *format, ...)
{
    va_list args;
    if (!isfinite(value)) return;
    va_start(args, format);
    vsnprintf(f->at[f->count++], FIELD_ROOM, format, args);
    va_end(args);
}

/* From the most important to the least. */
static fields collect(const dt_step_report *step, int64_t total, double share, double remaining)
{
    fields f = {.count = 0};
    char eta[32], memory[32];
    add_field(&f, share, "%3.0f %%", floor(100 * share));
    add_field(&f, share, "ETA %s", dt_text_duration(eta, remaining));
    add_field(&f, step->loss, "loss %.4f", step->loss);
    add_field(&f, step->lr, "lr %.3g", step->lr);
    add_field(&f, step->samples_per_s, "%.*f %s/s", step->samples_per_s < 100, step->samples_per_s,
              step->unit ? step->unit : "samples");
    add_field(&f, step->data_wait, "wait %.1f %%", 100 * step->data_wait);
    add_field(&f, step->memory_gib, "%s", dt_text_bytes(memory, step->memory_gib * 0x1p30));
    add_field(&f, share, "step %lld/%lld", (long long)step->step, (long long)total);
    return f;
}

static int width(const fields *f, int gap)
{
    int columns = -gap;
    for (int i = 0; i < f->count; i++) columns += gap + (int)strlen(f->at[i]);
    return columns;
}

static void add_cells(dt_text *out, double share, int cells)
{
    int filled = (int)(share * cells);
    dt_text_add(out, "[");
    for (int i = 0; i < cells; i++) dt_text_add_bytes(out, i < filled ? "=" : i == filled ? ">" : " ", 1);
    dt_text_add(out, "] ");
}

void dt_bar_print(dt_text *out, const dt_step_report *step, int64_t total_steps, double remaining, int columns)
{
    enum { LEAST_CELLS = 5, MOST_CELLS = 30, BRACKETS = 3 };
    double share = total_steps > 0 ? (double)step->step / (double)total_steps : 0;
    fields f = collect(step, total_steps, share, remaining);
    int gap = width(&f, 2) <= columns ? 2 : 1, cells = columns - width(&f, 2) - BRACKETS;
    while (f.count && width(&f, gap) > columns) f.count--;
    if (cells >= LEAST_CELLS) add_cells(out, share, cells < MOST_CELLS ? cells : MOST_CELLS);
    for (int i = 0; i < f.count; i++) dt_text_add(out, "%*s%s", i ? gap : 0, "", f.at[i]);
}
