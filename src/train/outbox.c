/* A ring of two host records of step numbers and the events that say when they are filled. */
#include "train/outbox.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { RECORDS = 2 };

struct dt_outbox {
    dt_session *session;
    dt_step_numbers *record[RECORDS];
    dt_event *filled[RECORDS];
    int64_t sent, received;
};

static dt_status make_record(dt_outbox *box, int i)
{
    void *memory = NULL;
    DT_TRY(dt_device_alloc_host(box->session->device, sizeof *box->record[i], &memory));
    memset(memory, 0, sizeof *box->record[i]);
    box->record[i] = memory;
    return dt_event_create(box->session->device, &box->filled[i]);
}

dt_status dt_outbox_create(dt_session *session, dt_outbox **out)
{
    dt_outbox *box = calloc(1, sizeof *box);
    if (!box) return dt_fail_memory(sizeof *box, "the step numbers");
    box->session = session;
    for (int i = 0; i < RECORDS; i++) {
        dt_status status = make_record(box, i);
        if (status) {
            dt_outbox_free(box);
            return status;
        }
    }
    *out = box;
    return DT_OK;
}

void dt_outbox_free(dt_outbox *box)
{
    if (!box) return;
    for (int i = 0; i < RECORDS; i++) {
        dt_device_free_host(box->session->device, box->record[i]);
        dt_event_free(box->session->device, box->filled[i]);
    }
    free(box);
}

dt_status dt_outbox_send(dt_outbox *box)
{
    assert(box->sent - box->received < RECORDS);
    const dt_program *update = box->session->program[DT_PROGRAM_UPDATE];
    dt_step_numbers *to = box->record[box->sent % RECORDS];
    DT_TRY(dt_program_read(update, "norm", &to->norm, sizeof to->norm));
    DT_TRY(dt_program_read(update, "loss", &to->loss, sizeof to->loss));
    DT_TRY(dt_program_read(update, "count", &to->count, sizeof to->count));
    to->hits[0] = to->hits[1] = NAN;
    if (box->session->info.form == DT_FORM_IMAGES) DT_TRY(dt_program_read(update, "hits", to->hits, sizeof to->hits));
    if (box->session->recipe.ranks > 1) DT_TRY(dt_program_read(update, "asks", to->asks, sizeof to->asks));
    DT_TRY(dt_program_read(update, "finite", &to->finite, sizeof to->finite));
    DT_TRY(dt_event_record(box->session->device, box->filled[box->sent % RECORDS], DT_STREAM_COMPUTE));
    box->sent++;
    return DT_OK;
}

dt_status dt_outbox_receive(dt_outbox *box, dt_step_numbers *out)
{
    int at = (int)(box->received % RECORDS);
    DT_TRY(dt_event_sync(box->session->device, box->filled[at]));
    *out = *box->record[at];
    box->received++;
    return DT_OK;
}
