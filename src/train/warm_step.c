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

dt_status dt_session_load_step(dt_session *s)
{
    char *image = calloc(1, (size_t)s->slot_bytes);
    if (!image) return dt_fail_memory((size_t)s->slot_bytes, "a batch");
    dt_batch_fields fields = dt_session_fields(s, DT_PROGRAM_PASS);
    dt_status status = dt_batch_make_up(&s->info, &fields, s->recipe.micro, image);
    dt_session_write_step(s, image, 0, 0);
    if (!status)
        status = dt_device_upload(s->device, DT_STREAM_COMPUTE, s->slot[0], image, (size_t)s->slot_bytes);
    if (!status) status = dt_device_sync(s->device, DT_STREAM_COMPUTE);
    free(image);
    return status;
}
