/* One step on made-up input, without a data set: for benchmarks and for holding the plan against the memory used. */
#include <stdlib.h>

#include "train/session.h"

/* As in training, or with `timing` node by node. */
static dt_status run_program(dt_program *program, const char *slot, dt_node_timing timing, void *context)
{
    dt_run run = {slot, .last = true};
    return timing ? dt_program_profile(program, &run, timing, context) : dt_program_run(program, &run);
}

static dt_status run_programs(dt_session *s, dt_node_timing timing, void *context)
{
    DT_TRY(run_program(s->program[DT_PROGRAM_PASS], s->slot[0], timing, context));
    DT_TRY(run_program(s->program[DT_PROGRAM_UPDATE], s->slot[0] + s->update_offset, timing, context));
    return dt_device_sync(s->device, DT_STREAM_COMPUTE);
}

dt_status dt_session_run_step(dt_session *s, dt_node_timing timing, void *context)
{
    dt_status status = run_programs(s, timing, context);
    return timing ? status : dt_session_explain(s, status);
}

/* Where "pass" and "eval" find their batches. */
static const int slot_of[DT_PROGRAMS] = {[DT_PROGRAM_PASS] = 0, [DT_PROGRAM_EVAL] = 1};

static dt_status load(dt_session *s, dt_program_id id, int64_t samples, char *image)
{
    dt_batch_fields fields = dt_session_fields(s, id);
    DT_TRY(dt_batch_make_up(&s->info, &fields, samples, image));
    if (id == DT_PROGRAM_PASS) dt_session_write_step(s, image, 0, 0, (const double[DT_ASKS]){0});
    DT_TRY(dt_device_upload(s->device, DT_STREAM_COMPUTE, s->slot[slot_of[id]], image, (size_t)s->slot_bytes));
    return dt_device_sync(s->device, DT_STREAM_COMPUTE);
}

dt_status dt_session_load_step(dt_session *s)
{
    char *image = calloc(1, (size_t)s->slot_bytes);
    if (!image) return dt_fail_memory((size_t)s->slot_bytes, "a batch");
    dt_status status = load(s, DT_PROGRAM_PASS, s->recipe.micro, image);
    if (!status) status = load(s, DT_PROGRAM_EVAL, s->recipe.eval_batch, image);
    free(image);
    return status;
}

/* --- one program --- */

static dt_program_id id_of(const dt_session *s, const char *name)
{
    return dt_session_program(s, name) == s->program[DT_PROGRAM_EVAL] ? DT_PROGRAM_EVAL : DT_PROGRAM_PASS;
}

dt_status dt_session_run_one(dt_session *s, const char *name)
{
    dt_program_id id = id_of(s, name);
    dt_status status = run_program(s->program[id], s->slot[slot_of[id]], NULL, NULL);
    if (!status) status = dt_device_sync(s->device, DT_STREAM_COMPUTE);
    return dt_session_explain(s, status);
}

dt_status dt_session_queue_some(dt_session *s, const char *name, dt_node_filter wanted)
{
    dt_program_id id = id_of(s, name);
    return dt_program_queue_some(s->program[id], &(dt_run){s->slot[slot_of[id]], .last = true}, wanted);
}
