/* Which settings make each category of a session's memory smaller, by what needs it: a setting that would do nothing is
 * not named. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "device/remedies.h"
#include "train/session.h"

typedef struct remedy {
    char text[DT_REMEDY_ROOM];
} remedy;

/* "a, b" */
static DT_PRINTF(2, 3) void add(remedy *r, const char *format, ...)
{
    size_t length = strlen(r->text);
    va_list args;
    if (length) length += (size_t)snprintf(r->text + length, sizeof r->text - length, ", ");
    va_start(args, format);
    vsnprintf(r->text + length, sizeof r->text - length, format, args);
    va_end(args);
}

/* The weights of a checkpoint are as large as they are. */
static void add_model(const dt_session *s, remedy *r)
{
    if (!s->options.eval_only) add(r, "a smaller model.width or model.depth");
    else if (s->backend == DT_CUDA) add(r, "device=cpu");
}

/* From this level of parallel.zero on ranks do not each hold all of it. */
static void add_sharing(const dt_session *s, int level, remedy *r)
{
    if (s->recipe.sharers > 1 && s->recipe.zero < level && !s->options.eval_only) add(r, "parallel.zero=%d", level);
}

/* What is computed with the samples of one program. */
static void add_samples(const dt_session *s, dt_program_id id, remedy *r)
{
    bool evaluates = id == DT_PROGRAM_EVAL || id == DT_PROGRAM_EVAL_EMA;
    if (evaluates && !s->options.no_update && s->recipe.eval_batch > 1) add(r, "a smaller eval.batch");
    else if (evaluates && !s->options.no_update) return;
    else if (s->options.sequences > 1) add(r, "a smaller generate.batch");
    else if (!s->options.eval_only && s->recipe.micro > 1)
        add(r, "a smaller train.micro_batch or a larger train.accumulate");
}

static dt_program_id largest(const dt_session *s, int64_t (*bytes)(const dt_session *, dt_program_id))
{
    int found = -1;
    for (int id = 0; id < DT_PROGRAMS; id++)
        if (s->program[id] &&
            (found < 0 || bytes(s, (dt_program_id)id) > bytes(s, (dt_program_id)found)))
            found = id;
    return found < 0 ? DT_PROGRAM_PASS : (dt_program_id)found;
}

static int64_t arena_bytes(const dt_session *s, dt_program_id id) { return dt_program_arena_bytes(s->program[id]); }

static void add_arena(const dt_session *s, remedy *r)
{
    dt_program_id id = largest(s, arena_bytes);
    add_samples(s, id, r);
    if (id == DT_PROGRAM_PASS && s->recipe.passes.recompute != DT_RECOMPUTE_BLOCK) add(r, "train.recompute=block");
    if (s->device_info.cudnn) add(r, "cuda.attention=own, which does without cuDNN's workspace of up to 1 GiB");
    if (!r->text[0]) add_model(s, r);
}

static void find_remedy(const dt_session *s, dt_memory category, remedy *r)
{
    switch (category) {
    case DT_MEMORY_PARAMETERS: add_sharing(s, 3, r); break;
    case DT_MEMORY_GRADIENTS: add_sharing(s, 2, r); break;
    case DT_MEMORY_OPTIMIZER:
        add_sharing(s, 1, r);
        if ((dt_optimizer_buffers(&s->optimizer) >> DT_BUFFER_MOMENT2) & 1u) add(r, "optim.kind=sgd");
        break;
    case DT_MEMORY_EMA: add_sharing(s, 1, r), add(r, "train.ema=0"); return;
    case DT_MEMORY_STATE:
        if (s->options.sequences > 1) add(r, "a smaller generate.batch");
        break;
    case DT_MEMORY_ARENA: add_arena(s, r); return;
    case DT_MEMORY_FEED: add_samples(s, largest(s, dt_session_slot_bytes), r); return;
    case DT_MEMORY_CATEGORIES: return;
    }
    add_model(s, r);
}

void dt_session_advise(const dt_session *s)
{
    for (int m = 0; m < DT_MEMORY_CATEGORIES; m++) {
        remedy r = {0};
        find_remedy(s, (dt_memory)m, &r);
        dt_device_advise(s->device, (dt_memory)m, r.text);
    }
}
