/* What stands where in a feed slot: the batch of a pass or an evaluation, and what the update reads beside it. */
#include <string.h>

#include "train/session.h"

static int64_t field_offset(const dt_program *program, const char *name)
{
    return dt_program_feed(program, name)->offset;
}

dt_batch_fields dt_session_fields(const dt_session *s, dt_program_id id)
{
    dt_batch_fields fields;
    for (int f = 0; f < DT_FIELDS; f++) {
        const dt_feed_field *field = dt_program_feed(s->program[id], dt_field_names[f]);
        fields.at[f] = field ? field->offset : -1;
    }
    return fields;
}

typedef struct update_values {
    const dt_program *update;
    char *at; /* the update's part of a host image */
} update_values;

static void put_value(void *context, const char *name, double value)
{
    const update_values *to = context;
    memcpy(to->at + field_offset(to->update, name), &value, sizeof value);
}

void dt_session_write_step(const dt_session *s, char *image, int64_t step, double lr, const double asks[DT_ASKS])
{
    memcpy(image + field_offset(s->program[DT_PROGRAM_PASS], "step"), &step, sizeof step);
    update_values to = {s->program[DT_PROGRAM_UPDATE], image + s->update_offset};
    dt_optimizer_values(&s->optimizer, step, lr, put_value, &to);
    if (s->recipe.ranks > 1) memcpy(to.at + field_offset(to.update, "asks"), asks, DT_ASKS * sizeof *asks);
}
