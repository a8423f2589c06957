/* One step on made-up input, without a data set: for benchmarks and for holding the plan against the memory used. */
#include <stdlib.h>
#include <string.h>

#include "train/session.h"

/* Grey ramps, label 0, weight 1. */
static void fill_batch(const dt_session *s, char *image)
{
    dt_batch_fields fields = dt_session_fields(s, DT_PROGRAM_PASS);
    int64_t bytes = s->recipe.micro * s->image.channels * s->image.height * s->image.width;
    for (int64_t i = 0; i < bytes; i++) image[fields.images + i] = (char)(i % 251);
    memset(image + fields.labels, 0, (size_t)s->recipe.micro * sizeof(int32_t));
    for (int64_t i = 0; i < s->recipe.micro; i++) {
        float weight = 1;
        memcpy(image + fields.weight + i * (int64_t)sizeof weight, &weight, sizeof weight);
        memcpy(image + fields.sample + i * (int64_t)sizeof i, &i, sizeof i);
    }
    dt_session_write_step(s, image, 0, 0);
}

static dt_status run_step(dt_session *s, const char *image)
{
    DT_TRY(dt_device_upload(s->device, DT_STREAM_COMPUTE, s->slot[0], image, (size_t)s->slot_bytes));
    DT_TRY(dt_program_run(s->program[DT_PROGRAM_PASS], &(dt_run){s->slot[0], false}));
    DT_TRY(dt_program_run(s->program[DT_PROGRAM_UPDATE], &(dt_run){s->slot[0] + s->update_offset, false}));
    return dt_device_sync(s->device, DT_STREAM_COMPUTE);
}

dt_status dt_session_warm_step(dt_session *s)
{
    char *image = calloc(1, (size_t)s->slot_bytes);
    if (!image) return dt_fail_memory((size_t)s->slot_bytes, "a batch");
    fill_batch(s, image);
    dt_status status = run_step(s, image);
    free(image);
    return status;
}
